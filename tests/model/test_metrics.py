"""Metrics against DeepMind's `surface-distance`, MONAI and figures worked out by hand."""

from __future__ import annotations

import math
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from model.testing import metrics
from model.testing.metrics import case_metrics, dice, hd95, nsd, tolerance_mm

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it still imports SciPy's old names
    import surface_distance

Mask = NDArray[np.bool_]
SPACINGS: dict[int, list[tuple[float, ...]]] = {
    2: [(1.0, 1.0), (0.7, 1.9), (2.5, 0.8)],
    3: [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (0.9, 1.7, 5.0)],
}
SHAPES: dict[int, tuple[int, ...]] = {2: (40, 33), 3: (12, 22, 19)}


def random_pair(ndim: int, seed: int) -> tuple[Mask, Mask]:
    """A blob, and a shifted and eaten copy of it; some reach the border, some are in pieces, one in four is noise."""
    rng = np.random.default_rng([ndim, seed])
    shape = SHAPES[ndim]
    if seed % 4 == 0:
        return rng.random(shape) < 0.2, rng.random(shape) < 0.3
    field = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    truth = field > np.quantile(field, rng.uniform(0.5, 0.95))
    shifted = np.roll(truth, tuple(rng.integers(-3, 4, ndim)), tuple(range(ndim)))
    return shifted & (rng.random(shape) < 0.97), truth


PAIRS = [(*random_pair(n, seed), spacing) for n in (2, 3) for seed in range(8) for spacing in SPACINGS[n]]


def as_batch(mask: Mask) -> torch.Tensor:
    return torch.from_numpy(mask)[None, None]


def box(shape: tuple[int, ...], corner: tuple[int, ...], size: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(at, at + n) for at, n in zip(corner, size, strict=True))] = True
    return mask


def test_equals_surface_distance_on_random_masks() -> None:
    for prediction, truth, spacing in PAIRS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            theirs = surface_distance.compute_surface_distances(truth, prediction, spacing)
        for tolerance in (0.0, 1.0, 2.0, 2.5, 5.0):
            expected = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance)
            assert nsd(prediction, truth, spacing, tolerance) == pytest.approx(expected, abs=1e-6)
        expected = surface_distance.compute_robust_hausdorff(theirs, 95)
        assert hd95(prediction, truth, spacing) == pytest.approx(expected, abs=1e-6)
        assert dice(prediction, truth) == surface_distance.compute_dice_coefficient(truth, prediction)


