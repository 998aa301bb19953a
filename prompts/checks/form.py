"""Checks of a text's form, whatever it asks for: length, language, debris, people's names, repetition, its end."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from prompts.checks.reading import pattern, simple_checks, word_list, words
from prompts.checks.registry import Check, Context, check
from prompts.kinds import Cell, kinds, styles
from prompts.wording.lexicon import is_beginning, is_known

_ANY_LENGTH = (0, 60)
"""Words of a text that asks for nothing: such texts have no style to keep to."""
_FOREIGN = re.compile(r"[^\x20-\x7eäéèêëïöü’‘“”–—]")
_LOWER_CASE = re.compile(r"(?<![\w'’-])[a-z]{4,}(?![\w'’-])")
_CAPITALISED = re.compile(r"(?<=[a-z0-9,)] )((?:[A-Z][a-z]{2,}|[A-Z]\.)(?:-[A-Z]?[a-z]+)*)(?=\W|$)")
_STUTTER = re.compile(r"(\w)\1{3}")
_LAST = re.compile(r"(?<![\w'’?-])([a-z]+)[.?!]*$")


@check("length")
def _length(text: str, cell: Cell, context: Context) -> str | None:
    low, high = styles()[cell.style].words if cell.kind in kinds() else _ANY_LENGTH
    number = len(words(text))
    return None if low <= number <= high else f"{number} words, where {cell.style} requests have {low} to {high}"


@check("language")
def _language(text: str, cell: Cell, context: Context) -> str | None:
    if match := _FOREIGN.search(text):
        return f"the character {match.group()!r}"
    said = set(words(text))
    if foreign := sorted(said & word_list("foreign")):
        return f"a foreign word: {foreign[0]!r}"
    if len(said) > 6 and not said & word_list("english"):
        return "no common English word"
    unknown = [word for word in _LOWER_CASE.findall(text) if not is_known(word)]
    return f"no words: {unknown[0]!r} and {unknown[1]!r}" if len(unknown) > 1 else None


def _found(what: str, found: re.Pattern[str]) -> Check:
    """A check that fails where the pattern occurs."""

    def search(text: str, cell: Cell, context: Context) -> str | None:
        match = found.search(text.lower() if found.flags & re.IGNORECASE == 0 else text)
        return f"{what}: {match.group().strip()!r}" if match else None

    return search


for _name, _says, _pattern in simple_checks():
    check(_name)(_found(_says, _pattern))


@check("names")
def _names(text: str, cell: Cell, context: Context) -> str | None:
    """A capital inside a sentence begins somebody's name, unless it is one of the few words that medicine writes so."""
    for match in _CAPITALISED.finditer(text):
        if match[1].lower() not in word_list("capitalised") and not pattern("eponym").match(
            text[match.end() :].lower()
        ):
            return f"a name: {match[1]!r}"
    return None


@check("repetition")
def _repetition(text: str, cell: Cell, context: Context) -> str | None:
    said = words(text)
    if match := _STUTTER.search(text):
        return f"says {match.group()!r}"
    twice = next((a for a, b in pairwise(said) if a == b), None)
    often = next((w for w, n in Counter(said).items() if n > 2 and w not in word_list("function_words")), None)
    return f"says {twice or often!r} again and again" if twice or often else None


@check("complete")
def _complete(text: str, cell: Cell, context: Context) -> str | None:
    if match := pattern("breaks_off").search(text.lower()):
        return f"breaks off after {match.group()!r}"
    if (match := _LAST.search(text)) and is_beginning(match[1]) and len(words(text)) > 1:
        return f"breaks off within {match[1]!r}"
    return None
