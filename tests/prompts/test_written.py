"""Texts that people wrote: every slot filled, every intent what the text says, the same for the same seed."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd
import pytest

from corpus.anatomy import ORGANS
from corpus.params import read_yaml
from prompts.intent import RELATIONS
from prompts.wording.cues import CUES, cues
from prompts.written import FORMS, forms, report_sentences

SLOTTED = ("requests", "nothing", "pairs", "displayed", "negated", *RELATIONS)


def test_forms_are_filled_with_every_structures_names() -> None:
    made = list(forms(3, seed=0))
    assert not any(slot in each.text for each in made for slot in ("{organ}", "{other}", "{noun}", "{side}", "{S}"))
    content = read_yaml(FORMS)

    def filled(name: str, form: str) -> int:
        if name not in SLOTTED:
            return 1
        if name in RELATIONS or len(form.split()) > 4:
            return 3
        return 12 if name in ("requests", "nothing") else 6  # all members of pairs

    assert len(made) == sum(filled(name, form) for name, texts in content.items() for form in texts)
    asked = [each for each in made if each.cell.kind == "anatomy"]
    described = {text for organ in ORGANS for text in content[organ.name]}  # by what the vocabulary doesn't know
    missed = [
        each.text
        for each in asked
        if each.text not in described
        and each.cell.intent.organ not in {CUES[cue.number - 1] for cue in cues(each.text)}
    ]
    # "{opposite} gone, mark the {noun} that remains" names another one than it asks for.
    unsaid = 3 * sum("{side}" not in form for form in content["pairs"])
    assert len(missed) < 0.012 * len(asked) + unsaid, missed
    assert set(Counter(each.cell.intent.organ for each in asked)) == {organ.name for organ in ORGANS}
    assert made == list(forms(3, seed=0)) != list(forms(3, seed=1))
    assert not list(forms(0, seed=0))


def test_a_form_and_a_name_do_not_both_bring_an_article() -> None:
    twice = re.compile(r"\b(the|my) \1\b", re.IGNORECASE)
    assert [each.text for each in forms(6, seed=0) if twice.search(each.text)] == []


def test_no_form_is_both_a_request_and_none() -> None:
    content = read_yaml(FORMS)
    wording = {asks: {_wording(form) for form in content[asks]} - {""} for asks in ("requests", "nothing", "chatter")}
    assert not wording["requests"] & (wording["nothing"] | wording["chatter"])


def _wording(form: str) -> str:
    """The words of a form, without case, punctuation, articles and courtesies."""
    words = re.sub(r"[^\w{}]+", " ", form.lower())
    return " ".join(re.sub(r"\b(?:the|an?|my|please|pls|plz|thanks|thank you)\b", " ", words).split())


def test_a_woman_is_not_asked_for_a_prostate() -> None:
    women = [each for each in forms(6, seed=0) if re.search(r"\bgrandma's\b|^her ", each.text)]
    assert women
    assert not {each.cell.intent.organ for each in women} & {"prostate", "seminal vesicles"}


@pytest.mark.parametrize(
    "text",
    [
        "Where is my spleen?",
        "Can you outline my liver?",
        "Could you highlight the left kidney on this scan?",
        "Please segment the liver for volumetry before resection.",
        "Delineate the pancreas for radiotherapy planning.",
        "Contour the bladder and rectum.",
        "Draw around my stomach please.",
        "I would like the aorta outlined.",
        "We'd like you to trace the duodenum.",
        "Liver segmentation requested.",
        "Liver and spleen volumes requested, please trace the liver.",
        "What is the biggest organ in this picture?",
    ],
)
def test_a_request_in_a_report_is_no_text_that_asks_for_nothing(text: str) -> None:
    assert not list(report_sentences(_passages(text), 10, seed=0))


@pytest.mark.parametrize(
    "text",
    [
        "Trace pelvic fluid.",
        "Segment IV lesion of 12 mm.",
        "Nodular liver contour, marked splenomegaly.",
        "No focal lesion of the liver identified.",
        "Can you live without a spleen?",
        "Can you find out why my liver is big?",
        "How do I trace the portal vein on axial slices?",
    ],
)
def test_what_reports_say_and_people_wonder_asks_for_nothing(text: str) -> None:
    assert [each.text for each in report_sentences(_passages(text), 10, seed=0)] == [text]


def _passages(text: str) -> pd.DataFrame:
    return pd.DataFrame([{"passage_id": "a" * 16, "tag": "S2", "text": text}])
