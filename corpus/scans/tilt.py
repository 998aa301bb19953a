"""Gantry tilt: slices that are shifted against each other, put back in line."""

from __future__ import annotations

import numpy as np

from corpus.scans.volumes import Reject

STEEPEST_DEGREES = 45.0
"""No gantry tilts by more than 30. Undone, a steep shear would fill the memory with what was not scanned."""


def straighten(array: np.ndarray, affine: np.ndarray, outside: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Undo the shear of a stack whose slices don't follow one another along their normal.

    Each slice is moved within its plane, by linear interpolation along the axis of the shift; the grid grows by as much
    as the slices are spread, so that nothing is cut off. The new affine says where every voxel is: labels given in the
    patient's coordinates need no shear of their own.

    Args:
        array: `[I, J, K]`, slices along the last axis.
        affine: `[4, 4]` voxel index to mm, its first two axes orthogonal.
        outside: The value of what was not scanned.

    Returns:
        Array, affine, and the tilt in degrees: 0 where the shift of the last slice against the first is under half a
        voxel, and both are as they were.

    Raises:
        Reject: The tilt is steeper than `STEEPEST_DEGREES`.
    """
    step = affine[:3, 2]
    slices = array.shape[2]
    drift = [float((step * axis).sum() / (axis**2).sum()) for axis in (affine[:3, 0], affine[:3, 1])]  # voxels a slice
    if max(abs(d) for d in drift) * (slices - 1) < 0.5:
        return array, affine, 0.0
    upright = affine.copy()
    for axis, per_slice in enumerate(drift):
        upright[:3, 2] -= per_slice * affine[:3, axis]
    length, height = (np.sqrt((vector**2).sum()) for vector in (step, upright[:3, 2]))
    degrees = float(np.degrees(np.arccos(min(height / length, 1.0))))
    if degrees > STEEPEST_DEGREES:
        raise Reject(
            f"slices follow one another {degrees:.0f} degrees off their normal, expected a gantry tilt of at most"
            f" {STEEPEST_DEGREES:g}: correct their positions, or export the series anew"
        )
    for axis, per_slice in enumerate(drift):
        shifts = np.round(np.arange(slices) * per_slice, 6)
        lowest = int(np.floor(shifts.min()))
        array = _shift(array, shifts - lowest, axis, outside)
        upright[:3, 3] += lowest * affine[:3, axis]
    return array, upright, degrees


def _shift(array: np.ndarray, shifts: np.ndarray, axis: int, outside: float) -> np.ndarray:
    """Slice k moved `shifts[k]` >= 0 voxels up `axis`, on a grid that holds them all."""
    size = array.shape[axis] + int(np.ceil(shifts.max()))
    shape = [size if a == axis else n for a, n in enumerate(array.shape)]
    shifted = np.full(shape, outside, array.dtype)
    for k, shift in enumerate(shifts):
        whole = int(np.floor(shift))
        part = shift - whole
        source = np.moveaxis(array[:, :, k], axis, 0).astype(np.float64)
        edge = np.full((1, source.shape[1]), outside, np.float64)
        below, above = np.concatenate([edge, source]), np.concatenate([source, edge])
        moved = above + (below - above) * part
        if array.dtype.kind in "iu":
            moved = np.rint(moved)
        stop = min(whole + len(moved), size)
        np.moveaxis(shifted[:, :, k], axis, 0)[whole:stop] = moved[: stop - whole]
    return shifted
