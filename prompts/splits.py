"""Patients and texts, each split once: what training sees never comes back in validation or test."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType

import pandas as pd

from corpus.errors import InputError
from corpus.params import check_least, params_dataclass
from corpus.scans.volumes import HASHED
from prompts.duplicates import copies

SPLITS = ("train", "val", "test")
UNUSED = "unused"
"""Where `LimitParams` puts what it keeps from training."""
OUT = "out"
"""The domain of a source that training never saw; see `dataset.out_of_domain`."""


@params_dataclass
class SplitParams:
    """Shares of validation and test; training gets the rest."""

    val: float
    test: float

    def __post_init__(self) -> None:
        if not (self.val > 0 and self.test > 0 and self.val + self.test < 1):
            raise ValueError("val and test must be positive and sum to less than 1")


@params_dataclass
class FoldParams:
    """Which of several parts the test patients are, in place of a share: over all folds everybody is tested on once."""

    of: int
    test: int
    """From 0 to of - 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.test < self.of or self.of < 2:
            raise ValueError(f"of must be at least 2, and test from 0 to of - 1, found {self.of} and {self.test}")


@params_dataclass
class LimitParams:
    """How much of the training split is used; validation and test stay as they are, and less is a part of more."""

    patients: float = 1.0
    """Share of each source's training patients; one at least."""
    texts: float = 1.0
    """Share of the distinct training requests for each target; one at least."""
    words: int | None = None
    """Only training requests of at most so many words; the shortest where a target has none. None: any length."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.patients <= 1 and 0 < self.texts <= 1):
            raise ValueError("patients and texts are shares: above 0, at most 1")
        check_least(self, words=1)


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    """A seeded order that doesn't change when names are added elsewhere in it."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())


def _person(patient: str) -> str | None:
    """What tells a patient in any source: a hash of a PatientID. A name that a data set gives may be anybody's."""
    name = patient.partition("/")[2]
    return name if name.startswith(HASHED) else None


def _deal(names: list[str], params: SplitParams) -> dict[str, str]:
    n_test = max(1, round(len(names) * params.test))
    n_val = max(1, round(len(names) * params.val))
    return {n: "test" if i < n_test else "val" if i < n_test + n_val else "train" for i, n in enumerate(names)}


def _deal_fold(names: list[str], params: SplitParams, fold: FoldParams) -> dict[str, str]:
    """The test patients are a fold; validation takes its share of all from the others."""
    test = names[fold.test :: fold.of]
    rest = [name for name in names if name not in test]
    n_val = max(1, round(len(names) * params.val))
    return dict.fromkeys(test, "test") | {n: "val" if i < n_val else "train" for i, n in enumerate(rest)}


def split_patients(
    patients: pd.DataFrame,
    params: SplitParams,
    seed: int,
    whole: Mapping[str, str] = MappingProxyType({}),
    fold: FoldParams | None = None,
) -> dict[str, str]:
    """Split patients within each source, so that every source is trained and tested on. Who is in two sources, by a
    hash of one PatientID, is on one side in both.

    Args:
        patients: Columns source and patient, which is the source and a name ("ours/id-1c9f02ab83d4").
        whole: Sources that aren't split, and the split that all their patients are in.
        fold: Who is tested on, in place of a share.

    Raises:
        InputError: A source has fewer than three patients, or too few for its folds, or no source is left to train,
            to validate or to test on.
    """
    result: dict[str, str] = {}
    people: dict[str, str] = {}
    groups = {str(source): names for source, names in patients.groupby("source", sort=True)["patient"]}
    for source in sorted(groups, key=lambda source: source not in whole):
        names = _shuffled(groups[source].unique(), seed)
        if source in whole:
            result |= dict.fromkeys(names, whole[source])
            here = dict.fromkeys(filter(None, map(_person, names)), whole[source])
            if both := [person for person, split in here.items() if people.get(person, split) != split]:
                raise InputError(
                    f"source {source}",
                    f"expected nobody of both dataset.out_of_domain and dataset.training_only, found {len(both)}",
                    "take these patients' scans out of one of the sources",
                )
            people |= here
            continue
        if len(names) < 3:
            raise InputError(
                f"source {source}",
                f"expected at least three patients (training, validation, test), found {len(names)}",
                "add scans to the source, or take it out of ingest.sources in params.yaml",
            )
        if fold and (len(names) < fold.of or len(names[fold.test :: fold.of]) > len(names) - 2):
            raise InputError(
                f"source {source}",
                f"expected patients for {fold.of} folds and two besides one of them, found {len(names)}",
                "lower dataset.fold.of in params.yaml, or add scans to the source",
            )
        elsewhere = {name: people[person] for name in names if (person := _person(name)) in people}
        names = [name for name in names if name not in elsewhere]
        dealt = elsewhere | (_deal_fold(names, params, fold) if fold else _deal(names, params))
        people |= {person: split for name, split in dealt.items() if (person := _person(name))}
        result |= dealt
    for split, use in {"train": "train", "val": "validate", "test": "test"}.items():
        if split not in result.values():
            raise InputError(
                "params.yaml dataset.out_of_domain and training_only",
                f"expected a source that is left to {use} on, found {', '.join(sorted(whole))} named",
                "take one out of its list, or add a source to ingest.sources",
            )
    return result


