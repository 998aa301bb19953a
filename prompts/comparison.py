"""Banks side by side: the same quality figures of what each provider wrote, and a seeded sample of it to read.

What the project brings along is left out on both sides. Figures that fall as a set grows are taken over as many prompts
of each bank as the smallest has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from corpus.errors import InputError
from corpus.reports.encoder import encode
from prompts.bank import UNASKED
from prompts.checks.bank import check_bank
from prompts.duplicates import normalised
from prompts.quality import (
    DISTINCT_OVER,
    EMBEDDED_OVER,
    SELF_BLEU_OVER,
    acceptance,
    cells_filled,
    closest_pairs,
    distinct,
    draw,
    embedding_diversity,
    reading_ease,
    self_bleu,
    words,
)


@dataclass(frozen=True)
class Side:
    """One bank: who wrote it, its figures by name, and accepted prompts drawn from it (rows of the bank)."""

    name: str
    figures: dict[str, float]
    sample: pd.DataFrame


def compare(banks: Sequence[pd.DataFrame], sample: int, seed: int = 0) -> list[Side]:
    """The figures of every bank, and `sample` accepted prompts of each, drawn by the hash of their ids.

    Args:
        banks: Rows of `prompts.bank.SCHEMA`.

    Raises:
        InputError: A bank holds no accepted prompt of a provider.
    """
    written = [bank[~bank["provider"].isin(UNASKED)].reset_index(drop=True) for bank in banks]
    for number, bank in enumerate(written, start=1):
        if not bank["accepted"].any():
            raise InputError(f"bank {number}", "holds no accepted prompt of a provider", "fill it: dvc repro generate")
    checked = [check_bank(bank) for bank in written]
    accepted = [bank[bank["accepted"]] for bank in checked]
    over = min(DISTINCT_OVER, *map(len, accepted))
    return [
        Side(_name(bank), _figures(bank, prompts, over, seed), draw(prompts, sample, seed))
        for bank, prompts in zip(checked, accepted, strict=True)
    ]


def _name(bank: pd.DataFrame) -> str:
    writers = bank[["provider", "model"]].drop_duplicates()
    return ", ".join(f"{row.provider} ({row.model})" for row in writers.itertuples())


def _figures(bank: pd.DataFrame, accepted: pd.DataFrame, over: int, seed: int) -> dict[str, float]:
    texts = draw(accepted, over, seed)["text"].tolist()
    _, near = closest_pairs(accepted)
    everything = accepted["text"].tolist()
    return {
        "candidates": len(bank),
        "accepted": len(accepted) / len(bank),
        "prompts": len(accepted),
        "cells filled": cells_filled(accepted),
        "exact duplicates": int(accepted["text"].map(normalised).duplicated().sum()) / len(accepted),
        "near duplicates": near / len(accepted),
        "round trip": acceptance(bank).get("round_trip", math.nan),
        "words a prompt": math.fsum(len(words(text)) for text in everything) / len(everything),
        "reading ease": math.fsum(map(reading_ease, everything)) / len(everything),
        "compared over": over,
        **{f"distinct-{n}": distinct(texts, n) for n in (1, 2, 3)},
        "self-BLEU": self_bleu(texts[:SELF_BLEU_OVER]),
        "embedding diversity": embedding_diversity(encode(texts[:EMBEDDED_OVER], "float32")),
    }
