"""What the recognisers of identifiers share: the span that they yield, the words that they know, and rules of
patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus.params import read_yaml


@dataclass(frozen=True)
class Span:
    """Characters `start:end` that identify somebody. Spans with the same kind and key get the same surrogate."""

    kind: str
    start: int
    end: int
    key: str = ""


def _load(path: Path) -> dict[str, frozenset[str]]:
    lists = read_yaml(path)
    return {
        name: frozenset(words.split() if isinstance(words, str) else [word for row in words for word in row])
        for name, words in lists.items()
    }


WORDS = _load(Path(__file__).with_name("identifier_words.yaml"))
"""Name of a list in identifier_words.yaml -> its words."""


def one_of(name: str) -> str:
    """A regular expression for any word of a list, the longest that fits. A space in a word stands for any spaces."""
    return f"(?:{_nested(sorted(WORDS[name]))})"


def _nested(words: list[str]) -> str:
    """Words by their beginnings, "(?:ma(?:i|y)|june)": `re` tries alternatives one by one, and so it tries few."""
    rest: dict[str, list[str]] = {}
    for word in words:
        rest.setdefault(word[:1], []).append(word[1:])
    ends = rest.pop("", None) is not None
    branches = [("[ ]+" if first == " " else re.escape(first)) + _nested(words) for first, words in rest.items()]
    if not ends and len(branches) == 1:
        return branches[0]
    return f"(?:{'|'.join(branches)}){'?' if ends else ''}" if branches else ""


NO_UNIT = rf"(?![ ]?(?:{one_of('units')}\b|[×%°]|/[a-zA-Z]))"
"""No unit follows: what stands before is no measurement."""


def rule(kind: str, patterns: tuple[str, ...]) -> Callable[[str], Iterator[Span]]:
    """A recogniser of what any of `patterns` matches: its group `part`, or the whole match."""
    compiled = [re.compile(pattern) for pattern in patterns]

    def recognise(text: str) -> Iterator[Span]:
        for pattern in compiled:
            group = "part" if "part" in pattern.groupindex else 0
            for match in pattern.finditer(text):
                yield Span(kind, *match.span(group))

    return recognise
