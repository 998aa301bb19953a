"""FHIR DiagnosticReports: single resources, bundles and NDJSON; presented forms, narratives and conclusions."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from corpus.reports.fhir import text_of
from corpus.reports.readers import Reject, Report, ReportSource, read_reports


def report(report_id: str | None, **parts: Any) -> dict[str, Any]:
    return {"resourceType": "DiagnosticReport", "status": "final", **({"id": report_id} if report_id else {}), **parts}


def form(text: str, kind: str = "text/plain", charset: str = "utf-8") -> list[dict[str, str]]:
    return [{"contentType": kind, "data": base64.b64encode(text.encode(charset)).decode()}]


def div(html: str) -> dict[str, str]:
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{html}</div>'}


def test_the_presented_form_comes_before_the_narrative_and_the_conclusion_after_it() -> None:
    both = report(
        "1", presentedForm=form("FINDINGS: A cyst."), text=div("A <b>generated</b> text"), conclusion="Benign."
    )
    assert text_of(both) == "FINDINGS: A cyst.\n\nIMPRESSION:\nBenign."
    said = report("1", presentedForm=form("FINDINGS: A cyst.\nIMPRESSION:  benign."), conclusion="Benign.")
    assert text_of(said) == "FINDINGS: A cyst.\nIMPRESSION:  benign."
    assert text_of(report("1", conclusion="Benign.")) == "IMPRESSION:\nBenign."
    assert text_of(report("1", text=div("<p>The liver</p><p>and spleen</p>"))) == "The liver\nand spleen"
    assert text_of(report("1")) == ""


def test_a_form_of_html_is_read_without_its_markup() -> None:
    assert text_of(report("1", presentedForm=form("<p>A</p>B", "text/html; charset=utf-8"))) == "A\nB"


def test_the_stated_character_set_is_used() -> None:
    assert text_of(report("1", presentedForm=form("Grüße", "text/plain; charset=iso-8859-1", "latin-1"))) == "Grüße"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"status": "entered-in-error", "conclusion": "x"}, "entered-in-error"),
        ({"status": ["final"], "presentedForm": form("x", "application/pdf")}, "application/pdf"),
        ({"presentedForm": form("x", "application/pdf")}, "application/pdf"),
        ({"presentedForm": [{"contentType": "text/plain", "url": "Binary/1"}]}, "no plain text"),
        ({"presentedForm": [{"contentType": "text/plain", "data": "%%%"}]}, "isn't base64"),
        ({"presentedForm": form("Grüße", "text/plain", "latin-1")}, "character set"),
        ({"presentedForm": form("x", "text/plain; charset=klingon")}, "character set"),
    ],
)
def test_what_can_not_be_read_says_why(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        text_of(report("1", **parts))


def read(folder: Path) -> list[Report | Reject]:
    return list(read_reports("ehr", ReportSource("fhir", str(folder))))


def test_single_resources_bundles_and_ndjson_give_the_same_reports(tmp_path: Path) -> None:
    one, two = report("a", conclusion="The liver."), report("b", text=div("The <i>spleen</i>."))
    patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "Kowalski"}]}
    bundle = {"resourceType": "Bundle", "entry": [{"resource": r} for r in (patient, one, two)]}
    contents = {
        "single": {"1.json": json.dumps(one, indent=1), "2.json": json.dumps(two)},
        "bundle": {"all.json": json.dumps({"resourceType": "Bundle", "entry": [{"resource": bundle}]})},
        "lines": {"export.ndjson": "\n".join(map(json.dumps, (patient, one, two)))},
        "lines_in_json": {"export.json": "\n".join(map(json.dumps, (one, patient, two)))},
    }
    for kind, files in contents.items():
        (tmp_path / kind).mkdir()
        for name, content in files.items():
            (tmp_path / kind / name).write_text(content, encoding="utf-8")
        found = [(r.id, r.text) for r in read(tmp_path / kind) if isinstance(r, Report)]
        assert found == [("a", "IMPRESSION:\nThe liver."), ("b", "The spleen.")]
        assert len(read(tmp_path / kind)) == 2


def test_an_entry_without_an_id_is_known_by_its_url_and_bad_ones_are_rejected(tmp_path: Path) -> None:
    entries = [
        {"fullUrl": "urn:uuid:77", "resource": report(None, conclusion="The aorta.")},
        {"resource": report(None, conclusion="The colon.")},
        {"resource": report("c")},
        {"resource": report("d", presentedForm=form("x", "application/pdf"))},
        {"resource": "broken"},
    ]
    (tmp_path / "b.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}))
    (tmp_path / "c.json").write_text("[1]\n{broken\n{}\n")
    first, *rest = read(tmp_path)
    assert isinstance(first, Report)
    assert first.id == "77"
    assert [(r.report_id, r.reason) for r in rest if isinstance(r, Reject)] == [
        ("", "no id"),
        ("c", "no text"),
        ("d", "it holds no plain text, but application/pdf"),
        ("c.json, line 1", "expected a JSON object, found list"),
        ("c.json, line 2", "not JSON: Expecting property name enclosed in double quotes"),
        ("c.json, line 3", "expected a FHIR resource"),
    ]
