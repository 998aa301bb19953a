"""Baselines answer the very cases of an evaluation: replayed, the model itself scores what it scored."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from rich.console import Console

import pipelines.baselines
from corpus.errors import InputError
from corpus.files import file_sha256
from corpus.params import PARAMS, load_params, plain
from corpus.scans.ingest_params import SourceParams
from corpus.scans.phantom import PhantomParams, write_cohort
from model.canonicalizer import known_pose
from model.data import SplitData
from model.groups import IDENTITY
from model.inference import Segmentation, Segmenter
from model.studies import unet as unet_module
from model.studies.baselines import Asked, Baseline, figures, keywords, random_slices, replay, segmenter_alone
from model.testing.asked import read_prompts
from model.testing.evaluation import Trial, evaluate
from model.testing.held_out import held_out_requests
from model.training.params import TrainParams, rate
from pipelines.baselines import BASELINES, TABLE, overlaid, run_baselines, show
from pipelines.evaluate_source import Protocol, prepare
from pipelines.runs import LOCK
from prompts.targets import ABSENT
from tests.model.test_flans import PARAMS as SMALL
from tests.pipelines.conftest import REPOSITORY
from tests.pipelines.outside import write_outside

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pipeline leaves: slices, a data set, an untrained model and its cases."""
    folder = tmp_path_factory.mktemp("project")
    write_outside(folder)
    write_cohort(PhantomParams(patients=3, size=64, spacing_mm=6.0, slice_mm=40.0), folder / "scans")
    params = yaml.safe_load((folder / PARAMS).read_text())
    params["model"] |= {key: value for key, value in plain(SMALL).items() if not key.endswith("encoder")}
    for section, steps in (("train_segmenter", 3), ("train_joint", 2)):
        params[section] |= {"steps": steps, "warmup": 2, "batch_size": 2, "validate_every": 2, "threads": 1}
    (folder / PARAMS).write_text(yaml.safe_dump(params))
    (folder / "examples").symlink_to(REPOSITORY / "examples")

    work, dataset = folder / "work", folder / "data/dataset"
    work.mkdir()
    texts, _ = held_out_requests(folder / "m", dataset)
    protocol = Protocol.load(folder / PARAMS, "phantom", SourceParams("nnunet", folder / "scans"))
    prepare("phantom", protocol, texts, work)
    (folder / "data/slices").mkdir(parents=True)
    (work / "slices").rename(folder / "data/slices/phantom")
    dataset.mkdir()
    for name in ("slices", "samples"):
        table = pd.read_parquet(work / f"{name}.parquet")
        split = table["patient"].map(dict(zip(sorted(set(table["patient"])), ("train", "val", "test"), strict=True)))
        table.assign(split=split, weight=1.0).to_parquet(dataset / f"{name}.parquet", index=False)
    manifest = {"sha256": {name: file_sha256(dataset / name) for name in ("slices.parquet", "samples.parquet")}}
    manifest["sources"] = {"phantom": 1}
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    (folder / "models").mkdir()
    (folder / "m").rename(folder / "models/flans")

    segmenter = Segmenter.from_pretrained(folder / "models/flans")
    data = SplitData(dataset, folder / "data/slices/phantom", "test")
    trial = Trial(segmenter, data, read_prompts(segmenter, texts), protocol.evaluate, protocol.targets)
    cases = evaluate(trial).cases
    (folder / "evaluation").mkdir()
    cases.assign(domain="in").to_parquet(folder / "evaluation/cases.parquet", index=False)
    return folder


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def cases(project: Path) -> pd.DataFrame:
    cases = pd.read_parquet(project / "evaluation/cases.parquet")
    return cases[cases["transform"] != "rotated"]


@pytest.fixture
def data(project: Path) -> SplitData:
    return SplitData(project / "data/dataset", project / "data/slices/phantom", "test")


