"""Nearest neighbours among passage vectors: exact search up to a number of vectors, an inverted file above it.

The inverted file (IVF) is the same bytes on any machine and for any number of threads. Its vectors and centroids lie on
a grid of 1/2048, where inner products of unit vectors are exact in float32 whatever the order of summation (all partial
sums are multiples of 2^-22 of a size of about 1), and where float16 stores them without loss. So k-means assigns, and
FAISS searches, without a rounding that could differ; and there is no random start: evenly spaced vectors are.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

STEPS = 2048
"""Steps to the unit of the inverted file's grid."""
_BLOCK = 65_536
_PER_LIST = 64
"""Vectors a list that k-means looks at."""
_ROUNDS = 5
_SELECTED_EXACTLY = 100_000
"""Up to so many vectors that pass a filter are compared one by one, since an inverted file would miss most of them."""


def coarse(vectors: np.ndarray) -> np.ndarray:
    """Vectors rounded to the inverted file's grid, float32."""
    return (np.rint(vectors.astype(np.float64) * STEPS) / STEPS).astype(np.float32)


def build(vectors: np.ndarray, exact_up_to: int, probes: int) -> Any:
    """A FAISS index over `vectors` [N, D], L2-normalised, float32 or float16.

    Args:
        exact_up_to: More vectors than this get an inverted file.
        probes: Lists of it that a search looks into.
    """
    if len(vectors) <= exact_up_to:
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(np.ascontiguousarray(vectors, dtype=np.float32))
        return flat
    centroids = _centroids(vectors, n_lists(len(vectors)))
    quantizer = faiss.IndexFlatIP(vectors.shape[1])
    quantizer.add(centroids)
    storage, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(quantizer, vectors.shape[1], len(centroids), storage, metric, False)
    index.train(centroids)  # the lists are there already: this marks it as trained
    for start in range(0, len(vectors), _BLOCK):
        index.add(coarse(vectors[start : start + _BLOCK]))
    index.nprobe = min(probes, len(centroids))
    return index


def n_lists(n: int) -> int:
    """Lists of an inverted file over n vectors: the power of two at or below 4 * sqrt(n)."""
    return 2 ** int(np.log2(4 * np.sqrt(n)))


def _centroids(vectors: np.ndarray, k: int) -> np.ndarray:
    """k centroids on the grid, by spherical k-means over evenly spaced vectors."""
    n_sample = min(len(vectors), _PER_LIST * k)
    sample = coarse(vectors[np.arange(n_sample) * len(vectors) // n_sample])
    centroids = sample[np.arange(k) * n_sample // k]
    for _ in range(_ROUNDS):
        lists = faiss.IndexFlatIP(sample.shape[1])
        lists.add(centroids)
        nearest = lists.search(sample, 1)[1][:, 0]
        order = np.argsort(nearest, kind="stable")
        used, starts, counts = np.unique(nearest[order], return_index=True, return_counts=True)
        # Sums of whole steps, means on a finer grid and their squares are exact; a square root is rounded correctly.
        sums = np.add.reduceat(np.rint(sample[order].astype(np.float64) * STEPS), starts)
        means = np.rint(sums / counts[:, None] * 8)
        lengths = np.sqrt((means**2).sum(axis=1, keepdims=True))
        centroids = centroids.copy()
        centroids[used] = coarse(means / np.maximum(lengths, 1))
    return centroids


def propose(index: Any, queries: np.ndarray, n: int, rows: np.ndarray | None = None) -> list[np.ndarray]:
    """For each query, the rows of up to n near vectors, in ascending order.

    Args:
        index: What `build` made.
        queries: [Q, D], L2-normalised.
        n: Rows a query.
        rows: Only these are searched; None searches all.
    """
    queries = queries.astype(np.float32)
    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()
        queries = coarse(queries)
        if rows is not None and len(rows) <= _SELECTED_EXACTLY:
            return _selected(index, queries, n, rows)
    chosen = _parameters(index, rows)
    _, found = index.search(queries, min(n, index.ntotal if rows is None else len(rows)), params=chosen)
    return [np.sort(row[row >= 0]) for row in found]


def _parameters(index: Any, rows: np.ndarray | None) -> Any:
    if rows is None:
        return None
    selector = faiss.IDSelectorBatch(rows)
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=index.nprobe)  # type: ignore[call-arg]
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]


def _selected(index: Any, queries: np.ndarray, n: int, rows: np.ndarray) -> list[np.ndarray]:
    scores = queries @ index.reconstruct_batch(rows).T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    return [np.sort(rows[row]) for row in best]
