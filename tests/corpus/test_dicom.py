"""DICOM series: one patient, however scanned and stored, gives one volume; what can't is said or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import JPEGLosslessSV1, RLELossless, SecondaryCaptureImageStorage

from corpus.scans.dicom import read_series, series_and_unread
from corpus.scans.orientation import axis_codes, to_display
from corpus.scans.volumes import Reject
from tests.corpus.dicom_files import (
    FRAME_OF_REFERENCE,
    header,
    set_pixels,
    uid,
    write,
    write_enhanced,
    write_rtstruct,
    write_series,
)

HU = np.random.default_rng(0).integers(-1000, 1200, (6, 7, 9)).astype(np.int16)
"""`[slice, row, column]`: for an axial series, the display frame itself."""
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
SIZES = {"x": 9, "y": 7, "z": 6}
SPACINGS = {"x": 0.5, "y": 0.8, "z": 3.0}


def acquire(folder: Path, rows: str, columns: str, stack: str, **more: Any) -> list[Path]:
    """The patient `HU` scanned another way: rows run along `rows` ("-x" is from high x to low), and so on."""
    names = [axis.lstrip("-") for axis in (stack, columns, rows)]
    slices = HU.transpose([("z", "y", "x").index(name) for name in names])
    origin, steps = np.array([-40.0, -50.0, -60.0]), {}
    for place, axis in enumerate((stack, columns, rows)):
        name = axis.lstrip("-")
        direction = np.array(AXES[name], float)
        if axis.startswith("-"):
            slices = np.flip(slices, place)
            origin += direction * SPACINGS[name] * (SIZES[name] - 1)
            direction = -direction
        steps[axis] = direction
    return write_series(
        folder,
        np.ascontiguousarray(slices),
        orientation=(steps[rows], steps[columns]),
        origin=origin,
        spacing=(SPACINGS[columns.lstrip("-")], SPACINGS[rows.lstrip("-")]),
        step=steps[stack] * SPACINGS[stack.lstrip("-")],
        **more,
    )


ACQUISITIONS = {
    "axial": ("x", "y", "z"),
    "axial, from the head down": ("x", "y", "-z"),
    "axial, prone": ("-x", "-y", "z"),
    "axial, feet first": ("-x", "y", "-z"),
    "sagittal": ("y", "-z", "x"),
    "sagittal, from left to right": ("y", "-z", "-x"),
    "coronal": ("x", "-z", "y"),
    "coronal, from the back": ("x", "-z", "-y"),
    "turned in plane": ("y", "-x", "z"),
}


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_every_acquisition_gives_the_same_display_volume(tmp_path: Path, name: str) -> None:
    acquire(tmp_path, *ACQUISITIONS[name])
    grid = read_series(tmp_path)
    assert grid.mended == ()
    assert grid.array.dtype == np.int16
    display, spacing = to_display(grid.array, grid.affine)
    assert np.array_equal(display, HU)
    assert spacing == (3.0, 0.8, 0.5)


def test_the_affine_leads_to_the_patients_ras_mm(tmp_path: Path) -> None:
    acquire(tmp_path, "y", "-z", "x")
    grid = read_series(tmp_path)
    assert axis_codes(grid.affine) == "PIR", "slices ascend along their normal"
    assert grid.array[2, 3, 4] == HU[2, 2, 8 - 4]
    assert np.allclose(grid.affine @ [2, 3, 4, 1], [40 - 4 * 0.5, 50 - 2 * 0.8, -60 + 2 * 3, 1])


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_voxels_lie_where_highdicom_finds_them(tmp_path: Path, name: str) -> None:
    files = acquire(tmp_path, *ACQUISITIONS[name])
    grid = read_series(files)
    other = hd.get_volume_from_series([pydicom.dcmread(f) for f in files])
    index = np.stack(np.indices(grid.array.shape), -1).reshape(-1, 3)
    lps = (index @ grid.affine[:3, :3].T + grid.affine[:3, 3]) * [-1, -1, 1]
    theirs = np.rint(other.map_reference_to_indices(lps)).astype(int)
    assert np.array_equal(other.array[tuple(theirs.T)], grid.array.ravel())


def test_oblique_slices_keep_their_spacing(tmp_path: Path) -> None:
    cosine, sine = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    turned = ((1, 0, 0), (0, cosine, -sine))
    write_series(tmp_path, HU, orientation=turned, step=3 * np.array([0, sine, cosine]))
    grid = read_series(tmp_path)
    assert grid.mended == (), "turned, but not sheared"
    display, spacing = to_display(grid.array, grid.affine)
    assert np.array_equal(display, HU)
    assert spacing == pytest.approx((3, 0.8, 0.5), abs=1e-3)


@pytest.mark.parametrize("intercept", [0, -1024, -1000])
def test_signed_and_unsigned_values_become_hu(tmp_path: Path, intercept: int) -> None:
    files = write_series(tmp_path, HU, intercept=intercept)
    assert pydicom.dcmread(files[0]).PixelRepresentation == int(intercept == 0)
    assert np.array_equal(read_series(files).array.transpose(2, 1, 0), HU)


def test_rescaling_is_a_slices_own(tmp_path: Path) -> None:
    def change(d: Dataset) -> None:
        if d.InstanceNumber == 3:
            set_pixels(d, (HU[2].astype(np.int32) * 2 + 4000).astype(np.uint16))
            d.RescaleSlope, d.RescaleIntercept = "0.5", "-2000"

    write_series(tmp_path, HU, change=change)
    assert np.array_equal(read_series(tmp_path).array.transpose(2, 1, 0), HU)


def test_bits_beyond_those_stored_are_no_pixel_data(tmp_path: Path) -> None:
    def change(d: Dataset) -> None:  # an overlay in the top bits of 12-bit signed pixels, not sign-extended
        stored = np.frombuffer(d.PixelData, np.uint16) & 0x0FFF | 0x3000
        d.PixelData, d.BitsStored, d.HighBit = stored.tobytes(), 12, 11

    write_series(tmp_path, HU, intercept=0, change=change)
    assert np.array_equal(read_series(tmp_path).array.transpose(2, 1, 0), HU)


@pytest.mark.parametrize(("limit", "dark"), [(None, [-2000]), (-1990, [-2000, -1995])])
def test_padding_becomes_air(tmp_path: Path, limit: int | None, dark: list[int]) -> None:
    image = HU.copy()
    image[:, 0, : len(dark)] = dark

    def change(d: Dataset) -> None:
        d.add_new("PixelPaddingValue", "SS", -2000)
        if limit:
            d.add_new("PixelPaddingRangeLimit", "SS", limit)

    write_series(tmp_path, image, intercept=0, change=change)
    found = read_series(tmp_path).array.transpose(2, 1, 0)
    assert (found[:, 0, : len(dark)] == -1024).all()
    assert np.array_equal(found[:, 1:], HU[:, 1:])


def test_padding_written_in_the_wrong_type_is_understood(tmp_path: Path) -> None:
    image = HU.copy()
    image[:, 0, 0] = -2000
    write_series(tmp_path, image, intercept=0, change=lambda d: d.add_new("PixelPaddingValue", "US", 63536))
    assert (read_series(tmp_path).array[0, 0] == -1024).all()


def test_an_empty_padding_value_is_none(tmp_path: Path) -> None:
    write_series(tmp_path, HU, intercept=0, change=lambda d: d.add_new("PixelPaddingValue", "SS", None))
    assert np.array_equal(read_series(tmp_path).array.transpose(2, 1, 0), HU)


def test_padding_that_would_be_tissue_is_ignored_and_said(tmp_path: Path) -> None:
    image = HU.copy()
    image[:, 3, 3] = 40
    write_series(tmp_path, image, intercept=0, change=lambda d: d.add_new("PixelPaddingValue", "SS", 40))
    grid = read_series(tmp_path)
    assert np.array_equal(grid.array.transpose(2, 1, 0), image)
    assert grid.mended == ("PixelPaddingValue ignored: it means 40 HU",)


def test_mr_padding_becomes_0(tmp_path: Path) -> None:
    image = HU + np.int16(1000)
    image[:, 0, 0] = 32000
    change = lambda d: d.add_new("PixelPaddingValue", "US", 32000)  # noqa: E731
    write_series(tmp_path, image, intercept=0, modality="MR", change=change)
    found = read_series(tmp_path).array.transpose(2, 1, 0)
    assert (found[:, 0, 0] == 0).all()
    assert np.array_equal(found[:, 1:], image[:, 1:])


def test_enhanced_multi_frame_in_any_order(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a.dcm", HU, order=[3, 0, 5, 1, 4, 2])
    for where in (tmp_path, tmp_path / "a.dcm", [tmp_path / "a.dcm"]):
        grid = read_series(where)
        assert np.array_equal(to_display(grid.array, grid.affine)[0], HU)
        assert np.allclose(grid.affine[:3, 3], (40, 50, -60))


def test_identical_duplicates_are_dropped_and_different_ones_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path, HU)
    shutil.copy(files[2], tmp_path / "copy.dcm")
    grid = read_series(tmp_path)
    assert np.array_equal(grid.array.transpose(2, 1, 0), HU)
    assert grid.mended == ("1 duplicate slices left out",)
    other = pydicom.dcmread(files[2])
    other.PixelData = pydicom.dcmread(files[3]).PixelData
    other.save_as(tmp_path / "copy.dcm")
    with pytest.raises(Reject, match="different images of the same place"):
        read_series(tmp_path)


LONG = np.random.default_rng(1).integers(-1000, 1200, (20, 7, 9)).astype(np.int16)


@pytest.mark.parametrize(("missing", "kept"), [([14], (0, 14)), ([5, 6], (7, 20)), ([2, 17], (3, 17))])
def test_the_longest_run_without_a_gap_is_kept(tmp_path: Path, missing: list[int], kept: tuple[int, int]) -> None:
    files = write_series(tmp_path, LONG)
    for k in missing:
        files[k].unlink()
    grid = read_series(tmp_path)
    assert np.array_equal(grid.array.transpose(2, 1, 0), LONG[slice(*kept)])
    assert grid.affine[2, 3] == pytest.approx(-60 + 3 * kept[0]), "the slices stay where they are in the patient"
    assert to_display(grid.array, grid.affine)[1][0] == 3
    assert len(grid.mended) == 1
    assert grid.mended[0].startswith("gap in slices 3 mm apart")
    assert grid.mended[0].endswith(f"{kept[1] - kept[0]} of {20 - len(missing)} in a row kept")


def test_a_series_in_pieces_is_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path, LONG)
    for k in (4, 9, 14):
        files[k].unlink()
    with pytest.raises(Reject, match="only 5 of 17 are in a row"):
        read_series(tmp_path)


def test_positions_rounded_by_the_scanner_are_even(tmp_path: Path) -> None:
    def change(d: Dataset) -> None:
        d.ImagePositionPatient[2] = f"{float(d.ImagePositionPatient[2]):.1f}"

    write_series(tmp_path, LONG, step=(0, 0, 1.25), change=change)
    grid = read_series(tmp_path)
    assert grid.mended == ()
    assert grid.array.shape[2] == 20
    assert to_display(grid.array, grid.affine)[1][0] == pytest.approx(1.25, abs=0.01)


def test_slices_that_drift_apart_are_refused(tmp_path: Path) -> None:
    def change(d: Dataset) -> None:
        k = d.InstanceNumber - 1
        d.ImagePositionPatient[2] = f"{2 * k + 0.008 * k * k:.3f}"

    write_series(tmp_path, LONG, change=change)
    with pytest.raises(Reject, match="off a straight, even stack"):
        read_series(tmp_path)


def phantom(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A smooth body with no symmetry, HU at LPS mm."""
    bump = lambda a, b, c, r: np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / r**2)  # noqa: E731
    return -1000 + 1050 * bump(0, 0, 0, 24) + 300 * bump(8, -6, 9, 9)


