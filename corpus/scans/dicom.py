"""DICOM series, old-style (a file a slice) or enhanced (a file a volume), as one volume on an orthogonal grid.

What can't be told for certain is rejected; what is put right is said. Slices are never made up: where one is missing,
the longest run without a gap is used, so that every slice has its own pixels and, whatever form labels come in, its own
labels. An interpolated slice would carry labels that nobody drew, and a skipped one would bend the geometry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom import uid as uids
from pydicom.pixels import get_decoder

from corpus.scans.dicom_planes import Plane, group, planes
from corpus.scans.intensity import AIR_HU
from corpus.scans.tilt import straighten
from corpus.scans.tree import files_below
from corpus.scans.volumes import Grid, Reject

IMAGE_CLASSES = {
    uids.CTImageStorage: "CT",
    uids.EnhancedCTImageStorage: "CT",
    uids.LegacyConvertedEnhancedCTImageStorage: "CT",
    uids.MRImageStorage: "MR",
    uids.EnhancedMRImageStorage: "MR",
    uids.LegacyConvertedEnhancedMRImageStorage: "MR",
    uids.PositronEmissionTomographyImageStorage: "PT",
}
LOCALISERS = {"LOCALIZER", "SCOUT"}
DICOM_ENDING = re.compile(r"\.(?:dcm|dicom|ima)$", re.IGNORECASE)
"""Files are often named by their UID, of which the last number is no ending."""
SERIES_TAGS = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "StudyInstanceUID",
    "Modality",
    "FrameOfReferenceUID",
    "ReferencedFrameOfReferenceSequence",
]

SAME_PLACE_MM = 0.01
UNEVEN = 0.1
"""Slice positions are often rounded: steps that differ from the median by less than this share of it are equal."""
LARGEST_DRIFT = 0.25
"""How far a slice may lie off its even place, as a share of the slice spacing."""
SMALLEST_RUN = 0.5
"""Share of a series' slices that must lie in a row without a gap."""
LARGEST_PADDING_HU = -900
"""CT padding that would be brighter is a wrong header: it would turn tissue into air."""


@dataclass(frozen=True)
class SeriesInfo:
    """One series, as its headers tell."""

    uid: str
    patient: str
    """PatientID: to be used as a key, never stored."""
    modality: str
    files: tuple[Path, ...]
    folder: Path
    """The deepest folder that holds all of its files."""
    frame_of_reference: str
    """The UID that an image shares with the SEG and RTSTRUCT objects drawn on it; "" where none is given."""
    study: str
    """StudyInstanceUID; "" where none is given."""
    instances: frozenset[str]
    """The SOPInstanceUIDs of its files."""


@dataclass(frozen=True)
class _Slice:
    file: Path
    frame: int
    header: Dataset
    plane: Plane
    height_mm: float
    """Along the slices' normal."""


def series_and_unread(root: Path) -> tuple[list[SeriesInfo], dict[Path, str]]:
    """All DICOM series under a folder, images and others alike, by patient, folder and UID; other files are skipped,
    and so is what is hidden, such as macOS's "._" copies and a project's environment, with the samples in it. And why
    the files that are named as DICOM is, and folders, couldn't be read."""
    found: dict[tuple[str, str, str], list[tuple[Path, Dataset]]] = {}
    files, closed = files_below(root)
    unread = dict.fromkeys(closed, "may not be looked into: correct its permissions")
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=SERIES_TAGS)
            # Some writers give an annotation its image's series; it is none of the image's slices.
            key = str(header.get("PatientID", "")), str(header.SeriesInstanceUID), str(header.get("Modality", ""))
            header.get("ReferencedFrameOfReferenceSequence")  # decoded here: a torn one raises
        except Exception:  # pydicom raises many kinds
            if DICOM_ENDING.search(path.name):
                unread[path] = "not readable as DICOM; were it an image, its series has a gap there"
            continue
        found.setdefault(key, []).append((path, header))
    series = [_info(patient, uid, members) for (patient, uid, _), members in found.items()]
    return sorted(series, key=lambda s: (s.patient, s.folder.as_posix(), s.uid)), unread


