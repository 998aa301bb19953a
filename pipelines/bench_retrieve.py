"""`flans bench retrieve`: recall against exact search, and queries per second, by number of passages.

Large collections are synthetic. Their vectors are clustered as sentence embeddings are: phrases of unequal frequency,
in topics, around a common direction, in a space whose directions carry unequal variance; `describe` compares them with
real ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from rich.table import Table

from corpus.reports import vectors
from pipelines.stage import results

_BLOCK = 65_536
_COMMON, _TOPIC, _PHRASE, _OWN = 0.48, 0.40, 0.60, 0.49
"""Lengths of what all vectors share, of a topic's and a phrase's direction and of a vector's own, before
normalisation."""
_TOPICS, _PHRASES = 1_000, 20_000


@dataclass(frozen=True)
class Speed:
    """One index over `passages` vectors. `recall` is the share of the exact k nearest that it finds."""

    passages: int
    index: str
    recall: float
    queries_per_second: float
    build_seconds: float
    megabytes: float


def clustered(n: int, dimension: int = 384, seed: int = 0) -> Iterator[np.ndarray]:
    """n unit vectors [_BLOCK, dimension] float16, block by block; the first ones are the same for any n."""
    rng = np.random.default_rng(seed)
    spread = np.arange(1, dimension + 1, dtype=np.float32) ** -0.42
    spread /= np.linalg.norm(spread)
    common = rng.standard_normal(dimension) / np.sqrt(dimension)
    topics = rng.standard_normal((_TOPICS, dimension), dtype=np.float32) * spread
    phrases = rng.standard_normal((_PHRASES, dimension), dtype=np.float32) * spread
    centres = _COMMON * common + _TOPIC * topics[np.arange(_PHRASES) % _TOPICS] + _PHRASE * phrases
    shares = np.arange(1, _PHRASES + 1) ** -0.9
    for start in range(0, n, _BLOCK):
        size = min(_BLOCK, n - start)
        block = rng.choice(_PHRASES, size=_BLOCK, p=shares / shares.sum())[:size]
        own = rng.standard_normal((_BLOCK, dimension), dtype=np.float32)[:size] * spread
        made = centres[block] + _OWN * own
        yield vectors.coarse(made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


def describe(embeddings: np.ndarray, n: int = 500) -> dict[str, float]:
    """Quantities in which collections of embeddings differ: cosines to any other, and to the 1st and 10th nearest."""
    queries = embeddings[np.arange(n) * len(embeddings) // n].astype(np.float32)
    scores = queries @ embeddings.astype(np.float32).T
    nearest = -np.sort(-scores, axis=1)
    return {"any": float(scores.mean()), "1st": float(nearest[:, 1].mean()), "10th": float(nearest[:, 10].mean())}


def bench_retrieve(n: int, k: int = 10, n_queries: int = 200, probes: int = 96, seed: int = 0) -> list[Speed]:
    """Speed and recall of exact search and of the inverted file over n clustered vectors.

    Memory stays below about 3 kB a vector. Queries are vectors of the same kind that aren't in the index.
    """
    stored = np.empty((n, 384), np.float16)
    blocks = clustered(n + n_queries, seed=seed)
    queries = np.empty((0, 384), np.float16)
    for start, block in zip(range(0, n + n_queries, _BLOCK), blocks, strict=True):
        inside = max(0, min(len(block), n - start))
        stored[start : start + inside] = block[:inside]
        queries = np.concatenate([queries, block[inside:]])
    asked = queries.astype(np.float32)
    truth, seconds = _exact(stored, asked, k)
    exact = Speed(n, "exact", 1.0, n_queries / seconds, 0.0, n * 384 * 4 / 1e6)
    began = time.perf_counter()
    index = vectors.build(stored, exact_up_to=0, probes=probes)
    built = time.perf_counter() - began
    index.search(asked[:1], k)
    began = time.perf_counter()
    found = np.concatenate([index.search(query[None], k)[1] for query in asked])
    speed = n_queries / (time.perf_counter() - began)
    size = n * (384 * 2 + 8) + index.nlist * 384 * 4
    return [
        exact,
        Speed(n, f"ivf, {index.nprobe} of {index.nlist} lists", recall(found, truth), speed, built, size / 1e6),
    ]


def show(speeds: Iterable[Speed], k: int, queries: int) -> None:
    """Print a row an index."""
    table = Table(title=f"{queries} queries, one at a time", title_justify="left")
    for column in ("passages", "index", f"recall@{k}", "queries/s", "built in s", "MB"):
        table.add_column(column, justify="left" if column == "index" else "right")
    for speed in speeds:
        table.add_row(
            f"{speed.passages:,}",
            speed.index,
            f"{speed.recall:.3f}",
            f"{speed.queries_per_second:.0f}",
            f"{speed.build_seconds:.1f}",
            f"{speed.megabytes:.0f}",
        )
    results.print(table)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean share of each row of `truth` [Q, k] that is in the same row of `found` [Q, k]."""
    return float(np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)]))


def _exact(stored: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """The k nearest rows [Q, k], and the seconds that the search took, one query at a time, copies left out."""
    heap: Any = faiss.ResultHeap(len(queries), k, keep_max=True)
    seconds = 0.0
    for start in range(0, len(stored), _BLOCK):
        index = faiss.IndexFlatIP(stored.shape[1])
        index.add(stored[start : start + _BLOCK].astype(np.float32))
        began = time.perf_counter()
        scores, rows = (
            np.concatenate(parts) for parts in zip(*(index.search(q[None], k) for q in queries), strict=True)
        )
        heap.add_result(scores, rows + start)
        seconds += time.perf_counter() - began
    heap.finalize()
    return heap.I, seconds
