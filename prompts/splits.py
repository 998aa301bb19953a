"""Patients and texts, each split once: what training sees never comes back in validation or test."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from fractions import Fraction

import pandas as pd

from corpus.errors import InputError
from corpus.params import params_dataclass
from prompts.duplicates import copies

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


def split_patients(
    patients: pd.DataFrame, params: SplitParams, seed: int, out_of_domain: Collection[str] = ()
) -> dict[str, str]:
    """Split patients within each source, so that every source is trained and tested on.

    Args:
        patients: Columns source and patient.
        out_of_domain: Sources that no training sees: all their patients are for testing.

    Raises:
        InputError: A source has fewer than three patients, or no source is left to train on.
    """
    result: dict[str, str] = {}
    for source, group in patients.groupby("source", sort=True):
        names = _shuffled(group["patient"].unique(), seed)
        if source in out_of_domain:
            result |= dict.fromkeys(names, "test")
            continue
        if len(names) < 3:
            raise InputError(
                f"source {source}",
                f"expected at least three patients (training, validation, test), found {len(names)}",
                "add scans to the source, or take it out of ingest.sources in params.yaml",
            )
        result |= _deal(names, params)
    if "train" not in result.values():
        raise InputError(
            "params.yaml dataset.out_of_domain",
            f"expected a source that is left to train on, found all of {', '.join(sorted(out_of_domain))} named",
            "take one out of the list, or add a source to ingest.sources",
        )
    return result


def split_texts(bank: pd.DataFrame, params: SplitParams, seed: int, near: float) -> pd.Series:
    """Split the requests of each cell; a held-out request that is a near copy of a training one, whatever that asks
    for, is dropped.

    Args:
        bank: Columns prompt_id, text, cell.
        near: Requests whose word sets overlap by this Jaccard index or more are near copies.

    Returns:
        prompt_id -> train, val, test or dropped.
    """
    result: dict[str, str] = {}
    for _, cell in bank.groupby("cell", sort=True):
        result |= _deal(_shuffled(cell["prompt_id"], seed), params)
    split = pd.Series(result, name="split")
    texts = bank.set_index("prompt_id")["text"].loc[split.index]
    seen = split == "train"
    copied = copies(texts[~seen].tolist(), texts[seen].tolist(), Fraction(str(near)))
    split[texts[~seen].index[sorted(copied)]] = "dropped"
    return split


def kept_apart(made: pd.DataFrame, texts: pd.DataFrame, near: float) -> pd.DataFrame:
    """Further texts that were made of split ones, without those that would bring a near copy to the other side: a
    request for the nose may be made of one for the liver and of one for the spleen.

    Args:
        made: Columns text and split.
        texts: The same of the texts that they were made of.
        near: As in `split_texts`.
    """
    threshold = Fraction(str(near))
    held_out, trained = texts["split"].isin(("val", "test")), texts["split"] == "train"
    learned = made[made["split"] == "train"].reset_index(drop=True)
    learned = learned.drop(index=copies(learned["text"].tolist(), texts.loc[held_out, "text"].tolist(), threshold))
    asked = made[made["split"] != "train"].reset_index(drop=True)
    seen = [*texts.loc[trained, "text"], *learned["text"]]
    asked = asked.drop(index=copies(asked["text"].tolist(), seen, threshold))
    return pd.concat([learned, asked], ignore_index=True)
