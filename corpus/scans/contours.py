"""Polygons to masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def fill(polygons: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres lie in an odd number of polygons, so that an inner polygon is a hole.

    Args:
        polygons: Corners `[N, 2]` each, in pixels of the first and second axis; whole numbers are pixels' centres.
        shape: `(I, J)`.

    Returns:
        bool `[I, J]`.
    """
    # Every edge flips all pixels beyond it, along the first axis, in the columns (of the second) that it crosses.
    flips = np.zeros((shape[0] + 1, shape[1]), np.uint8)
    for polygon in polygons:
        u, v = polygon.T
        next_u, next_v = np.roll(u, -1), np.roll(v, -1)
        first, stop = (np.clip(np.ceil(f(v, next_v)), 0, shape[1]).astype(np.int64) for f in (np.minimum, np.maximum))
        counts = stop - first
        edge = np.repeat(np.arange(len(u)), counts)
        column = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
        slope = (next_u - u)[edge] / (next_v - v)[edge]
        crossing = np.round(u[edge] + (column - v[edge]) * slope, 6)  # a border pixel is the same on every machine
        np.bitwise_xor.at(flips, (np.clip(np.ceil(crossing), 0, shape[0]).astype(np.int64), column), 1)
    return np.bitwise_xor.accumulate(flips, axis=0)[:-1].astype(bool)


def distinct(polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The polygons `[N, 2]`, each once, in their order; whichever corner one begins with and way it runs, it is the
    same. Of two `fill` would make a hole."""
    return list({_edges(polygon): polygon for polygon in reversed(polygons)}.values())[::-1]


def _edges(polygon: np.ndarray) -> frozenset[frozenset[tuple[float, ...]]]:
    corners = [tuple(corner) for corner in polygon.tolist()]
    return frozenset(
        frozenset(edge) for edge in zip(corners, corners[1:] + corners[:1], strict=True) if len({*edge}) == 2
    )
