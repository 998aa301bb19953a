"""Folds test everybody once; a limit keeps from training alone, and less is a part of more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from corpus.errors import InputError
from prompts.dataset import build_dataset
from prompts.splits import FoldParams, LimitParams, split_patients
from tests.prompts.test_dataset import HALF, PARAMS, TARGETS, inputs

PATIENTS = pd.DataFrame({"source": ["s"] * 13 + ["t"] * 7, "patient": [f"p{i}" for i in range(20)]})


def test_over_all_folds_everybody_is_tested_on_once() -> None:
    folds = [split_patients(PATIENTS, HALF, 0, fold=FoldParams(of=5, test=k)) for k in range(5)]
    tested = [{name for name, split in fold.items() if split == "test"} for fold in folds]
    assert sorted(name for names in tested for name in names) == sorted(PATIENTS["patient"])
    for fold in folds:
        assert fold.keys() == set(PATIENTS["patient"])
        for _, group in PATIENTS.groupby("source"):
            assert {fold[name] for name in group["patient"]} == {"train", "val", "test"}


def test_too_few_patients_for_the_folds_are_named() -> None:
    with pytest.raises(InputError, match=r"source t: expected patients for 8 folds.*found 7"):
        split_patients(PATIENTS, HALF, 0, fold=FoldParams(of=8, test=0))
    with pytest.raises(ValueError, match="from 0 to of - 1"):
        FoldParams(of=5, test=5)


def test_a_source_to_validate_on_is_asked_for() -> None:
    with pytest.raises(InputError, match=r"a source that is left to validate on, found s, t named"):
        split_patients(PATIENTS, HALF, 0, whole={"s": "train", "t": "test"})


def built(out: Path, limit: LimitParams) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    build_dataset(*inputs(20), replace(TARGETS, absent=0), replace(PARAMS, limit=limit), out)
    return tuple(pd.read_parquet(out / f"{name}.parquet") for name in ("slices", "samples", "texts"))  # type: ignore[return-value]


def used(table: pd.DataFrame, column: str, *splits: str) -> set[str]:
    return set(table.loc[table["split"].isin(splits), column])


def test_a_limit_keeps_from_training_alone_and_less_is_a_part_of_more(tmp_path: Path) -> None:
    limits = (LimitParams(), LimitParams(patients=0.5, texts=0.5), LimitParams(patients=0.1, texts=0.01))
    made = [built(tmp_path / str(i), limit) for i, limit in enumerate(limits)]
    for slices, samples, texts in made:
        for table, whole, column in ((samples, made[0][1], "slice_id"), (texts, made[0][2], "prompt_id")):
            assert used(table, column, "val", "test") == used(whole, column, "val", "test")
        assert set(samples["patient"]) <= used(slices, "patient", "train", "val", "test")
    patients = [used(slices, "patient", "train") for slices, _, _ in made]
    assert [len(names) for names in patients] == [12, 6, 1]
    assert patients[0] > patients[1] > patients[2]
    texts = [used(table, "prompt_id", "train") for _, _, table in made]
    assert texts[0] > texts[1] > texts[2]
    smallest = made[2][2]
    assert (smallest[smallest["split"] == "train"].groupby(["kind", "target"]).size() == 1).all()


def test_short_requests_alone(tmp_path: Path) -> None:
    _, samples, texts = built(tmp_path, LimitParams(words=6))
    train = texts[texts["split"] == "train"]
    length = train["text"].str.split().str.len()
    assert length[train["target"] == "liver"].max() <= 6
    assert length[train["target"] == "portal vein and splenic vein"].min() > 6, "the shortest, where there is no other"
    assert texts.loc[texts["split"] == "test", "text"].str.split().str.len().max() > 6
    assert set(samples["split"]) == {"train", "val", "test"}
