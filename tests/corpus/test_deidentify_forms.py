"""Words, numbers and labels that stand where an identifier may, and are none."""

from __future__ import annotations

import re

import pytest

from corpus.reports.deidentify import deidentify


@pytest.mark.parametrize(
    "text",
    [
        "CT w/ Contrast shows cirrhosis w/ Ascites.",
        "Father: Colon Cancer. Wife: Hepatitis B.",
        "Sister: Lupus. Mother (Ovarian Cancer).",
        "Follow-up with Colonoscopy recommended.",
        "Seen along with Hydronephrosis.",
        "Positive on 5/12 slices.",
        "Muscle strength on 4/5 bilaterally",
        "Pain on 3/10 at rest.",
        "The 2nd May be a cyst.",
        "CTDI 10.12.13",
        "Systolic murmur 3/6, compared to 2/6.",
        "Fibrosis stage 2/4 compared to 3/4.",
        "cc: COPD Exacerbation",
        "Radiologist: PENDING Review",
        "A 4-MM LACERATION; a 14 Fr. Foley; 12 Fr. Drain; don PPE before entry.",
        "Vom Rand 3.5 cm entfernt, am 3. Segment, am 12.10. cm; CT vom Abdomen, Bild-Nr. 12.",
        "Le 2/3 supérieur, du 1/3 moyen, le 12/10 mm; série n° 4, images n° 120 à 145.",
        "IPP 40 mg/j, IPP 20; M. avium and M. tuberculosis; il y a 20 ans.",
        "Serie nº 5, imagen nº 120. Lesione di 12 anni fa. Shocked with 120 J. Patiente stable.",
    ],
)
def test_a_word_or_number_of_reports_is_no_identifier(text: str) -> None:
    assert deidentify(text, "s") == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        "Mrs. [[Ngoma]] was admitted. [[Ngoma]] is well.",
        "Patient Name: [[NGOMA, GRACE]]",
        "Patient name: [[Anna Kotsitis]]",
        "Dictated by: [[James Milgram]], MD",
        "Dr. [[Smith]] Hepatitis B is chronic.",
    ],
)
def test_a_name_that_ends_as_a_disease_goes_where_it_is_announced(text: str) -> None:
    plain = text.replace("[[", "").replace("]]", "")
    gone = " ".join(plain[each.start : each.end] for each in deidentify(plain, "s")[1])
    assert gone.replace(",", "").split() == re.sub(r"[^\[]*\[\[(.*?)\]\][^\[]*", r"\1 ", text).replace(",", "").split()


def test_an_organ_called_like_a_person_stays() -> None:
    text = "Mrs. Colon has pain. The Colon is normal. COLON: normal."
    clean, replaced = deidentify(text, "s")
    assert [text[each.start : each.end] for each in replaced] == ["Colon"]
    assert clean.endswith(" has pain. The Colon is normal. COLON: normal.")


@pytest.mark.parametrize(
    "text",
    [
        "patient: complains of pain",
        "patient: male",
        "patient: alert and oriented",
        "patient name: correct and verified",
        "surgeon: not listed",
        "performed by manual compression",
        "reviewed by tumor board",
        "cc: chest pain",
        "name: ibuprofen 200 mg",
        "| Lot | 100 mL |",
        "MRN | Series 5 image 123",
        "MRI of 3/4 of the liver, compared to 1/3 of patients; seen Monday, 1/2 tablet",
        "He was 95 and 93 on room air; BP of the patient was stable.",
        "MR. Small effusion. MS. White matter lesions. MR Abdomen. Dr. Please see above.",
    ],
)
def test_only_what_a_label_or_title_announces_goes(text: str) -> None:
    written = f"| MRN | 4455667 |\n\npatient: jane doe\n\n{text}"
    clean, replaced = deidentify(written, "s")
    assert [written[each.start : each.end] for each in replaced] == ["4455667", "jane doe"]
    assert clean.endswith(f"\n\n{text}")


def test_a_word_of_reports_after_a_noun_is_no_surname() -> None:
    text = "Dr. Small told the Dr. Small bowel loops are dilated."
    assert [each.start for each in deidentify(text, "s")[1]] == [4]
