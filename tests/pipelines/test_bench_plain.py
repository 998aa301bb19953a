"""The plainest requests, each with every structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

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
    assert all(form.count("{organ}") == 1 for form in forms)
    assert len(set(forms)) == len(forms) > 100


def test_each_is_read_with_every_structure_and_what_is_misread_is_named(
    outside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(segmenter: Segmenter, texts: Sequence[str]) -> list[Understanding]:
        asked = [next((o.name for o in ORGANS if text == f"show {o.name}"), None) for text in texts]
        return [
            Understanding(Intent("anatomy", organ, frame="patient") if organ else Intent("none"), 0.9)
            for organ in asked
        ]

    monkeypatch.setattr(bench_plain, "read", read)
    rows = bench_plain.bench_plain(outside / "m")
    assert not rows.duplicated(["form", "organ"]).any()
    assert len(rows) == rows["form"].nunique() * len(ORGANS)
    by_form = rows[rows["asks"] == "asking"].groupby("form")["right"]
    assert by_form.all().loc[lambda right: right].index.tolist() == ["show {organ}"]
    assert rows.loc[rows["asks"] == "not_asking", "right"].all()
    bench_plain.show(rows)
    printed = capsys.readouterr()
    assert "mask of the {organ}" in printed.out + printed.err
    assert "show {organ}" not in printed.out + printed.err, "nothing to tell"
