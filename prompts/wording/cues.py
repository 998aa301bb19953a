"""What a text's words point to, stretch by stretch: the structures and extremes that the vocabulary knows, the
structures that they call to mind, and whether a side is the picture's.

A learned reader gets these beside the words themselves, as named-entity taggers get gazetteers: it need not learn anew
what every synonym means, only which of the things that are named is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from corpus.anatomy import BY_NAME, PAIRED_NOUNS, Mention, mentions
from corpus.params import Pattern, params_dataclass, read_yaml, validated
from prompts.intent import ATTRIBUTES, OPPOSITE, ORDINALS, RELATIONS
from prompts.kinds import claims
from prompts.wording.associations import associated, associations

UNSIDED: tuple[str, ...] = tuple(noun for noun in PAIRED_NOUNS if noun not in BY_NAME)
"""Pairs without a name for both, where a text doesn't say which side."""
_CLAIMED = (*ATTRIBUTES, *RELATIONS, *ORDINALS.values())
PICTURES = "picture's side"
"""Words that make a side the picture's."""
CUES: tuple[str, ...] = (*BY_NAME, *_CLAIMED, *UNSIDED, *(f"about {noun}" for noun in associated()), PICTURES)
"""What a cue may point to. The structures come first, so that the first cues' numbers are the organs' ids; last come
what a text may be about without naming it, and words that make a side the picture's."""
NUMBERS = {name: number for number, name in enumerate(CUES, start=1)}
NEAR = 14
"""Characters from a noun, within which "both" and a letter for a side speak of it."""
AROUND = 100
"""Characters before and after a side, within which the words stand that say whose side it is."""
_HOMOPHONES = ("write", "wright", "rite")
_REACH = {"l": NEAR, "r": NEAR, **dict.fromkeys(_HOMOPHONES, 1)}
"""How far from the noun, in characters, what may mean a side counts as one; other words as far as the sentence goes."""
_SENTENCE_END = re.compile(r"(?<!\b[LR])[.;?!]\s")
CONTENT = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Cue:
    """Characters `start:end` point to `CUES[number - 1]`, which the sentence may negate."""

    start: int
    end: int
    number: int
    negated: bool


def cues(text: str, known: Names | None = None) -> list[Cue]:
    """The cues of a text. Names come last: where a name holds a claim ("left kidney"), the name counts.

    Args:
        known: What `names` says of the text, where that is known already.
    """
    found = [
        Cue(match.start(), match.end(), NUMBERS[name], False)
        for name, pattern in (
            *_patterns().hints.items(),
            *((name, claims()[name].pattern) for name in _CLAIMED),
        )
        for match in pattern.finditer(text)
    ]
    found += [Cue(a.start, a.end, NUMBERS[f"about {a.noun}"], False) for a in associations(text)]
    found += [Cue(start, end, NUMBERS[PICTURES], False) for start, end in _pictures(text)]
    named, unions = known or names(text)
    found += [Cue(m.start, m.end, NUMBERS[m.organ], m.negated) for m in named]
    found += _counterparts(text, named)
    settled = [m for m in named if m in unions or m.organ.startswith(tuple(f"{side} " for side in OPPOSITE))]
    return found + _pairs(text.replace("\u2019", "'"), named, settled)


def unsided(text: str) -> str | None:
    """The pair that a text speaks of without a side, or of both sides at once, where both have no name of their own:
    "adrenal gland" of "the adrenals" and of "both adrenal glands"."""
    spans: dict[str, set[tuple[int, int]]] = {}
    for cue in cues(text):
        spans.setdefault(CUES[cue.number - 1], set()).add((cue.start, cue.end))
    for noun in UNSIDED:
        left, right = (spans.get(f"{side} {noun}", set()) for side in OPPOSITE)
        if left & right or (noun in spans and not left | right):
            return noun
    return None


class Names(NamedTuple):
    """The structures that a text names."""

    all: list[Mention]
    unions: list[Mention]
    """Those of them that are both of a pair, called by their two sides."""


def names(text: str) -> Names:
    """The structures that a text names; where two sides make a pair, the pair."""
    named = list(mentions(text))
    unions = _unions(text, named)
    return Names([m for m in named if not _overlapping(unions, m.start, m.end)] + unions, unions)


