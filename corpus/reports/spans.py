"""What the recognisers of identifiers share: the span that they yield, and the words that they know."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Span:
    """Characters `start:end` that identify somebody. Spans with the same kind and key get the same surrogate."""

    kind: str
    start: int
    end: int
    key: str = ""


def _load(path: Path) -> dict[str, frozenset[str]]:
    lists = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        name: frozenset(words.split() if isinstance(words, str) else [word for row in words for word in row])
        for name, words in lists.items()
    }


WORDS = _load(Path(__file__).with_name("identifier_words.yaml"))
"""Name of a list in identifier_words.yaml -> its words."""


def one_of(name: str) -> str:
    """A regular expression for any word of a list, longest first."""
    return f"(?:{'|'.join(re.escape(word) for word in sorted(WORDS[name], key=lambda w: (-len(w), w)))})"
