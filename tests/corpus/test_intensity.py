"""Intensities: HU stay as they are, to the bit; wrong offsets and padding are put right; the rest is refused."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from corpus.scans.intensity import harmonise
from corpus.scans.volumes import Reject
from corpus.scans.windowing import window

REAL = Path(os.environ.get("FLANS_REAL_DATA", "../shared/real"))
SCANS = [
    *sorted(REAL.glob("btcv/RawData/Training/img/*.nii.gz")),
    *sorted(REAL.glob("totalsegmentator_example*/ct.nii.gz")),
]


def abdomen() -> np.ndarray:
    """Air, a body of fat and organs, lung and a little bone, HU int16 `[I, J, K]`."""
    rng = np.random.default_rng(0)
    body = rng.normal(-1000, 10, (40, 30, 10))
    body[8:32, 6:24] = rng.normal(-100, 15, (24, 18, 10))
    body[12:28, 9:21] = rng.normal(50, 20, (16, 12, 10))
    body[12:16, 9:12] = rng.normal(-850, 30, (4, 3, 10))
    body[19:21, 20:23] = rng.normal(700, 150, (2, 3, 10))
    return np.rint(body).astype(np.int16)


def test_hu_stay_as_they_are() -> None:
    image = abdomen()
    hu, done = harmonise(image, "CT", "a")
    assert done == "HU"
    assert hu.dtype == np.int16
    assert np.array_equal(hu, image)
    assert np.array_equal(harmonise(image + 0.3, "CT", "a")[0], image), "fractions are rounded"


@pytest.mark.parametrize(("shift", "word"), [(1024, "high"), (-1024, "low")])
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float64])
def test_a_wrong_offset_is_undone_to_the_bit(shift: int, word: str, dtype: type) -> None:
    image = abdomen()
    hu, done = harmonise((image + shift).astype(dtype), "CT", "a")
    assert done == f"HU, stored 1024 too {word}"
    assert np.array_equal(hu, image)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, np.float32])
def test_what_16_bits_do_not_hold_is_clipped(dtype: type) -> None:
    shift = 1024 if dtype == np.uint16 else 0
    image = np.maximum(abdomen(), -1024).astype(np.int64) + shift
    image[0, 0, :2] = 40000, 65535
    hu, _ = harmonise(image.astype(dtype), "CT", "a")
    assert np.array_equal(hu[1:], np.maximum(abdomen(), -1024)[1:])
    assert hu[0, 0, :2].tolist() == [32767 - shift] * 2


def test_hu_in_integers_are_not_copied_as_fractions() -> None:
    image = np.tile(abdomen(), (4, 4, 4))
    harmonise(image, "CT", "a")
    tracemalloc.start()
    harmonise(image, "CT", "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * image.nbytes


def test_a_crop_without_air_is_shifted_too() -> None:
    crop = abdomen()[12:28, 9:21]
    assert harmonise(crop.astype(np.uint16) + np.uint16(1024), "CT", "a")[1] == "HU, stored 1024 too high"


def test_metal_does_not_make_hu_look_shifted() -> None:
    image = abdomen()[5:32, 5:24]  # little air
    image[10:16, 10:16] = 1100
    assert 0.04 < (image < -300).mean() < 0.2
    hu, done = harmonise(image, "CT", "a")
    assert done == "HU"
    assert np.array_equal(hu, image)


def test_a_bladder_full_of_contrast_does_not_make_hu_look_shifted() -> None:
    image = abdomen()
    image[:8], image[32:], image[:, :6], image[:, 24:] = -1024, -1024, -1024, -1024  # the table and the air removed
    image[12:16, 9:12] = 50  # no lung
    image[16:24, 12:18] = 1050
    hu, done = harmonise(image, "CT", "a")
    assert done == "HU"
    assert np.array_equal(hu, image)


@pytest.mark.parametrize("padding", [-2000, -2048, -3024, -32768])
@pytest.mark.parametrize("shift", [0, 1024])
def test_padding_becomes_air(padding: int, shift: int) -> None:
    image = abdomen()
    padded = image.astype(np.int32) + shift
    padded[:4], padded[-4:] = padding, padding
    hu, done = harmonise(padded, "CT", "a")
    said = f"HU, stored 1024 too high, padding {max(padding - shift, -32768)} set to air"
    assert done == (said if shift else f"HU, padding {padding} set to air")
    image[:4], image[-4:] = -1024, -1024
    assert np.array_equal(hu, np.maximum(image, -1024))


@pytest.mark.parametrize("times", [1, 10, 30, 60])
def test_much_padding_does_not_make_hu_look_shifted(times: int) -> None:
    """-2000 lies where air that is stored too low does, and makes the share of tissue small."""
    image = abdomen()
    image[image < -990] = -1010  # a little air
    padded = np.concatenate([image, np.full((times * image.shape[0], *image.shape[1:]), -2000, np.int16)])
    hu, done = harmonise(padded, "CT", "a")
    assert done == "HU, padding -2000 set to air"
    assert np.array_equal(hu[: len(image)], image)


def test_a_few_dark_voxels_are_not_called_padding() -> None:
    image = abdomen()
    image[0, 0, :3] = -1600, -1700, -1800
    hu, done = harmonise(image, "CT", "a")
    assert done == "HU, 3 voxels under -1500 set to air"
    assert hu.min() == -1024


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(0, 1, 1000),  # scaled to [0, 1]
        np.linspace(-1, 1, 1000),
        np.arange(256, dtype=np.uint8),
        np.linspace(0, 65535, 1000),
        np.full(1000, 7),
        np.full(1000, -3024),  # nothing but padding
        np.concatenate([np.arange(256), np.full(50, -2000)]),  # grey values, padded
    ],
)
def test_what_is_not_hu_is_refused_with_the_values_found(values: np.ndarray) -> None:
    with pytest.raises(Reject, match=f"scan.nii: .* found values from {values.min():g} to {values.max():g}"):
        harmonise(values.reshape(-1, 1, 1), "CT", "scan.nii")


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_nan_and_infinite_voxels_are_counted(modality: str) -> None:
    image = abdomen().astype(np.float32)
    image[0, 0, :2], image[1, 1, :3] = np.nan, np.inf
    with pytest.raises(Reject, match="2 voxels are NaN and 3 are infinite"):
        harmonise(image, modality, "a")
    with pytest.raises(Reject, match="expected voxels"):
        harmonise(np.zeros((0, 2, 2)), modality, "a")


@pytest.mark.parametrize("scale", [1, 100, 1 / 4096])
def test_mr_fills_the_ct_window(scale: float) -> None:
    rng = np.random.default_rng(0)
    image = rng.gamma(4, 60, (30, 30, 10)).round()
    image[:6] = 0  # background
    scaled, done = harmonise(image * scale, "MR", "a")
    assert done == "MR, percentiles 0.5-99.5 to -160..240"
    assert scaled.dtype == np.int16
    shown = window(scaled)[image > 0]
    assert (shown == 0).mean() < 0.01
    assert (shown == 1).mean() < 0.01
    assert shown.std() > 0.15
    bright = image >= np.sort(image[image > 0])[-10]
    assert scaled[bright].min() > 240, "what is beyond the percentiles stays in order"


def test_mr_percentiles_are_ranks_of_the_values_themselves() -> None:
    image = np.zeros((1001, 2, 1))
    image[:, 0, 0] = np.arange(1, 1002)
    scaled, _ = harmonise(image, "MR", "a")
    assert scaled[5, 0, 0] == -160
    assert scaled[995, 0, 0] == 240
    order = np.random.default_rng(0).permutation(1001)
    assert np.array_equal(harmonise(image[order], "MR", "a")[0], scaled[order])


def test_a_constant_mr_is_refused() -> None:
    for value in (0, 5):
        with pytest.raises(Reject, match=f"expected an image, found values from {value} to {value}"):
            harmonise(np.full((4, 4, 4), value), "MR", "a")


@pytest.mark.skipif(not SCANS, reason=f"no real scans at {REAL}")
def test_real_scans_are_hu_and_an_offset_is_undone_to_the_bit() -> None:
    for path in SCANS:
        stored = np.asanyarray(nib.load(path).dataobj)
        hu, done = harmonise(stored, "CT", path.name)
        assert done == "HU", path.name
        assert np.array_equal(hu, stored)
        again, done = harmonise(stored + np.int16(1024), "CT", path.name)
        assert done == "HU, stored 1024 too high", path.name
        assert np.array_equal(again, stored)
