"""How good a mask is.

**Per case.** `case_metrics` gives Dice, NSD (surface Dice) at the organ's tolerance and at 1 mm, and HD95, for a 2D
slice or a 3D volume. The surface is that of DeepMind's `surface-distance`, which FLARE22 scores with: a point of the
surface lies between 2x2 pixels (2x2x2 voxels) that aren't all alike, and weighs the contour length (surface area) that
marching squares (cubes) gives that neighbourhood. Beyond the image is background, so a mask that the border cuts off
has a surface there.

HD95 is the larger of the two directed 95th percentiles, weighted by length or area as NSD is. MONAI's HD95 counts the
outermost voxels of the mask, each once and at its centre: the two agree on shifted boxes. Elsewhere they differ, mostly
by less than a voxel, on ragged masks by several.

**Empty masks.** Both empty (an absent target, rightly left out): Dice 1, NSD 1, HD95 0. One of them empty: Dice 0,
NSD 0, and HD95 NaN, for no distance is defined: `statistics.aggregate` leaves it out of the mean and counts it in
`hd95_missing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from corpus.params import read_yaml

TOLERANCES = Path(__file__).with_name("tolerances.yaml")
METRICS = ("dice", "nsd", "nsd_1mm", "hd95")

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


@cache
def _tolerances() -> dict[str, float]:
    """Organ -> tolerance in mm, for the whole vocabulary."""
    table = read_yaml(TOLERANCES)
    if unknown := set(table["organs_mm"]) - set(BY_NAME):
        raise InputError(
            TOLERANCES, f"no such organ: {', '.join(sorted(unknown))}", "use the names of corpus/organs.yaml"
        )
    return {organ: float(table["organs_mm"].get(organ, table["default_mm"])) for organ in BY_NAME}


def tolerance_mm(organ: str) -> float:
    """The NSD tolerance of an organ, in mm.

    Raises:
        InputError: The vocabulary has no such organ.
    """
    if organ not in BY_NAME:
        raise InputError(
            "organ", f"expected a name of the vocabulary, found {organ!r}", "use a name of corpus/organs.yaml"
        )
    return _tolerances()[organ]


@dataclass(frozen=True)
class Surface:
    """The surface elements of one mask."""

    distance_mm: Floats
    """[N] Distance of each element to the other mask's surface; infinite where the other mask is empty."""
    size: Floats
    """[N] Length in mm (2D) or area in mm2 (3D) of each element."""

    def within(self, tolerance_mm: float) -> float:
        """Total size of the elements no farther than the tolerance from the other surface."""
        return float(self.size[self.distance_mm <= tolerance_mm].sum())

    def percentile(self, percent: float) -> float:
        """The distance in mm that `percent` of the surface, by size, does not exceed."""
        order = np.argsort(self.distance_mm, kind="stable")
        share = np.cumsum(self.size[order]) / self.size.sum()
        # Rounding can leave the last share a hair below 1.
        return float(self.distance_mm[order[min(int(np.searchsorted(share, percent / 100)), len(order) - 1)]])


@dataclass(frozen=True)
class SurfaceDistances:
    """Both surfaces of a pair of masks, measured once for every surface metric."""

    prediction: Surface
    truth: Surface

    def nsd(self, tolerance_mm: float) -> float:
        """The share of both surfaces that lies within the tolerance of the other, 0 to 1."""
        total = self.prediction.size.sum() + self.truth.size.sum()
        if total == 0:
            return 1.0
        return float((self.prediction.within(tolerance_mm) + self.truth.within(tolerance_mm)) / total)

    def hausdorff(self, percent: float = 95) -> float:
        """The larger of the two directed percentiles, in mm; 0 if both masks are empty, NaN if one is."""
        sizes = (self.prediction.size.size, self.truth.size.size)
        if not all(sizes):
            return math.nan if any(sizes) else 0.0
        return max(self.prediction.percentile(percent), self.truth.percentile(percent))


@lru_cache(maxsize=256)
def _surfels(spacing: tuple[float, ...]) -> tuple[list[int], Floats]:
    """The bit of each of the 2^D neighbours, in C order, and the surface size of each of the 2^(2^D) neighbourhoods."""
    # Here, not above: MONAI takes seconds to import, and only a process that measures a surface needs it.
    from monai.metrics.utils import get_code_to_measure_table

    sizes, bits = get_code_to_measure_table(spacing)
    return bits.flatten().tolist(), sizes.numpy().astype(np.float64)