def told_unread(unread: Collection[Path]) -> str:
    """What is said of files that couldn't be read."""
    some = ", ".join(path.name for path in list(unread)[:3]) + (", ..." if len(unread) > 3 else "")
    return f"{len(unread)} files or folders could not be read ({some})"


def _info(patient: str, uid: str, members: list[tuple[Path, Dataset]]) -> SeriesInfo:
    files, header = tuple(path for path, _ in members), members[0][1]
    reference = header.get("FrameOfReferenceUID")
    if not reference and header.get("ReferencedFrameOfReferenceSequence"):
        reference = header.ReferencedFrameOfReferenceSequence[0].get("FrameOfReferenceUID")
    folder = Path(os.path.commonpath([path.parent for path in files]))
    modality, study = str(header.get("Modality", "")), str(header.get("StudyInstanceUID") or "")
    instances = frozenset(str(each.get("SOPInstanceUID", "")) for _, each in members)
    return SeriesInfo(uid, patient, modality, files, folder, str(reference or ""), study, instances)


def read_series(folder_or_files: Path | Sequence[Path], one_series: bool = False) -> Grid:
    """Read one CT, MR or PET series.

    Axes: `[column, row, slice]`; slices ascend along the slices' normal. Values are rescaled: HU for CT, with padding
    set to -1024; padding of other modalities is 0. Gantry tilt is undone, see `tilt.straighten`.

    Args:
        folder_or_files: A folder that holds one image series (SEG, RTSTRUCT, localisers and other files may lie beside
            it), or its file or files.
        one_series: Take the files for one series whatever their SeriesInstanceUIDs say: some anonymisers give every
            file one of its own.

    Raises:
        Reject: No or several series; pixels that can't be read; slices whose sizes, orientations or places don't make a
            volume.
    """
    mended: list[str] = []
    slices, modality = _slices(folder_or_files, one_series, mended)
    slices, values = _without_duplicates(slices, _values(slices, modality, mended), mended)
    start, stop = _longest_run(slices, mended)
    slices, values = slices[start:stop], values[start:stop]

    first, last = slices[0].plane, slices[-1].plane
    step = (last.origin - first.origin) / (len(slices) - 1)
    even = first.origin + np.arange(len(slices))[:, None] * step
    drift = np.sqrt(((np.stack([s.plane.origin for s in slices]) - even) ** 2).sum(axis=1)).max()
    if drift > LARGEST_DRIFT * np.sqrt((step**2).sum()):
        raise Reject(f"slices lie up to {drift:.2f} mm off a straight, even stack")

    array = np.stack([v.T for v in values], axis=2)
    if array.dtype == np.int32 and array.min() >= -32768 and array.max() <= 32767:
        array = array.astype(np.int16)
    affine = np.eye(4)
    affine[:3] = np.stack([first.across, first.down, step, first.origin], axis=1)
    array, affine, degrees = straighten(array, affine, AIR_HU if modality == "CT" else 0)
    if degrees:
        mended.append(f"gantry tilt of {degrees:.1f} degrees undone")
    return Grid(array, affine, tuple(mended))


