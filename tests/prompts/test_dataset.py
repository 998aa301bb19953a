"""Splits don't leak, requests meet only masks of which they are true, and the same inputs give the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpus.anatomy import BY_NAME, named_organs
from corpus.errors import InputError
from prompts.bank import WRITTEN
from prompts.dataset import SAMPLES, DatasetParams, assign, build_dataset, weights
from prompts.duplicates import words
from prompts.facts import FACTS, shapes, slice_facts
from prompts.kinds import Cell, cells, kinds
from prompts.rules import ANSWERS, Scene, slice_answers
from prompts.splits import FoldParams, SplitParams, kept_apart, split_patients, split_texts
from prompts.targets import TargetParams, eligible, intent_of
from prompts.variants import variants
from prompts.wording.claims import claims

HALF = SplitParams(val=0.2, test=0.2)
PARAMS = DatasetParams(
    seed=0, patients=HALF, texts=HALF, near_copy=0.8, requests={"train": 2, "val": 1, "test": 1}, variants=0.2
)
TARGETS = TargetParams(position_margin_mm=5, size_ratio=1.25, min_area_mm2=10, absent=1)


def inputs(patients: int = 10) -> tuple[pd.DataFrame, ...]:
    """A slice table, facts, answers and a bank: one slice a patient, a liver above and to the left of a smaller
    spleen."""
    label = np.zeros((30, 60), np.uint8)
    label[2:20, 3:20], label[18:28, 45:55] = 1, 2
    slices, facts, answers = [], [], []
    for i in range(patients):
        keys = {"slice_id": f"s/{i}/0", "source": "s", "patient": f"s/{i}", "volume": str(i)}
        slices.append(keys | {"labelled": [1, 2, 3, 4], "present": [1, 2], "specks_only": [], "modality": "CT"})
        facts += [keys | f for f in slice_facts(shapes(label), (1.0, 1.0), {1, 2})]
        found = slice_answers(Scene(label[None], (1.0, 1.0), {1, 2}))
        answers += [{"slice_id": keys["slice_id"]} | f for f in found]
    lay = [cell for cell in cells(dict.fromkeys(kinds(), 1)) if cell.style == "lay"]
    bank = [
        {
            "prompt_id": hashlib.sha256(f"{cell.name}{n}".encode()).hexdigest()[:16],
            "text": f"{cell.target} {cell.kind} request alpha{c}x{n} beta{c}x{n} gamma{c}x{n}",
            "kind": cell.kind,
            **cell.intent.row,
            "style": "lay",
            "provider": "written" if n % 4 == 0 else "offline",
            "cell": cell.name,
        }
        for c, cell in enumerate([*lay, Cell("none", "none", "lay")])
        for n in range(12)
    ]
    tables = pd.DataFrame(slices), FACTS.validate(pd.DataFrame(facts)), ANSWERS.validate(pd.DataFrame(answers))
    return *tables, pd.DataFrame(bank)


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
    truth |= {"largest": "liver", "smallest": "spleen", "left of spleen": "liver", "right of liver": "spleen"}
    truth |= {"above spleen": "liver", "below liver": "spleen", "liver": "liver", "spleen": "spleen"}
    there = samples[samples["kind"] != "absent"]
    assert set(there["target"]) == set(truth)
    assert set(there["kind"]) == {"anatomy", "position", "size", "relation", "negated"}
    for row in there.to_dict("records"):
        assert row["text"].startswith(f"{row['target']} {row['kind']}")
        assert row["organ"] == truth[row["target"]]
    per_target = samples[samples["split"] == "train"].groupby(["slice_id", "kind", "target"])
    assert (per_target["prompt_id"].nunique() == 2).all(), "two different requests a target in training"


def test_each_provider_asks_for_a_mask_in_turn() -> None:
    _, facts, answers, bank = inputs()
    targets = eligible(facts, answers, TARGETS).query("kind == 'anatomy'").assign(split="train")
    texts = bank.assign(split="train")
    samples = assign(targets, texts, {"train": 2}, 0)
    provider = samples["prompt_id"].map(texts.set_index("prompt_id")["provider"])
    assert (provider.groupby([samples["slice_id"], samples["target"]]).nunique() == 2).all(), (
        "of both, though one has few"
    )
    often = samples.groupby([provider, samples["target"], "prompt_id"]).size()
    assert (often.groupby(level=[0, 1]).agg(np.ptp) <= 1).all(), "none is repeated before all have been drawn"


def test_a_mask_is_asked_for_once_in_the_same_words(tmp_path: Path) -> None:
    slices, facts, answers, bank = inputs()
    few = bank[bank.groupby("cell").cumcount() < 5]
    more = replace(PARAMS, requests={"train": 3, "val": 1, "test": 2})
    build_dataset(slices, facts, answers, few, TARGETS, more, tmp_path)
    samples = SAMPLES.validate(pd.read_parquet(tmp_path / "samples.parquet"))
    assert not samples.duplicated(["slice_id", "organ", "kind", "text"]).any()
    wanted = [intent_of(*asked).attribute or "" for asked in zip(samples["kind"], samples["target"], strict=True)]
    assert samples["attribute"].fillna("").tolist() == wanted
    asked = samples[samples["split"] == "train"].groupby(["slice_id", "organ", "kind", "target"]).size()
    texts = pd.read_parquet(tmp_path / "texts.parquet")
    there = texts[texts["split"] == "train"].groupby(["kind", "target"]).size()
    assert there.between(2, 4).all()
    for target, count in asked[:, :, "anatomy"].groupby("target").min().items():
        assert count >= min(2, there["anatomy", target])


def test_absent_organs_are_asked_for_by_name(tmp_path: Path) -> None:
    build_dataset(*inputs(), TARGETS, PARAMS, tmp_path)
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    absent = samples[samples["kind"] == "absent"]
    assert set(absent["organ"]) == {"left kidney", "right kidney", "kidney"}, "labelled organs that no slice shows"
    assert (absent.groupby("slice_id")["organ"].nunique() == TARGETS.absent).all()
    assert set(absent["slice_id"]) == set(samples["slice_id"])
    bank = inputs()[-1].set_index("prompt_id")
    assert (absent["prompt_id"].map(bank["organ"]) == absent["organ"]).all()
    slices, *others = inputs()
    specks = slices.assign(specks_only=[[BY_NAME["left kidney"].id]] * len(slices))
    build_dataset(specks, *others, TARGETS, PARAMS, tmp_path / "specks")
    samples = pd.read_parquet(tmp_path / "specks/samples.parquet")
    assert set(samples.loc[samples["kind"] == "absent", "organ"]) == {"right kidney"}, "a kidney's specks are there"
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
    for column in ("kind", "asks", "target"):
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
    second = build_dataset(*inputs(), TARGETS, PARAMS, tmp_path / "b")
    assert first == second
    for name in first["sha256"]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_near_copies_of_training_requests_are_dropped_from_the_others() -> None:
    texts = [f"please outline the liver on slice {i}" for i in range(30)]
    bank = pd.DataFrame({"prompt_id": [str(i) for i in range(30)], "read": texts, "cell": "anatomy/liver/lay"})
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


def test_a_source_out_of_domain_is_for_testing_alone(tmp_path: Path) -> None:
    patients = pd.DataFrame(
        {"source": ["a"] * 3 + ["b"] * 2, "patient": [f"a/{i}" for i in range(3)] + [f"b/{i}" for i in range(2)]}
    )
    split = split_patients(patients, HALF, seed=1, whole={"b": "test"})
    assert {v for k, v in split.items() if k.startswith("b")} == {"test"}
    assert {v for k, v in split.items() if k.startswith("a")} == {"train", "val", "test"}
    with pytest.raises(InputError, match="expected a source that is left to train on"):
        split_patients(patients, HALF, seed=1, whole={"a": "test", "b": "test"})
    with pytest.raises(InputError, match="no source is called elsewhere"):
        build_dataset(*inputs(), TARGETS, replace(PARAMS, out_of_domain=("elsewhere",)), tmp_path)


def test_a_source_for_training_alone_helps_the_others(tmp_path: Path) -> None:
    patients = pd.DataFrame(
        {"source": ["a"] * 10 + ["b"] * 2, "patient": [f"a/{i}" for i in range(10)] + ["b/0", "b/1"]}
    )
    split = split_patients(patients, HALF, seed=1, whole={"b": "train"}, fold=FoldParams(5, 2))
    assert {v for k, v in split.items() if k.startswith("b")} == {"train"}
    assert sum(v == "test" for v in split.values()) == 2
    with pytest.raises(InputError, match="expected a source that is left to validate on"):
        split_patients(patients, HALF, seed=1, whole={"a": "train", "b": "train"})
    with pytest.raises(InputError, match=r"training_only.*\n?.*no source is called elsewhere"):
        build_dataset(*inputs(), TARGETS, replace(PARAMS, training_only=("elsewhere",)), tmp_path)
    with pytest.raises(ValueError, match="b can't be in both"):
        replace(PARAMS, training_only=("b",), out_of_domain=("b",))


def test_a_small_source_can_be_drawn_as_often_as_a_large_one() -> None:
    slices = pd.DataFrame({"source": ["a"] * 9 + ["b"] * 5, "split": "train", "slice_id": [str(i) for i in range(14)]})
    asked = slices["slice_id"][:10]  # of b one slice has samples, and so is drawn
    assert set(weights(slices, asked, 0.0)) == {1.0}
    drawn = weights(slices, asked, 1.0)[:10].groupby(slices["source"]).sum()
    assert drawn["a"] == pytest.approx(drawn["b"])
    between = weights(slices, asked, 0.5)[:10].groupby(slices["source"]).sum()
    assert between["a"] == pytest.approx(3 * between["b"])
    assert np.isfinite(weights(slices, asked[:9], 1.0)).all(), "of b none"


def test_texts_made_of_others_bring_no_copy_to_the_other_side() -> None:
    texts = pd.DataFrame({"read": ["where is the liver now please", "find the spleen"], "split": ["train", "test"]})
    made = pd.DataFrame(
        [
            ("where is the nose now please", "test"),
            ("where's the toe", "test"),
            ("the spleen: find!", "train"),
            ("dizzy, find the aorta in it", "train"),
            ("find the aorta in it: dizzy", "val"),
        ],
        columns=["read", "split"],
    )
    assert kept_apart(made, texts, 0.6)["read"].tolist() == ["dizzy, find the aorta in it", "where's the toe"]


def test_a_patient_of_two_sources_is_on_one_side() -> None:
    hashes = [f"id-{i:012x}" for i in range(40)]
    patients = pd.DataFrame([(s, f"{s}/{h}") for s in "ab" for h in hashes], columns=["source", "patient"])
    for fold in (None, FoldParams(5, 2)):
        split = split_patients(patients, HALF, seed=1, fold=fold)
        assert set(split.values()) == {"train", "val", "test"}
        assert all(split[f"a/{h}"] == split[f"b/{h}"] for h in hashes)
    whole = split_patients(
        pd.concat([patients, patients.tail(3).assign(source="c")]), HALF, seed=1, whole={"c": "test"}
    )
    assert {whole[patient] for patient in patients["patient"].tail(3)} == {"test"}
    with pytest.raises(InputError, match=r"expected nobody of both .* found 3"):
        split_patients(
            pd.concat([patients, *(patients.tail(3).assign(source=s) for s in "cd")]),
            HALF,
            1,
            {"c": "train", "d": "test"},
        )
    named = patients.assign(patient=patients["patient"].str.replace(r"/id-0{10}", "/case_", regex=True))
    split = split_patients(named, HALF, seed=1)
    assert any(split[f"a/case_{h[-2:]}"] != split[f"b/case_{h[-2:]}"] for h in hashes), "case_01 may be anybody"


def test_a_request_in_other_words_that_the_model_reads_alike_is_a_copy(tmp_path: Path) -> None:
    slices, facts, answers, accepted = inputs()
    more = accepted[accepted["cell"] == "anatomy/liver/lay"].copy()
    more["text"] = [f"show me the {name}" for name in ["hepar", "livr", "Liver", "organ that makes bile"] * 3]
    more["prompt_id"] = [f"{i:016x}" for i in range(len(more))]
    build_dataset(slices, facts, answers, pd.concat([accepted, more]), TARGETS, PARAMS, tmp_path)
    texts = pd.read_parquet(tmp_path / "texts.parquet").set_index("prompt_id").loc[more["prompt_id"]]
    assert set(texts["read"]) == {"show me the liver"}
    assert set(texts["split"]) == {"train", "dropped"}


def test_two_patients_are_too_few() -> None:
    with pytest.raises(InputError, match="at least three patients"):
        split_patients(pd.DataFrame({"source": ["a", "a"], "patient": ["a/1", "a/2"]}), HALF, seed=0)


def test_masks_without_a_request_are_left_out_and_listed(tmp_path: Path) -> None:
    """As of a bank that its budget has cut short."""
    *rest, bank = inputs()
    whole = build_dataset(*rest, bank, TARGETS, PARAMS, tmp_path / "whole")
    assert whole["not_asked"] == 0
    cut = build_dataset(*rest, bank[bank["cell"] != "anatomy/spleen/lay"], TARGETS, PARAMS, tmp_path / "cut")
    left_out = pd.read_csv(tmp_path / "cut/not_asked.csv")
    assert cut["not_asked"] == left_out["masks"].sum() > 0
    assert set(zip(left_out["kind"], left_out["target"], strict=True)) <= {("anatomy", "spleen"), ("absent", "spleen")}
    samples = pd.read_parquet(tmp_path / "cut/samples.parquet")
    assert not ((samples["target"] == "spleen") & samples["kind"].isin(["anatomy", "absent"])).any()
    with pytest.raises(InputError, match=r"(?s)masks of split \w+, found none.*budget, max_calls_per_cell"):
        build_dataset(*rest, bank[bank["kind"] == "none"], TARGETS, PARAMS, tmp_path / "none")


def test_a_split_without_a_clear_mask_is_told(tmp_path: Path) -> None:
    slices, facts, answers, bank = inputs()
    patients = slices[["source", "patient"]]
    split = split_patients(patients, HALF, PARAMS.seed)
    for name in ("train", "val", "test"):
        shown = [table[table["slice_id"].map(lambda s: split[s[:-2]] != name)] for table in (facts, answers)]  # noqa: B023
        with pytest.raises(InputError, match=f"masks to ask for in split {name}"):
            build_dataset(slices, *shown, bank, replace(TARGETS, absent=0), PARAMS, tmp_path)


def test_of_two_equal_masks_neither_is_the_larger() -> None:
    with pytest.raises(ValueError, match="size_ratio must be above 1"):
        replace(TARGETS, size_ratio=1)


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"most\.size must be at least 0, but found -2"):
        replace(TARGETS, most={"size": -2})
    with pytest.raises(ValueError, match="absent must be at least 0, but found -1"):
        replace(TARGETS, absent=-1)
    with pytest.raises(ValueError, match="seed must be at least 0, but found -1"):
        replace(PARAMS, seed=-1)


@pytest.mark.parametrize("near_copy", [80, 0, 1.01])
def test_a_share_of_words_is_no_percentage(near_copy: float) -> None:
    with pytest.raises(ValueError, match="near_copy must be above 0 and at most 1"):
        replace(PARAMS, near_copy=near_copy)


def test_a_sample_whose_text_is_false_of_its_mask_is_left_out_and_counted(tmp_path: Path) -> None:
    slices, facts, answers, bank = inputs()
    manifest = build_dataset(slices, facts, answers, bank, TARGETS, PARAMS, tmp_path / "true")
    assert manifest["verified"]["false"] == {}
    assert manifest["verified"]["claims"] > 50
    whole = sum(manifest["samples"]["train"].values())
    leftmost, liver = bank["cell"] == "position/leftmost/lay", bank["cell"] == "anatomy/liver/lay"
    bank.loc[leftmost, "text"] = "rightmost" + bank.loc[leftmost, "text"].str.removeprefix("leftmost")
    bank.loc[leftmost, "provider"] = "offline"
    bank.loc[liver, "text"] += " on this CT image"
    slices["modality"] = ["MR"] * 5 + ["CT"] * 5
    manifest = build_dataset(slices, facts, answers, bank, TARGETS, PARAMS, tmp_path / "false")
    false = manifest["verified"]["false"]
    assert set(false) == {"rightmost", "CT"}
    samples = pd.read_parquet(tmp_path / "false/samples.parquet")
    assert "leftmost" not in set(samples.loc[samples["kind"] == "position", "target"])
    on_ct = samples[samples["text"].str.contains("CT image")]["patient"]
    assert set(on_ct) == {f"s/{i}" for i in range(5, 10)}
    assert whole > sum(manifest["samples"]["train"].values()) > 0


@pytest.mark.parametrize(
    ("text", "claimed"),
    [
        ("structure with the smallest x coordinate", ["leftmost"]),
        ("the mask whose centroid has the highest column index", ["rightmost"]),
        ("row index lowest: that structure", ["topmost"]),
        ("select label whose bbox.ymax is maximal", ["bottommost"]),
        ("smallest organ", ["smallest"]),
        ("max area", []),
    ],
)
def test_a_coordinate_is_a_place_and_no_size(text: str, claimed: list[str]) -> None:
    assert claims(text) == claimed


def test_what_people_wrote_is_not_left_out_for_words_that_turn_it_round(tmp_path: Path) -> None:
    slices, facts, answers, bank = inputs()
    leftmost = bank["cell"] == "position/leftmost/lay"
    bank.loc[leftmost, "text"] = [f"the one that everything is right of, {i}" for i in range(leftmost.sum())]
    bank.loc[leftmost, "provider"] = "offline"
    composed = build_dataset(slices, facts, answers, bank, TARGETS, PARAMS, tmp_path / "composed")
    assert set(composed["verified"]["false"]) == {"rightmost"}
    bank.loc[leftmost, "provider"] = WRITTEN
    written = build_dataset(slices, facts, answers, bank, TARGETS, PARAMS, tmp_path / "written")
    assert written["verified"]["false"] == {}
    samples = pd.read_parquet(tmp_path / "written/samples.parquet")
    assert samples["text"].str.startswith("the one that everything").any()


def test_what_is_not_meant_is_no_claim_of_what_is(tmp_path: Path) -> None:
    slices, facts, answers, bank = inputs()
    leftmost = bank["cell"] == "position/leftmost/lay"
    bank.loc[leftmost, "text"] = "not the rightmost one, the " + bank.loc[leftmost, "text"]
    manifest = build_dataset(slices, facts, answers, bank, TARGETS, PARAMS, tmp_path)
    assert manifest["verified"]["false"] == {}
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    assert samples["text"].str.startswith("not the rightmost one").any()


def test_kinds_that_could_have_dozens_of_targets_get_a_few(tmp_path: Path) -> None:
    few = replace(TARGETS, most={"relation": 2, "negated": 1})
    build_dataset(*inputs(), few, PARAMS, tmp_path)
    samples = pd.read_parquet(tmp_path / "samples.parquet")
    per_slice = samples.groupby(["slice_id", "kind"])["target"].nunique().unstack()
    assert set(per_slice["relation"]) == {2}
    assert set(per_slice["negated"]) == {1}
    assert samples.loc[samples["kind"] == "relation", "target"].nunique() > 2, "not the same ones in every slice"