@params_dataclass
class _Content:
    """cues.yaml."""

    sides: dict[Literal["left", "right"], Pattern]
    nouns: dict[str, Pattern]
    both: Pattern
    unions: dict[str, list[Pattern]]
    side: Pattern
    conjunction: Annotated[Pattern, Field(alias="and")]
    not_before: Pattern
    alone: Pattern
    counterpart: Pattern
    picture: list[Pattern]
    part: Pattern
    of_picture: list[Pattern]
    picture_before: list[Pattern]
    as_displayed: list[Pattern]
    of_something: Pattern
    owner: Pattern
    hints: dict[str, list[Pattern]]

    def __post_init__(self) -> None:
        if unknown := [name for name in (*self.nouns, *self.unions, *self.hints) if name not in (*CUES, *PAIRED_NOUNS)]:
            raise ValueError(f"expected names of structures, pairs and claims, found {unknown[0]!r}")


@dataclass(frozen=True)
class _Patterns:
    """The same, compiled."""

    sides: dict[str, re.Pattern[str]]
    nouns: dict[str, re.Pattern[str]]
    hints: dict[str, re.Pattern[str]]
    unions: dict[str, re.Pattern[str]]
    both: re.Pattern[str]
    not_before: re.Pattern[str]
    of_picture: re.Pattern[str]
    picture_before: re.Pattern[str]
    as_displayed: re.Pattern[str]
    of_something: re.Pattern[str]
    owner: re.Pattern[str]
    alone: re.Pattern[str]
    counterpart: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    return read_cues(CONTENT)


def read_cues(path: Path) -> _Patterns:
    """What cues are found by.

    Raises:
        InputError: A key is missing or unknown, or a pattern isn't one.
    """
    content = validated(read_yaml(path), _Content, path)
    picture = f"(?:{'|'.join(content.picture)})s?"

    def words(pattern: str) -> re.Pattern[str]:
        return re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", re.IGNORECASE)

    def any_of(listed: list[str], form: str) -> re.Pattern[str]:
        patterns = "|".join(listed).replace("{picture}", picture)
        return re.compile(form.format(f"(?:{patterns})"), re.IGNORECASE)

    return _Patterns(
        sides={side: words(pattern) for side, pattern in content.sides.items()},
        nouns={noun: words(pattern) for noun, pattern in content.nouns.items()},
        hints={name: words("|".join(patterns)) for name, patterns in content.hints.items()},
        unions={
            name: words("|".join(patterns).replace("{side}", content.side).replace("{and}", content.conjunction))
            for name, patterns in content.unions.items()
        },
        both=words(content.both),
        of_picture=any_of(content.of_picture, rf"^(?:{content.part})*\s*\(?\s*{{}}\b"),
        picture_before=any_of(content.picture_before, r"\b{}(?:side )?$"),
        as_displayed=any_of(content.as_displayed, r"\b{}\b"),
        not_before=re.compile(content.not_before, re.IGNORECASE),
        of_something=re.compile(content.of_something, re.IGNORECASE),
        owner=re.compile(content.owner, re.IGNORECASE),
        alone=re.compile(content.alone, re.IGNORECASE),
        counterpart=re.compile(content.counterpart, re.IGNORECASE),
    )


def _overlapping(mentions: list[Mention], start: int, end: int) -> list[Mention]:
    return [m for m in mentions if m.start < end and start < m.end]


def _unions(text: str, named: list[Mention]) -> list[Mention]:
    """Both of a pair, called by their two sides ("left + right kidney"); names that this takes in belong to it."""
    found = []
    for organ, pattern in _patterns().unions.items():
        for match in pattern.finditer(text):
            within = _overlapping(named, *match.span())
            start = min([match.start(), *(m.start for m in within)])
            end = max([match.end(), *(m.end for m in within)])
            found.append(Mention(organ, start, end, any(m.negated for m in within)))
    return found


def _counterparts(text: str, named: list[Mention]) -> list[Cue]:
    """Where a text names one of a pair alone, what speaks of the other: the word before, if the one is ruled out; else
    such words as "its partner"."""
    found = []
    for mention in named:
        side, _, noun = mention.organ.partition(" ")
        other = f"{OPPOSITE.get(side)} {noun}"
        if other not in NUMBERS or any(m.organ == other for m in named):
            continue
        if mention.negated:
            end = len(text[: mention.start].rstrip())
            found.append(Cue(text[:end].rfind(" ") + 1, end, NUMBERS[other], False))
        elif match := _patterns().counterpart.search(text):
            found.append(Cue(*match.span(), NUMBERS[other], False))
    return found


