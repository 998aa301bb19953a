"""Requests that are taken back: "Outline the liver. Never mind." asks for nothing."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from corpus.params import Pattern, params_dataclass, read_yaml, validated

CONTENT = Path(__file__).with_suffix(".yaml")


@params_dataclass
class _Content:
    """retraction.yaml."""

    openings: Pattern
    taken_back: list[Pattern]
    endings: Pattern
    in_brackets: Pattern


def retraction(text: str) -> str | None:
    """The second of two sentences, or what stands in brackets behind one, if it takes back the first: "Never mind.".
    Behind more than one, "ignore it" may speak of the last alone, and nobody can tell."""
    found = _pattern().fullmatch(text.replace("\u2019", "'").strip())
    return (found["last"] or found["bracketed"]) if found else None


@cache
def _pattern() -> re.Pattern[str]:
    content = validated(read_yaml(CONTENT), _Content, CONTENT)
    between = r"[\s,.!:;-]"
    opening, ending = rf"(?:{content.openings})\b{between}*", rf"{between}+(?:{content.endings})\b"
    last = rf"(?:{opening})*(?:{'|'.join(content.taken_back)})\b(?:{ending})*[.!\s]*"
    behind_sentence = rf"(?:[.!?;]\s|\n)\s*[(\[]?(?P<last>{last})"
    in_brackets = rf"[.!?;]?\s[(\[](?P<bracketed>{last}|{content.in_brackets})[)\]]"
    return re.compile(rf"\W*\w(?:(?![.!?;]\s|\n).)*(?:{behind_sentence}|{in_brackets})[.!)\]\s]*", re.IGNORECASE)
