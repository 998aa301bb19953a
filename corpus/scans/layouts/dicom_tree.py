"""Layout `dicom`: a folder tree of CT and MR series, and DICOM SEG or RTSTRUCT objects that refer to them.

Every annotation is a case. It names its series by SeriesInstanceUID, or slices of it by SOPInstanceUID, or is taken to
be of the only series that shares its frame of reference. Two annotations of one series are two volumes of one patient,
and so are two of one study where one of them, or both, are given no PatientID.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import pydicom
from pydantic import Field
from pydicom import Dataset

from corpus.errors import InputError
from corpus.params import params_dataclass
from corpus.scans.dicom import DICOM_ENDING, SeriesInfo, read_series, series_and_unread
from corpus.scans.dicom_labels import read_rtstruct, read_seg
from corpus.scans.layouts.cases import MISSING_SOURCE_FIX
from corpus.scans.layouts.labels import StructureNames, gather
from corpus.scans.volumes import HASHED, Case, Grid, LabelMap, Reject, Source

KINDS = ("SEG", "RTSTRUCT")


@dataclass(frozen=True)
class Annotation(Case):
    """A case whose folder may hold more than its series."""

    kind: str = "SEG"
    """Or RTSTRUCT."""
    files: tuple[Path, ...] = ()
    """The series that it refers to; none where it isn't there."""


@params_dataclass
class DicomTree:
    """How the annotations call the organs."""

    structures: StructureNames = Field(default_factory=StructureNames)

    def open(self, root: Path) -> Source:
        """The dataset at `root`."""
        found, unread = series_and_unread(root)
        images = [series for series in found if series.modality in ("CT", "MR")]
        patients = {series.study: series.patient for series in found if series.study and series.patient.strip()}
        cases: list[Case] = [
            _annotation(path, series, images, patients, root)
            for series in found
            if series.modality in KINDS
            for path in series.files
        ]
        if not cases:
            raise InputError(
                root,
                f"expected DICOM SEG or RTSTRUCT files beside {len(images)} series, found none",
                MISSING_SOURCE_FIX,
            )
        for path, problem in unread.items():
            volume = _volume(path, root)
            cases.append(Annotation(volume, volume, path, path, problem=f"{path.name}: {problem}"))
        return Source(cases, read_image, partial(read_label, naming=self.structures))


def _volume(path: Path, root: Path) -> str:
    return DICOM_ENDING.sub("", path.relative_to(root).as_posix()).replace("/", "-")


def _annotation(
    path: Path, series: SeriesInfo, images: Sequence[SeriesInfo], patients: Mapping[str, str], root: Path
) -> Annotation:
    """The case of one SEG or RTSTRUCT file; `patients` are the PatientIDs that studies' other series give."""
    volume = _volume(path, root)
    try:
        uids, instances = referred_to(path)
    except Exception as error:  # pydicom raises many kinds for torn files
        problem = f"{path.name}: what it refers to can't be read ({type(error).__name__}: {error})"
        return Annotation(volume, volume, path, path, problem=problem, kind=series.modality)
    if uids:
        fitting = [image for image in images if image.uid in uids]
    elif instances:  # some of which may have been left out
        fitting = [image for image in images if image.instances & instances]
    else:  # the phases of one examination share it too
        shared = series.frame_of_reference
        fitting = [image for image in images if shared and image.frame_of_reference == shared]
    if len(fitting) != 1:
        patient = _hashed(series.patient) if series.patient.strip() else volume
        return Annotation(volume, patient, path, path, kind=series.modality)
    image = fitting[0]
    # Of the image first: that is what several annotations share, whatever wrote them and left the tag blank.
    tags = [image.patient, series.patient, patients.get(image.study, ""), image.study, image.uid, volume]
    patient = _hashed(next(tag for tag in tags if tag.strip()))
    return Annotation(volume, patient, image.folder, path, image.modality, kind=series.modality, files=image.files)


@cache
def _hashed(tag: str) -> str:
    """What stands for a PatientID (in whatever case) or UID, which itself goes into no table: `HASHED` and 12
    hexadecimal digits.

    scrypt (RFC 7914) takes some 30 ms a name, so that trying out ten million numbers takes days of a core, not seconds:
    a hindrance, no secret.
    """
    return HASHED + hashlib.scrypt(tag.strip().casefold().encode(), salt=b"FLanS", n=1 << 14, r=8, p=1, dklen=6).hex()


def referred_to(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The SeriesInstanceUIDs that a SEG or RTSTRUCT refers to, and the SOPInstanceUIDs of the slices that it does."""
    header = pydicom.dcmread(path, stop_before_pixels=True)
    series = list(header.get("ReferencedSeriesSequence") or ())
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            series += study.get("RTReferencedSeriesSequence") or ()
    of_slices = [item.get(name) for item in series for name in ("ReferencedInstanceSequence", "ContourImageSequence")]
    for roi in header.get("ROIContourSequence") or ():
        of_slices += [contour.get("ContourImageSequence") for contour in roi.get("ContourSequence") or ()]
    slices = [item for sequence in of_slices for item in sequence or ()]
    return _uids(series, "SeriesInstanceUID"), _uids(slices, "ReferencedSOPInstanceUID")


def _uids(items: Sequence[Dataset], name: str) -> frozenset[str]:
    return frozenset(str(item.get(name) or "") for item in items) - {""}


def read_image(case: Case) -> Grid:
    """The series that the case's annotation refers to."""
    assert isinstance(case, Annotation)
    if not case.files:
        raise Reject(
            f"{case.label.name}: expected it to refer to one CT or MR series of this folder tree: put that series there"
            " whose UID, slices or frame of reference it names, or have it name the series"
        )
    return read_series(case.files)


def read_label(case: Case, grid: Grid, naming: StructureNames) -> LabelMap:
    """The case's annotation as a label map."""
    assert isinstance(case, Annotation)
    told: list[str] = []
    read = read_rtstruct if case.kind == "RTSTRUCT" else read_seg
    masks = read(case.label, grid, naming.uses, told.append)
    return replace(gather(masks, masks.__getitem__, naming, grid.array.shape), mended=tuple(told))
