"""SEG, RTSTRUCT and pictures land on their scan, however it was acquired, trimmed or straightened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.pixels import iter_pixels

from corpus.scans import dicom_labels
from corpus.scans.contours import fill
from corpus.scans.dicom import read_series
from corpus.scans.dicom_labels import place_pictures, read_rtstruct, read_seg
from corpus.scans.orientation import to_display
from corpus.scans.volumes import Grid, Reject
from tests.corpus.dicom_files import write_enhanced, write_rtstruct, write_seg, write_series

SHAPE = (6, 14, 18)  # slices, rows, columns
LIVER, KIDNEY = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
LIVER[1:5, 2:9, 3:7] = LIVER[1:4, 2:5, 3:12] = True  # no symmetry: any flip would show
KIDNEY[0:2, 9:12, 12:17] = KIDNEY[1, 12, 12] = True
IMAGE = np.where(LIVER, 60, np.where(KIDNEY, 30, -1000)).astype(np.int16)
TILT = {"orientation": ((1, 0, 0), (0, 0.96, 0.28)), "step": (0, 0, 3.0)}
"""16.3 degrees: each slice lies 1.05 rows from where an upright stack would have it."""


def display(mask: np.ndarray, grid: Grid) -> np.ndarray:
    return to_display(mask, grid.affine)[0]


@pytest.fixture
def scan(tmp_path: Path) -> tuple[list[Path], Grid]:
    files = write_series(tmp_path / "ct", IMAGE)
    return files, read_series(files)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_a_seg_comes_back_as_it_was_written(tmp_path: Path, scan: tuple[list[Path], Grid], kind: str) -> None:
    files, grid = scan
    masks = {"liver": LIVER, "kidney": KIDNEY}
    if kind == "FRACTIONAL":
        masks = {name: np.where(mask, 0.8, 0.3) for name, mask in masks.items()}
    found = read_seg(write_seg(tmp_path / "seg.dcm", files, masks, kind), grid)
    assert list(found) == ["liver", "kidney"]
    assert found["liver"].dtype == bool
    assert np.array_equal(display(found["liver"], grid), LIVER)
    assert np.array_equal(display(found["kidney"], grid), KIDNEY)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_of_a_seg_only_what_is_wanted_is_decoded(
    tmp_path: Path, scan: tuple[list[Path], Grid], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All hundred structures of a whole body at once would take gigabytes."""
    files, grid = scan
    decoded: list[int] = []

    def counted(dataset: Dataset, indices: list[int], raw: bool) -> Any:
        for frame in iter_pixels(dataset, indices=indices, raw=raw):
            decoded.append(frame.size)
            yield frame

    monkeypatch.setattr(dicom_labels, "iter_pixels", counted)
    path = write_seg(tmp_path / "seg.dcm", files, {"couch": ~LIVER, "kidney": KIDNEY}, kind, omit_empty_frames=True)
    found = read_seg(path, grid, lambda name: name == "kidney")
    assert np.array_equal(display(found["kidney"], grid), KIDNEY)
    assert not found["couch"].any()
    assert decoded == [14 * 18] * (6 if kind == "LABELMAP" else 2)


def test_what_only_fractions_have_is_not_looked_for_elsewhere(tmp_path: Path, scan: tuple[list[Path], Grid]) -> None:
    files, grid = scan
    path = write_seg(tmp_path / "seg.dcm", files, {"liver": LIVER})
    header = pydicom.dcmread(path)
    header.MaximumFractionalValue = 255
    header.save_as(path)
    assert np.array_equal(display(read_seg(path, grid)["liver"], grid), LIVER)


