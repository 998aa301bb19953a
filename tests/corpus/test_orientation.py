"""All 48 ways to store a volume lead to the same display frame, and back."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from corpus.scans.adapters import read_case
from corpus.scans.nifti import read_nifti
from corpus.scans.orientation import axis_codes, from_display, resized, square_pixels, to_display
from corpus.scans.volumes import Case, Grid, LabelMap, Reject, Source

SPACING = (0.8, 1.5, 5.0)  # x, y, z in mm
CODES = ["".join(code) for axes in permutations(("LR", "PA", "SI")) for code in product(*axes)]


def stored(code: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A body (axes L, P, S), and the array and affine of a file whose axes point along `code`."""
    body = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    affine = nib.affines.from_matvec(np.diag([-SPACING[0], -SPACING[1], SPACING[2]]), [40, 30, -20])
    ornt = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(tuple(code)))
    return body, apply_orientation(body, ornt), affine @ inv_ornt_aff(ornt, body.shape)


def test_there_are_48() -> None:
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("code", CODES)
def test_every_storage_order_gives_the_display_frame(code: str) -> None:
    body, array, affine = stored(code)
    assert axis_codes(affine) == code
    display, spacing = to_display(array, affine)
    assert np.array_equal(display, body.transpose(2, 1, 0))
    assert spacing == (SPACING[2], SPACING[1], SPACING[0])
    assert np.array_equal(from_display(display, affine), array)


def test_left_is_on_the_viewers_right_and_anterior_on_top() -> None:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])  # RAS
    array = np.zeros((10, 10, 10), np.uint8)
    array[1, 8, 5] = 1  # the patient's left, anterior
    display, _ = to_display(array, affine)
    _, row, column = np.argwhere(display)[0]
    assert row < 5
    assert column > 5


def turn(axis: int, degrees: float) -> np.ndarray:
    """A rotation about the x, y or z axis, `[4, 4]`."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    a, b = (i for i in range(3) if i != axis)
    matrix = np.eye(4)
    matrix[[a, a, b, b], [a, b, a, b]] = cosine, -sine, sine, cosine
    return matrix


@pytest.mark.parametrize("code", CODES)
def test_oblique_affines_are_taken_at_their_closest_orientation(code: str) -> None:
    body, array, affine = stored(code)
    oblique = turn(0, 20) @ turn(1, -15) @ turn(2, 25) @ affine
    assert axis_codes(oblique) == code
    display, spacing = to_display(array, oblique)
    assert np.array_equal(display, body.transpose(2, 1, 0))
    assert spacing == (SPACING[2], SPACING[1], SPACING[0])
    assert np.array_equal(from_display(display, oblique), array)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("degrees", [-25, 10])
def test_sheared_slices_are_as_far_apart_as_their_planes(code: str, degrees: float) -> None:
    """A gantry tilt that was left in the header: each slice lies a little further to the back than the last."""
    body, array, affine = stored(code)
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.deg2rad(degrees))
    for sheared in (shear @ affine, turn(0, -degrees) @ shear @ affine):
        display, spacing = to_display(array, sheared)
        assert np.array_equal(display, body.transpose(2, 1, 0))
        assert spacing == (SPACING[2], SPACING[1], SPACING[0])
        assert np.array_equal(from_display(display, sheared), array)


@pytest.mark.parametrize(("y", "x", "shape"), [(2.0, 4.0, (3, 6, 16)), (1.5, 0.5, (3, 18, 8)), (1.0, 1.005, (3, 6, 8))])
def test_pixels_become_square_and_come_back(y: float, x: float, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 5, (3, 6, 8)).astype(np.uint8)
    square, spacing = square_pixels(array, (5.0, y, x), nearest=True)
    assert square.shape == shape
    assert spacing == ((5.0, y, x) if shape == array.shape else (5.0, min(y, x), min(y, x)))
    assert set(np.unique(square)) == set(np.unique(array))
    assert np.array_equal(resized(square, (6, 8), nearest=True), array)
    grey, _ = square_pixels(np.full((3, 6, 8), -1000, np.int16), (5.0, y, x))
    assert grey.shape == shape
    assert set(np.unique(grey)) == {-1000}


@pytest.mark.parametrize("spacing", [(5.0, 70.0, 0.7), (5.0, 0.7, 70.0)])
def test_a_pixel_as_no_scanner_has_it_is_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(Reject, match=r"pixels of .* mm can't be right"):
        square_pixels(np.zeros((1, 512, 512), np.int16), spacing)


def test_a_volume_of_oblong_pixels_is_taken_in_with_square_ones(tmp_path: Path) -> None:
    rng, label = np.random.default_rng(0), np.zeros((20, 24, 6), np.uint8)
    label[4:12, 5:13, 1:5] = 1
    affine = np.diag([3.0, 1.5, 4.0, 1.0])
    nib.save(nib.Nifti1Image(rng.integers(-1000, 1200, label.shape).astype(np.int16), affine), tmp_path / "i.nii")
    nib.save(nib.Nifti1Image(label, affine), tmp_path / "l.nii")
    case = Case("v", "p", tmp_path / "i.nii", tmp_path / "l.nii")

    def organs(case: Case, grid: Grid) -> LabelMap:
        return LabelMap(read_nifti(case.label).array.astype(np.uint8), frozenset([1]))

    volume = read_case(case, Source([case], lambda case: read_nifti(case.image), organs))
    assert volume.image.shape == volume.label.shape == (6, 24, 40)
    assert volume.spacing == (4.0, 1.5, 1.5)
    assert volume.label.sum() == 2 * label.sum()
    assert volume.mended == ("pixels of 1.5 x 3 mm resampled to squares",)
