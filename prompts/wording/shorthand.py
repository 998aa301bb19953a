"""Requests as they are typed: one sort of blank, hyphen and quotation mark, and what is written in short written out.

"ivc", "I.V.C." and "Ivc" are the IVC, and "lt side of the image" is its left side. In reports capitals tell an
abbreviation from a word ("10 lb"); who types a request doesn't bother with them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

from corpus.anatomy import ORGANS
from corpus.params import Pattern, params_dataclass, read_yaml, validated

CONTENT = Path(__file__).with_suffix(".yaml")
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_MARKS = str.maketrans("\u2010\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb", '-\'\'\'\'""""""')
_QUOTED = re.compile(r"""(["'`*]+)([^"`*]+)\1""")
_DOTTED = re.compile(r"(?<![\w.])(?:[A-Za-z]\.){2,}(?:[A-Za-z]\b)?")


def written_out(text: str) -> str:
    """The text with its abbreviations as the vocabulary has them, and short words for sides written out.

    Line ends are blanks, and quotation marks around the whole are taken off.
    """
    text = _HIDDEN.sub("", unicodedata.normalize("NFKC", text)).translate(_MARKS)
    text = " ".join(text.split())
    if quoted := _QUOTED.fullmatch(text):
        text = quoted[2]
    text = _DOTTED.sub(_without_dots, text)
    text = _abbreviations().sub(_in_capitals, text)
    for words, plain in _rules():
        text = words.sub(plain, text)
    return text


@cache
def _by_small_letters() -> dict[str, str]:
    """The abbreviations by the same in small letters."""
    return {short.lower(): short for organ in ORGANS for short in organ.abbreviations}


@cache
def _abbreviations() -> re.Pattern[str]:
    """An abbreviation in any letters; "10 lb" and "8 gb" are weights and measures."""
    return re.compile(
        rf"(?i)(?<![\w.'-])(?<!\d )(?:{'|'.join(sorted(_by_small_letters(), key=len, reverse=True))})(?!\w)"
    )


def _in_capitals(match: re.Match[str]) -> str:
    """The abbreviation as the vocabulary has it, but for one in capitals, which may be another: "AO" is no "Ao"."""
    return match[0] if match[0].isupper() else _by_small_letters()[match[0].lower()]


def _without_dots(match: re.Match[str]) -> str:
    letters = match[0].replace(".", "")
    return letters if letters.lower() in _by_small_letters() else match[0]


@params_dataclass
class _Rule:
    words: Pattern
    plain: str


@params_dataclass
class _Content:
    """shorthand.yaml."""

    parts: dict[str, Pattern]
    rules: list[_Rule]


@cache
def _rules() -> list[tuple[re.Pattern[str], str]]:
    return read_shorthand(CONTENT)


def read_shorthand(path: Path) -> list[tuple[re.Pattern[str], str]]:
    """What is written out, and how.

    Raises:
        InputError: A key is missing or unknown, or a pattern isn't one.
    """
    content = validated(read_yaml(path), _Content, path)

    def pattern(words: str) -> re.Pattern[str]:
        for name, part in content.parts.items():
            words = words.replace(f"{{{name}}}", part)
        return re.compile(words)

    return [(pattern(rule.words), rule.plain) for rule in content.rules]
