"""The checks that need the whole bank: near copies by letters, near copies by meaning, and the round trip.

They run after generation, over all prompts that a provider wrote. What nobody was asked for stays, and is left out
here: each candidate was compared with it as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

from corpus.reports.encoder import encode
from prompts.bank import UNASKED
from prompts.duplicates import normalised, rows_by_group, similar_pairs
from prompts.meaning import Embed, alike
from prompts.round_trip import misread

LETTERS = 4
"""Letters of a shingle. Shingles of letters see through spelling and inflection, where words don't."""
LEAST_LETTERS = Fraction(3, 4)
"""Jaccard similarity of letters from which on a prompt is a copy of another one for the same target."""
LEAST_MEANING = 0.96
"""Cosine similarity of embeddings from which on it is, too."""

BankCheck = Callable[[Sequence[str], Sequence[str], Embed], dict[int, str]]
"""Texts, what each asks for, and what embeds texts -> position of each text that fails, with the reason. Of two
copies the later one fails."""


def shingles(text: str) -> frozenset[str]:
    """Every four letters in a row of the text without case and punctuation, its ends marked by spaces."""
    plain = f" {normalised(text)} "
    return frozenset(plain[i : i + LETTERS] for i in range(max(1, len(plain) - LETTERS + 1)))


def near_letters(texts: Sequence[str], groups: Sequence[str], embed: Embed) -> dict[int, str]:
    """Shingles: texts for one target that are nearly the same letter by letter."""
    pairs = (
        (rows[a], rows[b])
        for rows in rows_by_group(groups).values()
        for _, a, b in similar_pairs([shingles(texts[i]) for i in rows], LEAST_LETTERS)
    )
    return _later(pairs, texts, "nearly the same as")


def near_meaning(texts: Sequence[str], groups: Sequence[str], embed: Embed) -> dict[int, str]:
    """Embeddings: texts for one target that mean nearly the same."""
    return _later(alike(texts, groups, LEAST_MEANING, embed), texts, "means the same as")


def round_trip(texts: Sequence[str], groups: Sequence[str], embed: Embed) -> dict[int, str]:
    """A classifier trained on the others takes the text for a request of another target."""
    read = misread(texts, groups)
    return {i: f"is read as {other}" for i, other in enumerate(read) if other}


def _later(pairs: Iterable[tuple[int, int]], texts: Sequence[str], says: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for earlier, later in sorted(pairs):
        if earlier not in found:  # a copy of a copy that is out already may stay
            found.setdefault(later, f"{says} {texts[earlier]!r}")
    return found


BANK_CHECKS: dict[str, BankCheck] = {
    "near_letters": near_letters,
    "near_meaning": near_meaning,
    "round_trip": round_trip,
}
"""By name, in the order in which they run; each sees what the ones before it left."""


def check_bank(bank: pd.DataFrame, embed: Embed = encode) -> pd.DataFrame:
    """The bank with what fails marked as rejected, and each check noted with those that passed it.

    Args:
        bank: Rows of `prompts.bank.SCHEMA`.
        embed: As for `prompts.meaning.alike`.
    """
    checked = bank.copy()
    passed = [list(names) for names in bank["checks"]]
    left = np.flatnonzero(bank["accepted"] & (~bank["provider"].isin(UNASKED))).tolist()
    texts, targets = bank["text"].tolist(), bank["cell"].str.rpartition("/")[0].tolist()
    rejected: dict[int, tuple[str, str]] = {}
    for name, check in BANK_CHECKS.items():
        failed = check([texts[i] for i in left], [targets[i] for i in left], embed)
        for position, i in enumerate(left):
            if position in failed:
                rejected[i] = name, failed[position]
            else:
                passed[i].append(name)
        left = [i for i in left if i not in rejected]
    checked["checks"] = passed
    checked["accepted"] = [accepted and i not in rejected for i, accepted in enumerate(bank["accepted"])]
    for column, part in (("failed_check", 0), ("reason", 1)):
        values = [rejected[i][part] if i in rejected else was for i, was in enumerate(bank[column])]
        checked[column] = pd.Series(values, index=bank.index, dtype=bank[column].dtype)
    return checked
