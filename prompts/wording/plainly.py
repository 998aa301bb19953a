"""Plain words for wordings that turn a request round: "furthest from the left edge" is nearest the right one, what "has
the liver above it" lies below the liver, and of "the spleen, no, the liver" the liver is meant.

A reader learns what the words of a request name, and less well what turns it round; so that is put straight before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from corpus.anatomy import PAIRED_NOUNS, Mention, mentions
from corpus.params import Pattern, params_dataclass, read_yaml, validated

CONTENT = Path(__file__).with_suffix(".yaml")
_PART = re.compile(r"\{(\w+)\}")
_SLOT = re.compile(r"\{(~?)(\w+)\}")
_SIDE = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)
NEAR = 24
"""Characters from an operation, within which a word says that it is still to come."""


def plainly(text: str) -> str:
    """The text with what turns a request round said plainly."""
    content = _content()
    for words, plain in content.rules:
        text = words.sub(plain, text)
    return _other_of_pair(_corrected(text))


@params_dataclass
class _Rule:
    words: Pattern
    plain: str


@params_dataclass
class _Listed:
    """plainly.yaml."""

    opposites: dict[str, str]
    parts: dict[str, Pattern]
    rules: list[_Rule]
    operations: dict[str, Pattern]
    past: Pattern
    ahead: Pattern
    gone_after: Pattern
    gone_before: Pattern
    left_over: Pattern

    def __post_init__(self) -> None:
        if unknown := self.operations.keys() - PAIRED_NOUNS:
            raise ValueError(f"operations: expected {', '.join(PAIRED_NOUNS)}, found {', '.join(sorted(unknown))}")
        patterns = (*self.parts.values(), *(rule.words for rule in self.rules))
        named = {"taken_back", "instead", *(name for pattern in patterns for name in _PART.findall(pattern))}
        if missing := named - self.parts.keys():
            raise ValueError(f"parts: nothing is called {', '.join(sorted(missing))}")


@dataclass(frozen=True)
class _Pair:
    """What is said of a pair: that one of it was operated, or is gone; and its noun alone, with what is left before."""

    operation: re.Pattern[str]
    gone: re.Pattern[str]
    bare: re.Pattern[str]


@dataclass(frozen=True)
class _Content:
    """The same, compiled."""

    rules: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]]
    taken_back: re.Pattern[str]
    instead: re.Pattern[str]
    opposites: dict[str, str]
    pairs: dict[str, _Pair]
    past: re.Pattern[str]
    ahead: re.Pattern[str]


@cache
def _content() -> _Content:
    return read_plainly(CONTENT)


def read_plainly(path: Path) -> _Content:
    """What turns a request round, and how it is said plainly.

    Raises:
        InputError: A key is missing or unknown, or a pattern isn't one.
    """
    content = validated(read_yaml(path), _Listed, path)
    opposites, parts = content.opposites, dict[str, str]()
    for name, pattern in content.parts.items():
        parts[name] = _with(pattern, parts)

    def plain(form: str) -> Callable[[re.Match[str]], str]:
        def said(match: re.Match[str]) -> str:
            found = {name: value or "" for name, value in match.groupdict().items()}
            if "what" in found and not _names(match, "what"):
                return match[0]
            return _SLOT.sub(lambda slot: _found(found[slot[2]], opposites if slot[1] else {}), form)

        return said

    return _Content(
        rules=[(_pattern(_with(rule.words, parts)), plain(rule.plain)) for rule in content.rules],
        taken_back=_pattern(rf"\b{parts['taken_back']}"),
        instead=_pattern(parts["instead"]),
        opposites=opposites,
        pairs={noun: _pair(noun, words, content) for noun, words in content.operations.items()},
        past=_pattern(rf"(?<!\w)(?:{content.past})\b"),
        ahead=_pattern(rf"\b(?:{content.ahead})\b"),
    )


def _pair(noun: str, operations: str, content: _Listed) -> _Pair:
    nouns = f"(?:{'|'.join(PAIRED_NOUNS[noun])})"
    one = rf"\b(?:left|right)[- ]{nouns}"
    return _Pair(
        operation=_pattern(rf"(?<!\bfor )(?<!\bfor a )\b(?:left|right)[- ](?:sided? )?(?:\w+ )?(?:{operations})\b"),
        gone=_pattern(rf"{one}{content.gone_after}\b|\b{content.gone_before} {one}"),
        bare=_pattern(
            rf"(?<!\bleft[- ])(?<!\bright[- ])\b(?:(?P<left_over>{content.left_over}) )?"
            rf"(?<!\bleft[- ])(?<!\bright[- ]){nouns}\b(?!-)"
        ),
    )


def _names(match: re.Match[str], group: str) -> bool:
    """Whether a group names a structure, and no name reaches beyond it ("first part of the bowel")."""
    start, end = match.start(group) - match.start(), match.end(group) - match.start()
    named = list(mentions(match[0]))
    return bool(named) and all(start <= m.start and m.end <= end for m in named)


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(words, re.IGNORECASE)


def _with(pattern: str, parts: dict[str, str]) -> str:
    """A pattern with its parts in their places."""
    return _PART.sub(lambda slot: parts[slot[1]], pattern)


def _found(words: str, opposites: dict[str, str]) -> str:
    return opposites.get(words.lower(), words)


def _corrected(text: str) -> str:
    """The text without a structure that is taken back for the one named next."""
    named = list(mentions(text)) if _content().taken_back.search(text) else []
    for first, second in reversed(list(pairwise(named))):
        between = text[first.end : second.start]
        if first.organ != second.organ and between.strip() and _content().instead.fullmatch(between):
            text = text[: first.start] + text[second.start :]
    return text


def _other_of_pair(text: str) -> str:
    """The text with a bare noun of a pair as the left or the right one: where one was taken out, or one is named and
    "the other" asked for, and the text gives no second side."""
    sides = {match[0].lower() for match in _SIDE.finditer(text)}
    if len(sides) != 1:
        return text
    (side,) = sides
    for noun, pair in _content().pairs.items():
        if not pair.bare.search(text):
            continue
        named = [m for m in mentions(text) if m.organ == f"{side} {noun}"]
        lost = _is_lost(text, pair)
        if not (named or lost):
            continue

        def other(match: re.Match[str], noun: str = noun, named: list[Mention] = named, lost: bool = lost) -> str:
            within = any(m.start < match.end() and match.start() < m.end for m in named)
            asked = (lost or match["left_over"]) and not within
            return f"{_content().opposites[side]} {noun}" if asked else match[0]

        text = pair.bare.sub(other, text)
    return text


def _is_lost(text: str, pair: _Pair) -> bool:
    """Whether one of the pair was taken out, and not only is to be."""
    if pair.gone.search(text):
        return True
    operation = pair.operation.search(text)
    if not operation:
        return False
    around = text[max(0, operation.start() - NEAR) : operation.end() + NEAR]
    return bool(_content().past.search(text)) and not _content().ahead.search(around)
