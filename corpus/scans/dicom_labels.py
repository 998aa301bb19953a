"""Labels drawn on a DICOM series: SEG, RTSTRUCT, and pictures that belong to its files.

All are placed by the patient's coordinates, so that it makes no difference in which order slices are stored, how they
are turned, whether some were left out, and whether a gantry tilt was undone. Who calls pairs labels and images by frame
of reference (`SeriesInfo.frame_of_reference`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.pixels import iter_pixels

from corpus.anatomy import canonical_name
from corpus.scans.contours import distinct, fill
from corpus.scans.dicom import read_dicom
from corpus.scans.dicom_planes import RAS, Plane, group, planes
from corpus.scans.sparse import SPARSE_FIX, slices_apart
from corpus.scans.volumes import Grid, Reject

OFF_SLICE = 0.25
"""How far a frame or contour may lie from the slice that it labels, as a share of the slice spacing."""
SIDES = {"7771000": "left", "24028007": "right", "G-A101": "left", "G-A100": "right"}
"""Code values of SNOMED CT, and of SNOMED RT before it (DICOM PS3.16, CID 244)."""
NAMELESS = re.compile(r"(?:(?:segment(?:ation)?|label|roi|mask)[\s_-]*)?\d*", re.IGNORECASE)
"""Labels that a program gives where nobody names a segment. What it is is coded then; of "Liver tumour", coded as of
the liver, the code would say too much."""
SAME_PLANE_MM = 0.01
"""Contours no further apart than this, for which the rounding of their text allows, are drawn on one plane."""


def read_seg(
    path: Path,
    grid: Grid,
    wanted: Callable[[str], bool] = lambda name: True,
    note: Callable[[str], object] = lambda text: None,
) -> dict[str, np.ndarray]:
    """The segments of a DICOM SEG (binary, fractional over one half, or label map) on an image's grid.

    Args:
        path: The SEG object.
        grid: Of the image that it was drawn on. Frames beyond its first or last slice are left out.
        wanted: By name, the segments to look at.
        note: Told in words what was left out.

    Returns:
        Segment label, or its coded meaning where it says nothing, with the coded side where that makes an organ of it
        ("Kidney", coded left), to bool `[I, J, K]`, empty for what isn't wanted; segments of one name are united.

    Raises:
        Reject: The file can't be read, or its pixels don't lie on those of the grid.
    """
    dataset = _read(path, "SEG")
    where = planes(dataset, path)
    try:
        # Number 0 is a label map's background.
        names = {int(s.SegmentNumber): _segment_name(s) for s in dataset.SegmentSequence if int(s.SegmentNumber)}
        fractional = dataset.SegmentationType == "FRACTIONAL"
        half = (int(dataset.get("MaximumFractionalValue", 1)) if fractional else 1) / 2
        is_map = dataset.SegmentationType == "LABELMAP"
        of_frames = [None if is_map else _segment_of(dataset, i) for i in range(len(where))]
    except MemoryError:
        raise
    except Exception as error:  # a header that doesn't describe the pixels
        raise _unreadable(path, error) from None
    masks = {name: np.zeros(grid.array.shape, bool) for name in names.values()}
    passed_over = {number for number, name in names.items() if not wanted(name)}
    looked_at = [i for i, number in enumerate(of_frames) if number not in passed_over]
    drawn = placed = 0
    for i, values in _frames(dataset, looked_at, path):
        number = of_frames[i]
        present = [n for n in np.unique(values).tolist() if n and n not in passed_over] if number is None else [number]
        for shown in present:
            if shown not in names:
                raise Reject(f"{path.name}: segment {shown} has no description")
            mask = values == shown if is_map else values > half
            drawn += bool(mask.any())
            placed += _place(mask, where[i], grid, masks[names[shown]], path)
    if drawn and not placed:
        raise Reject(f"{path.name}: no segment lies on the scan")
    if placed < drawn:
        note(f"{drawn - placed} of {drawn} drawn frames lie beyond the scan and are left out")
    return masks


def _frames(dataset: Dataset, indices: list[int], path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Frames `[rows, columns]` by their indices, one at a time: those of a whole body at once would take gigabytes."""
    try:
        yield from zip(indices, iter_pixels(dataset, indices=indices, raw=True) if indices else (), strict=True)
    except MemoryError:
        raise
    except Exception as error:  # torn pixels, a missing decoder, or a header that doesn't describe them
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> Reject:
    return Reject(f"{path.name}: the segments can't be read ({type(error).__name__}: {error})")


def _read(path: Path, modality: str) -> Dataset:
    dataset = read_dicom(path)
    if dataset.get("Modality") != modality:
        raise Reject(f"{path.name}: expected {modality}, found {dataset.get('Modality')}")
    return dataset


