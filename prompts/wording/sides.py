"""The two indirect ways to name one of a pair: by excluding the other, and by the side of the picture."""

from __future__ import annotations

import re

from corpus.anatomy import PAIRED_NOUNS, mentions
from prompts.intent import OPPOSITE, SIDES, Intent

_NOUNS = {base: re.compile(rf"\b(?:{'|'.join(nouns)})\b", re.IGNORECASE) for base, nouns in PAIRED_NOUNS.items()}
_SIDE = re.compile(r"\b(left|right)(?:[\s-]?(?:most|hand|sided|wards?))?\b", re.IGNORECASE)
_EXCLUDED = re.compile(
    r"(?:\b(?:is|are|was|does|do)n't|\b(?:not|other than|rather than|except(?: for)?|excluding|apart from|opposite))"
    r"\s[^.;?!]{0,30}\b(?:left|right)\b",
    re.IGNORECASE,
)
_PICTURE = re.compile(
    r"\b(?:pictures?|images?|photo|screen|monitor|display(?:ed)?|slice|section|scan|view(?:er)?(?:'s)?)\b",
    re.IGNORECASE,
)
_OF_PICTURE = re.compile(
    rf"\b(?:left|right)(?:[\s-](?:hand|side|edge|half|part))* of (?:the |this )?{_PICTURE.pattern}|\bviewer['’]s\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"\b(?:not|isn['’]t|except|excluding|other than|rather than)\b(?:(?!patient)[^.;?!,]){0,30}\b(?:left|right)\b"
    r"|\b(?:furthest|farthest|far|away|distant) from\b",
    re.IGNORECASE,
)
"""Away from the side of the picture that is named."""


def _noun_and_side(text: str) -> tuple[str, str] | None:
    """The only pair and the only side that a text speaks of."""
    nouns = [base for base, pattern in _NOUNS.items() if pattern.search(text)]
    sides = {side.lower() for side in _SIDE.findall(text)}
    return (nouns[0], sides.pop()) if len(nouns) == 1 and len(sides) == 1 else None


def excluded_member(text: str) -> str | None:
    """The member of a pair that a text excludes to name the other: "the left kidney" of "the kidney that isn't on the
    left"; None where it names none so."""
    found = _noun_and_side(text)
    return f"{found[1]} {found[0]}" if found and _EXCLUDED.search(text) and not _OF_PICTURE.search(text) else None


def shown_side(text: str) -> tuple[str, str] | None:
    """Of "the kidney on the left of the picture" the pair and the attribute: ("kidney", "leftmost"); None where a text
    doesn't speak so of one of a pair."""
    found = _noun_and_side(text)
    if (
        not found
        or not _PICTURE.search(text)
        or _ELSEWHERE.search(text)
        or any(m.organ.startswith(("left ", "right ")) for m in mentions(text))
    ):
        return None
    attribute = "leftmost" if found[1] == "left" else "rightmost"
    return found[0], attribute


def indirect(text: str, intent: Intent) -> set[str]:
    """The names that a text may use of a pair, because with them it names `intent.organ` indirectly; empty where it
    names it directly, if at all."""
    if intent.negated and (member := excluded_member(text)):
        side, noun = member.split(" ", 1)
        return {member, noun} if intent.organ == f"{OPPOSITE[side]} {noun}" else set()
    if intent.kind == "anatomy" and intent.attribute and (shown := shown_side(text)):
        noun, attribute = shown
        if attribute == intent.attribute and intent.organ in (noun, f"{SIDES[intent.attribute]} {noun}"):
            return {noun}
    return set()
