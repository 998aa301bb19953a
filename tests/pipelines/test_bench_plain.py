"""The plainest requests, each with every structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from rapidfuzz.distance import DamerauLevenshtein

from corpus.anatomy import ORGANS
from corpus.params import read_yaml, validated
from model.inference import Segmenter
from model.intent_head import Understanding
from pipelines import bench_plain
from pipelines.bench_plain import FORMS, PlainForms
from prompts.intent import Intent


def test_every_form_speaks_of_a_structure_and_stands_once() -> None:
    content = validated(read_yaml(FORMS), PlainForms, FORMS)
    forms = content.asking + content.not_asking
    assert all(form.count("{organ}") == 1 for form in forms + content.naming)
    assert len(set(forms)) == len(forms) > 100


def test_each_is_read_with_every_structure_and_what_is_misread_is_named(
    outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(segmenter: Segmenter, texts: Sequence[str]) -> list[Understanding]:
        asked = [next((o.name for o in ORGANS if text == f"Find {o.name}."), None) for text in texts]
        return [
            Understanding(Intent("anatomy", organ, frame="patient") if organ else Intent("none"), 0.9)
            for organ in asked
        ]

    monkeypatch.setattr(bench_plain, "read", read)
    rows = bench_plain.bench_plain(outside / "m")
    plain = bench_plain.varied(rows)["form"]
    assert set(plain["asks"]) == {"asking", "not_asking"}
    assert not plain.duplicated(["form", "organ"]).any()
    assert len(plain) == plain["form"].nunique() * len(ORGANS)
    by_form = rows[rows["asks"] == "asking"].groupby("form")["right"]
    assert by_form.all().loc[lambda right: right].index.tolist() == ["Find {organ}."]
    assert rows.loc[rows["asks"] == "not_asking", "right"].all()
    bench_plain.show(rows)
    printed = capsys.readouterr()
    assert "mask of the {organ}" in printed.out + printed.err
    assert "Find {organ}." not in printed.out + printed.err, "nothing to tell"


def test_every_name_is_asked_for_and_misspelt_as_much_as_is_said(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def read(segmenter: Segmenter, texts: Sequence[str]) -> list[Understanding]:
        asked.extend(texts)
        return [Understanding(Intent("none"), 0.9)] * len(texts)

    monkeypatch.setattr(bench_plain, "read", read)
    rows = bench_plain.bench_plain(outside / "m")
    assert {"the hepar", "RAG contour please", "lien", "where is my small intestine?"} <= set(asked)
    assert not any("my my" in text or "the the" in text for text in asked)
    for sort, slips in bench_plain.SLIPS.items():
        chosen = rows[rows["asks"] == sort]
        assert (chosen.groupby("organ")["name"].nunique() > 5).all()
        off = [DamerauLevenshtein.distance(*pair) for pair in zip(chosen["organ"], chosen["name"], strict=True)]
        assert set(off) == set(range(1, slips + 1)), "two slips can amount to one"