@pytest.mark.parametrize(("value", "side"), [("7771000", "left"), ("G-A100", "right")])
@pytest.mark.parametrize("region", [False, True])
def test_a_side_that_is_only_coded_is_read(
    tmp_path: Path, scan: tuple[list[Path], Grid], value: str, side: str, region: bool
) -> None:
    files, grid = scan
    path = write_seg(tmp_path / "seg.dcm", files, {"Kidney": KIDNEY, "Liver": LIVER})
    written, code = pydicom.dcmread(path), Dataset()
    code.CodeValue = value
    for segment in written.SegmentSequence:
        if region:
            segment.AnatomicRegionSequence = [Dataset()]
            segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [code]
        else:
            segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [code]
    written.save_as(path)
    assert list(read_seg(path, grid)) == [f"{side} Kidney", "Liver"], "no organ is the left liver"


@pytest.mark.parametrize("label", ["Segment 1", "segment_12", "Label 3", "ROI-2", "7"])
def test_a_segment_that_nobody_named_is_what_it_is_coded_as(
    tmp_path: Path, scan: tuple[list[Path], Grid], label: str
) -> None:
    files, grid = scan
    found = read_seg(write_seg(tmp_path / "seg.dcm", files, {label: LIVER, "Liver tumour": KIDNEY}), grid)
    assert list(found) == ["Liver", "Liver tumour"], "the test's files code all segments as liver"


@pytest.mark.parametrize(
    ("orientation", "step"),
    [
        (((1, 0, 0), (0, 1, 0)), (0, 0, -3.0)),  # from the head down
        (((-1, 0, 0), (0, -1, 0)), (0, 0, 3.0)),  # prone
        (((0, 1, 0), (0, 0, -1)), (3.0, 0, 0)),  # sagittal
        (((1, 0, 0), (0, 0, -1)), (0, 3.0, 0)),  # coronal
    ],
)
def test_labels_lie_on_what_they_label_in_every_acquisition(tmp_path: Path, orientation: Any, step: Any) -> None:
    files = write_series(tmp_path / "ct", IMAGE, orientation=orientation, step=step)
    grid = read_series(files)
    seg = read_seg(write_seg(tmp_path / "seg.dcm", files, {"liver": LIVER, "kidney": KIDNEY}), grid)
    assert np.array_equal(seg["liver"], grid.array == 60)
    assert np.array_equal(seg["kidney"], grid.array == 30)
    pictures = {f: np.where(a, 9, 0).astype(np.uint8) for f, a in zip(files, LIVER, strict=True)}
    assert np.array_equal(place_pictures(pictures, grid), 9 * (grid.array == 60))


def test_a_seg_of_another_frame_order_lands_too(tmp_path: Path, scan: tuple[list[Path], Grid]) -> None:
    files, grid = scan
    order = [3, 1, 5, 0, 2, 4]
    path = write_seg(tmp_path / "seg.dcm", [files[k] for k in order], {"liver": LIVER[order]}, omit_empty_frames=False)
    assert np.array_equal(display(read_seg(path, grid)["liver"], grid), LIVER)


def test_labels_of_an_enhanced_scan(tmp_path: Path) -> None:
    files = write_series(tmp_path / "ct", IMAGE)
    path = write_enhanced(tmp_path / "enhanced.dcm", IMAGE, order=[5, 0, 3, 1, 4, 2])
    grid = read_series(path)
    found = read_seg(write_seg(tmp_path / "seg.dcm", files, {"liver": LIVER}), grid)
    assert np.array_equal(display(found["liver"], grid), LIVER)


def test_labels_beyond_a_gap_are_left_out(tmp_path: Path) -> None:
    files = write_series(tmp_path / "ct", IMAGE)
    path = write_seg(tmp_path / "seg.dcm", files, {"liver": LIVER, "kidney": KIDNEY})
    grid = read_series([f for k, f in enumerate(files) if k != 1])  # slice 0 is beyond the gap
    found = read_seg(path, grid)
    assert np.array_equal(display(found["liver"], grid), LIVER[2:])
    assert not found["kidney"].any()
    rt = write_rtstruct(tmp_path / "rt.dcm", {"liver": [square(z, 2, 9, 3, 7) for z in range(6)]})
    assert read_rtstruct(rt, grid)["liver"].any(axis=(0, 1)).all()


