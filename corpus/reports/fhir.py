"""FHIR DiagnosticReport resources as clinical text.

A report's text is, in this order of preference: its presented form (text or HTML in base64), or its narrative without
the markup; the conclusion follows as its impression where the text doesn't say it yet.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

_WITHDRAWN = frozenset(("entered-in-error", "cancelled", "registered"))
"""Status of a report that says nothing, or must not be used."""
_BLOCK = re.compile(r"address|article|blockquote|br|div|dl|dt|h[1-6]|hr|li|ol|p|pre|section|table|tr|ul")
_CELLS = ("td", "th", "dd")
"""What goes on in the line: a label and its value stay together."""
_HIDDEN = ("script", "style", "title")


def diagnostic_reports(resource: Any) -> Iterator[dict[str, Any]]:
    """The DiagnosticReports of a resource: itself, or those of a Bundle's entries, in their order.

    An entry without an id is known by the last part of its `fullUrl`.
    """
    if not isinstance(resource, dict):
        return
    if resource.get("resourceType") == "DiagnosticReport":
        yield resource
    elif resource.get("resourceType") == "Bundle":
        for entry in _dicts(resource.get("entry")):
            for report in diagnostic_reports(entry.get("resource")):
                url = re.split(r"[/:]", str(entry.get("fullUrl") or ""))[-1]
                yield report if report.get("id") else report | {"id": url or None}


def text_of(report: dict[str, Any]) -> str:
    """What a DiagnosticReport says; "" where it says nothing.

    Raises:
        ValueError: It was withdrawn, or its text can't be read.
    """
    if str(report.get("status")) in _WITHDRAWN:
        raise ValueError(f"its status is {report['status']}")
    forms = _dicts(report.get("presentedForm"))
    readable = [form for form in forms if form.get("data") and _kind(form) in ("text/plain", "text/html", "")]
    narrative = report["text"].get("div") if isinstance(report.get("text"), dict) else None
    text = "\n\n".join(_decoded(form) for form in readable) or without_markup(str(narrative or ""))
    conclusion = str(report.get("conclusion") or "").strip()
    if conclusion and _squeezed(conclusion) not in _squeezed(text):
        text = f"{text}\n\nIMPRESSION:\n{conclusion}".strip()
    if not text and forms:
        kinds = sorted({_kind(form) or "no content type" for form in forms})
        raise ValueError(f"it holds no plain text, but {', '.join(kinds)}")
    return text


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _kind(form: dict[str, Any]) -> str:
    return str(form.get("contentType") or "").split(";")[0].strip().lower()


def _decoded(form: dict[str, Any]) -> str:
    charset = re.search(r"charset=\"?([\w-]+)", str(form.get("contentType") or ""), re.IGNORECASE)
    try:
        content = base64.b64decode(re.sub(r"\s+", "", str(form["data"])), validate=True)
        text = content.decode(charset[1] if charset else "utf-8-sig")
    except (binascii.Error, ValueError, LookupError):
        raise ValueError("its presented form isn't base64 of text in the stated character set") from None
    return without_markup(text) if _kind(form) == "text/html" else text


def _squeezed(text: str) -> str:
    return " ".join(text.split()).casefold()


class _Text(HTMLParser):
    """Of a table under a row of headings every cell is a line "heading: cell": so a value is known by its label."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0
        self._headings: list[str] = []
        self._cells: list[tuple[str, int]] = []
        """Of this row: each cell's tag, and the number of pieces before its text."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        if tag in ("table", "tr"):
            self._end_row(table=tag == "table")
        if _BLOCK.fullmatch(tag):
            self.pieces.append("\n")
        elif tag in _CELLS:
            at = len(self._cells)
            heading = self._headings[at] if tag == "td" and at < len(self._headings) else ""
            self.pieces.append(f"\n{heading}: " if heading else " ")
            self._cells.append((tag, len(self.pieces)))

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN and self._hidden > 0
        if tag in ("table", "tr"):
            self._end_row(table=tag == "table")
        if _BLOCK.fullmatch(tag) and tag != "dt":
            self.pieces.append("\n")

    def _end_row(self, table: bool) -> None:
        """A row that holds headings alone, two or more, is of them; they hold until the table ends."""
        if len(self._cells) > 1 and all(tag == "th" for tag, _ in self._cells):
            until = [*(start - 1 for _, start in self._cells[1:]), None]
            texts = ("".join(self.pieces[start:end]) for (_, start), end in zip(self._cells, until, strict=True))
            self._headings = [text.strip().rstrip(":") for text in texts]
        if table:
            self._headings = []
        self._cells = []

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))


def without_markup(html: str) -> str:
    """The text of (X)HTML: blocks on lines of their own, entities resolved, scripts and styles left out."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in "".join(parser.pieces).split("\n"))
    return "\n".join(line for line in lines if line)
