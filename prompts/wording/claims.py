"""What a text claims of the picture: which extremes it speaks of, read from its words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from corpus.anatomy import Mention, mentions
from prompts.kinds import claim_patterns

_PATHS = re.compile(
    r"\b(?:from\s+)?(?:the\s+)?(left|right|top|bottom)(?:[\s-]hand)?(?:\s+(?:side|edge))?\s+"
    r"(?:up |down |over |across )?to\s+(?:the\s+)?(?!\1)(?:left|right|top|bottom)\b"
    r"|\b(?:down|up) from the (top|bottom)\b",
    re.IGNORECASE,
)
"""A way of reading the picture: only where it begins says which structure is meant."""
_LOW, _HIGH = "smallest|lowest|least|minimum|minimal|min", "largest|biggest|greatest|highest|maximum|maximal|max"
_COORDINATES = re.compile(
    rf"\b(?:(?P<low>{_LOW})|(?P<high>{_HIGH})) (?:in )?(?:centroid |bbox\.)?"
    r"(?:(?P<x>x|column)|(?P<y>y|row))_?(?:min|max)?\b"
    r"|\b(?:(?P<x2>x|column)|(?P<y2>y|row))_?(?:min|max)? (?:coordinate |index )?(?:is )?"
    rf"(?:(?P<low2>{_LOW})|(?P<high2>{_HIGH}))\b"
)
"""Places as programmers speak of them: x grows to the right, and y downwards."""


@lru_cache(maxsize=8)
def mentions_in(text: str) -> tuple[Mention, ...]:
    """The structures that a text names; several checks in turn look at them."""
    return tuple(mentions(text))


def without(text: str, spans: Iterable[Mention], instead: str = "") -> str:
    """The text with the structures' names cut out: "the body's biggest artery" claims nothing of the picture."""
    for mention in sorted(spans, key=lambda m: -m.start):
        text = f"{text[: mention.start]} {instead} {text[mention.end :]}"
    return text


def plain_words(text: str) -> str:
    """The text in lower case, where a way of reading the picture is only what it begins with, and the smallest x the
    leftmost."""
    plain = _PATHS.sub(lambda match: f"first {next(filter(None, match.groups()))}", text.lower().replace("’", "'"))
    return _COORDINATES.sub(_placed, plain)


def _placed(match: re.Match[str]) -> str:
    """The extreme that a coordinate stands for."""
    low, across = match["low"] or match["low2"], match["x"] or match["x2"]
    if across:
        return "leftmost" if low else "rightmost"
    return "topmost" if low else "bottommost"


def claims(text: str) -> list[str]:
    """Attributes that a text about the picture claims, in the order of kinds.yaml."""
    plain = plain_words(text)
    return [name for name, found in claim_patterns().items() if found.search(plain)]


def claims_of_an_organ(text: str) -> list[str]:
    """Attributes that a text says of an organ by their own names; "left" and "top" alone may be the patient's."""
    plain = without(text, mentions_in(text)).lower()
    return [name for name in claim_patterns() if name in plain]