@pytest.mark.parametrize("case", ["seg", "pictures", "rtstruct"])
def test_labels_of_a_tilted_scan_move_with_it(tmp_path: Path, case: str) -> None:
    thick = np.repeat(LIVER, 3, axis=0)
    files = write_series(tmp_path / "ct", np.where(thick, 60, -1000).astype(np.int16), **TILT)
    grid = read_series(files)
    assert grid.mended == ("gantry tilt of 16.3 degrees undone",)
    if case == "seg":
        found = read_seg(write_seg(tmp_path / "seg.dcm", files, {"liver": thick}), grid)["liver"]
    elif case == "pictures":
        found = place_pictures(dict(zip(files, thick.astype(np.uint8), strict=True)), grid) > 0
    else:
        down, origin = np.array([0, 0.96, 0.28]), np.array([-40.0, -50.0, -60.0])
        boxes = [
            (k, *box) for k in range(3, 15) for box in ([(2, 5, 3, 12), (5, 9, 3, 7)] if k < 12 else [(2, 9, 3, 7)])
        ]
        contours = [
            [
                origin + [0, 0, 3.0 * k] + (r - 0.5) * 0.8 * down + [(c - 0.5) * 0.5, 0, 0]
                for r, c in ((top, left), (top, right), (bottom, right), (bottom, left))
            ]
            for k, top, bottom, left, right in boxes
        ]
        found = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", {"liver": contours}), grid)["liver"]
    assert found.sum() == pytest.approx(thick.sum(), rel=0.01 if case != "rtstruct" else 0.1)
    inside = grid.array > (60 - 1000) / 2  # rows at the rim are mixtures
    assert (found != inside).sum() <= 0.1 * inside.sum()
    assert (grid.array[found] > -1000).mean() > 0.99
    assert found[grid.array == 60].all() or case == "rtstruct"


def square(k: float, top: int, bottom: int, left: int, right: int) -> list[list[float]]:
    """A contour around the pixels of rows top..bottom-1, columns left..right-1 of slice k, LPS mm."""
    y, x, z = (lambda r: -50 + (r - 0.5) * 0.8), (lambda c: -40 + (c - 0.5) * 0.5), -60 + 3 * k
    return [[x(left), y(top), z], [x(right), y(top), z], [x(right), y(bottom), z], [x(left), y(bottom), z]]


def test_contours_fill_the_voxels_whose_centres_they_hold(tmp_path: Path, scan: tuple[list[Path], Grid]) -> None:
    _, grid = scan
    rois = {
        "liver": [square(1, 2, 9, 3, 7), square(4.2, 1, 3, 2, 9), square(4.2, 10, 12, 2, 9), square(9, 1, 3, 2, 9)],
        "ring": [square(2, 1, 10, 1, 12), square(2, 3, 8, 4, 9), square(2, 5, 6, 6, 7)],
        "two#1": [square(0, 1, 4, 1, 4)],
        "two#2": [square(0, 2, 6, 2, 6)],
        "not drawn": [],
    }
    found = {name: display(m, grid) for name, m in read_rtstruct(write_rtstruct(tmp_path / "r", rois), grid).items()}
    assert list(found) == ["liver", "ring", "two"]
    liver, ring, two = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[1, 2:9, 3:7] = liver[4, 1:3, 2:9] = liver[4, 10:12, 2:9] = True
    ring[2, 1:10, 1:12] = True
    ring[2, 3:8, 4:9] = False
    ring[2, 5:6, 6:7] = True
    two[0, 1:4, 1:4] = two[0, 2:6, 2:6] = True
    assert np.array_equal(found["liver"], liver)
    assert np.array_equal(found["ring"], ring), "an inner contour is a hole, one within it an island"
    assert np.array_equal(found["two"], two), "ROIs of one name are united, not cut out of each other"


