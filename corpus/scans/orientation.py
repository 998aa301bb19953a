"""One frame for every scan: the radiological axial view.

Display frame, `[Z, H, W]`: slices run inferior to superior, rows anterior to posterior, columns patient right to
patient left, so that the patient's left is on the viewer's right. In NIfTI's terms, axes (W, H, Z) point L, P, S.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from scipy import ndimage

from corpus.scans.volumes import OBLONGEST, Reject

DISPLAY_AXES = ("L", "P", "S")
SQUARE = 0.01
"""Pixels whose sides differ by no more than this share are square."""


def _to_display_ornt(affine: np.ndarray) -> np.ndarray:
    return ornt_transform(io_orientation(affine), axcodes2ornt(DISPLAY_AXES))


def to_display(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Bring a NIfTI array into the display frame by its header.

    Args:
        array: `[I, J, K]`, in the order of the file.
        affine: `[4, 4]`, voxel index to RAS mm. An oblique or sheared one is taken at its closest orthogonal
            orientation.

    Returns:
        The array `[Z, H, W]` and its spacing (z, y, x) in mm: z between slices, y and x between pixels.
    """
    ornt = _to_display_ornt(affine)
    oriented = apply_orientation(array, ornt)
    affine_display = affine @ inv_ornt_aff(ornt, array.shape)
    across, down, through = affine_display[:3, :3].T
    normal = np.cross(across, down)
    # Slices of a sheared stack are nearer to each other than the way from a voxel to the next one's.
    through = normal * ((through * normal).sum() / (normal**2).sum())
    x, y, z = (float(round(np.sqrt((step**2).sum()), 4)) for step in (across, down, through))
    return np.ascontiguousarray(oriented.transpose(2, 1, 0)), (z, y, x)


def from_display(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The inverse of `to_display`: `[Z, H, W]` in the display frame back to the file's own `[I, J, K]`."""
    back = ornt_transform(axcodes2ornt(DISPLAY_AXES), io_orientation(affine))
    return np.ascontiguousarray(apply_orientation(array.transpose(2, 1, 0), back))


def square_pixels(
    array: np.ndarray, spacing: tuple[float, float, float], nearest: bool = False
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Slices with square pixels, of their smaller side: on others a network sees a squeezed body, and rotating shears.

    Args:
        array: `[Z, H, W]` in the display frame.
        spacing: (z, y, x) in mm.
        nearest: By the nearest pixel, as labels are resampled; else linearly.

    Returns:
        The array and its spacing: as they were, unless the sides differ by more than `SQUARE`.

    Raises:
        Reject: A pixel is so oblong that its header must be wrong; as squares the slices might fill the memory.
    """
    z, y, x = spacing
    if not 1 / OBLONGEST <= y / x <= OBLONGEST:
        raise Reject(f"pixels of {y:g} x {x:g} mm can't be right")
    if abs(y / x - 1) <= SQUARE:
        return array, spacing
    side, (_, height, width) = min(y, x), array.shape
    size = round(height * y / side), round(width * x / side)
    return resized(array, size, nearest), (z, side, side)


def resized(array: np.ndarray, size: tuple[int, int], nearest: bool) -> np.ndarray:
    """Slices `[Z, H, W]`, each of `size` (rows, columns) pixels: by the nearest pixel, or linearly, pixels' centres
    aligned."""
    factors = (1.0, size[0] / array.shape[1], size[1] / array.shape[2])
    source = array if nearest else array.astype(np.float32)
    found = ndimage.zoom(source, factors, order=0 if nearest else 1, mode="nearest", grid_mode=True)
    return np.rint(found).astype(array.dtype)


def axis_codes(affine: np.ndarray) -> str:
    """Where the file's axes point, for example "RAS"."""
    return "".join(nib.orientations.aff2axcodes(affine))