def _slices(folder_or_files: Path | Sequence[Path], one_series: bool, mended: list[str]) -> tuple[list[_Slice], str]:
    """The slices of the one image series there is, in order, and its modality."""
    if isinstance(folder_or_files, Path) and not folder_or_files.is_file():
        found, unread = series_and_unread(folder_or_files)
        files = [file for series in found for file in series.files]
        where = folder_or_files.name
        if unread:
            mended.append(told_unread(unread))
    else:
        files = [folder_or_files] if isinstance(folder_or_files, Path) else sorted(folder_or_files)
        where = files[0].name if files else "the series"
    headers = [(file, read_dicom(file, pixels=False)) for file in files]
    headers = [(file, h) for file, h in headers if h.get("SOPClassUID") in IMAGE_CLASSES]
    kept = [(file, h) for file, h in headers if not LOCALISERS & {str(v).upper() for v in h.get("ImageType") or ()}]
    if len(kept) < len(headers):
        mended.append(f"{len(headers) - len(kept)} localiser images left out")
    series = sorted({f"{h.get('Modality')} {h.get('SeriesInstanceUID')}" for _, h in kept})
    if not kept or (len(series) > 1 and not one_series):
        raise Reject(f"{where}: expected one image series, found {len(series)} {series[:5] or ''}".rstrip())

    stack = [(file, frame, h, plane) for file, h in kept for frame, plane in enumerate(planes(h, file))]
    if len(stack) < 2:
        raise Reject(f"{where}: expected a volume, found {len(stack)} slice")
    _, _, head, one = stack[0]
    for file, _, header, plane in stack:
        sizes = [(h.get("Columns"), h.get("Rows")) for h in (header, head)]
        if sizes[0] != sizes[1]:
            raise Reject("{}: {} x {} pixels, others {} x {}".format(file.name, *sizes[0], *sizes[1]))
        if np.abs(np.stack([plane.across - one.across, plane.down - one.down])).max() > 1e-3:
            raise Reject(f"{file.name}: the orientation or pixel spacing differs from the other slices'")
    made = [_Slice(file, f, h, plane, float((plane.origin * one.normal).sum())) for file, f, h, plane in stack]
    return sorted(made, key=lambda s: (round(s.height_mm, 3), s.file, s.frame)), IMAGE_CLASSES[head.SOPClassUID]


def read_dicom(file: Path, pixels: bool = True) -> Dataset:
    """A DICOM file, or all of it before its pixels.

    Raises:
        Reject: It can't be read.
    """
    try:
        return pydicom.dcmread(file, stop_before_pixels=not pixels)
    except Exception as error:  # pydicom raises many kinds for torn or foreign files
        raise Reject(f"{file.name}: expected a DICOM file, but {type(error).__name__}: {error}") from None


def _values(slices: list[_Slice], modality: str, mended: list[str]) -> list[np.ndarray]:
    """Modality values of each slice, `[rows, columns]`."""
    ignored: set[float] = set()
    values: list[np.ndarray] = []
    files: dict[Path, np.ndarray] = {}
    for s in slices:
        try:
            if s.file not in files:
                _check_grey(s, modality)
                files[s.file] = _decoded(s.file, s.header)
            values.append(_rescaled(s, files[s.file][s.frame], modality, ignored))
        except (Reject, MemoryError):
            raise
        except Exception as error:  # torn pixels, or a header that doesn't describe them
            reason = f"{type(error).__name__}: {error}"
            raise Reject(f"{s.file.name}: the pixels can't be read ({reason})") from None
        if len(files[s.file]) == 1:
            del files[s.file]
    mended += [f"PixelPaddingValue ignored: it means {value:g} HU" for value in sorted(ignored)]
    return values


def _check_grey(s: _Slice, modality: str) -> None:
    """Refuse pixels whose stored numbers are no grey values that a slope and an intercept make the modality's of."""
    samples, kind = s.header.get("SamplesPerPixel", 1), s.header.get("PhotometricInterpretation")
    stored, high = s.header.get("BitsStored"), s.header.get("HighBit")
    if samples != 1:
        raise Reject(
            f"{s.file.name}: expected one grey value a pixel, found {samples} samples ({kind}): export it as grey"
        )
    if stored and high is not None and high != stored - 1:
        raise Reject(
            f"{s.file.name}: expected {stored} bits to end with bit {stored - 1}, found HighBit {high}: export it anew"
        )
    if kind == "MONOCHROME1" and modality != "CT":  # HU mean the same in whatever grey they are to be shown
        raise Reject(f"{s.file.name}: expected MONOCHROME2, found MONOCHROME1, whose highest value is black: invert it")


def _decoded(file: Path, header: Dataset) -> np.ndarray:
    """All frames of a file, `[frames, rows, columns]`."""
    syntax = header.file_meta.TransferSyntaxUID
    try:
        missing = not get_decoder(syntax).is_available
    except NotImplementedError:
        missing = True
    if missing:
        raise Reject(f"{file.name}: no decoder for {syntax.name} is installed (the package python-gdcm brings them)")
    return pydicom.dcmread(file).pixel_array.reshape(-1, header.Rows, header.Columns)