def test_a_contour_that_is_listed_twice_counts_once(tmp_path: Path, scan: tuple[list[Path], Grid]) -> None:
    """By XOR it would erase itself; in whatever order, direction and closing an editor lists it again."""
    outer, hole, other = square(2, 1, 10, 1, 12), square(2, 3, 8, 4, 9), square(3, 2, 9, 3, 7)
    again = [outer[2:] + outer[:2], hole[::-1], [*other, other[0]], other]
    rt = write_rtstruct(tmp_path / "rt.dcm", {"liver": [outer, hole, other, *again]})
    told: list[str] = []
    found = display(read_rtstruct(rt, scan[1], note=told.append)["liver"], scan[1])
    once = write_rtstruct(tmp_path / "once.dcm", {"liver": [outer, hole, other]})
    assert np.array_equal(found, display(read_rtstruct(once, scan[1])["liver"], scan[1]))
    assert not found[2, 5, 6], "a hole stays one"
    assert found[3].sum() == 28
    assert told == ["4 contours of liver are listed twice and taken once"]


@pytest.mark.parametrize("step", [1.0, 0.5, 0.25, 0.2])
def test_contours_on_finer_planes_than_the_scans_do_not_cancel(
    tmp_path: Path, scan: tuple[list[Path], Grid], step: float
) -> None:
    """The plane nearest to a slice's centre is the slice's; on a plane, inner contours are holes all the same."""
    planes = np.round(np.arange(1, 3.7, step), 2)  # in slices; the last ones lie beyond slice 3, but not on slice 4
    # On the slices the organ reaches to row 8, between them to row 12: a union would show.
    outer = [square(z, 2, 9 if z == round(z) else 13, 3, 10) for z in planes]
    holes = [square(z + 0.002, 4, 7, 5, 8) for z in planes]  # 0.006 mm off, as files round
    found = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", {"liver": [*outer, *holes]}), scan[1])["liver"]
    expected = np.zeros(SHAPE, bool)
    expected[1:4, 2:9, 3:10] = True
    expected[1:4, 4:7, 5:8] = False
    assert np.array_equal(display(found, scan[1]), expected)


@pytest.mark.parametrize(
    ("heights", "reason"),
    [
        ([0.5, 1.5, 2.5], "both sides of slice 1, 0.50 slices off, but none on it"),
        ([0, 0.8, 1.6, 2.4, 3.2, 4], "both sides of slice 2, 0.40 slices off"),
        ([3.5], r"between two slices of the scan \(3.50\)"),
    ],
)
def test_contours_between_the_slices_are_refused(
    tmp_path: Path, scan: tuple[list[Path], Grid], heights: list[float], reason: str
) -> None:
    rt = write_rtstruct(tmp_path / "rt.dcm", {"liver": [square(z, 2, 9, 3, 7) for z in heights]})
    with pytest.raises(Reject, match=rf"rt\.dcm: liver has contours .*{reason}"):
        read_rtstruct(rt, scan[1])


def test_a_structure_drawn_on_every_other_slice_is_refused(tmp_path: Path, scan: tuple[list[Path], Grid]) -> None:
    """The slices between would be taught as slices without it. What isn't wanted refuses nothing."""
    sparse = [square(z, 2, 9, 3, 7) for z in (-3, -1, 1, 3, 5)]
    every = [square(z, 2, 9, 3, 7) for z in range(6)]
    rt = write_rtstruct(tmp_path / "rt.dcm", {"liver": every, "couch": sparse})
    with pytest.raises(Reject, match=r"rt\.dcm: couch is drawn on planes 2 slices apart"):
        read_rtstruct(rt, scan[1])
    found = read_rtstruct(rt, scan[1], lambda name: name != "couch")
    assert found["liver"].any(axis=(0, 1)).all()
    assert not found["couch"].any()


