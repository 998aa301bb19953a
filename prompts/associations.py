"""Terms that call one structure to mind and don't name it: its diseases, operations, hormones, eponyms.

A gazetteer for the reader, and for it alone: nobody asks for the liver by "cirrhosis", but a text that speaks of it is
likelier about the liver than about the spleen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from corpus.anatomy import BY_NAME, PAIRED_NOUNS
from corpus.errors import InputError
from corpus.params import read_yaml, validated

CONTENT = Path(__file__).with_suffix(".yaml")
_STEM = 3
"""Letters of a term's first word that it is looked up by."""
_WORD = re.compile(r"[^\W_]+")


class Association(NamedTuple):
    """Characters `start:end` call `noun` to mind: a structure's name, or a pair's noun."""

    start: int
    end: int
    noun: str


@cache
def associated() -> tuple[str, ...]:
    """What terms are listed for: structures' names, and nouns of pairs."""
    return tuple(_listed())


def terms() -> Iterator[str]:
    """All terms, as they are listed."""
    return chain.from_iterable(_listed().values())


@cache
def _listed() -> dict[str, list[str]]:
    return read_associations(CONTENT)


def read_associations(path: Path) -> dict[str, list[str]]:
    """What a structure, or a pair's noun, is called to mind by.

    Raises:
        InputError: It isn't lists of terms by structure.
    """
    listed = validated(read_yaml(path), dict[str, list[str]], path)
    for noun, found in listed.items():
        if noun not in BY_NAME and noun not in PAIRED_NOUNS:
            known = ", ".join(dict.fromkeys((*BY_NAME, *PAIRED_NOUNS)))
            raise InputError(path, f"expected a structure of organs.yaml, found {noun!r}", f"make it one of {known}")
        if wordless := [term for term in found if not _WORD.search(term)]:
            raise InputError(path, f"{noun}: expected terms with a word, found {wordless[0]!r}", "take it out")
    return listed


def associations(text: str) -> Iterator[Association]:
    """The terms that a text holds, left to right, each stretch once and for its longest term.

    Raises:
        InputError: As `read_associations`.
    """
    text, taken = text.replace("\u2019", "'"), 0
    for word in _WORD.finditer(text):
        start = word.start()
        if start < taken:
            continue
        known = _patterns().get(word.group()[:_STEM].lower(), ())
        found = [(match.end(), noun) for pattern, noun in known if (match := pattern.match(text, start))]
        if found:
            taken, noun = max(found)
            yield Association(start, taken, noun)


@cache
def _patterns() -> dict[str, list[tuple[re.Pattern[str], str]]]:
    """The beginning of a term's first word -> the terms' patterns, and what each stands for."""
    patterns: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for noun, listed in _listed().items():
        for term in listed:
            first = next(_WORD.finditer(term)).group()[:_STEM].lower()
            patterns.setdefault(first, []).append((_pattern(term), noun))
    return patterns


def _pattern(term: str) -> re.Pattern[str]:
    """Spaces and hyphens alike, a plural or possessive ending or none, any ending for "*"; in any case, but for what is
    written in capitals."""
    words = r"[\s_-]+".join(re.escape(word) for word in re.split(r"[\s-]+", term.removesuffix("*")))
    ending = r"\w*" if term.endswith("*") else r"(?:'?s)?"
    return re.compile(rf"{words}{ending}(?!\w)", 0 if term.isupper() else re.IGNORECASE)