def test_replayed_the_model_scores_what_it_scored(project: Path, cases: pd.DataFrame, data: SplitData) -> None:
    model = Segmenter.from_pretrained(project / "models/flans")
    again = replay(cases, data, segmenter_alone(model))
    keys = ["slice_id", "transform", "prompt_id", "kind", "target"]
    both = cases.merge(again, on=keys, suffixes=("", "_again"))
    assert len(both) == len(again) == len(cases) > 50
    assert cases["transform"].nunique() > 2
    for metric in ("dice", "nsd", "hd95"):
        assert np.allclose(both[metric], both[f"{metric}_again"], equal_nan=True, atol=1e-4)


def test_the_truth_scores_one_and_nothing_scores_nothing(cases: pd.DataFrame, data: SplitData) -> None:
    shown = cases[cases["kind"] != "absent"]
    assert (replay(shown, data, lambda asked: asked.truths)["dice"] == 1).all()
    assert (replay(shown, data, lambda asked: np.zeros_like(asked.truths))["dice"] == 0).all()


def test_what_is_shown_lies_as_the_case_says(cases: pd.DataFrame, data: SplitData) -> None:
    """The told masks lie on the picture that is shown: the lung is dark there, however it is turned."""
    seen = set()

    def check(asked: Asked) -> np.ndarray:
        for organ, truth in zip(asked.organs, asked.truths, strict=True):
            if organ == "lung" and truth.sum() > 20:
                seen.add(truth.tobytes())
                assert np.median(asked.image[truth]) < -500
        return asked.truths

    replay(cases, data, check)
    assert len(seen) > 1