def _pairs(text: str, named: list[Mention], settled: list[Mention]) -> list[Cue]:
    """The paired structures whose side, if a text gives one, is apart from the noun. `settled` names bring theirs."""
    found = []
    for noun, pattern in _patterns().nouns.items():
        for match in pattern.finditer(text):
            if _overlapping(settled, *match.span()):
                continue
            same = _overlapping(named, *match.span())
            side = _side(text, match, settled)
            if side or (noun in UNSIDED and not same):
                number = NUMBERS[f"{side} {noun}" if side else noun]
                found.append(Cue(match.start(), match.end(), number, any(m.negated for m in same)))
    return found


def _side(text: str, noun: re.Match[str], settled: list[Mention]) -> str | None:
    """The patient's side that a text gives the structure at `noun`, the nearest if it gives several; else the opposite
    of one that it rules out."""
    patterns, found = _patterns(), []
    if patterns.both.search(text[max(0, noun.start() - NEAR) : noun.end() + NEAR]):
        return None
    for side, pattern in patterns.sides.items():
        for word in pattern.finditer(text):
            if _reaches(text, word, noun) and _is_patients(text, word) and not _overlapping(settled, *word.span()):
                ruled_out = bool(patterns.not_before.search(_before(text, word)))
                rank = (_apart(text, word, noun), ruled_out, _gap(word, noun))
                found.append((*rank, OPPOSITE[side] if ruled_out else side))
    return min(found)[-1] if found else None


def _gap(word: re.Match[str], noun: re.Match[str]) -> int:
    """Characters between the two."""
    return max(noun.start() - word.end(), word.start() - noun.end())


def _reaches(text: str, word: re.Match[str], noun: re.Match[str]) -> bool:
    """Whether a word that may mean a side stands near enough to a noun to speak of it; of nothing else, in a sentence
    of its own."""
    if _gap(word, noun) > _REACH.get(word.group().lower(), len(text)):
        return False
    return not _apart(text, word, noun) or bool(_patterns().alone.search(_after(text, word)))


def _apart(text: str, word: re.Match[str], noun: re.Match[str]) -> bool:
    """Whether a sentence ends between the two."""
    return bool(_SENTENCE_END.search(text[min(word.end(), noun.end()) : max(word.start(), noun.start())]))


def _is_patients(text: str, side: re.Match[str]) -> bool:
    """Whether a side is the patient's: it has an owner, or is neither the picture's nor a direction."""
    patterns = _patterns()
    return bool(patterns.owner.search(_before(text, side))) or not (
        _says_pictures(text, side) or patterns.of_something.search(_after(text, side))
    )


def _says_pictures(text: str, side: re.Match[str]) -> tuple[int, int] | None:
    """Where, from character to character, a text says that a side is the picture's; None where it doesn't."""
    patterns = _patterns()
    if after := patterns.of_picture.search(_after(text, side)):
        return side.end(), side.end() + after.end()
    if before := patterns.picture_before.search(_before(text, side)):
        start = max(0, side.start() - AROUND)
        return start + before.start(), start + before.end()
    return _as_displayed(text)


@lru_cache(maxsize=8)
def _as_displayed(text: str) -> tuple[int, int] | None:
    """Where a text says of all its sides that they are the picture's; each side asks for it."""
    said = _patterns().as_displayed.search(text)
    return said.span() if said else None


def _before(text: str, word: re.Match[str]) -> str:
    return text[max(0, word.start() - AROUND) : word.start()]


def _after(text: str, word: re.Match[str]) -> str:
    return text[word.end() : word.end() + AROUND]


def _pictures(text: str) -> list[tuple[int, int]]:
    """Where a text says of its sides that they are the picture's."""
    words = (word for pattern in _patterns().sides.values() for word in pattern.finditer(text))
    return [span for word in words if word.group().lower() not in _HOMOPHONES and (span := _says_pictures(text, word))]
