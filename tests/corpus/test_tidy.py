"""Text made plain: line ends, blanks and hyphens, and labels beside their values."""

import pytest

from corpus.reports.deidentify import deidentify
from corpus.reports.tidy import tidy

NAMES, NUMBER = ("Bartosz Kowalczyk", "Wojciech Szczepanski"), "482913"


def test_tidy_restores_the_line_ends_that_mtsamples_lost() -> None:
    flat = "SUBJECTIVE:,  She has asthma.,MEDICATIONS: , Allegra.,PLAN:,1.  Try Zyrtec.  If ,he lost 60%, good."
    assert tidy(flat).split("\n") == [
        "SUBJECTIVE: She has asthma.",
        "MEDICATIONS: Allegra.",
        "PLAN: 1.  Try Zyrtec.  If he lost 60%, good.",
    ]
    kept = "The liver, spleen and\r\nkidneys are normal: size, shape."
    assert tidy(kept) == kept.replace("\r\n", "\n")


def test_tidy_leaves_one_sort_of_blank_and_one_of_hyphen() -> None:
    assert tidy("T\u20113, 5\u20138\u202fmm\u2028MRN:\t12\u200b3\u00ad4" + 20 * " " + "x") == (
        "T-3, 5-8 mm\nMRN: 1234" + 8 * " " + "x"
    )


LABELLED = {
    "tags": "<p><b>Patient Name:</b> {0}</p><p><b>MRN:</b> {2}</p><p><b>Referring physician:</b> {1}</p>",
    "bold in lines": "<b>Patient Name:</b> {0}\n<b>MRN:</b> {2}\n<b>Referring physician:</b> {1}",
    "escaped tags": "&lt;b&gt;Patient Name:&lt;/b&gt; {0}&lt;br/&gt;MRN: {2}&lt;br/&gt;Referring physician: {1}",
    "table of HTML": "<table><tr><td>Name</td><td>{0}</td></tr><tr><td>MRN</td><td>{2}</td></tr>"
    "<tr><td>Radiologist</td><td>{1}</td></tr></table>",
    "entities": "Patient&nbsp;Name:&#160;{0} MRN:&amp;nbsp;{2} Referring&nbsp;physician:&nbsp;{1}.",
    "Markdown": "**Patient Name:** {0}\n__MRN__: {2}\n- *Radiologist*: {1}",
    "rows": "| Patient Name | {0} |\n| MRN | {2} |\n| Referring physician | {1} |",
    "rows under a rule": "| Field | Value |\n|---|:--|\n| Name | {0} |\n| MRN | {2} |\n| Radiologist | {1} |",
    "columns": "| Name | MRN | Radiologist |\n|---|---|---|\n| {0} | {2} | {1} |",
    "pairs in a row": "| Name | {0} | MRN | {2} | Radiologist | {1} |",
    "bars": "Patient | {0}\nMRN | {2}\nRadiologist | {1}",
    "quoted cells": '"Patient Name","{0}"\n"MRN","{2}"\n"Referring physician","{1}"',
    "keys": "patient_name: {0}\npatient_id: {2}\nreferring_physician: {1}",
    "JSON": '"patientName": "{0}", "patient_id": "{2}", "referring_physician": "{1}"',
    "control characters": "Patient Name:\x1f{0}\x1eMRN:\x1f{2}\x1dReferring physician:\x1f{1}",
    "HL7": "Patient Name: {0}\\.br\\MRN: {2}\\.br\\Radiologist: {1}",
}


@pytest.mark.parametrize("form", LABELLED.values(), ids=LABELLED.keys())
def test_a_label_is_read_through_its_markup(form: str) -> None:
    filled = form.replace("{0}", NAMES[0]).replace("{1}", NAMES[1]).replace("{2}", NUMBER)
    clean, _ = deidentify(tidy(f"{filled}\n\nThe liver is mildly enlarged."), "s")
    assert clean.endswith("The liver is mildly enlarged.")
    assert not [word for word in (*" ".join(NAMES).split(), NUMBER) if word in clean]


@pytest.mark.parametrize(
    "text",
    [
        "pain < 3, size > 4",
        "pain <mild> now, T1 & T2, R&D; 3*4*5 mm * 2",
        "A **-year-old, G**, P** female",
        "Mr. ___ has ____ and __ of it",
        "Name: Ann | MRN: 12",
        "PID|1||7654321^^^HOSP^MR||DOE^JANE",
        'The "left" kidney, "small"',
        "1 | 2 | 3",
    ],
)
def test_what_only_looks_like_markup_stays(text: str) -> None:
    assert tidy(text) == text


def test_a_row_of_a_table_is_a_label_and_its_value() -> None:
    assert tidy("Findings\n| Liver | normal |\n| Spleen | 12 cm | large |\nend") == (
        "Findings\nLiver: normal\nSpleen: 12 cm | large\nend"
    )
