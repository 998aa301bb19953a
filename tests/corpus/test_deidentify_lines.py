"""Identifiers and the ends of lines: what goes on in the next line, what stands below its label, and what does not."""

from __future__ import annotations

import re

import pytest

from corpus.reports.deidentify import deidentify


@pytest.mark.parametrize(
    "text",
    [
        "Dictated by: John Smith\nLiver is normal in size.",
        "Attending: Maria Garcia\nKidneys are normal.",
        "PATIENT: SMITH, JOHN\nLIVER NORMAL IN SIZE.",
        "Signed by John Smith\nAdrenal glands normal.",
        "Compared with CT at Springfield General Hospital\nLiver is normal.",
    ],
)
def test_the_structure_below_a_name_is_no_surname(text: str) -> None:
    clean, replacements = deidentify(text, "s")
    assert clean.split("\n")[1] == text.split("\n")[1]
    assert len(replacements) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Examen demandé par le Dr Kerbrat\nLe foie est augmenté de volume.",
        "Valorado por Dr. Zubizarreta\nEl hígado está aumentado de tamaño.",
        "Befund von Dr. Huber\nDie Leber ist vergrößert.",
        "Seen by Dr. John\nA cyst is stable.",
        "Referred by Dr. Smith\nLa Crosse study",
    ],
)
def test_an_article_below_a_name_is_no_part_of_it(text: str) -> None:
    clean, replacements = deidentify(text, "s")
    assert clean.split("\n")[1] == text.split("\n")[1]
    assert len(replacements) == 1


def test_a_title_below_a_name_begins_another() -> None:
    clean, _ = deidentify("Validé par Mme Tanguy\nMonsieur Le Goff sera revu.", "s")
    assert re.fullmatch(r"Validé par Mme \w+\nMonsieur \w+ sera revu\.", clean)


@pytest.mark.parametrize("text", ["seen by Dr. Maria\nLa Rosa today", "seen by Dr. Maria\nDe la Cruz today"])
def test_a_surname_may_begin_as_an_article_does(text: str) -> None:
    assert len(deidentify(text, "s")[0].split()) == 5


def test_a_name_may_go_on_in_the_next_line() -> None:
    clean, _ = deidentify("seen by Dr. John\nSmith today", "s")
    assert "John" not in clean
    assert "Smith" not in clean


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("MRN:\n1234567\nLiver normal.", "MRN:\n{}\nLiver normal."),
        ("Accession:\nAB12345", "Accession:\n{}"),
        ("Phone:\n555 1234", "Phone:\n{}"),
        ("Patient Name:\nKowalczyk Zbigniew\nLiver normal.", "Patient Name:\n{}\nLiver normal."),
        ("NAME:\nKOWALCZYK, ZBIGNIEW\n", "NAME:\n{}, {}\n"),
    ],
)
def test_a_value_may_stand_below_its_label(text: str, kept: str) -> None:
    clean, replaced = deidentify(text, "s")
    assert clean == kept.format(*(each.surrogate for each in replaced))


@pytest.mark.parametrize(
    "text",
    [
        "Patient name:\nHistory: cirrhosis",
        "Name:\nLiver normal\n",
        "PATIENT NAME:\nCLINICAL HISTORY\nPAIN",
        "MRN:\n12 mm lesion in segment 7",
        "MRN:\nFindings: 12 mm lesion",
    ],
)
def test_an_empty_field_takes_nothing_of_the_next_line(text: str) -> None:
    assert deidentify(text, "s") == (text, [])
