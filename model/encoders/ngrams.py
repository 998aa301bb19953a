"""Word n-grams by hashing: what a text literally says, as numbers of buckets (Weinberger et al. 2009, "Feature hashing
for large scale multitask learning")."""

from __future__ import annotations

import torch
from torch import Tensor

LONGEST = 3
"""Word pieces of an n-gram."""
NGRAMS = 2 * LONGEST
"""n-grams that end at a word piece: of 1 to `LONGEST` pieces, as they are and with names hidden."""
BUCKETS = 1 << 17
_HIDDEN = -1
"""Stands for every piece of a name; no piece has this number."""
_FACTOR, _BITS = 0x9E3779B1, 0xFFFFFFFF


def ngrams(pieces: Tensor, named: Tensor, position: Tensor) -> Tensor:
    """The buckets of the n-grams that end at each of T word pieces, from 1 to `BUCKETS` - 1; 0 where the text hasn't
    that many pieces yet. Two n-grams may share a bucket. With names hidden, "the liver contour" and "the spleen
    contour" are the same.

    Args:
        pieces: int64 `[T]`, numbers in the vocabulary, one text after the other.
        named: bool `[T]`, which are part of a structure's name.
        position: int64 `[T]`, of each piece in its text, from 0.

    Returns:
        int32 `[T, NGRAMS]`.
    """
    columns = []
    for salt, seen in enumerate((pieces, torch.where(named, _HIDDEN, pieces))):
        before = torch.full_like(seen, salt)
        for n in range(LONGEST):
            number = (before * _FACTOR + seen + n) & _BITS
            number = number ^ (number >> 15)
            columns.append(torch.where(position < n, 0, number % (BUCKETS - 1) + 1))
            before = number.roll(1)
    return torch.stack(columns, 1).int()
