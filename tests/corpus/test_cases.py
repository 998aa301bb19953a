"""Which cases a dataset has whose images and labels are found by patterns of paths; none is passed over in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpus.scans.adapters import open_source
from corpus.scans.layouts.cases import with_patients
from corpus.scans.unfinished import folder_of
from corpus.scans.volumes import Case
from tests.corpus.miniature import blocks, save, scan


def test_copies_that_a_mac_leaves_in_archives_are_passed_over(tmp_path: Path) -> None:
    for name in ("liver_0", "._liver_0"):
        save(tmp_path / f"imagesTr/{name}.nii.gz", scan())
        save(tmp_path / f"labelsTr/{name}.nii.gz", blocks([1]))
    assert [case.volume for case in open_source("msd_liver", tmp_path).cases] == ["liver_0"]


@pytest.mark.parametrize(
    ("adapter", "image", "label"),
    [
        ("word", "imagesTr/{}.nii.gz", "labelsTr/{}.nii.gz"),
        ("abdomenct1k", "AbdomenCT-1K-ImagePart1/{}_0000.nii.gz", "Mask/{}.nii.gz"),
        ("totalsegmentator", "{}/ct.nii.gz", "{}/segmentations/liver.nii.gz"),
    ],
)
def test_a_label_without_an_image_is_rejected(adapter: str, image: str, label: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / label.format(name), blocks([1]))
        save(tmp_path / label.format(f"._{name}"), blocks([1]))
    save(tmp_path / image.format("a"), scan())
    good, alone = open_source(adapter, tmp_path).cases
    assert (good.volume, good.problem) == ("a", "")
    assert alone.problem == "expected an image beside this label whose name fits, found none"
    assert alone.volume in (label.format("b"), str(Path(label.format("b")).parent))


@pytest.mark.parametrize("ending", [".nii", ".NII.GZ", ".Nii.gz"])
@pytest.mark.parametrize("adapter", ["btcv", "totalsegmentator"])
def test_an_image_of_another_ending_is_told(adapter: str, ending: str, tmp_path: Path) -> None:
    image, label = {
        "btcv": ("RawData/Training/img/img{}.nii.gz", "RawData/Training/label/label{}.nii.gz"),
        "totalsegmentator": ("{}/ct.nii.gz", "{}/segmentations/liver.nii.gz"),
    }[adapter]
    for name in ("1", "2"):
        save(tmp_path / image.format(name), scan())
        save(tmp_path / label.format(name), blocks([1]))
    other = image.format("2").replace(".nii.gz", ending)
    (tmp_path / image.format("2")).rename(tmp_path / other)
    (tmp_path / other).with_name(f"notes{ending}.txt").touch()
    save(tmp_path / image.format("1").removesuffix(".gz"), scan())  # unpacked to be looked at
    problems = {case.volume: case.problem for case in open_source(adapter, tmp_path).cases}
    assert problems.pop("1") == ""
    assert "its ending isn't that of `image` in the dataset's YAML" in problems[other]


def test_a_folder_that_may_not_be_read_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As somebody who isn't root, to whom a pattern shows nothing of what lies in it."""
    save(tmp_path / "s0001/ct.nii.gz", scan())
    save(tmp_path / "s0001/segmentations/liver.nii.gz", blocks([1]))
    (tmp_path / "s0002").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "s0002")
    good, closed = open_source("totalsegmentator", tmp_path).cases
    assert (good.volume, good.problem) == ("s0001", "")
    assert (closed.volume, closed.problem) == ("s0002", "expected a folder to look into: correct its permissions")


def test_a_name_that_is_not_utf_8_costs_one_scan(tmp_path: Path) -> None:
    for name in ("word_1", os.fsdecode(b"M\xfcller")):
        save(tmp_path / f"imagesTr/{name}.nii.gz", scan())
        save(tmp_path / f"labelsTr/{name}.nii.gz", blocks([1]))
    source = open_source("word", tmp_path)
    spoilt, fine = sorted(source.cases, key=lambda case: case.volume)
    assert (fine.volume, fine.problem) == ("word_1", "")
    assert spoilt.volume == r"M\udcfcller"
    assert "expected a file name in UTF-8" in spoilt.problem
    folder_of(tmp_path / "work", source, {})


def test_a_patient_is_the_same_in_any_spelling(tmp_path: Path) -> None:
    """As PatientID is in DICOM: else one person would be trained and tested on."""
    cases = [Case(volume, volume, tmp_path, tmp_path) for volume in ("a", "b", "c", "d", "e", "P01")]
    listed = {"a": "P01", "b": "P01 ", "c": "p01", "d": 7}
    found = with_patients(cases, listed, tmp_path)
    assert [case.patient for case in found] == ["P01", "P01", "P01", "7", "e", "P01"]
    assert [case.volume for case in found] == [case.volume for case in cases]
