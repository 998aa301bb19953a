"""What is on both sides of training and test is found: a patient, a slice, its pixels, a request or a near copy."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpus.errors import InputError
from prompts.duplicates import copies, jaccard, words
from prompts.leaks import check_leaks, check_slices

SPLITS = ["train", "train", "val", "test", "test"]
REQUESTS = [
    ("train", "please outline the liver of this patient for me"),
    ("train", "mark the spleen"),
    ("val", "where is the aorta?"),
    ("test", "colour in whatever filters the blood"),
]


def slices() -> pd.DataFrame:
    return pd.DataFrame(
        {"slice_id": f"s/{i}/0", "patient": f"s/{i}", "split": split, "seed": i} for i, split in enumerate(SPLITS)
    )


def texts(*more: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame([*REQUESTS, *more], columns=["split", "read"])


def pixels(row: pd.Series) -> np.ndarray:
    return np.random.default_rng(row["seed"]).integers(-1000, 1000, (8, 8)).astype(np.int16)


def check(table: pd.DataFrame, asked: pd.DataFrame) -> dict[str, int]:
    return check_leaks(table, asked, pixels, 0.8, Path("data/dataset"))


def test_sides_that_share_nothing_pass_and_are_counted() -> None:
    assert check(slices(), texts()) == {"patients": 2, "slices": 2, "texts": 1}


def _patient(table: pd.DataFrame) -> None:
    table.loc[3, "patient"] = "s/0"


def _validation_patient(table: pd.DataFrame) -> None:
    table.loc[3, "patient"] = "s/2"


def _validated_on(table: pd.DataFrame) -> None:
    table.loc[2, "patient"] = "s/0"


def _validated_pixels(table: pd.DataFrame) -> None:
    table.loc[2, "seed"] = 1


def _slice(table: pd.DataFrame) -> None:
    table.loc[4, "slice_id"] = "s/1/0"


def _pixels(table: pd.DataFrame) -> None:
    table.loc[4, "seed"] = 1


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (_patient, "of its patients 1 are in both: s/0"),
        (_validation_patient, "of its patients 1 are in both: s/2"),
        (_slice, "of its slices 1 are in both: s/1/0"),
        (_pixels, "a test set .* of its slices' pixels 1 are in both: s/4/0 = s/1/0"),
        (_validated_on, "of its patients 1 are in both: s/0"),
        (_validated_pixels, "a val set .* of its slices' pixels 1 are in both: s/2/0 = s/1/0"),
    ],
)
def test_a_scan_on_both_sides_is_found(spoil: Callable[[pd.DataFrame], None], found: str) -> None:
    table = slices()
    spoil(table)
    with pytest.raises(InputError, match=found):
        check(table, texts())
    with pytest.raises(InputError, match=found):
        check_slices(table, pixels, Path("data/dataset"))


@pytest.mark.parametrize(
    "text",
    [
        "mark the spleen",
        "Mark the SPLEEN!",
        "the spleen: mark",
        "please outline the liver of this patient for us",
        "Please, outline the spleen of this patient for me.",
    ],
)
def test_a_request_on_both_sides_is_found_whatever_it_asks_for(text: str) -> None:
    with pytest.raises(InputError, match=r"of its requests 1 are in both") as raised:
        check(slices(), texts(("test", text)))
    assert repr(text) in str(raised.value)


def test_an_empty_picture_is_no_leak() -> None:
    blank = lambda row: np.full((8, 8), -1000, np.int16)  # noqa: E731
    check_leaks(slices(), texts(), blank, 0.8, Path("data/dataset"))


def test_copies_are_those_of_a_comparison_of_all_with_all() -> None:
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"w{i}" for i in range(14)])
    made = [" ".join(rng.choice(vocabulary, rng.integers(1, 9))) for _ in range(400)]
    ours, theirs = [*made[:200], "", "?!"], made[200:]
    for threshold in (Fraction(1, 2), Fraction(4, 5), Fraction(9, 10), Fraction(1)):
        expected = {}
        for row, text in enumerate(ours):
            near = [i for i, other in enumerate(theirs) if jaccard(words(text), words(other)) >= threshold]
            if near:
                expected[row] = near[0]
        assert copies(ours, theirs, threshold) == expected
        assert expected or threshold == 1
    assert copies(["?"], ["liver", "!"], Fraction(4, 5)) == {0: 1}
