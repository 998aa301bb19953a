"""Nothing that a model is tested with was there when it was trained: neither a patient, nor a slice, nor a request. Of
patients and slices, nothing that it was chosen with was, either.

The splits are made so (`prompts.splits`); here it is looked for once more in what they left, before anything is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

from corpus.errors import InputError
from prompts.duplicates import copies

SHOWN = 3
Pixels = Callable[[pd.Series], np.ndarray]
"""A row of the slice table -> that slice's image."""


def check_slices(slices: pd.DataFrame, pixels: Pixels, where: Path) -> None:
    """Look for patients and slices of the test set among those of training and of validation, which chooses among
    checkpoints, and for those of validation among training's. A slice is known by its name and by its pixels; one that
    is of one grey value throughout shows nothing, and is left out.

    Args:
        slices: The data set's slices.parquet.
        pixels: Reads a slice.
        where: The data set, for the message.

    Raises:
        InputError: Something is on both sides.
    """
    of = {split: slices[slices["split"] == split] for split in ("train", "val", "test")}
    for split, before in (("test", ("train", "val")), ("val", ("train",))):
        for what, column in (("patients", "patient"), ("slices", "slice_id")):
            known = set().union(*(of[each][column] for each in before))
            _refuse(where, split, what, sorted(set(of[split][column]) & known), "dvc repro --force dataset")
    fix = "a scan that is there twice has to leave one of its sources"
    seen: dict[str, str] = {}
    for split, rows in of.items():
        digests = [(row["slice_id"], _digest(pixels(row))) for _, row in rows.iterrows()]
        again = [f"{name} = {seen[digest]}" for name, digest in digests if digest in seen]
        _refuse(where, split, "slices' pixels", again, fix)
        seen |= {digest: name for name, digest in digests if digest}


def check_leaks(slices: pd.DataFrame, texts: pd.DataFrame, pixels: Pixels, near: float, where: Path) -> dict[str, int]:
    """Look for what lies on both sides: slices (`check_slices`), and texts of the test set among those of training.

    Args:
        slices: The data set's slices.parquet.
        texts: Its texts and their variants: columns read (the text as a model reads it) and split.
        pixels: Reads a slice.
        near: Texts whose word sets have this Jaccard index or more are near copies, whatever they ask for.
        where: The data set, for the message.

    Returns:
        How many patients, slices and texts of the test set were looked at; all are on that side alone.

    Raises:
        InputError: Something is on both sides.
    """
    check_slices(slices, pixels, where)
    tested = slices[slices["split"] == "test"]
    asked, learned = (texts.loc[texts["split"] == split, "read"].tolist() for split in ("test", "train"))
    near_copies = copies(asked, learned, Fraction(str(near)))
    fix = "make the data set again: dvc repro --force dataset; it drops near copies (dataset.near_copy)"
    _refuse(where, "test", "requests", [f"{asked[i]!r} ~ {learned[j]!r}" for i, j in near_copies.items()], fix)
    return {"patients": tested["patient"].nunique(), "slices": len(tested), "texts": len(asked)}


def _digest(image: np.ndarray) -> str | None:
    if image.min() == image.max():
        return None
    return hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).hexdigest()


def _refuse(where: Path, split: str, what: str, found: list[str], fix: str) -> None:
    if found:
        shown = "; ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
        problem = f"expected a {split} set that training never saw, but of its {what} {len(found)} are in both: {shown}"
        raise InputError(where, problem, fix)
