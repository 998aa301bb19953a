"""Checks that a text asks for its target as a whole and for nothing else, and claims of it only what is known."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from corpus.anatomy import Mention
from prompts.checks.reading import pattern
from prompts.checks.registry import Context, check
from prompts.kinds import Cell, claim_patterns, misclaims
from prompts.wording.claims import claims, mentions_in, plain_words, without
from prompts.wording.sides import indirect


@check("target")
def _target(text: str, cell: Cell, context: Context) -> str | None:
    wanted = cell.intent.organ
    named = mentions_in(text)
    if pair := indirect(text, cell.intent):
        others = [m for m in named if m.organ not in pair]
        return f"names the {others[0].organ}" if others else None
    if cell.intent.kind == "anatomy" and cell.intent.attribute:
        return "doesn't name one of a pair by the side of the picture"
    if cell.intent.negated and not any(m.negated for m in named):
        return "excludes nothing"
    others = [m for m in named if m.organ != wanted and not m.negated]
    if others:
        return f"names the {others[0].organ}"
    if wanted is None:
        return f"mentions the {named[0].organ}" if named else None
    own = [m for m in named if m.organ == wanted]
    if not own:
        return f"doesn't name the {wanted}"
    if any(m.negated or _is_left_out(text, m) for m in own):
        return f"negates the {wanted}"
    return None


def _is_left_out(text: str, mention: Mention) -> bool:
    """Whether the text asks for it to be removed, hidden or left alone."""
    before, after = text[: mention.start].lower(), text[mention.end :].lower()
    left_alone = pattern("left_alone").search(before) and pattern("alone").match(after)
    return bool(pattern("away").search(before) or pattern("away_after").match(after) or left_alone)


@check("other_structure")
def _other_structure(text: str, cell: Cell, context: Context) -> str | None:
    """Structures that the vocabulary doesn't hold, or that a request for a place or a size may not name."""
    if match := pattern("everything").search(text.lower()):
        return f"asks for more: {match.group()!r}"
    plain = without(text, mentions_in(text)).lower()
    found = pattern("with_other" if cell.intent.organ else "any_structure").search(plain)
    return f"names another structure: {found.group().strip()!r}" if found else None


_ON_BOTH_SIDES = ("kidney", "lung", "seminal vesicles")
"""Structures that are two, under one name."""
_POSSESSIVE = re.compile(r"['’]s?$")


@check("whole")
def _whole(text: str, cell: Cell, context: Context) -> str | None:
    """Not a lesion in it, a part of it, or what lies around it; where that is asked for, not the structure itself."""
    intent = cell.intent
    if intent.organ is None or intent.negated:
        return None
    around = [_around(text.lower(), m) for m in mentions_in(text)]
    if intent.relation:
        found = (_of_the_anchor(each) for each in around if each.organ == intent.organ)
        return next(filter(None, found), None)
    if intent.attribute:
        beside = (pattern("neighbor").search(each.before) for each in around)
        return next((f"asks for what lies by it: {match.group()!r}" for match in beside if match), None)
    if match := pattern("lesion_asked").search(without(text, mentions_in(text), "it").lower()):
        return f"asks for a part of it or for what lies in it: {match.group()!r}"
    found = (_of_the_whole(each) for each in around if each.organ == intent.organ)
    return next(filter(None, found), None)


class _Around(NamedTuple):
    """A mention, in lower case and without its possessive ending, with what stands before and after it."""

    organ: str
    before: str
    named: str
    after: str


def _around(text: str, mention: Mention) -> _Around:
    named = _POSSESSIVE.sub("", text[mention.start : mention.end])
    return _Around(mention.organ, text[: mention.start], named, text[mention.start + len(named) :])


def _of_the_whole(it: _Around) -> str | None:
    """What is wanted in the place of a structure that is asked for by its name, as one mention of it shows."""
    if match := pattern("not_it").search(it.before) or pattern("neighbor").search(it.before):
        return f"asks for what isn't all of it: {match.group() + it.named!r}"
    if match := pattern("not_it_after").match(it.after):
        return f"asks for more, or for another slice: {it.named + match.group()!r}"
    if (thing := pattern("thing_of_it").search(it.before)) and (match := pattern("of_it").match(it.after)):
        return f"asks for what it lies by: {thing.group() + it.named + match.group()!r}"
    if it.organ in _ON_BOTH_SIDES and (said := _one_of_two(it)):
        return f"asks for one of two: {said!r}"
    if (match := pattern("part_after").match(it.after)) and pattern("direct").search(it.before):
        return f"asks for a part of it: {it.named + match.group()!r}"
    return None


