"""NIfTI files, and which of their two headers' orientations to believe."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError

from corpus.scans.orientation import axis_codes
from corpus.scans.volumes import LARGEST_MM, SMALLEST_MM, Grid, Reject

SPACING_TOLERANCE = 0.01
"""Relative difference between two headers' voxel sizes that still counts as agreement."""
TOLERANCE_DEGREES = 1.0
"""The same for the directions of their axes."""
MM_IN_A = {"meter": 1000.0, "micron": 0.001}
DENSEST = {".nii": 1, ".img": 1, ".gz": 1032}
"""How many bytes one of a file may stand for, by its ending: deflate writes no more than 258 in 2 bits."""
PIECE = 1 << 20
"""Bytes read at a time of what follows the voxels."""


def read_nifti(path: Path) -> Grid:
    """Read a 3D NIfTI file (NIfTI-1 or -2, one file or a pair), image or label map, scaled by its slope and intercept.

    Args:
        path: .nii, .nii.gz or .hdr.

    Raises:
        Reject: The file is missing, torn, not NIfTI, not 3D, not of real numbers, or has no affine that can be used.
    """
    try:
        image = nib.load(path)
    except FileNotFoundError:
        # nibabel finds .nii.gz and .NII.GZ, but no mixture.
        found = "an ending in small and capital letters: rename it" if path.is_file() else "none"
        raise Reject(f"{path.name}: expected a NIfTI file, found {found}") from None
    except Exception as error:  # nibabel raises many kinds for torn or foreign files
        raise Reject(f"{path.name}: expected a readable NIfTI file, but {type(error).__name__}: {error}") from None
    if not isinstance(image, nib.Nifti1Pair):
        raise Reject(f"{path.name}: expected NIfTI, found {type(image).__name__}")
    if image.get_data_dtype().kind not in "iufb":
        raise Reject(f"{path.name}: expected a number a voxel, found {image.get_data_dtype()} (colour or complex)")
    shape = image.shape[:3]
    if len(shape) != 3 or 0 in shape or any(n != 1 for n in image.shape[3:]):
        raise Reject(f"{path.name}: expected a 3D volume, found shape {image.shape}")
    mended = [] if len(image.shape) == 3 else [f"shape {image.shape} taken as {shape}"]
    affine = _affine(image, path.name, mended)
    try:
        array = _voxels(image).reshape(shape)
    except MemoryError:
        raise
    except Exception as error:  # a torn or damaged file: zlib, EOF, OS and value errors
        reason = f"{type(error).__name__}: {error}"
        raise Reject(f"{path.name}: the voxels can't be read ({reason}): copy the file anew") from None
    return Grid(array, affine, tuple(mended))


def _voxels(image: nib.Nifti1Pair) -> np.ndarray:
    """The voxels, scaled; of a gzip file read to its end, where its checksum is: nibabel stops at the last voxel, and
    would take what a flipped bit decompresses to for the scan."""
    stored, data = image.dataobj, Path(str(image.file_map["image"].filename))
    needed, size = math.prod(image.shape) * image.get_data_dtype().itemsize, data.stat().st_size
    if needed > size * DENSEST.get(data.suffix.lower(), math.inf):  # told before so much memory is asked for
        raise EOFError(f"{size} bytes can't hold the {needed} of shape {image.shape}")
    assert isinstance(stored, ArrayProxy)  # it was loaded from a file
    if data.suffix.lower() != ".gz":
        return _scaled(stored)
    with gzip.open(data) as file:
        array = _scaled(ArrayProxy(file, (stored.shape, stored.dtype, stored.offset, stored.slope, stored.inter)))
        while file.read(PIECE):
            pass
    return array


def _scaled(stored: ArrayProxy) -> np.ndarray:
    """The values that are meant: of 16 bits or fewer by a whole slope and intercept, integers, where nibabel would make
    float64 of them; else nibabel's."""
    slope, intercept, dtype = float(stored.slope), float(stored.inter), stored.dtype
    whole = dtype.kind in "iu" and dtype.itemsize <= 2 and slope.is_integer() and intercept.is_integer()
    if (slope, intercept) == (1, 0) or not whole or abs(slope) > 1 << 14 or abs(intercept) > 1 << 30:
        return np.asanyarray(stored)
    values = stored.get_unscaled().astype(np.int32)
    values *= int(slope)
    values += int(intercept)
    return values.astype(np.int16) if values.min() >= -32768 and values.max() <= 32767 else values