def limit_patients(patients: pd.DataFrame, splits: dict[str, str], limit: LimitParams) -> dict[str, str]:
    """Keep a share of each source's training patients; the others are `UNUSED`.

    Args:
        patients: Columns source and patient.
        splits: Patient -> split.
    """
    result = dict(splits)
    for _, group in patients.groupby("source", sort=True):
        names = _shuffled((n for n in group["patient"].unique() if splits[n] == "train"), limit.seed)
        result |= dict.fromkeys(names[max(1, round(len(names) * limit.patients)) :], UNUSED)
    return result


def split_texts(bank: pd.DataFrame, params: SplitParams, seed: int, near: float) -> pd.Series:
    """Split the requests of each cell; a held-out request that is a near copy of a training one, whatever that asks
    for, is dropped.

    Args:
        bank: Columns prompt_id, read, cell: requests as a model reads them, by which "the pulsing vessel" is "aorta".
        near: Requests whose word sets overlap by this Jaccard index or more are near copies.

    Returns:
        prompt_id -> train, val, test or dropped.
    """
    result: dict[str, str] = {}
    for _, cell in bank.groupby("cell", sort=True):
        result |= _deal(_shuffled(cell["prompt_id"], seed), params)
    split = pd.Series(result, name="split")
    texts = bank.set_index("prompt_id")["read"].loc[split.index]
    seen = split == "train"
    copied = copies(texts[~seen].tolist(), texts[seen].tolist(), Fraction(str(near)))
    split[texts[~seen].index[sorted(copied)]] = "dropped"
    return split


def kept_apart(made: pd.DataFrame, texts: pd.DataFrame, near: float) -> pd.DataFrame:
    """Further texts that were made of split ones, without those that would bring a near copy to the other side: a
    request for the nose may be made of one for the liver and of one for the spleen.

    Args:
        made: Columns read and split.
        texts: The same of the texts that they were made of.
        near: As in `split_texts`.
    """
    threshold = Fraction(str(near))
    held_out, trained = texts["split"].isin(("val", "test")), texts["split"] == "train"
    learned = made[made["split"] == "train"].reset_index(drop=True)
    learned = learned.drop(
        index=list(copies(learned["read"].tolist(), texts.loc[held_out, "read"].tolist(), threshold))
    )
    asked = made[made["split"] != "train"].reset_index(drop=True)
    seen = [*texts.loc[trained, "read"], *learned["read"]]
    asked = asked.drop(index=list(copies(asked["read"].tolist(), seen, threshold)))
    return pd.concat([learned, asked], ignore_index=True)


def limit_texts(texts: pd.DataFrame, limit: LimitParams) -> pd.Series:
    """Keep a share of the training requests for each target, and only short ones; the others are `UNUSED`.

    Args:
        texts: Columns prompt_id, text, kind, target, split.

    Returns:
        The split of each row.
    """
    result = texts["split"].copy()
    length = texts["text"].map(lambda text: len(text.split()))
    for _, group in texts[texts["split"] == "train"].groupby(["kind", "target"], sort=True):
        allowed = group
        if limit.words is not None:
            allowed = group[length[group.index] <= max(limit.words, length[group.index].min())]
        row = dict(zip(allowed["prompt_id"], allowed.index, strict=True))
        order = _shuffled(row, limit.seed)
        kept = {row[prompt] for prompt in order[: max(1, round(len(group) * limit.texts))]}
        result[[i for i in group.index if i not in kept]] = UNUSED
    return result
