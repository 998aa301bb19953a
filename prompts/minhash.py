"""Texts that are nearly the same letter by letter, found by MinHash (Broder 1997) in time near linear in their number.

MinHash only proposes: each pair that shares a band of its signatures is compared exactly, so that none is reported by
chance. A pair of a similarity of 3/4 is missed with a probability below 1 in 10,000.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations

import numpy as np

from prompts.duplicates import jaccard, normalised

LETTERS = 4
"""Letters of a shingle. Shingles of letters see through spelling and inflection, where words don't."""
BANDS, ROWS = 20, 3
_SEED = 0


def shingles(text: str) -> frozenset[str]:
    """Every four letters in a row of the text without case and punctuation, its ends marked by spaces."""
    plain = f" {normalised(text)} "
    return frozenset(plain[i : i + LETTERS] for i in range(max(1, len(plain) - LETTERS + 1)))


def signatures(sets: Sequence[frozenset[str]]) -> np.ndarray:
    """uint32 `[N, BANDS * ROWS]`: two sets agree in a column with the probability of their Jaccard similarity."""
    rng = np.random.Generator(np.random.PCG64(_SEED))
    factors = rng.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found = np.empty((len(sets), BANDS * ROWS), np.uint32)
    for i, one in enumerate(sets):
        hashed = np.array([zlib.crc32(shingle.encode()) for shingle in one], np.uint64)
        # Multiply-shift: the upper half of a product modulo 2^64 is a random function of the lower bits.
        found[i] = (((hashed[:, None] + np.uint64(1)) * factors) >> np.uint64(32)).min(axis=0)
    return found


def similar_pairs(texts: Sequence[str], least: Fraction) -> Iterator[tuple[int, int]]:
    """Pairs i < j of texts whose shingles have a Jaccard similarity of at least `least`, sorted."""
    sets = [shingles(text) for text in texts]
    proposed: set[tuple[int, int]] = set()
    bands = signatures(sets).reshape(len(sets), BANDS, ROWS)
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for i in range(len(sets)):
            buckets[bands[i, band].tobytes()].append(i)
        for bucket in buckets.values():
            proposed.update(combinations(bucket, 2))
    return ((i, j) for i, j in sorted(proposed) if jaccard(sets[i], sets[j]) >= least)