def _without_duplicates(
    slices: list[_Slice], values: list[np.ndarray], mended: list[str]
) -> tuple[list[_Slice], list[np.ndarray]]:
    """Drop identical images at the same place."""
    kept: list[int] = []
    for i, s in enumerate(slices):
        if not kept or np.abs(s.plane.origin - slices[kept[-1]].plane.origin).max() > SAME_PLACE_MM:
            kept.append(i)
        elif not np.array_equal(values[i], values[kept[-1]]):
            raise Reject(
                f"{slices[kept[-1]].file.name} and {s.file.name}: different images of the same place"
                " (several phases or echoes in one series?)"
            )
    if len(kept) < len(slices):
        mended.append(f"{len(slices) - len(kept)} duplicate slices left out")
    return [slices[i] for i in kept], [values[i] for i in kept]


def _longest_run(slices: list[_Slice], mended: list[str]) -> tuple[int, int]:
    """First and last (exclusive) of the most slices in a row that are evenly spaced."""
    if len(slices) < 2:
        raise Reject("all slices lie at the same place")
    steps = [b.height_mm - a.height_mm for a, b in pairwise(slices)]
    usual = sorted(steps)[len(steps) // 2]
    gaps = [i for i, step in enumerate(steps) if abs(step - usual) > UNEVEN * usual]
    if not gaps:
        return 0, len(slices)
    starts, stops = [0, *(i + 1 for i in gaps)], [*(i + 1 for i in gaps), len(slices)]
    start, stop = max(zip(starts, stops, strict=True), key=lambda run: run[1] - run[0])
    if stop - start < max(2, SMALLEST_RUN * len(slices)):
        raise Reject(
            f"slices {min(steps):g} to {max(steps):g} mm apart: only {stop - start} of {len(slices)} are in a row"
        )
    found = ", ".join(f"{steps[i]:g} mm after slice {i + 1}" for i in gaps[:3]) + (", ..." if len(gaps) > 3 else "")
    mended.append(f"gap in slices {usual:g} mm apart ({found}): {stop - start} of {len(slices)} in a row kept")
    return start, stop


def _rescaled(s: _Slice, stored: np.ndarray, modality: str, ignored: set[float]) -> np.ndarray:
    """Modality values of one slice: int32, or float32 where slope or intercept are broken numbers."""
    rescale = s.header
    if "PerFrameFunctionalGroupsSequence" in s.header:
        try:
            rescale = group(s.header, s.frame, "PixelValueTransformationSequence")
        except AttributeError:  # MR may have none
            rescale = Dataset()
    elif "ModalityLUTSequence" in s.header:
        raise Reject(f"{s.file.name}: expected a rescale slope and intercept, found a modality lookup table")
    slope, intercept = float(rescale.get("RescaleSlope") or 1), float(rescale.get("RescaleIntercept") or 0)
    whole = slope.is_integer() and intercept.is_integer() and stored.dtype.itemsize <= 2
    values = stored.astype(np.int32) * int(slope) + int(intercept) if whole else stored * slope + intercept
    if s.header.get("PixelPaddingValue") is not None:  # the element may be there and empty
        low, high = sorted(_as_stored(v, s.header, stored.dtype) for v in _padding_ends(s.header))
        brightest = high * slope + intercept
        if modality == "CT" and brightest > LARGEST_PADDING_HU:
            ignored.add(brightest)
        else:
            values[(stored >= low) & (stored <= high)] = AIR_HU if modality == "CT" else 0
    return values if whole else values.astype(np.float32)


def _padding_ends(header: Dataset) -> tuple[int, int]:
    value = int(header.PixelPaddingValue)
    return value, value if (end := header.get("PixelPaddingRangeLimit")) is None else int(end)


def _as_stored(value: int, header: Dataset, dtype: np.dtype) -> int:
    """A value of the header as the pixels have it: some write -2000 as 63536, or with more bits than are used."""
    bits = int(header.BitsStored)
    value &= (1 << bits) - 1
    return value - (1 << bits) if dtype.kind == "i" and value >> (bits - 1) else value
