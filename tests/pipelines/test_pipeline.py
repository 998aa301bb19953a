"""The whole pipeline, end to end, on small data: every stage, and what is made of its outputs."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from corpus.anatomy import ORGANS
from corpus.scans.orientation import to_display
from pipelines import ingest
from prompts.kinds import kinds
from prompts.written import bare_names
from tests.pipelines.conftest import REPOSITORY, Flans, Shell

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]
SCAN = "data/raw/phantom/imagesTr/phantom_001_0000.nii"


def test_every_stage_wrote_what_the_next_one_reads(small: Path) -> None:
    slices = pd.read_parquet(small / "data/dataset/slices.parquet")
    samples = pd.read_parquet(small / "data/dataset/samples.parquet")
    assert set(samples["kind"]) == {"absent", *kinds()}
    splits = slices.groupby("patient")["split"].nunique()
    assert (splits == 1).all(), "a patient lies in one split"
    texts = samples.groupby("text")["split"].nunique()
    assert (texts == 1).all(), "a request lies in one split"
    review = pd.read_csv(small / "data/review/review.csv", encoding="utf-8-sig")
    assert {"anatomy", "position", "size"} <= set(review["kind"])
    assert review[["decision", "edited_text", "reviewer", "comment"]].isna().all(axis=None)
    pictures = review["picture"].dropna().unique()
    assert len(pictures) > 10
    assert all((small / "data/review" / picture).is_file() for picture in pictures)
    metrics = json.loads((small / "evaluation/metrics.json").read_text())
    for scan in ("original", "transformed"):
        assert {"absent", "anatomy", "position", "size", "pose"} <= set(metrics[scan])
    assert (small / "report/report.html").stat().st_size > 100_000


def test_every_kind_of_every_mask_is_asked(small: Path) -> None:
    """Each eligible fact has a sample: none is dropped but where a text's claim was held false, and counted."""
    facts = pd.read_parquet(small / "data/facts/phantom/phantom/slices.parquet")
    samples = pd.read_parquet(small / "data/dataset/samples.parquet")
    large = facts[facts["area_mm2"] >= 60]
    asked = {
        (s, o) for s, o in samples.loc[samples["kind"] == "anatomy", ["slice_id", "organ"]].itertuples(index=False)
    }
    assert asked == set(large[["slice_id", "organ"]].itertuples(index=False, name=None))
    clear = large[large["leftmost_mm"] >= 10]
    leftmost = samples[(samples["kind"] == "position") & (samples["attribute"] == "leftmost")]
    assert set(leftmost["slice_id"]) <= set(clear["slice_id"])
    missing = set(clear["slice_id"]) - set(leftmost["slice_id"])
    manifest = json.loads((small / "data/dataset/manifest.json").read_text())
    assert len(missing) <= sum(manifest["verified"]["false"].values())


def test_nothing_is_left_to_do_and_git_is_clean(small: Path, shell: Shell) -> None:
    start = os.times()
    assert "Data and pipelines are up to date." in shell("dvc repro")
    end = os.times()
    seconds = end.children_user + end.children_system - start.children_user - start.children_system
    assert seconds < 15, "of CPU time, which another worker's tests don't lengthen much"
    assert shell("git status --porcelain") == ""


def test_a_reviewers_decision_is_honoured(small: Path, shell: Shell) -> None:
    review = pd.read_csv(small / "data/review/review.csv", encoding="utf-8-sig", dtype=str)
    row = review[review["kind"] == "anatomy"].head(1).assign(decision="reject", reviewer="anna")
    decisions = small / "prompts/review/decisions/anna.csv"
    row.to_csv(decisions, index=False)
    try:
        shell("dvc repro review")
        accepted = pd.read_parquet(small / "data/review/accepted.parquet")
        assert row["prompt_id"].iloc[0] not in set(accepted["prompt_id"])
    finally:
        decisions.unlink()
        shell("dvc repro review")


def test_segment_a_volume_in_its_own_geometry(small: Path, flans: Flans) -> None:
    prompts = ["outline the liver", "the biggest thing in view", "thank you"]
    result = flans("segment", SCAN, *prompts, "--out", "answer")
    assert result.exit_code == 0, result.output
    assert "anatomy: liver" in result.stdout
    scan = nib.load(small / SCAN)
    for i in (1, 2, 3):
        mask = nib.load(small / f"answer/mask_{i}.nii.gz")
        assert mask.shape == scan.shape
        assert np.allclose(mask.affine, scan.affine)
        assert mask.get_data_dtype() == np.uint8
        Image.open(small / f"answer/overlay_{i}.png").verify()
    answers = json.loads((small / "answer/answers.json").read_text())
    assert [a["prompt"] for a in answers] == prompts


