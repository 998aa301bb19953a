"""Layout `nnunet`: what dataset.json says of the scans, and which files are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus.errors import InputError
from corpus.scans.adapters import open_source, read_case
from corpus.scans.volumes import Reject
from tests.corpus.miniature import blocks, save, scan


def write_dataset(root: Path, *cases: str, **changes: object) -> Path:
    """Scans of a few voxels, and their dataset.json."""
    for seed, case in enumerate(cases):
        save(root / f"imagesTr/{case}_0000.nii.gz", scan(seed))
        save(root / f"labelsTr/{case}.nii.gz", blocks([1]))
    spec = {"labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz", "channel_names": {"0": "CT"}}
    (root / "dataset.json").write_text(json.dumps(spec | changes))
    return root


@pytest.mark.parametrize(
    ("channel", "modality"),
    [
        ("CT", "CT"),
        ("ct_portal", "CT"),
        ("CT, late arterial phase", "CT"),
        ("T2", "MR"),
        ("ceT1", "MR"),
        ("t1w", "MR"),
        ("ADC", "MR"),
        ("in-phase", "MR"),
        ("Out of phase", "MR"),
        ("opposed_phase", "MR"),
    ],
)
def test_the_channel_says_the_modality(channel: str, modality: str, tmp_path: Path) -> None:
    source = open_source("nnunet", write_dataset(tmp_path, "a", channel_names={"0": channel}))
    assert {case.modality for case in source.cases} == {modality}


@pytest.mark.parametrize("channel", ["portal venous phase", "main phase", "contrast1", "image", "T10"])
def test_a_channel_that_does_not_say_the_modality_is_refused(channel: str, tmp_path: Path) -> None:
    """CT taken for MR would be stretched to its percentiles, and no HU be left."""
    with pytest.raises(InputError, match=f"whether channel 0 is of CT or MR, found '{channel}'"):
        open_source("nnunet", write_dataset(tmp_path, "a", channel_names={"0": channel}))


@pytest.mark.parametrize("ending", [".nii", ".NII.GZ"])
@pytest.mark.parametrize("folders", [("imagesTr", "labelsTr"), ("imagesTr",), ("labelsTr",)])
def test_a_file_of_another_ending_is_told(ending: str, folders: tuple[str, ...], tmp_path: Path) -> None:
    write_dataset(tmp_path, "a", "b", patients={"a": "anna", "b": "ben"})
    for folder in folders:
        (file,) = (tmp_path / folder).glob("b*")
        file.rename(file.with_name(file.name.replace(".nii.gz", ending)))
    source = open_source("nnunet", tmp_path)
    assert [case.volume for case in source.cases] == ["a", "b"]
    assert read_case(source.cases[0], source).label.any()
    with pytest.raises(
        Reject, match=r"expected the image b_0000\.nii\.gz|b\.nii\.gz: expected a NIfTI file, found none"
    ):
        read_case(source.cases[1], source)
