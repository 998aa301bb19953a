"""Layout `structures`: a folder of masks, one file a structure, whatever else lies there."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from corpus.scans.adapters import open_source, read_case
from corpus.scans.volumes import Reject
from tests.corpus.miniature import SHAPE, only, save, scan, voxels


def write_masks(root: Path, **masks: np.ndarray) -> Path:
    """A case `a` of the data set at `root`, and its folder of masks."""
    save(root / "a/ct.nii.gz", scan())
    for name, mask in masks.items():
        save(root / f"a/segmentations/{name}.nii.gz", mask)
    return root / "a/segmentations"


def block(size: int = 40, value: float = 1, dtype: type = np.uint8) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype)
    mask.reshape(-1)[:size] = value
    return mask


@pytest.mark.parametrize(("value", "dtype"), [(1, np.uint8), (255, np.uint8), (0.25, np.float32)])
def test_a_mask_is_0_and_any_one_value(value: float, dtype: type, tmp_path: Path) -> None:
    write_masks(tmp_path, liver=block(value=value, dtype=dtype), spleen=block()[::-1])
    assert voxels(only(open_source("totalsegmentator", tmp_path))[1]) == {"liver": 40, "spleen": 40}


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (block(40) * 5 + block(20) * 4, r"3 values \(0, 5, 9\)"),  # several structures
        (np.linspace(0, 1, 320, dtype=np.float32).reshape(SHAPE), r"320 values \(0, 0.003\d*, .*, \.\.\.\)"),
        (block(value=-1, dtype=np.int16), r"2 values \(-1, 0\)"),
        (block(value=np.nan, dtype=np.float32), r"2 values \(0, nan\)"),
    ],
)
def test_a_mask_of_more_values_is_refused(mask: np.ndarray, found: str, tmp_path: Path) -> None:
    """At > 0 the rim of a soft mask, and of a network's probabilities the whole scan, would be the organ."""
    write_masks(tmp_path, liver=mask, spleen=block())
    source = open_source("totalsegmentator", tmp_path)
    with pytest.raises(Reject, match=rf"liver\.nii\.gz: expected a mask .*, found {found}: save it as"):
        read_case(source.cases[0], source)


@pytest.mark.parametrize("ending", [".nii", ".NII", ".NII.GZ"])
def test_a_mask_may_have_either_ending_in_any_case(ending: str, tmp_path: Path) -> None:
    folder = write_masks(tmp_path, liver=block(), spleen=block()[::-1])
    save(folder / "new.nii", block(10)[::-1])
    content = (folder / "new.nii").read_bytes()
    (folder / "new.nii").unlink()
    (folder / "spleen.nii.gz").unlink()
    (folder / f"spleen{ending}").write_bytes(gzip.compress(content) if ending.lower().endswith(".gz") else content)
    assert voxels(only(open_source("totalsegmentator", tmp_path))[1]) == {"liver": 40, "spleen": 10}


def test_a_structure_in_two_files_is_refused(tmp_path: Path) -> None:
    """Which of them counts was a matter of their endings."""
    folder = write_masks(tmp_path, liver=block(), spleen=block()[::-1])
    save(folder / "liver.nii", block(10))
    source = open_source("totalsegmentator", tmp_path)
    with pytest.raises(Reject, match=r"liver\.nii and liver\.nii\.gz: expected one mask of a structure"):
        read_case(source.cases[0], source)


def test_what_else_lies_among_the_masks_is_passed_over(tmp_path: Path) -> None:
    folder = write_masks(tmp_path, liver=block())
    for name in (
        "liver.nii.gz.md5",
        "liver.nii.gz.bak",
        "liver.nii.gz~",
        "liver.nii.gz.part",
        "liver.nii.json",
        "a.txt",
    ):
        (folder / name).write_text("no mask")
    assert voxels(only(open_source("totalsegmentator", tmp_path))[1]) == {"liver": 40}


@pytest.mark.parametrize(
    ("masks", "reason"),
    [
        (None, "segmentations: expected the folder of the case's masks, found none"),
        ([], r"segmentations: expected a mask for each structure, <structure>\.nii\.gz, found none"),
        (["Leber", "Milz"], r"segmentations: .* no organ of the vocabulary: Leber, Milz are none, by"),
        ([f"rib_{i:02}" for i in range(12)], r"rib_00, .*, rib_09, \.\.\. are none"),
    ],
)
def test_it_is_said_what_is_wrong_with_the_folder(masks: list[str] | None, reason: str, tmp_path: Path) -> None:
    write_masks(tmp_path, **dict.fromkeys(masks or [], block()))
    if masks == []:
        (tmp_path / "a/segmentations").mkdir()
    source = open_source("totalsegmentator", tmp_path)
    with pytest.raises(Reject, match=reason):
        read_case(source.cases[0], source)
