"""Splits don't leak, requests meet only masks of which they are true, and the same inputs give the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpus.anatomy import named_organs
from corpus.errors import InputError
from prompts.dataset import DatasetParams, build_dataset
from prompts.facts import FACTS, shapes, slice_facts
from prompts.splits import SplitParams, split_patients, split_texts, words
from prompts.targets import TargetParams
from prompts.variants import variants

HALF = SplitParams(val=0.2, test=0.2)
PARAMS = DatasetParams(
    seed=0, patients=HALF, texts=HALF, near_copy=0.8, requests={"train": 2, "val": 1, "test": 1}, variants=0.2
)
TARGETS = TargetParams(position_margin_mm=5, size_ratio=1.25, min_area_mm2=10, absent=1)


def inputs(patients: int = 10) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A slice table, facts and a bank: one slice a patient, a liver above and to the left of a smaller spleen."""
    label = np.zeros((30, 60), np.uint8)
    label[2:20, 3:20], label[18:28, 45:55] = 1, 2
    slices, facts = [], []
    for i in range(patients):
        keys = {"slice_id": f"s/{i}/0", "source": "s", "patient": f"s/{i}", "volume": str(i)}
        slices.append(keys | {"labelled": [1, 2, 3, 4], "present": [1, 2], "modality": "CT"})
        facts += [keys | f for f in slice_facts(shapes(label), (1.0, 1.0), {1, 2})]
    cells = [("anatomy", o, None) for o in ("liver", "spleen", "left kidney", "right kidney", "kidney")]
    cells += [("position", None, a) for a in ("leftmost", "rightmost", "topmost", "bottommost")]
    cells += [("size", None, a) for a in ("largest", "smallest")] + [("none", None, None)]
    bank = [
        {
            "prompt_id": hashlib.sha256(f"{kind}{organ}{attribute}{n}".encode()).hexdigest()[:16],
            "text": f"{organ or attribute or 'nothing'} request number{n} alpha{n} beta{n}",
            "kind": kind,
            "organ": organ,
            "attribute": attribute,
            "frame": "patient" if organ else "image",
            "style": "lay",
            "cell": f"{kind}/{organ or attribute}/lay",
        }
        for kind, organ, attribute in cells
        for n in range(20)
    ]
    return pd.DataFrame(slices), FACTS.validate(pd.DataFrame(facts)), pd.DataFrame(bank)


def test_patients_and_texts_lie_in_one_split(tmp_path: Path) -> None:
    manifest = build_dataset(*inputs(), TARGETS, PARAMS, tmp_path)
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    for column in ("patient", "prompt_id", "text"):
        assert (samples.groupby(column)["split"].nunique() == 1).all()
    assert manifest["patients"] == {"test": 2, "train": 6, "val": 2}
    assert set(samples["split"]) == {"train", "val", "test"}


def test_requests_are_true_of_their_masks(tmp_path: Path) -> None:
    build_dataset(*inputs(), TARGETS, PARAMS, tmp_path)
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    truth = {"leftmost": "liver", "rightmost": "spleen", "topmost": "liver", "bottommost": "spleen"}
    truth |= {"largest": "liver", "smallest": "spleen"}
    assert set(samples["attribute"].dropna()) == set(truth)
    for row in samples.to_dict("records"):
        assert row["text"].startswith(row["attribute"] if row["kind"] in ("position", "size") else row["organ"])
        if row["kind"] in ("position", "size"):
            assert row["organ"] == truth[row["attribute"]]
    per_target = samples[samples["split"] == "train"].groupby(["slice_id", "kind", "organ", "attribute"], dropna=False)
    assert (per_target["prompt_id"].nunique() == 2).all(), "two different requests a target in training"


def test_absent_organs_are_asked_for_by_name(tmp_path: Path) -> None:
    build_dataset(*inputs(), TARGETS, PARAMS, tmp_path)
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    absent = samples[samples["kind"] == "absent"]
    assert set(absent["organ"]) == {"left kidney", "right kidney", "kidney"}, "labelled organs that no slice shows"
    assert (absent.groupby("slice_id")["organ"].nunique() == TARGETS.absent).all()
    assert set(absent["slice_id"]) == set(samples["slice_id"])
    bank = inputs()[2].set_index("prompt_id")
    assert (absent["prompt_id"].map(bank["organ"]) == absent["organ"]).all()
    none = TargetParams(position_margin_mm=5, size_ratio=1.25, min_area_mm2=10, absent=0)
    build_dataset(*inputs(), none, PARAMS, tmp_path / "none")
    assert "absent" not in set(pd.read_parquet(tmp_path / "none/samples.parquet")["kind"])