@pytest.mark.parametrize("baseline", [segmenter_alone, keywords])
def test_who_answers_is_told_what_the_source_labels(
    baseline: Callable[[Segmenter], Baseline], project: Path, data: SplitData, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[frozenset[int]] = []
    segment = Segmenter.segment

    def watched(self: Segmenter, *args: Any, among: frozenset[int], **others: Any) -> Segmentation:
        told.append(among)
        return segment(self, *args, among=among, **others)

    monkeypatch.setattr(Segmenter, "segment", watched)
    image, label = data.read(0)
    asked = Asked(image, ["the largest"], ["liver"], label[None] > 0, known_pose(IDENTITY), frozenset({1, 3}))
    assert baseline(Segmenter.from_pretrained(project / "models/flans"))(asked).shape == (1, *image.shape)
    assert told == [{1, 3}]


def test_masks_that_have_changed_since_are_refused(cases: pd.DataFrame, data: SplitData) -> None:
    with pytest.raises(InputError, match="have changed since"):
        replay(cases.assign(area_mm2=cases["area_mm2"] + 36), data, lambda asked: asked.truths)
    with pytest.raises(InputError, match="no test slice"):
        replay(cases.assign(slice_id="gone"), data, lambda asked: asked.truths)


def test_one_table_and_nothing_is_trained_twice(
    inside: Path, cases: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = run_baselines(["unet", "keywords", "no_canonicalizer"], 1)
    assert list(dict.fromkeys(table["baseline"])) == ["flans", "keywords", "no_canonicalizer", "unet"]
    assert len(pd.read_csv(TABLE)) == len(table)
    counts = table.pivot_table(index=["scan", "kind"], columns="baseline", values="cases")
    assert (counts["keywords"] == counts["flans"]).all()
    assert (counts["no_canonicalizer"] == counts["flans"]).all()
    assert set(counts["unet"].dropna().index.get_level_values("kind")) == {"anatomy", "absent"}
    mine = figures(cases).set_index(["scan", "kind"])
    assert np.allclose(table[table["baseline"] == "flans"].set_index(["scan", "kind"])["dice"], mine["dice"])

    def trained(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(unet_module, "fit", trained)
    again = run_baselines(["unet"], 1)
    first = table[table["baseline"] == "unet"]["dice"]
    assert np.array_equal(again[again["baseline"] == "unet"]["dice"], first)
    params = yaml.safe_load(Path(PARAMS).read_text())
    params["augment"]["scale"] = 0.01
    Path("other.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setattr("pipelines.baselines.load_params", lambda name, cls: load_params(name, cls, Path("other.yaml")))
    with pytest.raises(AssertionError, match="trained again"):
        run_baselines(["unet"], 1)


def test_the_table_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"dice": 0.8125, "dice_low": 0.7512, "dice_high": 0.8731, "nsd": 0.8, "understood": np.nan}
    rows = [
        {"baseline": name, "scan": scan, "kind": kind, "cases": 77 if name == "lite_medsam" else 123456} | figures
        for name in ("flans", *BASELINES)
        for scan in ("original", "transformed")
        for kind in ("displayed", "position", ABSENT)
        if name != "unet" or kind == ABSENT
    ]
    out = io.StringIO()
    monkeypatch.setattr("pipelines.baselines.results", Console(file=out, width=80))
    show(pd.DataFrame(rows))
    said = out.getvalue()
    assert "…" not in said
    assert all(len(line) <= 80 for line in said.splitlines())
    cells = [cell.strip() for line in said.splitlines() for cell in re.split("[│┃]", line)]
    shown = 2 * (3 * len(BASELINES) + 1)
    assert (cells.count("0.812"), cells.count("0.75-0.87"), cells.count("77 cases")) == (shown, shown, 6)
    assert {"canonicalizer_", "augmented", "medsam", "displayed", "123,456 cases"} <= set(cells)


def test_a_unet_learns_within_its_time(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget of seconds sets the number of steps; a unet's masks fit the slice. `flans baselines` goes on with the
    U-Net, so it is trained in this process alone."""
    from pipelines.baselines import unet

    monkeypatch.setenv("FLANS_DEVICES", "2")
    watching = replace(load_params("train_segmenter", TrainParams), patience=2, watch="organ")  # which it hasn't
    of_stage = {"train_segmenter": watching}
    monkeypatch.setattr(
        pipelines.baselines, "load_params", lambda name, kind: of_stage.get(name) or load_params(name, kind)
    )
    network = unet(Path("models/timed"), seconds=1e-9)
    assert json.loads(Path("models/timed/config.json").read_text())["steps"] == 1
    assert network.labels(np.zeros((30, 50), np.int16)).shape == (30, 50)
    assert not network.training
    assert next(network.parameters()).dtype == torch.float32


def test_what_is_wrong_is_said(inside: Path) -> None:
    with pytest.raises(InputError, match="none is called magic"):
        run_baselines(["magic"], 1)
    joint, evaluate = {"outs": [{"path": "models/flans", "md5": "new.dir"}]}, {"path": "models/flans", "md5": "old.dir"}
    LOCK.write_text(json.dumps({"stages": {"train_joint": joint, "evaluate": {"deps": [evaluate]}}}))
    with pytest.raises(InputError, match="found those of another training"):
        run_baselines(["keywords"], 1)


def test_overlays_are_trained_in_as_many_steps(inside: Path) -> None:
    changes = overlaid("no_canonicalizer_augmented")
    assert changes["canonicalizer.kind"] == "identity"
    assert (changes["train_segmenter.steps"], changes["train_joint.steps"]) == (1, 5)
    upright = load_params("train_segmenter", TrainParams)
    first = {key: changes[f"train_segmenter.{key}"] for key in ("steps", "warmup", "learning_rate")}
    assert rate(0, replace(upright, **first)) == rate(0, upright) < upright.learning_rate
    assert overlaid("learned") == {"model.resolve": "learned"}


def test_some_slices_are_the_same_ones_every_time(cases: pd.DataFrame) -> None:
    assert set(random_slices(cases, 2, 0)["slice_id"]) == set(random_slices(cases, 2, 0)["slice_id"])
    assert random_slices(cases, 2, 0)["slice_id"].nunique() == 2
