"""Rules that find people's names: where a title, label, credential or relation announces one, and where it recurs.

A name is read word by word (`_name_words`) from the place that announces it, so that "Dr. van der Berg-Smith's" and
"SURGEON: O'NEIL, JOHN A., MD" need no pattern of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from corpus.reports.spans import WORDS, Span, one_of

CAPITALISED = (
    r"(?:(?:[A-Z]['’]|Mac|Mc|De|Di|La|Le|Van)?[A-ZÀ-ÖØ-ÞĄ-Ž][a-zß-öø-ÿą-ž]+"
    r"(?:['’-][A-ZÀ-Þ][a-zß-öø-ÿ]+|-[a-z]{3,})*)(?![A-Za-z])"
)
UPPER = r"(?:(?:[A-Z]['’])?[A-ZÀ-ÖØ-Þ]{2,}(?:['’-][A-ZÀ-Þ]{2,})*)(?![A-Za-z])"
_WORD = re.compile(
    r"(?P<particle>(?:van|von|der|den|de|del|della|da|dos|di|du|ter|bin|ibn|al|el|la|le)(?=[ -][A-Za-z]))"
    rf"|(?P<capitalised>{CAPITALISED})|(?P<upper>{UPPER})|(?P<initial>[A-Z](?:\.(?:-?[A-Z]\.)*|(?![\w.-])))"
)
_ROLE = (
    r"(?:(?:referring|ordering|attending|primary care|family|dictating|interpreting|reading|requesting|admitting|"
    r"examining|consulting|treating|supervising|assistant|first|second|co)[ -]+)*"
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


_ANNOUNCEMENTS = (
    _Announcement(re.compile(r"\b(?:Drs|DRS|Doctors|Messrs)\b\.?[ \t]+"), several=True, initial=True),
    _Announcement(
        re.compile(
            r"\b(?:(?:Dr|Doctor|Prof|Professor|Mrs?|Ms|Mx|Miss|Nurse|Rev|Capt|Sgt)\b\.?|"
            r"(?:DR|PROF|MRS?|MS|REV|dr|mr|mrs|ms)\.|(?:DR|MRS|MISS|MR)(?= [A-Z]{3}))[ \t]+"
        ),
        initial=True,
    ),
    _Announcement(
        _after(
            r"\b(?:(?:patient|pt|client|full|last|first|family|given|maiden|legal)(?:['’]s)? name|^re|next of kin|"
            rf"emergency contact|{one_of('role_labels')}s?|{_ROLE}(?: name| of record| at discharge)?)[ \t]*[:=][ \t]*"
        ),
        several=True,
        initial=True,
        closed=True,
    ),
    _Announcement(_after(r"\bdear[ ]+|\b(?:sincerely|regards|yours truly|thank you)[,.][ ]*\n+"), initial=True),
    _Announcement(
        _after(
            rf"\b(?:{one_of('done_by')}(?: and \w+)? by|operated on by|{one_of('done_with')} with|"
            rf"follow(?:ed)?[ -]up with|{one_of('done_to')} to|{_ROLE}|report by|admitted under|d/w|(?<!\w)w/|\bRN|"
            r"for referring|pleasure of (?:seeing|meeting)|care of)[:,]?[ ]+"
        )
    ),
    _Announcement(re.compile(r"\b(?:[Pp]atient|[Pp]t\.?),?[ ]+"), words=2),
    _Announcement(
        re.compile(rf"\b(?:{one_of('relatives')},?[ ]+(?:named |called |is |was )?|named |surnamed |goes by |name is )")
    ),
    _Announcement(re.compile(r"/s/[ ]*"), initial=True),
)
_PERSON = rf"(?:(?:{CAPITALISED}|{UPPER}|[A-Z]\.?)[ ])"
_CREDENTIAL = re.compile(
    rf"(?P<name>\b{_PERSON}{{0,3}}(?:{CAPITALISED}|{UPPER}|[A-Z](?=,))),?[ ]+"
    r"(?=(?:M\. ?D\.?|D\. ?O\.|Ph\.? ?D|P\.A\.|R\.N\.|"
    r"(?:MD|PhD|MBBS|MBChB|FRCR|FRCS|FRCP|FACR|FACS|PA-C|CRNA|FNP|ARNP|CNM|DDS|DPM|RDMS)\b))"
    rf"|(?P<commaed>\b{_PERSON}{{1,3}}{CAPITALISED}),[ ]+(?=(?:DO|RN|NP|PA|RT|BSN|LPN)\b)"
)
_INTRODUCED = re.compile(
    rf"\b(?P<name>{CAPITALISED}(?:[ ][A-Z]\.)?(?:[ ]{CAPITALISED}){{1,2}})"
    r"(?=,?[ ](?:is|was)[ ](?:an?[ ][^.\n]{0,40}?(?:\d|year)|\d{1,3}(?:[ ]years?|[ ]and|[.,]))"
    r"|,?[ ]\(?(?:DOB|D\.O\.B\.|MRN)\b"
    r"|,[ ](?:an?[ ])?(?:aged?[ ]\d|\d{1,3}[ -]?(?:years?|y/?o|,|[MF]\b)|[a-z]+(?:-[a-z]+)?-year\b))"
)
_LOWER_CASE = re.compile(r"\b(?:dr|mr|mrs|ms)\. (?P<name>[a-z]{3,})\b")
_NEXT = re.compile(r"(?:, ?| and | & |, and | ?/ ?)(?=[A-ZÀ-ÖØ-Þ])")
_NEVER_LOOSELY = WORDS["eponyms"] | WORDS["generic_facilities"]


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
    names = sorted((*_announced(text, common), *_patterned(text)), key=lambda name: (name.start, name.end))
    owners: dict[str, str] = {}
    spellings: dict[str, str] = {}
    for name in names:
        for word in name.words:
            owners.setdefault(word.casefold(), name.key)
            spellings.setdefault(word.casefold(), word)
        yield Span("name", name.start, name.end, owners[name.key])
    kept_out = WORDS["not_names"] | WORDS["ambiguous_names"] | _NEVER_LOOSELY | common
    recurring = sorted(word for word in owners if len(word) > 2 and word not in kept_out)
    if recurring:
        forms = sorted({form for word in recurring for form in (word.title(), word.upper(), spellings[word])})
        for match in re.finditer(rf"(?<![\w-])(?:{'|'.join(map(re.escape, forms))})(?![\w-])", text):
            yield Span("name", *match.span(), owners[match.group().casefold()])


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
    full = tuple(word.group() for word in words if word.lastgroup in ("capitalised", "upper"))
    loose = not announcement.initial
    if not words or len(words) < announcement.words or (loose and not full):
        return None
    if loose and any(word.casefold() in _NEVER_LOOSELY for word in full):
        return None
    # A full stop after a last initial ends the sentence: "seen by Dr. X."
    end = words[-1].start() + len(words[-1].group().rstrip("."))
    return _Name(words[0].start(), end, full or (words[0].group().rstrip("."),))


def _patterned(text: str) -> Iterator[_Name]:
    for pattern in (_CREDENTIAL, _INTRODUCED, _LOWER_CASE):
        for match in pattern.finditer(text):
            start, end = match.span(match.lastgroup or 0)
            words = text[start:end].split(" ")
            while words and words[0].casefold() in WORDS["not_names"]:  # "The Smith, MD" keeps "Smith"
                start += len(words.pop(0)) + 1
            if words and not any(word.casefold() in WORDS["not_names"] | _NEVER_LOOSELY for word in words):
                yield _Name(start, end, tuple(words))


def _name_words(text: str, at: int, common: set[str]) -> list[re.Match[str]]:
    """The words of the name that begins at `at`: up to five, of one shape, on one line. Empty where there is none."""
    words: list[re.Match[str]] = []
    shape = ""
    while len(words) < 5 and (word := _WORD.match(text, at)):
        kind, lowered = word.lastgroup or "", word.group().casefold().replace(".", "")
        # "A." and the A of "Dr A Khan" are initials; "M.D." and the A of "Dr Khan. A cyst" aren't.
        letter = kind == "initial" and (word.group().endswith(".") or not words) and len(word.group()) < 3
        after_stop = bool(words) and words[-1].group().endswith(".")
        if (lowered in WORDS["not_names"] and not letter) or (after_stop and lowered in common):
            break
        if kind in ("capitalised", "upper"):
            if shape not in ("", kind):
                break  # "Smith MRI"
            shape = kind
        words.append(word)
        at = word.end() + 1
        if text[word.end() : at] != " ":
            break
    while words and words[-1].lastgroup == "particle":
        words.pop()
    return words
