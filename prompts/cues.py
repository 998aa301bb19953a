"""What a text's words point to: the structures and extremes that the vocabulary knows, stretch by stretch.

A learned reader gets these beside the words themselves, as named-entity taggers get gazetteers: it need not learn anew
what every synonym means, only which of the things that are named is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from corpus.anatomy import BY_NAME, PAIRED_NOUNS, Mention, mentions
from corpus.params import read_yaml
from prompts.intent import ATTRIBUTES, ORDINALS, RELATIONS
from prompts.kinds import claims

UNSIDED: tuple[str, ...] = tuple(noun for noun in PAIRED_NOUNS if noun not in BY_NAME)
"""Pairs without a name for both, where a text doesn't say which side."""
CUES: tuple[str, ...] = (*BY_NAME, *ATTRIBUTES, *RELATIONS, *ORDINALS.values(), *UNSIDED)
"""What a cue may point to. The structures come first, so that the first cues' numbers are the organs' ids."""
NUMBERS = {name: number for number, name in enumerate(CUES, start=1)}
NEAR = 14
"""Characters from a noun, within which "both" and a letter for a side speak of it."""
_REACH = {"l": NEAR, "r": NEAR, "write": 1, "wright": 1, "rite": 1}
"""How far from the noun, in characters, what may mean a side counts as one; other words as far as the sentence goes."""
CONTENT = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Cue:
    """Characters `start:end` point to `CUES[number - 1]`, which the sentence may negate."""

    start: int
    end: int
    number: int
    negated: bool


def cues(text: str) -> list[Cue]:
    """The cues of a text. Names come last: where a name holds a claim ("left kidney"), the name counts."""
    found = [
        Cue(match.start(), match.end(), NUMBERS[name], False)
        for name, pattern in (
            *_patterns().hints.items(),
            *((name, claims()[name].pattern) for name in CUES[len(BY_NAME) : len(CUES) - len(UNSIDED)]),
        )
        for match in pattern.finditer(text)
    ]
    named = list(mentions(text))
    found += [Cue(m.start, m.end, NUMBERS[m.organ], m.negated) for m in named]
    found += _counterparts(text, named)
    return found + _pairs(text.replace("\u2019", "'"), named)


@dataclass(frozen=True)
class _Patterns:
    sides: dict[str, re.Pattern[str]]
    nouns: dict[str, re.Pattern[str]]
    hints: dict[str, re.Pattern[str]]
    both: re.Pattern[str]
    not_before: re.Pattern[str]
    of_picture: re.Pattern[str]
    picture_before: re.Pattern[str]
    of_something: re.Pattern[str]
    owner: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    """cues.yaml, compiled."""
    content: dict[str, Any] = dict(read_yaml(CONTENT))

    def words(pattern: str) -> re.Pattern[str]:
        return re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", re.IGNORECASE)

    return _Patterns(
        sides={side: words(pattern) for side, pattern in content.pop("sides").items()},
        nouns={noun: words(pattern) for noun, pattern in content.pop("nouns").items()},
        hints={name: words("|".join(patterns)) for name, patterns in content.pop("hints").items()},
        both=words(content.pop("both")),
        **{name: re.compile(pattern, re.IGNORECASE) for name, pattern in content.items()},
    )


def _pairs(text: str, named: list[Mention]) -> list[Cue]:
    """The paired structures whose side, if a text gives one, stands apart from the noun."""
    patterns, found = _patterns(), []
    sided = [m for m in named if m.organ.startswith(("left ", "right "))]
    for noun, pattern in patterns.nouns.items():
        for match in pattern.finditer(text):
            if any(m.start < match.end() and match.start() < m.end for m in sided):
                continue
            same = [m for m in named if m.start < match.end() and match.start() < m.end]
            side = _side(text, match, sided)
            organ = f"{side} {noun}" if side else noun
            if side or (noun in UNSIDED and not same):
                found.append(Cue(match.start(), match.end(), NUMBERS[organ], any(m.negated for m in same)))
    return found


def _counterparts(text: str, named: list[Mention]) -> list[Cue]:
    """Where a text rules out one of a pair, and doesn't name the other, the word before speaks of the other."""
    found = []
    for mention in named:
        other = _opposite(mention.organ)
        if mention.negated and other and all(m.organ != other for m in named):
            end = len(text[: mention.start].rstrip())
            found.append(Cue(text[:end].rfind(" ") + 1, end, NUMBERS[other], False))
    return found


def _opposite(name: str) -> str | None:
    """The other member of the pair, or the other side; None where there is none."""
    side, _, noun = name.partition(" ")
    other = {"left": "right", "right": "left"}.get(side)
    return f"{other} {noun}".strip() if other else None


def _side(text: str, noun: re.Match[str], sided: list[Mention]) -> str | None:
    """The patient's side that a text gives the structure at `noun`, the nearest if it gives several; else the opposite
    of one that it rules out."""
    patterns, found = _patterns(), []
    if patterns.both.search(text[max(0, noun.start() - NEAR) : noun.end() + NEAR]):
        return None
    for side, pattern in patterns.sides.items():
        for match in pattern.finditer(text):
            start, end = match.span()
            before, after = text[:start], text[end:]
            gap = max(noun.start() - end, start - noun.end())
            between = text[min(end, noun.end()) : max(start, noun.start())]
            if gap > _REACH.get(match.group().lower(), len(text)):
                continue
            mine = patterns.owner.search(before)
            if not mine and (
                patterns.of_picture.search(after)
                or patterns.picture_before.search(before)
                or patterns.of_something.search(after)
            ):
                continue
            if re.search(r"[.;?!]\s", between) or any(m.start <= start < m.end for m in sided):
                continue
            ruled_out = patterns.not_before.search(before)
            found.append((gap + len(text) * bool(ruled_out), str(_opposite(side)) if ruled_out else side))
    return min(found)[1] if found else None