def test_segment_a_png_slice(small: Path, flans: Flans, tmp_path: Path) -> None:
    scan = nib.load(small / SCAN)
    image, _ = to_display(np.asarray(scan.dataobj), scan.affine)
    middle = image[len(image) // 2]
    grey = np.clip((middle.astype(float) + 160) / 400 * 255, 0, 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "slice.png")
    result = flans("segment", str(tmp_path / "slice.png"), "outline the colon", "--out", str(tmp_path / "answer"))
    assert result.exit_code == 0, result.output
    assert np.asarray(Image.open(tmp_path / "answer/mask_1.png")).shape == grey.shape
    assert (tmp_path / "answer/overlay_1.png").stat().st_size > 1000


def test_segment_says_what_is_wrong_with_a_scan(flans: Flans, tmp_path: Path) -> None:
    (tmp_path / "torn.nii.gz").write_bytes(b"not a scan")
    for name in ("missing.nii.gz", "torn.nii.gz"):
        result = flans("segment", str(tmp_path / name), "the liver", "--out", str(tmp_path / "answer"))
        assert result.exit_code == 1
        assert name in result.stderr
        assert "To mend it:" in result.stderr


def test_one_bad_volume_lands_in_the_rejects_and_stops_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = "data/raw/phantom"
    copied = shutil.copytree(small / raw, tmp_path / raw, copy_function=shutil.copyfile)  # DVC's own are read-only
    (copied / "imagesTr/phantom_002_0000.nii").write_text("torn")
    (copied / "labelsTr/phantom_003.nii").unlink()
    shutil.copy(small / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    ingest.main("phantom")
    out = tmp_path / "data/slices/phantom/phantom"
    rejects = pd.read_csv(out / "rejects.csv")
    assert rejects["volume"].tolist() == ["phantom_002", "phantom_003"]
    torn, missing = rejects["reason"]
    assert "phantom_002_0000.nii: expected a readable NIfTI file" in torn
    assert "phantom_003.nii: expected a NIfTI file, found none" in missing
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["volumes"], summary["rejected_volumes"]) == (2, 2)


def test_understand_prints_one_object_a_line(flans: Flans) -> None:
    result = flans("understand", typed="the liver\n\nleftmost structure\n")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["prompt"] for row in rows] == ["the liver", "", "leftmost structure"], "a blank line is answered, too"
    keys = {"prompt", "kind", "organ", "attribute", "frame", "negated", "rank", "relation", "confidence"}
    assert all(set(row) == keys for row in rows)
    assert all(row["organ"] in {None, *(o.name for o in ORGANS)} for row in rows)


def test_what_people_type_is_measured(flans: Flans, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the ten sets, beside few of the forms: all of both take a minute."""
    monkeypatch.setattr("pipelines.bench_language.REQUESTS", [REPOSITORY / "model/testing/requests/sides.yaml"])
    monkeypatch.setattr("pipelines.bench_language.forms", lambda number, seed: bare_names())
    result = flans("bench", "language")
    assert result.exit_code == 0, result.output
    assert re.search(r"sides +│ +220 │ +\d+\.\d%", result.output)
    assert "expected calibration error" in result.output


def test_two_processes_train_a_stage_and_save_it(small: Path, shell: Shell, tmp_path: Path) -> None:
    """What only the first process does once the weights are there must not wait for the others."""
    (tmp_path / "few.yaml").write_text("train_language: {steps: 4, warmup: 1}")
    shell(f"flans configure {tmp_path / 'few.yaml'}")
    shell("FLANS_DEVICES=2 FLANS_STRATEGY=fsdp timeout 200 dvc repro --single-item train_language")
    assert (small / "models/language/model.safetensors").is_file(), "DVC takes a stage's outputs away before it runs"
    shell("git checkout -q . && dvc checkout -q --force")


def test_baselines_that_are_trained_stand_beside_the_model(small: Path, shell: Shell) -> None:
    """Two experiments in a row, one of them without a canonicalizer to train; afterwards all lies as it was."""
    before = (small / "models/flans/model.safetensors").read_bytes()
    shell("flans baselines no_canonicalizer_augmented learned unet")
    table = pd.read_csv(small / "evaluation/baselines.csv")
    assert list(table["baseline"].unique()) == ["flans", "unet", "no_canonicalizer_augmented", "learned"]
    assert set(table["scan"]) == {"original", "transformed"}
    trained = {name: small / f"models/baselines/{name}/model.safetensors" for name in ("learned", "unet")}
    assert all(path.is_file() for path in trained.values())
    assert (small / "models/flans/model.safetensors").read_bytes() == before != trained["learned"].read_bytes()
    assert shell("git status --porcelain") == ""
