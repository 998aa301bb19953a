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
        known = chain.from_iterable(_by_key().get(key, ()) for key in _keys(word.group().lower()))
        found = [(match.end(), noun) for term, noun in known if (match := _pattern(term).match(text, start))]
        if found:
            taken, noun = max(found)
            yield Association(start, taken, noun)


def _keys(word: str) -> set[str]:
    """What the terms that begin with a word are looked up by: it, without a plural's s, and the stem of those that may
    end anyhow."""
    return {word, word.removesuffix("s"), word[:_STEM] + "*"}


@cache
def _by_key() -> dict[str, list[tuple[str, str]]]:
    """A term's first word, or its stem if that word may end anyhow -> the terms, and what each stands for."""
    by_key: dict[str, list[tuple[str, str]]] = {}
    for noun, listed in _listed().items():
        for term in listed:
            first, *others = _WORD.findall(term.lower())
            key = first[:_STEM] + "*" if term.endswith("*") and not others else first
            by_key.setdefault(key, []).append((term, noun))
    return by_key


@cache
def _pattern(term: str) -> re.Pattern[str]:
    """Spaces and hyphens alike, a plural or possessive ending or none, any ending for "*"; in any case, but for what is
    written in capitals."""
    words = r"[\s_-]+".join(re.escape(word) for word in re.split(r"[\s-]+", term.removesuffix("*")))
    ending = r"\w*" if term.endswith("*") else r"(?:'?s)?"
    return re.compile(rf"{words}{ending}(?!\w)", 0 if term.isupper() else re.IGNORECASE)