def _segment_name(segment: Dataset) -> str:
    kinds = segment.get("SegmentedPropertyTypeCodeSequence") or [Dataset()]
    regions = segment.get("AnatomicRegionSequence") or [Dataset()]
    name = str(segment.get("SegmentLabel") or "").strip()
    if NAMELESS.fullmatch(name):
        name = str(kinds[0].get("CodeMeaning") or "").strip() or name
    told = [
        *(kinds[0].get("SegmentedPropertyTypeModifierCodeSequence") or ()),
        *(regions[0].get("AnatomicRegionModifierSequence") or ()),
    ]
    sided = (f"{SIDES[code.get('CodeValue')]} {name}" for code in told if code.get("CodeValue") in SIDES)
    return next((each for each in sided if canonical_name(each)), name)


def _segment_of(dataset: Dataset, frame: int) -> int:
    """The number of the segment that a frame shows."""
    return int(group(dataset, frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def place_pictures(pictures: Mapping[Path, np.ndarray], grid: Grid) -> np.ndarray:
    """Label pictures, drawn pixel for pixel on the files of a series, on the grid that `read_series` made of it.

    Args:
        pictures: DICOM file of one slice to its labels, integers `[rows, columns]`, 0 is background.

    Returns:
        `[I, J, K]` of the pictures' type.

    Raises:
        Reject: A picture of another size than its slice, or one that doesn't lie on the grid's pixels.
    """
    labels = np.zeros(grid.array.shape, np.result_type(*(p.dtype for p in pictures.values())) if pictures else np.uint8)
    for file, picture in sorted(pictures.items()):
        header = read_dicom(file, pixels=False)
        if picture.shape != (header.Rows, header.Columns):
            raise Reject(f"{file.name}: {header.Rows} x {header.Columns} pixels, its labels {picture.shape}")
        _place(picture, planes(header, file)[0], grid, labels, file)
    return labels


def _place(picture: np.ndarray, plane: Plane, grid: Grid, out: np.ndarray, path: Path) -> bool:
    """Write the non-zero pixels `[rows, columns]` of a plane into `out` `[I, J, K]`; False if none lies on the grid."""
    start, across, down = _in_voxels(np.stack([plane.origin, plane.across, plane.down]), grid.affine, points=1)
    whole = np.rint(np.stack([across, down]))
    drift = np.abs(np.stack([across, down]) - whole) * np.array(picture.shape[::-1])[:, None]
    if (np.abs(whole).sum(axis=1) != 1).any() or (whole[0] * whole[1]).any() or drift.max() > 0.5:
        raise Reject(f"{path.name}: its pixels differ from the scan's in size or direction")
    through = int(np.flatnonzero(~whole.any(axis=0))[0])
    height = float(start[through])
    if not -OFF_SLICE <= height <= grid.array.shape[through] - 1 + OFF_SLICE:
        return False
    if abs(height - np.rint(height)) > OFF_SLICE:
        raise Reject(f"{path.name}: a frame lies between two slices of the scan ({height:.2f})")
    rows, columns = np.nonzero(picture)
    places = start + columns[:, None] * across + rows[:, None] * down
    index = np.floor(np.round(places, 6) + 0.5).astype(np.int64)
    inside = ((index >= 0) & (index < grid.array.shape)).all(axis=1)
    out[tuple(index[inside].T)] = picture[rows[inside], columns[inside]]
    return bool(inside.any())


def _in_voxels(vectors: np.ndarray, affine: np.ndarray, points: int) -> np.ndarray:
    """RAS mm `[N, 3]` to voxel units: the first `points` are places, the others are steps.

    Rounded, so that what lies on the border between two voxels falls on the same side on every machine.
    """
    moved = vectors.copy()
    moved[:points] -= affine[:3, 3]
    return np.round(moved @ np.linalg.inv(affine[:3, :3]).T, 6)


def read_rtstruct(
    path: Path,
    grid: Grid,
    wanted: Callable[[str], bool] = lambda name: True,
    note: Callable[[str], object] = lambda text: None,
) -> dict[str, np.ndarray]:
    """The closed planar contours of an RTSTRUCT on an image's grid.

    A voxel is inside if its centre is. Contours of a plane are combined by XOR, so that inner ones are holes; one that
    is listed twice counts once. They may be drawn on finer planes than the scan's: a slice shows the plane nearest to
    its centre, see `_contours_of_slices`. Those beyond the first or last slice are left out.

    Args:
        path: The RTSTRUCT object.
        grid: Of the image that it was drawn on, slices along the last axis.
        wanted: By name, the ROIs to look at: what is wrong with a couch's outline is nobody's trouble.
        note: Told in words what was left out or put right.

    Returns:
        ROI name to bool `[I, J, K]`, empty for what isn't wanted. A ROI without contours was not drawn and is left
        out; ROIs of one name are united.

    Raises:
        Reject: The file can't be read, a contour isn't parallel to the slices, contours lie between two slices but on
            neither, a ROI is drawn on every other slice or fewer, or none lies on the scan.
    """
    dataset = _read(path, "RTSTRUCT")
    try:
        names = {int(roi.ROINumber): str(roi.ROIName) for roi in dataset.StructureSetROISequence}
        drawn = [
            (names[int(roi.ReferencedROINumber)], contours)
            for roi in dataset.get("ROIContourSequence") or ()
            if (contours := _closed_contours(roi))
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Reject(f"{path.name}: the contours can't be read ({type(error).__name__}: {error})") from None
    masks = {name: np.zeros(grid.array.shape, bool) for name, _ in drawn}
    looked_at = [(name, contours) for name, contours in drawn if wanted(name)]
    for name, contours in looked_at:
        placed = [_in_voxels(contour * RAS, grid.affine, points=len(contour)) for contour in contours]
        if any(np.ptp(places[:, 2]) > 0.5 for places in placed):
            raise Reject(f"{path.name}: a contour of {name} isn't parallel to the slices")
        heights = np.round([places[:, 2].mean() for places in placed], 6)
        if off := int(((heights < -OFF_SLICE) | (heights > grid.array.shape[2] - 1 + OFF_SLICE)).sum()):
            note(f"{off} of {len(heights)} contours of {name} lie beyond the scan and are left out")
        again = 0
        for k, shown in _contours_of_slices(heights, grid, f"{path.name}: {name}").items():
            once = distinct([placed[i][:, :2] for i in shown])
            again += len(shown) - len(once)
            masks[name][:, :, k] |= fill(once, grid.array.shape[:2])
        if again:
            note(f"{again} contours of {name} are listed twice and taken once")
    if looked_at and not any(mask.any() for mask in masks.values()):
        raise Reject(f"{path.name}: no contour lies on the scan")
    return masks


def _contours_of_slices(heights: np.ndarray, grid: Grid, what: str) -> dict[int, list[int]]:
    """The contours of a ROI that each slice shows: those of one plane, the nearest to the slice's centre.

    Others that round to the slice must not be combined with these: two like ones would cancel each other. A slice that
    no plane lies near, with planes on one side of it alone, is beyond the ROI's end and shows none.

    Args:
        heights: Where the contours lie, `[N]`, in slices from the first one's centre.
        what: File and ROI, for the reason.

    Returns:
        Slice to indices of contours; slices that show none are left out.

    Raises:
        Reject: A slice lies inside the ROI but none of its planes near it, its planes leave slices out
            (`sparse.slices_apart`), or none lies near any slice of the scan.
    """
    stop = grid.array.shape[2]
    same = SAME_PLANE_MM / float(np.sqrt((grid.affine[:3, 2] ** 2).sum()))
    ascending = np.sort(heights)
    if apart := slices_apart(ascending[np.diff(ascending, prepend=-np.inf) > same]):  # planes beyond the scan tell too
        raise Reject(f"{what} is drawn on planes {apart:.2g} slices apart: {SPARSE_FIX}")
    shown: dict[int, list[int]] = {}
    for k in range(stop):
        off = np.round(heights - k, 6)
        nearest = min(off.tolist(), key=lambda height: (abs(height), height))
        beside = off[np.abs(off) < 1 - OFF_SLICE]
        if abs(nearest) <= OFF_SLICE:
            shown[k] = np.flatnonzero(np.round(np.abs(off - nearest), 6) <= round(same, 6)).tolist()
        elif (beside < 0).any() and (beside > 0).any():
            raise Reject(
                f"{what} has contours on both sides of slice {k}, {abs(nearest):.2f} slices off, but none on it"
            )
    on_scan = heights[(heights >= -OFF_SLICE) & (heights <= stop - 1 + OFF_SLICE)]
    if len(on_scan) and not shown:
        raise Reject(f"{what} has contours between two slices of the scan ({on_scan[0]:.2f}) and none on a slice")
    return shown


def _closed_contours(roi: Dataset) -> list[np.ndarray]:
    """Points in LPS mm, `[N, 3]` each."""
    return [
        np.array(contour.ContourData, np.float64).reshape(-1, 3)
        for contour in roi.get("ContourSequence") or ()
        if str(contour.ContourGeometricType) in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR") and contour.get("ContourData")
    ]
