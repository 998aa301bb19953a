"""FHIR DiagnosticReport resources as clinical text.

A report's text is, in this order of preference: its presented form (text or HTML in base64), or its narrative without
the markup; the conclusion follows as its impression where the text doesn't say it yet.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from corpus.reports.markup import without_markup

_WITHDRAWN = frozenset(("entered-in-error", "cancelled", "registered"))
"""Status of a report that says nothing, or must not be used."""


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
