"""Text as the rules that find identifiers can read it: one sort of blank, hyphen and line end, labels in plain sight.

Exports bring HTML, Markdown, cells of tables, keys of records and control characters into a text. Each of them parts a
label from its value, so it is taken out before anything is looked for.
"""

from __future__ import annotations

import html
import re
import unicodedata

from corpus.reports.markup import has_html, has_other_markup, joints, tells, without_markup

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|\\\\\\.br\\\\")
"""The separators of records among the control characters, and HL7's line end, count."""
_LONG_GAP = re.compile(" {9,}")
_FLATTENED = re.compile(r"[.:] ?,\s*[A-Z\d]")
_ENTITY = re.compile(r"&(?:\w{2,31}|#\d{1,7}|#[xX][\da-fA-F]{1,6});")
_EMPHASIS = re.compile(r"(?<![\w*`])(\*\*?|__?|`)(?=[^\W_])([^*`\n]{1,200}?)(?<=[^\s_])\1(?![\w*`])")
"""Of Markdown: **MRN:** 12, __MRN__, `MRN`."""
_KEY = re.compile(
    r"\"(?P<quoted>[^\W\d_][\w .-]{1,40})\"[ ]*:[ ]*\"?|"
    r"\b(?P<bare>[^\W\d_]+(?:_[^\W\d_]+)+)(?=[ ]*[:=])"
)
"""A key of a record: patient_name: ..., "patientName": "...". """
_ROWS = re.compile(
    r"(?:^[ ]*\|[^\n]*\|[ ]*(?:\n|\Z))+|^[^\n|]*[ ]\|[ ][^\n|]*$|^[ ]*\"[^\"\n]*\"(?:,[ ]?\"[^\"\n]*\")+,?[ ]*$",
    re.MULTILINE,
)
"""Rows of a table: | Liver | normal |, or Liver | normal, or "Liver","normal"."""
_RULE = re.compile(r":?-{2,}:?|-")


class _Plain(dict[int, str]):
    """What `str.translate` puts in a character's place, worked out as characters are met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        self[code] = " " if kind in ("Zs", "Cc") else "" if kind == "Cf" else character
        return self[code]


_PLAIN = _Plain({10: "\n"} | dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-"))


def no_plain_text(text: str) -> str | None:
    """Why `text` can't be made plain; None where it can."""
    if text.lstrip().startswith("{\\rtf"):
        return "the text is RTF: export it as plain text"
    if has_other_markup(_unescaped(text)):
        return "the text is XML: export what it says as plain text or HTML"
    return None


def tidy(text: str) -> str:
    """`text` in NFC without markup, its line ends \\n, and those back that an export made commas of.

    Word processors and PDF bring blanks and hyphens of many sorts, and characters that don't show: the rules that find
    identifiers know one blank and one hyphen. Gaps are cut to eight blanks.

    MTSamples' export turned every line end into a comma: "flare up.,MEDICATIONS: , Her only ..." and "If ,he lost".
    """
    text = _LINE_ENDS.sub("\n", unicodedata.normalize("NFC", text))
    text = _without_markup(text.translate(_PLAIN)).translate(_PLAIN)
    text = _LONG_GAP.sub(" " * 8, text)
    if "\n" not in text and _FLATTENED.search(text):
        text = re.sub(r":\s*,\s*", ": ", text)
        text = re.sub(r"(?<=[.!?;])\s*,(?=\S)|,(?=[A-Z][A-Z /&-]{2,50}:)", "\n", text)
        text = re.sub(r"\s,(?=\S)", " ", text)
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def _unescaped(text: str) -> str:
    for _ in range(2 if "&" in text else 0):  # "&amp;nbsp;" was escaped twice
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return text


def _without_markup(text: str) -> str:
    text = _unescaped(text)
    if "<" in text and has_html(text):
        text = without_markup(text)
    if any(mark in text for mark in "*_`"):
        text = _EMPHASIS.sub(r"\2", text)
    text = _KEY.sub(_plain_key, text)
    return _ROWS.sub(_plain_rows, text)


def _plain_key(key: re.Match[str]) -> str:
    if key["bare"]:
        return key["bare"].replace("_", " ")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key["quoted"].replace("_", " "))
    return f"{words}: "


def _plain_rows(table: re.Match[str]) -> str:
    """Each row as a line "label: value", and below a row of headings each cell as "heading: cell"."""
    rows = [_cells(line) for line in table[0].rstrip("\n").split("\n")]
    headings: list[str] = []
    if len(rows) > 1 and all(_RULE.fullmatch(cell) for cell in rows[1]):
        headings = rows[0] if any(map(tells, rows[0])) else []
        rows = rows[2:]
    lines = []
    for cells in rows:
        if headings and len(cells) == len(headings):
            lines += [f"{heading}: {cell}" if heading else cell for heading, cell in zip(headings, cells, strict=True)]
        else:
            parts = zip(cells, [*joints(cells, " | "), ""], strict=True)
            lines.append("".join(cell + joint for cell, joint in parts))
    return "\n".join(lines) + "\n" * table[0].endswith("\n")


def _cells(line: str) -> list[str]:
    line = line.strip()
    if line.startswith('"'):
        return [cell.strip() for cell in line.rstrip(",")[1:-1].split('"') if cell.strip(" ,")]
    return [cell.strip() for cell in line.strip("|").split("|")]