@pytest.mark.parametrize("degrees", [-25, -10, 15, 30])
def test_a_tilted_gantry_is_undone(tmp_path: Path, degrees: float) -> None:
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    row, column, origin = np.array([1, 0, 0]), np.array([0, cosine, sine]), np.array([-35.0, -32.0, -33.0])
    rows, columns, slices = 64, 70, 34  # the table moves along z, the slices are tilted about x
    k, r, c = np.ogrid[:slices, :rows, :columns]
    x, y, z = (
        origin[a] + row[a] * c + column[a] * r + (2.0 * k if a == 2 else 0) + np.zeros((slices, rows, columns))
        for a in range(3)
    )
    tilted = np.rint(phantom(z, y, x)).astype(np.int16)
    write_series(tmp_path, tilted, orientation=(row, column), origin=origin, spacing=(1.0, 1.0), step=(0, 0, 2.0))
    grid = read_series(tmp_path)
    assert grid.mended == (f"gantry tilt of {abs(degrees):.1f} degrees undone",)
    axes = grid.affine[:3, :3] / np.sqrt((grid.affine[:3, :3] ** 2).sum(axis=0))
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-5), "the grid is orthogonal"
    assert to_display(grid.array, grid.affine)[1] == pytest.approx((2 * cosine, 1, 1), abs=1e-3)

    places = np.stack(np.indices(grid.array.shape), -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    expected = phantom(places[..., 2], -places[..., 1], -places[..., 0])
    covered = grid.array > -1024
    assert covered.sum() >= tilted.size, "nothing is cut off"
    inner = covered & np.roll(covered, 1, axis=1) & np.roll(covered, -1, axis=1)
    inner[:, [0, -1]] = False  # rows half outside mix with air
    assert np.abs(grid.array - expected)[inner].max() < 3


def test_localisers_and_other_objects_are_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", HU)
    scout = header(series=uid("scout"))
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    set_pixels(scout, np.zeros((5, 5), np.int16))
    write(scout, tmp_path / "ct" / "scout.dcm", "1.2.840.10008.5.1.4.1.1.2")
    dose = header(series=uid("dose report"))
    set_pixels(dose, np.zeros((5, 5), np.int16))
    write(dose, tmp_path / "ct" / "dose.dcm", SecondaryCaptureImageStorage)
    write_rtstruct(tmp_path / "ct" / "rt.dcm", {"liver": []})
    (tmp_path / "ct" / "notes.txt").write_text("no DICOM")
    grid = read_series(tmp_path)
    assert np.array_equal(grid.array.transpose(2, 1, 0), HU)
    assert grid.mended == ("1 localiser images left out",)


def test_several_series_are_refused_by_name(tmp_path: Path) -> None:
    write_series(tmp_path / "a", HU)
    write_series(tmp_path / "b", HU, series=uid("second"))
    with pytest.raises(Reject, match=rf"found 2 \['CT .*{uid('second')}"):
        read_series(tmp_path)
    assert read_series(tmp_path / "b").array.shape == (9, 7, 6)


def test_series_in_lists_them_in_order(tmp_path: Path) -> None:
    first = write_series(tmp_path / "z", HU, patient="p1")
    write_series(tmp_path / "a" / "deep", HU, patient="p2", series=uid("second"), modality="MR", intercept=-2000)
    write_rtstruct(tmp_path / "z" / "labels" / "rt.dcm", {"liver": []})
    write_series(tmp_path / ".venv" / "samples", HU, patient="p3", series=uid("third"))
    (tmp_path / "README").write_text("no DICOM")
    (tmp_path / "torn.dcm").write_bytes(first[0].read_bytes()[:140])
    found, _ = series_and_unread(tmp_path)
    assert [(s.patient, s.modality, s.folder) for s in found] == [
        ("p1", "CT", tmp_path / "z"),
        ("p1", "RTSTRUCT", tmp_path / "z" / "labels"),
        ("p2", "MR", tmp_path / "a" / "deep"),
    ]
    assert found[0].files == tuple(sorted(first))
    assert len({s.frame_of_reference for s in found}) == 1, "an RTSTRUCT tells the frame that it was drawn in"
    assert found[0].frame_of_reference == FRAME_OF_REFERENCE
    assert series_and_unread(tmp_path / "none") == ([], {})


def test_compressed_pixels_are_read_or_the_missing_decoder_is_named(tmp_path: Path) -> None:
    files = write_series(tmp_path, HU)
    for file in files:
        d = pydicom.dcmread(file)
        d.compress(RLELossless)
        d.save_as(file)
    assert np.array_equal(read_series(tmp_path).array.transpose(2, 1, 0), HU)
    for file in files:
        d = pydicom.dcmread(file)
        d.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        d.save_as(file)
    with pytest.raises(Reject, match=r"no decoder for JPEG Lossless.*python-gdcm"):
        read_series(tmp_path)


def change_one(k: int, **values: Any) -> Any:
    def change(d: Dataset) -> None:
        if d.InstanceNumber == k:
            for name, value in values.items():
                setattr(d, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_one(3, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "orientation or pixel spacing differs"),
        (change_one(3, PixelSpacing=[1, 1]), "orientation or pixel spacing differs"),
        (change_one(3, PixelData=b"\0" * 60), "the pixels can't be read"),
        (change_one(3, ImagePositionPatient=None), "no position, orientation or pixel spacing"),
        (change_one(3, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "not a pair of orthogonal unit vectors"),
        (change_one(3, PixelSpacing=[0, 1]), "pixel spacing 0 x 1"),
        (change_one(3, NumberOfFrames=4), "4 frames without a position each"),
        (change_one(3, PixelPaddingValue=5, BitsStored=0), "the pixels can't be read"),
        (change_one(3, Rows=None), "9 x None pixels, others 9 x 7"),
        (change_one(3, ModalityLUTSequence=[Dataset()]), "modality lookup table"),
        (change_one(3, SamplesPerPixel=3, PhotometricInterpretation="RGB"), r"one grey value .* 3 samples \(RGB\)"),
        (change_one(3, BitsStored=12), r"expected 12 bits to end with bit 11, found HighBit 15"),
    ],
)
def test_slices_that_make_no_volume_are_refused(tmp_path: Path, change: Any, reason: str) -> None:
    write_series(tmp_path, HU, change=change)
    with pytest.raises(Reject, match=reason):
        read_series(tmp_path)


def test_an_mr_whose_highest_value_is_black_is_refused(tmp_path: Path) -> None:
    """Of CT it says nothing: HU are HU."""
    for modality in ("CT", "MR"):
        write_series(
            tmp_path / modality, HU, modality=modality, change=change_one(3, PhotometricInterpretation="MONOCHROME1")
        )
    assert np.array_equal(read_series(tmp_path / "CT").array.transpose(2, 1, 0), HU)
    with pytest.raises(Reject, match="expected MONOCHROME2, found MONOCHROME1"):
        read_series(tmp_path / "MR")


def test_too_little_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM")
    with pytest.raises(Reject, match="expected one image series, found 0"):
        read_series(tmp_path)
    with pytest.raises(Reject, match=r"notes.txt: expected a DICOM file"):
        read_series([tmp_path / "notes.txt"])
    with pytest.raises(Reject, match="expected a volume, found 1 slice"):
        read_series(write_series(tmp_path / "one", HU[:1]))
    sizes = [*write_series(tmp_path / "a", HU[:3]), *write_series(tmp_path / "b", HU[:, :4], origin=(-40, -50, 0))]
    with pytest.raises(Reject, match="9 x 4 pixels, others 9 x 7"):
        read_series(sizes)
