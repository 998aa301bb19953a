"""Names in lower case: "patient name: jane doe", "dictated by robert miller md", "mrs. anna kowalski".

Without capitals little tells a name, so one counts after a title, and after a label where the words say so: a given
name of the census first, and then a surname or the end of the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from corpus.reports.announcements import BY, DEGREES, NAME_OF, ROLE
from corpus.reports.name_words import NO_GIVEN_NAME, SMALL, census, plain, tells_no_name
from corpus.reports.spans import WORDS, one_of

_TITLE = re.compile(
    r"(?<!\b[Tt]he )\b(?:(?:dr|mr|mrs|ms)\.?|(?:Dr|Prof|Mrs?|Ms)\.|[Dd]rs\.?)"
    rf"{DEGREES} (?=(?P<name>(?:(?:van|von|de|den|der|del|di|la|al|el|bin) )*(?P<first>[{SMALL}]{{3,}}))\b)"
)
_VALUE = re.compile(rf"(?:[:=][ \t]*\n?|\t[ \t]*|[-–—][ ]+|\b(?i:by|dear)[ ]+|,[ ]*\n+|/s/[ ]*)(?=[{SMALL}])")
"""Where a value in lower case begins; before it a label ends."""
_LABEL = re.compile(
    rf"(?P<sure>\b(?i:{NAME_OF})[ ]*(?:[:=\t]|[-–—][ ])\s*|/s/[ ]*)\Z|"
    rf"\b(?i:(?:^re|next of kin|emergency contact|{one_of('role_labels')}|{ROLE}|{BY})[ \t]*[:=]|"
    rf"{BY}|dear|(?:sincerely|regards),[ ]*\n*)[ \t]*\Z",
    re.MULTILINE,
)
_LOGIN = re.compile(
    rf"\b(?i:{ROLE})[ \t]*[:=][ \t]*(?P<name>[A-Z]{{0,2}}[{SMALL}][{SMALL}'’-]{{2,}}\d{{0,3}})"
    r"(?=[ ]*(?:[,;\n\t]|\.?$)|[ ]+\d)"
)
"""A name in lower case that fills its field: "Technologist: jsmith"."""
_WORD = re.compile(rf"[{SMALL}](?:\.|(?= [{SMALL}]{{3}}))|[{SMALL}][{SMALL}'’-]+(?!\w)")
_BETWEEN = re.compile(r",? ")
_FIELD_ENDS = re.compile(
    rf"[ ]*(?:$|[,;\n\t|(/<]|\.(?:\s|$))|[ ]{{2}}|[ ]+(?:\d|on\b|at\b|dob\b|mrn\b|(?i:m\.?d\b|d\.?o\b|rn\b|np\b|"
    rf"{one_of('credentials')}\b))"
)
_AND = re.compile(r",? (?:and|&) ")
_NO_PERSON = WORDS["people_do"] | WORDS["done_by"] | WORDS["roles"]
_ORDINARY = NO_GIVEN_NAME | WORDS["no_names_in_lower_case"]
_NO_SURNAME = (
    _NO_PERSON | WORDS["no_names_in_lower_case"] | WORDS["ambiguous_names"] | WORDS["done_with"] | WORDS["done_to"]
)


def names_in_lower_case(text: str) -> Iterator[tuple[int, int]]:
    """Where names in lower case stand."""
    for match in _TITLE.finditer(text):
        yield from _after_title(text, match)
    for match in _VALUE.finditer(text):
        label = _LABEL.search(text, max(0, match.start() - 40), match.end())
        if label and (span := _after_label(text, label)):
            yield span
    for match in _LOGIN.finditer(text):
        if _may_be_name(match["name"].casefold()):
            yield match.span("name")


def _after_title(text: str, title: re.Match[str]) -> Iterator[tuple[int, int]]:
    start, end = title.span("name")
    if not _may_be_name(title["first"]):
        end = title.start("first") - 1  # "mr. van was seen"
    if end < start:
        return
    while _is_given(text[start:end].split()[-1]) and (word := _WORD.match(text, end + 1)) and text[end] == " ":
        if not _is_surname(word.group()) and not _is_given(word.group()):
            break
        end = word.end()
    yield start, end
    other = _AND.match(text, end)
    if other and (colleague := _WORD.match(text, other.end())) and _is_surname(colleague.group()):
        yield colleague.span()


def _after_label(text: str, label: re.Match[str]) -> tuple[int, int] | None:
    """The name after a label, where its words tell that it is one."""
    words: list[re.Match[str]] = []
    at = label.end()
    while len(words) < 4 and (word := _WORD.match(text, at)) and _may_be_name(word.group().rstrip(".")):
        if _FIELD_ENDS.match(text, word.start() - 1) and words and text[word.start() - 2] != ",":
            break  # "miller md"
        words.append(word)
        between = _BETWEEN.match(text, word.end())
        if not between:
            break
        at = between.end()
    if not words:
        return None
    start, end, names = words[0].start(), words[-1].end(), [word.group().rstrip(".") for word in words]
    filled = _FIELD_ENDS.match(text, end) is not None
    if label["sure"] and filled and (len(names) > 1 or _is_given(names[0]) or _is_surname(names[0])):
        return start, end
    if len(names) < 2:
        return None
    if _is_given(names[1]) and text[words[0].end()] == ",":  # "doe, jane"
        return (start, end) if filled else None
    if not _is_given(names[0]) and len(names[0]) > 1:
        return None
    surname = next((i for i, name in enumerate(names) if i and _is_surname(name)), None)
    if filled and (surname or _is_given(names[0])):
        return start, end
    return (start, words[surname].end()) if surname else None


def _may_be_name(word: str) -> bool:
    return not tells_no_name(word) and word not in _NO_PERSON


def _is_given(word: str) -> bool:
    return _in_census("first", word) and word not in _ORDINARY and len(word) > 2


def _is_surname(word: str) -> bool:
    return _may_be_name(word) and word not in _NO_SURNAME and _in_census("last", word) and len(word) > 2


def _in_census(kind: str, word: str) -> bool:
    """Of "mary-jane" and "garcia-lopez" the first half counts, and "o'brien" stands there as "obrien"."""
    return re.sub(r"['’]|-.*", "", plain(word)) in census(kind)