def _one_of_two(it: _Around) -> str | None:
    """The words by which a text speaks of one of a structure that is two."""
    if pattern("product_after").match(it.after):
        return None
    if match := pattern("one_of_two").search(it.before):
        return match.group() + it.named
    if pattern("one_side").match(it.named) and not pattern("both_sides").search(it.before + it.after):
        return it.named
    if not it.named.endswith("s") and (match := pattern("one_of_two_after").match(it.after)):
        return it.named + match.group()
    return None


def _of_the_anchor(it: _Around) -> str | None:
    """What is wanted in the place of a structure's neighbor, as one mention of the structure shows."""
    if pattern("neighbor_after").match(it.after):
        return None
    if match := pattern("anchor_drawn").search(it.before):
        return f"asks for the structure itself: {match.group() + it.named!r}"
    if pattern("anchor_left").search(it.before) and (match := pattern("anchor_left_after").match(it.after)):
        return f"asks for what remains of it: {it.named + match.group()!r}"
    if match := pattern("part_after").match(it.after):
        return f"speaks of a part of it: {it.named + match.group()!r}"
    if (thing := pattern("thing_of_it").search(it.before)) and pattern("of_it").match(it.after):
        return f"asks for what it lies by: {thing.group() + it.named!r}"
    return None


_EXTREME = re.compile(
    r"most\b|\b(?:furthest|farthest|closest|nearest|highest|lowest|extreme|outermost|very|first|all the way|far|edge|"
    r"border|than|nothing|no other|none|of everything)\b",
    re.IGNORECASE,
)


@check("attribute")
def _attribute(text: str, cell: Cell, context: Context) -> str | None:
    wanted = cell.intent.attribute
    if cell.intent.relation:
        plain = without(text, mentions_in(text)).lower()
        if match := pattern("converse").search(without(text, mentions_in(text), "it").lower()):
            return f"asks for the neighbor's neighbor: {match.group()!r}"
        if match := pattern("body_side").search(plain) or pattern("not_nearest").search(plain):
            return f"asks for another than the nearest in the picture: {match.group()!r}"
        return next((f"claims {name!r} of an organ" for name in claim_patterns() if name in plain), None)
    if wanted is None:
        return _claims_nothing(text)
    plain = plain_words(text)
    claimed = claims(text)
    if wanted not in claimed:
        return f"doesn't say {wanted!r}"
    if len(claimed) > 1:
        return f"says {' and '.join(map(repr, claimed))}"
    if cell.kind == "position" and not _EXTREME.search(plain):
        return "says a direction, but not that it is the extreme one"
    if cell.kind in ("position", "size") and (match := pattern("not_extreme").search(plain)):
        return f"doesn't ask for the extreme one: {match.group().strip()!r}"
    if match := pattern("from_the_end").search(plain):
        return f"counts from the other end: {match.group()!r}"
    if match := pattern("patient_side").search(plain):
        return f"speaks of the patient's body, not of the picture: {match.group()!r}"
    return None


@check("claim")
def _claim(text: str, cell: Cell, context: Context) -> str | None:
    """Rank and relation."""
    return misclaims(without(text, mentions_in(text)), cell.intent)


@cache
def _plainest() -> re.Pattern[str]:
    return re.compile("|".join(claim_patterns()))


def _claims_nothing(text: str) -> str | None:
    """Nothing of the picture, and nothing of the structure's state that only the picture could tell."""
    plain = without(text, mentions_in(text)).lower()
    if match := _plainest().search(plain) or pattern("in_picture").search(plain):
        return f"claims {match.group().strip()!r} of an organ"
    for mention in mentions_in(text):
        before, after = text[: mention.start].lower(), text[mention.end :].lower()
        if match := pattern("abnormal_before").search(before) or pattern("abnormal_after").match(after):
            return f"claims {match.group().strip()!r} of an organ"
    return None