def test_dice_and_nsd_equal_monai_on_random_masks() -> None:
    for prediction, truth, spacing in PAIRS:
        ours, theirs = as_batch(prediction), as_batch(truth)
        assert dice(prediction, truth) == pytest.approx(compute_dice(ours, theirs).item(), abs=1e-6)
        expected = compute_surface_dice(ours, theirs, [2.0], True, spacing=spacing, use_subvoxels=True)
        assert nsd(prediction, truth, spacing, 2.0) == pytest.approx(expected.item(), abs=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_hd95_equals_monai_where_a_box_is_shifted(ndim: int) -> None:
    """One face, over 5% of the surface, moves by whole voxels: between faces or between voxel centres, it's as far."""
    for axis, shift, spacing in product(range(ndim), (1, 3), SPACINGS[ndim]):
        size = (9, 11, 8)[:ndim]
        truth = box((20,) * ndim, (4,) * ndim, size)
        prediction = np.roll(truth, shift, axis)
        expected = shift * spacing[axis]
        theirs = compute_hausdorff_distance(as_batch(prediction), as_batch(truth), True, percentile=95, spacing=spacing)
        assert hd95(prediction, truth, spacing) == pytest.approx(expected, abs=1e-6)
        assert theirs.item() == pytest.approx(expected, abs=1e-6)


def test_hd95_differs_from_monai_by_weighing_the_surface() -> None:
    """A speck 5 rows above a bar of 28 pixels: MONAI counts 1 outermost pixel of 29, under 5%, whatever the spacing.

    Ours weighs the contour: the speck has 3% of its length at 1 x 4 mm, and 10% at 4 x 1 mm.
    """
    truth = box((20, 40), (10, 5), (1, 28))
    prediction = truth.copy()
    prediction[5, 18] = True
    for spacing, expected in (((1.0, 4.0), 0.0), ((4.0, 1.0), 20.0)):
        theirs = compute_hausdorff_distance(as_batch(prediction), as_batch(truth), True, percentile=95, spacing=spacing)
        assert theirs.item() == 0
        assert hd95(prediction, truth, spacing) == expected


def test_square_by_hand() -> None:
    """A square of 4 x 4 pixels at 2 x 1 mm, shifted by one column.

    Its contour has two sides of 3 x 2 mm, two of 3 x 1 mm and four corners of half a diagonal, sqrt(5) / 2 mm. The
    sides of 6 mm move 1 mm off, with the two corners that stick out; the rest stays on the other contour.
    """
    truth = box((10, 10), (3, 3), (4, 4))
    prediction = np.roll(truth, 1, axis=1)
    corner = math.sqrt(5) / 2
    moved, contour = 2 * 6 + 2 * corner, 2 * 6 + 2 * 3 + 4 * corner
    assert dice(prediction, truth) == 0.75
    assert nsd(prediction, truth, (2.0, 1.0), 0.5) == pytest.approx(1 - moved / contour)
    assert nsd(prediction, truth, (2.0, 1.0), 1.0) == 1
    assert hd95(prediction, truth, (2.0, 1.0)) == 1


def test_axes_order_padding_and_sides_do_not_matter() -> None:
    for prediction, truth, spacing in PAIRS:
        expected = nsd(prediction, truth, spacing, 2.0), hd95(prediction, truth, spacing)
        swapped = nsd(prediction.T, truth.T, spacing[::-1], 2.0), hd95(prediction.T, truth.T, spacing[::-1])
        wide, wide_truth = np.pad(prediction, 3), np.pad(truth, 3)
        reverse = nsd(wide_truth, wide, spacing, 2.0), hd95(wide_truth, wide, spacing)
        assert swapped == pytest.approx(expected, abs=1e-6)
        assert reverse == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("ndim", [2, 3])
def test_empty_masks(ndim: int) -> None:
    empty, full = np.zeros((5,) * ndim, bool), np.ones((5,) * ndim, bool)
    spacing = (1.5,) * ndim
    perfect = {"dice": 1, "nsd": 1, "nsd_1mm": 1, "hd95": 0}
    assert case_metrics(empty, empty, spacing, "liver") == perfect
    assert case_metrics(full, full, spacing, "liver") == perfect
    for prediction, truth in ((empty, full), (full, empty)):
        missed = case_metrics(prediction, truth, spacing, "liver")
        assert math.isnan(missed.pop("hd95"))
        assert missed == {"dice": 0, "nsd": 0, "nsd_1mm": 0}


def test_case_metrics_scores_at_the_organs_own_tolerance() -> None:
    truth = box((30, 30), (5, 5), (12, 12))
    prediction = np.roll(truth, 4, axis=0)
    liver, spleen = (case_metrics(prediction, truth, (1.0, 1.0), organ) for organ in ("liver", "spleen"))
    assert liver["nsd"] == 1
    assert spleen["nsd"] == nsd(prediction, truth, (1.0, 1.0), 3)
    assert spleen["nsd"] < 1
    assert spleen["nsd_1mm"] == nsd(prediction, truth, (1.0, 1.0), 1)
    assert list(liver) == list(metrics.METRICS)


def test_tolerances_are_flare22s_and_a_default() -> None:
    flare22 = {
        **dict.fromkeys(["liver", "pancreas", "stomach"], 5),
        **dict.fromkeys(["spleen", "left kidney", "right kidney", "esophagus"], 3),
        **dict.fromkeys(["aorta", "inferior vena cava", "left adrenal gland", "right adrenal gland", "gallbladder"], 2),
        "duodenum": 7,
    }
    assert {organ: tolerance_mm(organ) for organ in flare22} == flare22
    assert tolerance_mm("kidney") == tolerance_mm("left kidney")
    rest = set(BY_NAME) - set(flare22) - {"kidney"}
    assert {tolerance_mm(organ) for organ in rest} == {min(flare22.values())}
    with pytest.raises(InputError, match="found 'heart'"):
        tolerance_mm("heart")


def test_unfit_masks_are_refused() -> None:
    mask = np.ones((4, 4), bool)
    with pytest.raises(InputError, match="boolean"):
        dice(mask.astype(np.uint8), mask)
    with pytest.raises(InputError, match="one shape"):
        dice(mask, mask[1:])
    for spacing in ((1.0,), (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, math.nan)):
        with pytest.raises(InputError, match="spacing"):
            hd95(mask, mask, spacing)
