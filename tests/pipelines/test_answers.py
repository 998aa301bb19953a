"""The folder of answers: what an earlier run wrote there goes, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpus.errors import InputError
from pipelines.answers import open_folder, publish, unfinished

PIXELS = "of this scan"


def answered(out: Path, prompts: int = 1) -> None:
    """A run's answers, and something else."""
    out.mkdir(exist_ok=True)
    (out / "theirs.png").touch()
    names = [(f"mask_{i + 1}.nii.gz", f"overlay_{i + 1}.png") for i in range(prompts)]
    with unfinished(out) as place:
        for name in (name for pair in names for name in pair):
            (place / name).write_text(name)
        publish([{"mask": mask, "overlay": overlay, "scan_sha256": PIXELS} for mask, overlay in names], place, out)


def test_an_earlier_scans_masks_go_and_nothing_else(tmp_path: Path) -> None:
    answered(tmp_path, prompts=2)
    open_folder(tmp_path, tmp_path / "scan.nii", 1, PIXELS)
    answered(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "theirs.png",
        "mask_1.nii.gz",
        "overlay_1.png",
        "answers.json",
    }


def test_a_killed_run_leaves_the_answers_that_were_there(tmp_path: Path) -> None:
    answered(tmp_path)
    (tmp_path / ".unfinished-x").mkdir()
    (tmp_path / ".unfinished-x/mask_1.nii.gz").write_text("half")
    os.utime(tmp_path / ".unfinished-x", (0, 0))
    open_folder(tmp_path, tmp_path / "scan.nii", 1, PIXELS)
    answered(tmp_path)
    assert (tmp_path / "mask_1.nii.gz").read_text() == "mask_1.nii.gz"
    assert not list(tmp_path.glob(".unfinished-*"))


def test_two_runs_into_one_folder_leave_each_other_alone(tmp_path: Path) -> None:
    with unfinished(tmp_path) as one:
        (one / "mask_1.nii.gz").write_text("one")
        with unfinished(tmp_path) as other:
            assert not list(other.iterdir())
        assert (one / "mask_1.nii.gz").read_text() == "one"


def test_what_another_hand_wrote_stays(tmp_path: Path) -> None:
    answered(tmp_path)
    (tmp_path / "mask_1.nii.gz").write_text("corrected")
    with pytest.raises(InputError, match=r"mask_1.nii.gz: .* isn't as an earlier run wrote it"):
        open_folder(tmp_path, tmp_path / "scan.nii", 1, PIXELS)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/answers.json").write_text('[{"mask": "thesis.docx", "overlay": "data.csv"}]')
    with pytest.raises(InputError, match=r"answers.json: .* no earlier run wrote it"):
        open_folder(tmp_path / "foreign", tmp_path / "scan.nii", 1, PIXELS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mask_3.nii.gz").touch()
    open_folder(tmp_path / "other", tmp_path / "scan.nii", 2, PIXELS)
    (tmp_path / "other/mask_2.png").symlink_to("/nowhere")
    with pytest.raises(InputError, match=r"mask_2.png: .* isn't as an earlier run wrote it"):
        open_folder(tmp_path / "other", tmp_path / "scan.nii", 2, PIXELS)


def test_the_answers_on_another_scan_stay(tmp_path: Path) -> None:
    answered(tmp_path, prompts=2)
    with pytest.raises(InputError, match="2 answers on another scan lie there"):
        open_folder(tmp_path, tmp_path / "scan.nii", 1, "of another")


def test_the_scan_is_no_place_for_an_answer(tmp_path: Path) -> None:
    answered(tmp_path)
    with pytest.raises(InputError, match="would take the scan's place"):
        open_folder(tmp_path, tmp_path / "mask_1.nii.gz", 1, PIXELS)
