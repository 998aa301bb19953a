"""Patients and texts, each split once: what training sees never comes back in validation or test."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import pandas as pd

from corpus.errors import InputError
from corpus.params import params_dataclass

SPLITS = ("train", "val", "test")


@params_dataclass
class SplitParams:
    """Shares of validation and test; training gets the rest."""

    val: float
    test: float

    def __post_init__(self) -> None:
        if not (self.val > 0 and self.test > 0 and self.val + self.test < 1):
            raise ValueError("val and test must be positive and sum to less than 1")


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    """A seeded order that doesn't change when names are added elsewhere in it."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())


def _deal(names: list[str], params: SplitParams) -> dict[str, str]:
    n_test = max(1, round(len(names) * params.test))
    n_val = max(1, round(len(names) * params.val))
    return {n: "test" if i < n_test else "val" if i < n_test + n_val else "train" for i, n in enumerate(names)}


def split_patients(patients: pd.DataFrame, params: SplitParams, seed: int) -> dict[str, str]:
    """Split patients within each source, so that every source is trained and tested on.

    Args:
        patients: Columns source and patient.

    Raises:
        InputError: A source has fewer than three patients.
    """
    result: dict[str, str] = {}
    for source, group in patients.groupby("source", sort=True):
        names = _shuffled(group["patient"].unique(), seed)
        if len(names) < 3:
            raise InputError(
                f"source {source}",
                f"expected at least three patients (training, validation, test), found {len(names)}",
                "add scans to the source, or take it out of ingest.sources in params.yaml",
            )
        result |= _deal(names, params)
    return result


def words(text: str) -> frozenset[str]:
    """A text's words, lower-case."""
    return frozenset(re.findall(r"[a-z0-9']+", text.lower()))


def split_texts(bank: pd.DataFrame, params: SplitParams, seed: int, near: float) -> pd.Series:
    """Split the requests of each cell; a held-out request that is a near copy of a training one is dropped.

    Args:
        bank: Columns prompt_id, text, cell.
        near: Requests whose word sets overlap by this Jaccard index or more are near copies.

    Returns:
        prompt_id -> train, val, test or dropped.
    """
    result: dict[str, str] = {}
    for _, cell in bank.groupby("cell", sort=True):
        texts = dict(zip(cell["prompt_id"], map(words, cell["text"]), strict=True))
        dealt = _deal(_shuffled(texts, seed), params)
        seen = [texts[i] for i, split in dealt.items() if split == "train"]
        for prompt, split in dealt.items():
            copied = split != "train" and any(len(texts[prompt] & s) >= near * len(texts[prompt] | s) for s in seen)
            result[prompt] = "dropped" if copied else split
    return pd.Series(result, name="split")