def test_a_contour_without_points_is_passed_over(tmp_path: Path, scan: tuple[list[Path], Grid]) -> None:
    rt = write_rtstruct(tmp_path / "rt.dcm", {"liver": [square(1, 2, 9, 3, 7), square(2, 2, 9, 3, 7)]})
    header = pydicom.dcmread(rt)
    header.ROIContourSequence[0].ContourSequence[1].ContourData = None
    header.save_as(rt)
    liver = display(read_rtstruct(rt, scan[1])["liver"], scan[1])
    assert np.flatnonzero(liver.any(axis=(1, 2))).tolist() == [1]


def test_points_and_open_lines_are_no_masks(tmp_path: Path, scan: tuple[list[Path], Grid]) -> None:
    rt = write_rtstruct(tmp_path / "rt.dcm", {"mark": [square(1, 2, 9, 3, 7)]}, kind="OPEN_PLANAR")
    assert read_rtstruct(rt, scan[1]) == {}


def test_fill_is_right_for_any_polygon() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        polygon = rng.uniform(-3, 25, (9, 2))
        u, v = np.mgrid[:20, :23]
        inside = np.zeros(u.shape, bool)
        for (u0, v0), (u1, v1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):  # a ray from every pixel
            crosses = (v0 > v) != (v1 > v)
            inside ^= crosses & (u < (u1 - u0) * (v - v0) / (v1 - v0) + u0)
        assert np.array_equal(fill([polygon], (20, 23)), inside)
    assert not fill([np.zeros((0, 2)), np.array([[3.0, 3.0]])], (20, 23)).any()


def test_borders_are_shared_out_among_neighbours() -> None:
    left = np.array([[0, 0], [0, 4], [3, 4], [3, 0]], float)
    right = left + np.array([3, 0])
    assert not (fill([left], (9, 9)) & fill([right], (9, 9))).any()
    assert (fill([left], (9, 9)) | fill([right], (9, 9))).sum() == 24


def test_what_does_not_belong_to_the_scan_is_refused(tmp_path: Path, scan: tuple[list[Path], Grid]) -> None:
    files, grid = scan

    def seg(name: str, **other: Any) -> Path:
        return write_seg(tmp_path / name, write_series(tmp_path / name[:-4], IMAGE, **other), {"liver": LIVER})

    far = write_rtstruct(tmp_path / "far.dcm", {"liver": [square(40, 2, 9, 3, 7)]})
    across = [[[-35, -45, z], [-33, -45, z], [-33, -43, z + 6]] for z in (-57,)]
    cases = {
        "differ from the scan's in size": lambda: read_seg(seg("fine.dcm", spacing=(0.4, 0.25)), grid),
        "in size or direction": lambda: read_seg(
            seg("oblique.dcm", orientation=((0.96, 0.28, 0), (-0.28, 0.96, 0))), grid
        ),
        "between two slices": lambda: read_seg(seg("shifted.dcm", origin=(-40, -50, -58.5)), grid),
        "no segment lies on the scan": lambda: read_seg(seg("elsewhere.dcm", origin=(-40, -50, 400)), grid),
        "expected SEG, found CT": lambda: read_seg(files[0], grid),
        "expected RTSTRUCT, found CT": lambda: read_rtstruct(files[0], grid),
        "expected a DICOM file": lambda: read_seg(tmp_path / "none.dcm", grid),
        "no contour lies on the scan": lambda: read_rtstruct(far, grid),
        "isn't parallel to the slices": lambda: read_rtstruct(
            write_rtstruct(tmp_path / "across.dcm", {"liver": across}), grid
        ),
        "14 x 18 pixels, its labels": lambda: place_pictures({files[0]: np.ones((5, 5), np.uint8)}, grid),
    }
    for reason, read in cases.items():
        with pytest.raises(Reject, match=reason):
            read()
    torn = write_seg(tmp_path / "torn.dcm", files, {"liver": LIVER})
    torn.write_bytes(torn.read_bytes()[:-60])
    with pytest.raises(Reject, match=r"torn.dcm: the segments can't be read"):
        read_seg(torn, grid)
