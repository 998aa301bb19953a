"""`flans pose` on a data set in which some headers lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import pipelines.pose
from corpus.scans.adapters import open_source, read_case
from corpus.scans.ingest_params import SourceParams
from corpus.scans.phantom import PhantomParams, write_cohort
from corpus.scans.pixel_pose import pixel_pose
from model.judging import Judgement, judge
from pipelines.cli import app
from pipelines.pose import check_source

LIES = {
    "mirrored": np.diag([-1.0, 1, 1, 1]),
    "upside down": np.diag([1.0, -1, 1, 1]),
    "lying": np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
}
"""What a header says of RAS mm, turned against what is true."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A cohort, and which of its cases (all of them clear to the rules) got which lie."""
    root = tmp_path_factory.mktemp("raw") / "small"
    write_cohort(PhantomParams(patients=10, size=96, spacing_mm=4.0, slice_mm=14.0), root)
    opened = open_source("nnunet", root)
    clear = []
    for case in opened.cases:
        volume = read_case(case, opened)
        if pixel_pose(volume.image, volume.spacing).right.sure:
            clear.append(case)
    lies = dict(zip(LIES, clear, strict=False))
    for lie, case in lies.items():
        for path in (case.image, case.label):
            image = nib.load(path, mmap=False)  # the file is written again
            nib.save(nib.Nifti1Image(np.asarray(image.dataobj), LIES[lie] @ image.affine), path)
    (root / "labelsTr" / f"{clear[-1].volume}.nii").write_bytes(b"torn")
    return root, {case.volume: lie for lie, case in lies.items()} | {clear[-1].volume: "unreadable"}


def test_every_lie_is_found_and_no_truth_doubted(
    source: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, lies = source
    assert len(lies) == 4
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report/pose/small").mkdir(parents=True)
    for name in ("theirs", *(case.volume for case in open_source("nnunet", root).cases)):
        (tmp_path / f"report/pose/small/{name}.png").touch()
    arguments = ["pose", "--adapter", "nnunet", "--root", str(root)]
    refused = CliRunner().invoke(app, arguments)
    assert "expected a folder of its own" in refused.stderr
    (tmp_path / "report/pose/small/headers.csv").touch()  # an earlier run's
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    out = tmp_path / "report/pose/small"
    table = pd.read_csv(out / "headers.csv", index_col="volume")
    upright = {"mirrored": "flip", "upside down": "flip_rot180"}
    for volume, row in table.iterrows():
        lie = lies.get(str(volume))
        if lie == "unreadable":
            assert row["verdict"] == "unreadable"
            assert "readable NIfTI" in row["upright"]
        elif lie:
            assert row["verdict"] == "contradicts"
            assert row["upright"] == upright.get(lie) or (lie == "lying" and row["upright"] in ("rot90", "rot270"))
            assert Image.open(out / row["picture"]).size[0] > 300
        else:
            assert row["verdict"] in ("agrees", "unsure")
            assert pd.isna(row["picture"])
    assert {path.name for path in out.glob("*.png")} == {"theirs.png", *table["picture"].dropna()}
    counts = table["verdict"].value_counts()
    assert f"10 volumes: {counts['agrees']} agree, 3 contradict" in result.stdout
    assert "1 unreadable" in result.stdout


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_rules_judge_ct_alone(
    source: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modality: str
) -> None:
    root = shutil.copytree(source[0], tmp_path / "scans")
    described = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(described | {"channel_names": {"0": modality}}))
    asked: list[tuple[float, float, float] | None] = []

    def heard(image: np.ndarray, spacing: tuple[float, float, float] | None, *others: Any) -> Judgement:
        asked.append(spacing)
        return judge(image, spacing, *others)

    monkeypatch.setattr(pipelines.pose, "judge", heard)
    table = check_source("scans", SourceParams("nnunet", root), None, tmp_path / "out")
    assert asked == [(14.0, 4.0, 4.0) if modality == "CT" else None] * 9
    verdicts = table.loc[table["verdict"] != "unreadable", ["verdict", "back"]]
    assert ("contradicts" in set(verdicts["verdict"])) == verdicts["back"].notna().all() == (modality == "CT")


def test_a_checkpoint_that_is_not_there_is_named(source: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    command = ["pose", "--adapter", "nnunet", "--root", str(source[0]), "--checkpoint", str(tmp_path / "none")]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "expected a checkpoint's file" in result.stderr
    assert not (tmp_path / "out").exists()
