"""From stored intensities to what a network or a reader sees."""

from __future__ import annotations

import numpy as np

LEVEL_HU, WIDTH_HU = 40.0, 400.0
"""The usual abdominal soft-tissue window."""


def window(image: np.ndarray, level: float = LEVEL_HU, width: float = WIDTH_HU) -> np.ndarray:
    """Clip to a window and scale to [0, 1].

    Args:
        image: HU, any shape.
        level, width: The window's centre and width in HU.

    Returns:
        float32 of the same shape.
    """
    low = np.float32(level - width / 2)
    return np.clip((image.astype(np.float32) - low) / np.float32(width), 0, 1)