def _neighbourhoods(mask: Mask, box: tuple[slice, ...], bits: list[int]) -> NDArray[np.uint8]:
    """The neighbourhood code at every voxel corner of the box: [S0 + 1, S1 + 1, ...] for a box of [S0, S1, ...]."""
    cropped = mask[box]
    padded = np.zeros([n + 2 for n in cropped.shape], np.uint8)
    padded[(slice(1, -1),) * mask.ndim] = cropped
    code = np.zeros([n + 1 for n in cropped.shape], np.uint8)
    for bit, corner in zip(bits, product((0, 1), repeat=mask.ndim), strict=True):
        code += np.uint8(bit) * padded[tuple(slice(c, c + n) for c, n in zip(corner, code.shape, strict=True))]
    return code


def _distances(border: Mask, other: Mask, spacing: tuple[float, ...]) -> Floats:
    """[N] Distance in mm from each point of `border` to the nearest point of `other`."""
    points = np.nonzero(border)
    if not other.any():
        return np.full(len(points[0]), np.inf)
    # Only the nearest points are asked for: SciPy's distances would fill the whole box, and a border is little of it.
    nearest = ndimage.distance_transform_edt(~other, sampling=spacing, return_distances=False, return_indices=True)
    squares = [((near[points] - at) * step) ** 2 for near, at, step in zip(nearest, points, spacing, strict=True)]
    return np.sqrt(sum(squares[1:], start=squares[0]))


def _check(prediction: Mask, truth: Mask) -> None:
    for name, mask in (("prediction", prediction), ("truth", truth)):
        if mask.dtype != np.bool_:
            raise InputError(name, f"expected a boolean mask, found {mask.dtype}", "threshold or compare it first")
    if prediction.shape != truth.shape:
        raise InputError(
            "masks", f"expected one shape, found {prediction.shape} and {truth.shape}", "resample one of them"
        )


def dice(prediction: Mask, truth: Mask) -> float:
    """Overlap of two boolean masks of one shape, 0 to 1; 1 if both are empty.

    Raises:
        InputError: The masks aren't boolean, or their shapes differ.
    """
    _check(prediction, truth)
    total = np.count_nonzero(prediction) + np.count_nonzero(truth)
    return 2 * np.count_nonzero(prediction & truth) / total if total else 1.0


def surface_distances(prediction: Mask, truth: Mask, spacing: Sequence[float]) -> SurfaceDistances:
    """Measure both surfaces.

    Args:
        prediction: Boolean [H, W] or [D, H, W].
        truth: Boolean, of the same shape.
        spacing: mm between voxels along each axis, in the masks' order of axes.

    Raises:
        InputError: The masks aren't boolean, their shapes differ, or the spacing doesn't fit them.
    """
    _check(prediction, truth)
    steps = tuple(float(step) for step in spacing)
    if truth.ndim not in (2, 3) or len(steps) != truth.ndim or not all(0 < step < math.inf for step in steps):
        raise InputError(
            "spacing",
            f"expected 2D or 3D masks and a positive number of mm for each axis, found {truth.shape} and {steps}",
            "give masks [H, W] with 2 spacings or [D, H, W] with 3",
        )
    either = prediction | truth
    if not either.any():
        nothing = Surface(np.empty(0), np.empty(0))
        return SurfaceDistances(nothing, nothing)
    (box,) = ndimage.find_objects(either.view(np.uint8))
    bits, sizes = _surfels(steps)
    codes = [_neighbourhoods(mask, box, bits) for mask in (prediction, truth)]
    inside = len(sizes) - 1
    borders = [(code != 0) & (code != inside) for code in codes]
    return SurfaceDistances(
        Surface(_distances(borders[0], borders[1], steps), sizes[codes[0][borders[0]]]),
        Surface(_distances(borders[1], borders[0], steps), sizes[codes[1][borders[1]]]),
    )


def nsd(prediction: Mask, truth: Mask, spacing: Sequence[float], tolerance_mm: float) -> float:
    """Normalised surface Dice at a tolerance, 0 to 1. Arguments and errors as in `surface_distances`."""
    return surface_distances(prediction, truth, spacing).nsd(tolerance_mm)


def hd95(prediction: Mask, truth: Mask, spacing: Sequence[float]) -> float:
    """95th percentile Hausdorff distance in mm. Arguments and errors as in `surface_distances`."""
    return surface_distances(prediction, truth, spacing).hausdorff(95)


def case_metrics(prediction: Mask, truth: Mask, spacing: Sequence[float], organ: str) -> dict[str, float]:
    """`METRICS` of one case: `nsd` is at the organ's own tolerance. Arguments as in `surface_distances`.

    Raises:
        InputError: As `surface_distances` and `tolerance_mm`.
    """
    tolerance = tolerance_mm(organ)
    surfaces = surface_distances(prediction, truth, spacing)
    return {
        "dice": dice(prediction, truth),
        "nsd": surfaces.nsd(tolerance),
        "nsd_1mm": surfaces.nsd(1.0),
        "hd95": surfaces.hausdorff(95),
    }
