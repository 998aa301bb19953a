"""Intensities of every source on one scale: int16 HU, or for other modalities a scale that HU windows show well."""

from __future__ import annotations

import numpy as np

from corpus.scans.volumes import Reject

AIR_HU = -1024
PADDING_HU = -1500
"""No tissue, air or ringing is darker (the darkest voxel of 17 real scans: -1207). Padding is: -2000, -3024."""
OFFSET = 1024
"""What CT adds to HU to store them unsigned."""
TISSUE_HU = (-150, 250)
"""Fat to enhanced organs. In 17 real abdomens 30-60% of the voxels lie here, and at most 0.2% lie `OFFSET` higher."""
FAT_HU = (-200, -30)
SHARE = 0.02
"""Share of the voxels that shows a tissue, or air, to be there."""
FEW = 0.1
"""Of values that are stored too low no more than this share of their tissue's voxels lies where tissue should."""
PERCENTILES_PER_MILLE = (5, 995)
MR_RANGE = (-160, 240)
"""Where the percentiles go: the ends of the default CT window."""


def harmonise(array: np.ndarray, modality: str, name: str) -> tuple[np.ndarray, str]:
    """Bring a volume's intensities to the scale of the slice store.

    Args:
        array: Any shape; rescaled by the file's own slope and intercept.
        modality: "CT", or another, which is scaled by its percentiles.
        name: The file, for messages.

    Returns:
        int16 of the same shape, and what was done, for example "HU" or "HU, stored 1024 too high".

    Raises:
        Reject: NaN or infinite voxels, or values that can't be HU (CT) or are constant (others).
    """
    if not array.size:
        raise Reject(f"{name}: expected voxels, found shape {array.shape}")
    if not np.isfinite(array).all():
        nan, infinite = np.count_nonzero(np.isnan(array)), np.count_nonzero(np.isinf(array))
        raise Reject(f"{name}: {nan} voxels are NaN and {infinite} are infinite")
    return _to_hu(array, name) if modality == "CT" else _by_percentiles(array, modality, name)


def _to_hu(array: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    hu = _as_int16(array)
    done = ["HU"]
    offset = _offset(hu)
    if offset:
        done.append(f"stored {abs(offset)} too {'high' if offset > 0 else 'low'}")
        hu = _as_int16(hu.astype(np.int32) - offset)
    padding = hu < PADDING_HU
    found = hu[~padding] if padding.any() else hu
    if not found.size or found.min() > -100 or found.max() < 50:
        raise Reject(f"{name}: expected HU with air and tissue, found values from {array.min():g} to {array.max():g}")
    if padding.any():
        done.append(_say_padding(hu[padding]))
        # A padded volume that was resampled rings between padding and air.
        hu = np.maximum(hu, np.int16(AIR_HU))
    return hu, ", ".join(done)


def _as_int16(array: np.ndarray) -> np.ndarray:
    """Rounded, and clipped to the type's range; a copy, but no larger one of what has no fractions."""
    if np.can_cast(array.dtype, np.int16):
        return array.astype(np.int16)
    whole = array if array.dtype.kind in "iu" else np.rint(array)
    return whole.clip(-32768 if whole.dtype.kind != "u" else 0, 32767).astype(np.int16)


def _offset(hu: np.ndarray) -> int:
    """How much too high the values are stored: 0, or `OFFSET` up or down.

    Tissue is what tells: it lies near 0, and nothing but a little bone or metal, or a bladder full of contrast, lies
    1024 above it. The air beside it must agree, and where it lies too high the want of fat, so that no odd histogram
    is shifted.
    """

    def share(low: int, high: int) -> float:
        return np.count_nonzero((hu >= low) & (hu <= high)) / hu.size

    low, high = TISSUE_HU
    air_or_lung, fat = share(AIR_HU + 1, -300), share(*FAT_HU)
    if share(low + OFFSET, high + OFFSET) > SHARE and air_or_lung < SHARE / 2 and fat < SHARE / 2:
        return OFFSET
    tissue_too_low, air_too_low = share(low - OFFSET, high - OFFSET), share(-1100 - OFFSET, -850 - OFFSET)
    # Much padding makes any share of tissue small, and padding may lie where air that is stored too low does.
    few = min(SHARE, FEW * tissue_too_low)
    if share(low, high) < few and tissue_too_low > SHARE and air_too_low > SHARE:
        return -OFFSET
    return 0


def _say_padding(values: np.ndarray) -> str:
    kinds, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    if 2 * counts[most] >= values.size and values.size > 1:
        return f"padding {kinds[most]} set to air"
    return f"{values.size} voxels under {PADDING_HU} set to air"


def _by_percentiles(array: np.ndarray, modality: str, name: str) -> tuple[np.ndarray, str]:
    values = array[array != 0].astype(np.float64)  # 0 is the background that masking and padding leave
    ranks = [max(values.size - 1, 0) * part // 1000 for part in PERCENTILES_PER_MILLE]
    low, high = np.partition(values, ranks)[ranks].tolist() if values.size else (0.0, 0.0)
    if not high > low:
        raise Reject(f"{name}: expected an image, found values from {array.min():g} to {array.max():g}")
    bottom, top = MR_RANGE
    scaled = np.rint((array.astype(np.float64) - low) * (top - bottom) / (high - low)) + bottom
    percentiles = "-".join(f"{part / 10:g}" for part in PERCENTILES_PER_MILLE)
    return np.clip(scaled, AIR_HU, 3071).astype(np.int16), f"{modality}, percentiles {percentiles} to {bottom}..{top}"
