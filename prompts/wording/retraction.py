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


def retraction(text: str) -> str | None:
    """The last sentence of a text, if it takes back what was said before it: "Never mind."."""
    found = _pattern().fullmatch(text.replace("\u2019", "'").strip())
    return found["last"] if found else None


@cache
def _pattern() -> re.Pattern[str]:
    content = validated(read_yaml(CONTENT), _Content, CONTENT)
    between = r"[\s,.!:;-]"
    opening, ending = rf"(?:{content.openings})\b{between}*", rf"{between}+(?:{content.endings})\b"
    last = rf"(?:{opening})*(?:{'|'.join(content.taken_back)})\b(?:{ending})*[.!\s)]*"
    return re.compile(rf"(?s).*\w.*?(?:[.!?;]\s+|\n+)(?P<last>{last})", re.IGNORECASE)
