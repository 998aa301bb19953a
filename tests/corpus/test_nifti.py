"""NIfTI: what is read, which orientation is believed, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec

from corpus.scans.nifti import read_nifti
from corpus.scans.orientation import axis_codes
from corpus.scans.volumes import Reject

ARRAY = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
RAS = from_matvec(np.diag([0.8, 0.9, 5.0]), [10, 20, -30])
LPS = from_matvec(np.diag([-0.8, -0.9, 5.0]), [10, 20, -30])
OBLIQUE = from_matvec([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]]) @ RAS
"""Turned by 16 degrees."""


def write(path: Path, sform: np.ndarray | None, qform: np.ndarray | None, array: np.ndarray = ARRAY) -> Path:
    image = nib.Nifti1Image(array, None)
    image.header.set_zooms((0.8, 0.9, 5.0, 1.0)[: array.ndim])
    if qform is not None:
        image.header.set_qform(qform, code=1)
    if sform is not None:
        image.header.set_sform(sform, code=1)
    nib.save(image, path)
    return path


def patch(path: Path, offset: int, values: list[float]) -> Path:
    """Overwrite floats of the header, as a broken writer would."""
    data = bytearray(path.read_bytes())
    data[offset : offset + 4 * len(values)] = np.array(values, "<f4").tobytes()
    path.write_bytes(bytes(data))
    return path


QUATERN_B, SROW_X = 256, 280  # byte offsets in nifti1.h


def test_array_and_affine_come_as_they_are(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz", "a.hdr"):
        image = nib.Nifti1Pair(ARRAY, OBLIQUE) if name == "a.hdr" else nib.Nifti1Image(ARRAY, OBLIQUE)
        nib.save(image, tmp_path / name)
        grid = read_nifti(tmp_path / name)
        assert np.array_equal(grid.array, ARRAY)
        assert np.allclose(grid.affine, OBLIQUE, atol=1e-5)
        assert grid.mended == ()
    nib.save(nib.Nifti2Image(ARRAY, RAS), tmp_path / "two.nii")
    assert np.array_equal(read_nifti(tmp_path / "two.nii").array, ARRAY)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize(
    ("slope", "intercept", "dtype", "kind"),
    [
        (1, -1024, np.int16, np.int16),
        (2, -1024, np.int16, np.int16),
        (-3, 5, np.uint8, np.int16),
        (100, 40000, np.uint16, np.int32),
        (100000, 0, np.int16, np.float64),
        (1, -1024, np.int32, np.float64),
        (0.5, 0, np.int16, np.float64),
        (1, 0.25, np.int16, np.float64),
        (1, 7, np.float32, np.float64),
    ],
)
def test_slope_and_intercept_are_applied(
    name: str, slope: float, intercept: float, dtype: type, kind: type, tmp_path: Path
) -> None:
    """In integers where they are whole: float64 is four times as large."""
    image = nib.Nifti1Image(ARRAY.astype(dtype), RAS)
    image.header.set_slope_inter(slope, intercept)
    nib.save(image, tmp_path / name)
    raw = nib.load(tmp_path / name)
    assert (raw.dataobj.slope, raw.dataobj.inter) == (slope, intercept)
    found = read_nifti(tmp_path / name).array
    assert found.dtype == kind
    assert np.array_equal(found, raw.dataobj.get_unscaled() * float(slope) + intercept)
    assert np.array_equal(found, np.asanyarray(raw.dataobj))


def test_a_single_volume_in_4d_is_squeezed(tmp_path: Path) -> None:
    grid = read_nifti(write(tmp_path / "a.nii", RAS, RAS, ARRAY[..., None]))
    assert np.array_equal(grid.array, ARRAY)
    assert grid.mended == ("shape (5, 6, 7, 1) taken as (5, 6, 7)",)
    assert read_nifti(write(tmp_path / "thin.nii", RAS, RAS, ARRAY[:, :, :1])).array.shape == (5, 6, 1)


@pytest.mark.parametrize(
    ("sform", "qform", "taken", "said"),
    [
        (RAS, RAS, RAS, None),
        (RAS, None, RAS, None),
        (None, LPS, LPS, None),
        (OBLIQUE, OBLIQUE, OBLIQUE, None),
        (RAS, LPS, RAS, "sform (RAS) and qform (LPS) differ by 180 degrees, sform taken"),
        (RAS, OBLIQUE, RAS, "sform (RAS) and qform (RAS) differ by 16 degrees, sform taken"),
        (
            np.diag([1.0, 1.0, 1.0, 1.0]),
            LPS,
            LPS,
            "sform (RAS, 1 x 1 x 1 mm) and qform (LPS, 0.8 x 0.9 x 5 mm) differ, qform taken",
        ),
        (np.diag([0.8, 0.0, 5.0, 1.0]), LPS, LPS, "sform is singular or not finite, qform taken"),
        (from_matvec([[0.8, 0.8, 0], [0, 0, 0], [0, 0, 5]]), LPS, LPS, "sform is singular or not finite, qform taken"),
    ],
)
def test_which_orientation_is_believed(
    tmp_path: Path, sform: np.ndarray | None, qform: np.ndarray | None, taken: np.ndarray, said: str | None
) -> None:
    grid = read_nifti(write(tmp_path / "a.nii", sform, qform))
    assert np.allclose(grid.affine, taken, atol=1e-4)
    assert grid.mended == ((said,) if said else ())


def test_no_orientation_is_taken_as_analyzes_and_said(tmp_path: Path) -> None:
    grid = read_nifti(write(tmp_path / "a.nii", None, None))
    assert grid.mended == ("no orientation in the header, taken as LAS",)
    assert axis_codes(grid.affine) == "LAS"
    assert np.allclose(np.abs(np.diag(grid.affine)[:3]), (0.8, 0.9, 5.0))


def test_a_broken_orientation_beside_a_sound_one_is_left_out(tmp_path: Path) -> None:
    grid = read_nifti(patch(write(tmp_path / "s.nii", RAS, LPS), SROW_X, [np.nan]))
    assert np.allclose(grid.affine, LPS, atol=1e-5)
    assert grid.mended == ("sform is singular or not finite, qform taken",)
    grid = read_nifti(patch(write(tmp_path / "q.nii", RAS, LPS), QUATERN_B, [3.0, 3.0, 3.0]))
    assert np.allclose(grid.affine, RAS, atol=1e-5)
    assert grid.mended == ("qform is singular or not finite, sform taken",)


def test_units_become_mm(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ARRAY, np.diag([800, 900, 5000, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    grid = read_nifti(tmp_path / "a.nii")
    assert np.allclose(np.diag(grid.affine), (0.8, 0.9, 5.0, 1.0))
    assert grid.mended == ("micron converted to mm",)


def bad(folder: Path) -> dict[str, Path]:
    """Why it is refused -> the file."""
    torn = write(folder / "torn.nii.gz", RAS, RAS, np.random.default_rng(0).integers(0, 999, (30, 30, 30), np.int16))
    torn.write_bytes(torn.read_bytes()[:-20000])
    short = write(folder / "short.nii", RAS, RAS)
    short.write_bytes(short.read_bytes()[:-50])
    (folder / "text.nii.gz").write_text("not a scan")
    (folder / "empty.nii").touch()
    rgb = np.zeros((5, 6, 7), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, RAS), folder / "rgb.nii")
    nib.save(nib.Nifti1Image(ARRAY.astype(np.complex64), RAS), folder / "complex.nii")
    nib.save(nib.MGHImage(ARRAY.astype(np.int32), RAS), folder / "other.mgz")
    write(folder / "mixed.nii", RAS, RAS).rename(folder / "mixed.Nii")
    tiny = np.diag([1e-4, 1e-4, 1e-4, 1])
    nib.save(nib.Nifti1Image(ARRAY, tiny), folder / "tiny.nii")
    return {
        "found none": folder / "missing.nii.gz",
        r"mixed\.Nii: expected a NIfTI file, found an ending in small and capital letters": folder / "mixed.Nii",
        "the voxels can't be read": torn,
        "short.nii: the voxels can't be read": short,
        "text.nii.gz: expected a readable NIfTI": folder / "text.nii.gz",
        "empty.nii: expected a readable NIfTI": folder / "empty.nii",
        "colour or complex": folder / "rgb.nii",
        "complex.nii: expected a number a voxel": folder / "complex.nii",
        "expected NIfTI, found MGHImage": folder / "other.mgz",
        r"3D volume, found shape \(5, 6, 7, 2\)": write(folder / "4d.nii", RAS, RAS, np.stack([ARRAY] * 2, -1)),
        r"3D volume, found shape \(5, 6\)": write(folder / "2d.nii", RAS, RAS, ARRAY[..., 0]),
        r"affine is singular or not finite \(sform\)": write(folder / "flat.nii", np.diag([1, 1, 0, 1]), None),
        r"nan.nii: the affine is singular or not finite": patch(write(folder / "nan.nii", RAS, None), SROW_X, [np.nan]),
        "0.0001 x 0.0001 x 0.0001 mm can't be right": folder / "tiny.nii",
    }


def test_what_cannot_be_used_is_refused_with_its_reason(tmp_path: Path) -> None:
    for reason, path in bad(tmp_path).items():
        with pytest.raises(Reject, match=reason):
            read_nifti(path)


def test_a_damaged_file_is_refused_even_where_it_decompresses(tmp_path: Path) -> None:
    """Deflate takes most flipped bits for other values; only gzip's checksum, behind the last voxel, tells."""
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    sound = write(tmp_path / "a.nii.gz", RAS, RAS, noise).read_bytes()
    for place in (9000, 10000, 11000):
        damaged = bytearray(sound)
        damaged[place] ^= 4
        (tmp_path / "a.nii.gz").write_bytes(damaged)
        with pytest.raises(Reject, match=r"a\.nii\.gz: the voxels can't be read .*: copy the file anew"):
            read_nifti(tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").write_bytes(sound + gzip.compress(b"one more member, as of a file made in parallel"))
    assert np.array_equal(read_nifti(tmp_path / "a.nii.gz").array, noise)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII.GZ", "a.hdr"])
def test_a_header_that_asks_for_more_than_the_file_can_hold_is_refused(name: str, tmp_path: Path) -> None:
    """It must not pass for too little memory, which stops the whole ingest."""
    image = nib.Nifti1Pair(ARRAY, RAS) if name == "a.hdr" else nib.Nifti1Image(ARRAY, RAS)
    nib.save(image, path := tmp_path / name)
    packed = name.lower().endswith(".gz")
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    content[40:48] = np.array([3, 32000, 32000, 32000], "<i2").tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(
        Reject, match=r"the voxels can't be read \(EOFError: \d+ bytes can't hold the 65536000000000 of"
    ):
        read_nifti(path)


def test_a_scan_of_nothing_may_be_packed_as_densely_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(write(tmp_path / "a.nii", RAS, RAS, np.zeros((200,) * 3, np.uint8)).read_bytes()))
    assert path.stat().st_size < 200**3 / 900
    assert not read_nifti(path).array.any()


def test_too_little_memory_is_not_the_volumes_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a store holds doesn't depend on the machine."""

    def full(*_: object, **__: object) -> np.ndarray:
        raise MemoryError

    path = write(tmp_path / "a.nii", RAS, RAS)
    monkeypatch.setattr(nib.arrayproxy.ArrayProxy, "__array__", full)
    with pytest.raises(MemoryError):
        read_nifti(path)
