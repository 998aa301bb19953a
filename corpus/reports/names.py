"""Rules that find people's names: where a title, label, credential or relation announces one, where a given name of the
census begins one, and where it recurs.

A text is cut into runs of words that have a name's shape (`_runs`), so that "Dr. van der Berg-Smith's", "SMITH^JOHN"
and "SURGEON: O'NEIL, JOHN A., MD" need no pattern of their own. A run is a name by what stands before it or after it,
or by its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from corpus.reports.announcements import ANNOUNCEMENTS, Announcement
from corpus.reports.lower_case import names_in_lower_case
from corpus.reports.name_words import (
    BETWEEN,
    CAPITALISED,
    CAPITALS,
    NEVER_LOOSELY,
    NO_GIVEN_NAME,
    UPPER,
    WORD,
    census,
    plain,
    tells_no_name,
)
from corpus.reports.spans import WORDS, Span, one_of

_THEN = re.compile(
    # a credential, without the comma where it can't be anything else
    rf",?[ ]+(?:M\. ?D\.?|D\. ?O\.|Ph\.? ?D|P\.A\.|R\.N\.|{one_of('credentials')}\b)|"
    rf",[ ]+{one_of('short_credentials')}\b"
    r"|[ ]+(?:RN|NP)\b(?!-)"
)
_ON_FILE = re.compile(r",?[ ]+\(?(?:DOB|D\.O\.B\.|MRN|MR#|SSN|DOD|geb\.|née?|nat[oa]|nacid[oa]|geboren)(?!\w)")
_SAYS = re.compile(
    r",?[ ](?:is|was)[ ](?:an?[ ][^.\n]{0,40}?(?:\d|year)|\d{1,3}(?:[ ]years?|[ ]and|[.,]))"
    rf"|{_ON_FILE.pattern}"
    r"|,[ ](?:an?[ ])?(?:aged?[ ]\d|\d{1,3}[ -]?(?:years?|y/?o|,|[MF]\b)|[a-z]+(?:-[a-z]+)?-year\b)"
    r"|['’]s[ ](?:CT|MRI|scan|imaging|images|study|chart|family|wife|husband|daughter|son|exam|ultrasound)\b"
    rf"|[ ](?:(?:has|have|was|were|is)[ ])?(?:also[ ])?{one_of('people_do')}\b"
)
"""What follows a name of two words or more."""
_NEXT = re.compile(rf"(?:[,;] ?| and | & |, and | ?/ ?)(?=[{CAPITALS}]|(?:de|van|von|bin|ibn|al|el|la)[ -])")
_NO_TITLE = re.compile(r"\b(?:the|an?) \w+\.?\s*\Z", re.IGNORECASE)
"""A title that stands for a person: "told the Dr. Small bowel loops are ..."."""
_COMMA = re.compile(r",[ ]?")
_FIELD_ENDS = re.compile(r"[ ]*(?:$|[,;\n(|]|[ ]{2})")
_LAST_FIRST = re.compile(rf"(?:^|[:(\n][ ]?|\b(?:by|with|to)[ ])(?P<last>{CAPITALISED}|{UPPER}),[ ]?$")


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
    lower_case = (_Name(a, b, tuple(re.split(r"[ ,.]+", text[a:b]))) for a, b in names_in_lower_case(text))
    found = (*_announced(text, common), *_by_sight(text, common), *lower_case)
    names = sorted(found, key=lambda name: (name.start, name.end))
    owners: dict[str, str] = {}
    spellings: dict[str, str] = {}
    for name in names:
        for word in name.words:
            owners.setdefault(word.casefold(), name.key)
            spellings.setdefault(word.casefold(), word)
        yield Span("name", name.start, name.end, owners[name.key])
    kept_out = WORDS["not_names"] | WORDS["clinical_words"] | WORDS["ambiguous_names"] | NEVER_LOOSELY | common
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
    for announcement in ANNOUNCEMENTS:
        for match in announcement.pattern.finditer(text):
            at: int | None = match.end()
            while at is not None:
                words = _name_words(text, at, common, announcement)
                if (
                    announcement.closed
                    and len(words) == 1
                    and words[0].lastgroup == "upper"
                    and len(words[0].group()) > 4
                ):
                    words += _given_in_field(text, words[0].end(), common)
                name = _as_name(words, announcement)
                if name is None or (announcement.closed and len(words) == 1 and re.match(r"[ -]\w", text[name.end :])):
                    break
                yield name
                end = words[-1].end()
                while credential := _THEN.match(text, end):
                    end = credential.end()
                follows = _NEXT.match(text, end) if announcement.several else None
                at = follows.end() if follows else None


def _as_name(words: list[re.Match[str]], announcement: Announcement) -> _Name | None:
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


def _is_surname(word: re.Match[str], before: list[re.Match[str]], announcement: Announcement | None) -> bool:
    """Whether a word that tells no name elsewhere is a surname here: after a title, an initial or a given name, and
    before a credential or a given name."""
    lowered, text = word.group().casefold(), word.string
    ends_alike = lowered not in WORDS["not_names"] | WORDS["clinical_words"]  # "Ngoma", as "lymphoma"
    surname = lowered in WORDS["surnames_too"] or (lowered in WORDS["clinical_words"] and lowered in census("last"))
    if not (ends_alike or surname):
        return False
    given = [plain(name) for name in _full(before)]
    if not before and _NO_TITLE.search(text, max(0, word.start() - 20), word.start()):
        return False
    if announcement and not given and (announcement.title or before):
        return not before or lowered not in WORDS["names_too"]  # "Dr. He", but "Dr. X. He went home"
    if not before:
        beside = _THEN.match(text, word.end()) or _given_after(text, word.end(), set())
        return bool(announcement and announcement.several) and bool(ends_alike or beside)
    if _THEN.match(text, word.end()):
        return True
    # "Dr. Grace White", but "Dr. Young Free air ..." and "GRACE SMALL BOWEL ..."
    no_given = frozenset() if announcement and lowered in WORDS["surnames_too"] else NO_GIVEN_NAME
    told = announcement or word.lastgroup == "capitalised"
    return bool(told and given) and all(name in census("first") and name not in no_given for name in given)


def _by_sight(text: str, common: set[str]) -> Iterator[_Name]:
    """Names known by what follows them, or by a given name among their words."""
    for words in _runs(text, common):
        full, end = _full(words), words[-1].end()
        if not full or (_names_none(full) and "^" not in text[words[0].start() : end]):
            continue
        if (
            len(full) == 1
            and (first := _given_after(text, end, common))
            and full[0].casefold() not in NO_GIVEN_NAME | common
        ):
            yield _Name(words[0].start(), _end(first), (*_full(first), *full))  # "Smith, John A"
        last_first = _LAST_FIRST.search(text[max(0, words[0].start() - 40) : words[0].start()])
        named = words[0].lastgroup == "capitalised" or (last_first and plain(full[0]) in census("first"))
        credential = _THEN.match(text, end) if len(words) > 1 or named else None
        says = _SAYS if len(words) > 1 else _ON_FILE if last_first else None
        introduced = says and says.match(text, end)
        if credential or introduced or _has_given_name(words, full):
            start = words[0].start()
            if last_first and (
                (last := last_first["last"].casefold()) not in NO_GIVEN_NAME | common
                or (credential and last in WORDS["surnames_too"])
            ):
                start += last_first.start("last") - len(last_first.group()) - last_first.start()
                full = (last_first["last"], *full)
            yield _Name(start, _end(words), full)


def _has_given_name(words: list[re.Match[str]], full: tuple[str, ...]) -> bool:
    """Whether a run of two words or more holds a given name; where all is upper case, with a surname beside it."""
    lowered = [part for word in full for part in plain(word).split("-")]
    given = [word for word in lowered if word in census("first") and word not in NO_GIVEN_NAME and len(word) > 2]
    if len(words) < 2 or not given:
        return False
    if any(word.lastgroup == "upper" for word in words):
        return "^" in words[0].string[words[0].end() : words[-1].start() + 1] or (
            len(full) > 1 and all(word in census("last") | census("first") for word in lowered)
        )
    return len(full) > 1 or words[-1].group().endswith(".")


def _given_after(text: str, at: int, common: set[str]) -> list[re.Match[str]]:
    """The words of a given name after the comma at `at`. Empty where there is none."""
    comma = _COMMA.match(text, at)
    words = _name_words(text, comma.end(), common) if comma else []
    given = plain(words[0].group()) if words else ""
    return words if given in census("first") and given not in NO_GIVEN_NAME and len(given) > 2 else []


def _given_in_field(text: str, at: int, common: set[str]) -> list[re.Match[str]]:
    """The given name that follows a surname in capitals and ends the field: "Radiologue : LACROIX Hervé"."""
    words = _name_words(text, at + 1, common) if text[at : at + 1] == " " else []
    fills = (
        words and all(word.lastgroup == "capitalised" for word in words) and _FIELD_ENDS.match(text, words[-1].end())
    )
    return words if fills else []


def _runs(text: str, common: set[str]) -> Iterator[list[re.Match[str]]]:
    """Stretches of words with the shape of a name, none of them inside another."""
    at = 0
    for word in WORD.finditer(text):
        start = word.start()
        if start < at or (start and (text[start - 1].isalnum() or text[start - 1] in "-'’")):
            continue
        if words := _name_words(text, start, common):
            at = words[-1].end()
            yield words


def _name_words(text: str, at: int, common: set[str], announcement: Announcement | None = None) -> list[re.Match[str]]:
    """The words of the name that begins at `at`: up to six, of one shape, on one line. Empty where there is none."""
    words: list[re.Match[str]] = []
    shape = ""
    while len(words) < 6 and (word := WORD.match(text, at)):
        kind, lowered = word.lastgroup or "", word.group().casefold().replace(".", "")
        # "A." and the A of "Dr A Khan" are initials; "M.D." and the A of "Dr Khan. A cyst" aren't.
        alone = word.group().endswith(".") or not words or not re.match(r"[ ][a-z]", text[word.end() :])
        letter = kind == "initial" and alone and len(word.group()) < 3
        after_stop = bool(words) and words[-1].group().endswith(".")
        if after_stop and lowered in common:
            break
        if (
            tells_no_name(lowered)
            and not letter
            and not _named_too(word, words)
            and not _is_surname(word, words, announcement)
        ):
            break
        if (kind in ("suffix", "nickname") and not words) or (words and words[-1].lastgroup == "suffix"):
            break
        if kind in ("capitalised", "upper"):
            if shape not in ("", kind):
                break  # "Smith MRI"
            shape = kind
        words.append(word)
        between = BETWEEN.match(text, word.end())
        if not between:
            break
        at = between.end()
    while words and words[-1].lastgroup in ("particle", "nickname"):
        words.pop()
    return words
