"""Structures that are drawn on some slices only: those between would be taught as slices without them."""

from __future__ import annotations

import numpy as np

FEWEST = 4
"""Fewer slices may be all that a small structure shows, with gaps where it is thin or lies oblique."""
APART = 2.0
"""Slices. No structure of 15 patients of BTCV, hand-drawn, and of two that a model labelled has a single gap."""
SPARSE_FIX = "draw it on the slices between too, or leave it out of the labels"


def slices_apart(places: np.ndarray) -> float | None:
    """How far apart a structure is usually drawn, where that leaves slices out.

    Args:
        places: Where it is drawn, `[N]`, in slices, ascending, each once.

    Returns:
        The median step; None where it is under `APART`, or the structure is drawn on under `FEWEST` slices.
    """
    if len(places) < FEWEST:
        return None
    usual = float(np.median(np.diff(places)))
    return usual if usual >= APART else None