def _affine(image: nib.Nifti1Pair, name: str, mended: list[str]) -> np.ndarray:
    """The affine to trust, in mm; what was wrong is appended to `mended`."""
    header = image.header
    found, usable = _forms(header), usable_forms(header)
    if found and not usable:
        raise Reject(f"{name}: the affine is singular or not finite ({' and '.join(found)})")
    if not found:
        # The standard leaves it to ANALYZE's convention then, as do nibabel, FSL and SPM; SimpleITK takes LPS.
        affine = header.get_base_affine()
        if not _is_usable(affine):
            raise Reject(f"{name}: no orientation in the header, and voxel sizes {header.get_zooms()[:3]}")
        mended.append(f"no orientation in the header, taken as {axis_codes(affine)}")
    elif len(usable) == 1:
        (form, affine), *_ = usable.items()
        broken = "qform" if form == "sform" else "sform"
        if int(header[f"{broken}_code"]) > 0:
            mended.append(f"{broken} is singular or not finite, {form} taken")
    else:
        affine = _choose(usable["sform"], usable["qform"], mended)
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:  # a code that the standard doesn't know
        unit = "unknown"
        mended.append("unit of length unknown, taken as mm")
    if unit in MM_IN_A:
        affine = np.diag([MM_IN_A[unit]] * 3 + [1.0]) @ affine
        mended.append(f"{unit} converted to mm")
    spacing = voxel_sizes(affine)
    if spacing.min() < SMALLEST_MM or spacing.max() > LARGEST_MM:
        raise Reject(f"{name}: voxels of {' x '.join(f'{s:g}' for s in spacing)} mm can't be right")
    return affine


def usable_forms(header: nib.Nifti1Header) -> dict[str, np.ndarray]:
    """Those of a header's two affines that are coded and can be used: "sform", "qform" -> `[4, 4]`."""
    return {form: matrix for form, matrix in _forms(header).items() if _is_usable(matrix)}


def _forms(header: nib.Nifti1Header) -> dict[str, np.ndarray]:
    coded = {"sform": header.get_sform(coded=True)[0], "qform": _qform(header)}
    return {form: matrix for form, matrix in coded.items() if matrix is not None}


def _qform(header: nib.Nifti1Header) -> np.ndarray | None:
    try:
        return header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError):  # the quaternion is no rotation
        return None


def _choose(sform: np.ndarray, qform: np.ndarray, mended: list[str]) -> np.ndarray:
    """One of two usable affines.

    The sform, unless its voxel sizes contradict pixdim: then it leads into an atlas' space, or was edited, and only
    the qform, whose voxel sizes are pixdim, measures the patient.
    """
    sizes, pixdim = voxel_sizes(sform), voxel_sizes(qform)
    if (np.abs(sizes / pixdim - 1) > SPACING_TOLERANCE).any():
        s, q = (" x ".join(f"{v:.4g}" for v in values) for values in (sizes, pixdim))
        mended.append(
            f"sform ({axis_codes(sform)}, {s} mm) and qform ({axis_codes(qform)}, {q} mm) differ, qform taken"
        )
        return qform
    cosines = (sform[:3, :3] / sizes * (qform[:3, :3] / pixdim)).sum(axis=0)
    degrees = float(np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))))
    if degrees > TOLERANCE_DEGREES:
        mended.append(
            f"sform ({axis_codes(sform)}) and qform ({axis_codes(qform)}) differ by {degrees:.0f} degrees, sform taken"
        )
    return sform


def _is_usable(affine: np.ndarray) -> bool:
    """Whether an affine is finite and its axes span space: unit axes enclose 1 if orthogonal, and 0 in a plane."""
    if not np.isfinite(affine).all():
        return False
    spacing = voxel_sizes(affine)
    return bool(spacing.min() > 0) and bool(abs(np.linalg.det(affine[:3, :3] / spacing)) > 0.05)
