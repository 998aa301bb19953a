"""Texts of nearly the same meaning: neighbours among the sentence encoder's vectors.

All texts are encoded in bfloat16 or float32, which is fast and differs between machines; the few pairs that come near
the threshold are encoded once more in float64 and decided there, so that the verdicts are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import faiss
import numpy as np

from corpus.reports.encoder import GRID, Precision, bfloat16_is_fast, encode, on_grid
from prompts.duplicates import rows_by_group

Embed = Callable[[Sequence[str], Precision], np.ndarray]
"""Embeds texts as `corpus.reports.encoder.encode` does; another may remember what it did before."""

_SLACK = 0.02
"""Far above what bfloat16 may differ by: 0.002 for texts that are alike."""


def alike(
    texts: Sequence[str],
    groups: Sequence[str],
    least: float,
    embed: Embed = encode,
) -> list[tuple[int, int]]:
    """Pairs i < j of texts of one group whose vectors have a cosine similarity of at least `least`, sorted.

    Args:
        groups: What each text asks for: others are no copies of it, however near.
        embed: Called once with all texts in a fast precision, and once with the few in doubt in float64.
    """
    vectors = embed(texts, "bfloat16" if bfloat16_is_fast() else "float32")
    members = rows_by_group(groups).values()
    near = [pair for rows in members for pair in _within(vectors, np.array(rows), least - _SLACK)]
    involved = sorted({i for pair in near for i in pair})
    exact = dict(zip(involved, on_grid(embed([texts[i] for i in involved], "float64")), strict=True))
    return sorted((i, j) for i, j in near if float(exact[i] @ exact[j]) >= round(least * GRID * GRID))


def _within(vectors: np.ndarray, rows: np.ndarray, least: float) -> list[tuple[int, int]]:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors[rows])
    starts, _, found = index.range_search(vectors[rows], least)
    pairs = ((int(rows[a]), int(rows[b])) for a in range(len(rows)) for b in found[starts[a] : starts[a + 1]])
    return [(i, j) for i, j in pairs if i < j]