def test_variants_ask_for_what_they_are_made_of(tmp_path: Path) -> None:
    build_dataset(*inputs(), TARGETS, PARAMS, tmp_path)
    texts = pd.read_parquet(tmp_path / "texts.parquet").set_index("prompt_id")
    made = pd.read_parquet(tmp_path / "variants.parquet")
    assert set(made["variant"]) >= {"misspelt", "elsewhere"}
    source = texts.loc[made["prompt_id"].str.split("-").str[1]].reset_index()
    assert (made["split"] == source["split"]).all(), "a variant of a held-out text is held out"
    gone = made["variant"] == "elsewhere"
    assert (made.loc[gone, "kind"] == "none").all()
    assert not any(named_organs(text) for text in made.loc[gone, "text"])
    for column in ("kind", "organ", "attribute"):
        assert (made.loc[~gone, column].fillna("") == source.loc[~gone, column].fillna("")).all()
    assert not set(made["text"]) & set(texts["text"])


def test_a_case_stands_before_the_request() -> None:
    case = {"prompt_id": "a", "text": "Gallstones, no wall thickening.", "kind": "none", "split": "train"}
    asked = {"prompt_id": "b", "text": "Outline the liver.", "kind": "anatomy", "organ": "liver", "split": "train"}
    made = variants(pd.DataFrame([case, asked]), 1.0, 0).query("variant == 'context'").set_index("prompt_id")
    text = made.loc["context-b", "text"]
    assert "Gallstones, no wall thickening" in text
    assert "utline the liver" in text
    assert (made.loc["context-b", ["kind", "organ"]] == ["anatomy", "liver"]).all()


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    first = build_dataset(*inputs(), TARGETS, PARAMS, tmp_path / "a")
    slices, facts, bank = inputs()
    second = build_dataset(slices, facts, bank, TARGETS, PARAMS, tmp_path / "b")
    assert first == second
    for name in first["sha256"]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_near_copies_of_training_requests_are_dropped_from_the_others() -> None:
    texts = [f"please outline the liver on slice {i}" for i in range(30)]
    bank = pd.DataFrame({"prompt_id": [str(i) for i in range(30)], "text": texts, "cell": "anatomy/liver/lay"})
    split = split_texts(bank, HALF, seed=0, near=0.7)
    assert set(split) == {"train", "dropped"}
    kept = split_texts(bank, HALF, seed=0, near=0.9)
    assert set(kept) == {"train", "val", "test"}
    assert words("Outline the LIVER, please!") == {"outline", "the", "liver", "please"}


def test_every_source_is_in_every_split() -> None:
    patients = pd.DataFrame(
        {"source": ["a"] * 3 + ["b"] * 8, "patient": [f"a/{i}" for i in range(3)] + [f"b/{i}" for i in range(8)]}
    )
    split = split_patients(patients, HALF, seed=1)
    for source in "ab":
        assert {v for k, v in split.items() if k.startswith(source)} == {"train", "val", "test"}


def test_two_patients_are_too_few() -> None:
    with pytest.raises(InputError, match="at least three patients"):
        split_patients(pd.DataFrame({"source": ["a", "a"], "patient": ["a/1", "a/2"]}), HALF, seed=0)


def test_an_empty_cell_is_named(tmp_path: Path) -> None:
    slices, facts, bank = inputs()
    with pytest.raises(InputError, match="requests of kind anatomy for spleen"):
        build_dataset(slices, facts, bank[bank["organ"] != "spleen"], TARGETS, PARAMS, tmp_path)


def test_a_sample_whose_text_is_false_of_its_mask_is_left_out_and_counted(tmp_path: Path) -> None:
    slices, facts, bank = inputs()
    manifest = build_dataset(slices, facts, bank, TARGETS, PARAMS, tmp_path / "true")
    assert manifest["verified"]["false"] == {}
    assert manifest["verified"]["claims"] > 50
    whole = sum(manifest["samples"]["train"].values())
    leftmost, liver = bank["attribute"] == "leftmost", bank["organ"] == "liver"
    bank.loc[leftmost, "text"] = "rightmost" + bank.loc[leftmost, "text"].str.removeprefix("leftmost")
    bank.loc[liver, "text"] += " on this CT image"
    slices["modality"] = ["MR"] * 5 + ["CT"] * 5
    manifest = build_dataset(slices, facts, bank, TARGETS, PARAMS, tmp_path / "false")
    false = manifest["verified"]["false"]
    assert set(false) == {"rightmost", "CT"}
    samples = pd.read_parquet(tmp_path / "false/samples.parquet")
    assert "leftmost" not in set(samples["attribute"])
    on_ct = samples[samples["text"].str.contains("CT image")]["patient"]
    assert set(on_ct) == {f"s/{i}" for i in range(5, 10)}
    assert whole > sum(manifest["samples"]["train"].values()) > 0
