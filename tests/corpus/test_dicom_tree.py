"""Layout `dicom`: which series of a folder tree an annotation belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from corpus.scans.adapters import open_source, read_case
from corpus.scans.volumes import HASHED, Reject
from tests.corpus.dicom_files import uid, write_rtstruct, write_series
from tests.corpus.miniature import DISPLAY, only, scan

IMAGE = scan().transpose(DISPLAY)
SQUARE = np.array([[1.5, 2.5, 6.0], [5.5, 2.5, 6.0], [5.5, 5.5, 6.0], [1.5, 5.5, 6.0]])


def write_phase(folder: Path, name: str) -> list[Path]:
    """A phase of one examination, in the frame of reference that all of them share."""
    return write_series(folder / name, IMAGE, series=uid(name), spacing=(1, 1), origin=(0, 0, 0))


def write_contour(path: Path, on: Sequence[str] = (), **changes: str) -> Path:
    """An RTSTRUCT that names no series, its contour drawn on the slices of these SOPInstanceUIDs."""
    header = pydicom.dcmread(write_rtstruct(path, {"Spleen": [SQUARE]}))
    images = []
    for instance in on:
        images.append(Dataset())
        images[-1].ReferencedSOPInstanceUID = instance
    if images:
        header.ROIContourSequence[0].ContourSequence[0].ContourImageSequence = images
    for name, value in changes.items():
        setattr(header, name, value)
    header.save_as(path)
    return path


@pytest.mark.parametrize("name", ["0-rt.dcm", "z-rt.dcm"])
def test_an_annotation_that_bears_its_images_series_uid_is_found(name: str, tmp_path: Path) -> None:
    write_phase(tmp_path, "portal")
    write_contour(tmp_path / name, SeriesInstanceUID=uid("portal"))
    case, volume = only(open_source("dicom", tmp_path))
    assert case.volume == name.removesuffix(".dcm")
    assert volume.label.any()


def instances(files: list[Path]) -> list[str]:
    return [str(pydicom.dcmread(file).SOPInstanceUID) for file in files]


def test_of_two_phases_the_one_counts_whose_slices_are_named(tmp_path: Path) -> None:
    """They share a frame of reference, and the breath was held elsewhere."""
    phases = {name: write_phase(tmp_path, name) for name in ("arterial", "portal")}
    write_contour(tmp_path / "rt.dcm", instances(phases["portal"][:2]))
    case, volume = only(open_source("dicom", tmp_path))
    assert case.image == tmp_path / "portal"
    assert volume.label.any()


def test_contours_on_slices_of_a_phase_that_is_not_there_are_refused(tmp_path: Path) -> None:
    write_phase(tmp_path, "portal")
    write_contour(tmp_path / "rt.dcm", [uid("arterial", 1), uid("arterial", 2)])
    source = open_source("dicom", tmp_path)
    with pytest.raises(Reject, match=r"rt\.dcm: expected it to refer to one CT or MR series .* put that series there"):
        read_case(source.cases[0], source)


def test_an_annotation_without_its_series_is_of_the_patient_whom_it_names(tmp_path: Path) -> None:
    """Whoever reads the rejects finds whose it is; without a PatientID it is its own."""
    write_phase(tmp_path, "portal")
    for name in ("a", "b"):
        write_contour(tmp_path / f"{name}.dcm", [uid("arterial", 1)], PatientID="P7", SeriesInstanceUID=uid(name))
    write_contour(tmp_path / "nobody.dcm", [uid("arterial", 1)], PatientID=" ", SeriesInstanceUID=uid("nobody"))
    patients = {case.volume: case.patient for case in open_source("dicom", tmp_path).cases}
    assert patients["a"] == patients["b"]
    assert patients["a"].startswith(HASHED)
    assert patients["nobody"] == "nobody"
