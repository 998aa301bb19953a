"""The checks, measured on measured.yaml: how much of what is broken they catch, and how much of what is good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from corpus.params import params_dataclass, read_yaml, validated
from prompts.checks.bank import LEAST_LETTERS, LEAST_MEANING, shingles
from prompts.checks.registry import Context, run_checks
from prompts.duplicates import similar_pairs
from prompts.kinds import Cell, kinds
from prompts.meaning import alike
from prompts.round_trip import Reader

MEASURED = Path(__file__).with_name("measured.yaml")
GOOD = "good"
PARTS = ("mended by", "held out")
"""Which of the examples the checks were written by: those at even places of each list, from 0."""


@params_dataclass
class Example:
    """One entry of measured.yaml."""

    cell: str
    text: str
    passage: str | None = None
    bank: str | None = None

    @property
    def of(self) -> Cell:
        return Cell(*self.cell.split("/"))

    @property
    def waits(self) -> bool:
        """Whether kinds.yaml doesn't know its cell."""
        return self.of.kind not in kinds() or self.of.target not in kinds()[self.of.kind].intents


@params_dataclass
class Measured:
    """The content of measured.yaml."""

    good: tuple[Example, ...]
    broken: dict[str, tuple[Example, ...]]

    def __iter__(self) -> Iterator[tuple[str, str, Example]]:
        """(type, part, example) of all that don't wait."""
        for name, examples in ({GOOD: self.good} | self.broken).items():
            for place, example in enumerate(examples):
                if not example.waits:
                    yield name, PARTS[place % 2], example


class Failure(NamedTuple):
    check: str
    reason: str


@dataclass(frozen=True)
class Judge:
    """All checks, those of the whole bank too: the round trip learns from a bank that none of the examples is from."""

    reader: Reader

    def failure(self, example: Example) -> Failure | None:
        """The first check that the example fails."""
        cell = example.of
        context = Context((example.passage,) if example.passage else ())
        if example.bank:
            context.duplicates.add(example.bank, cell.target)
        last = run_checks(example.text, cell, context)[-1]
        if last.reason is not None:
            return Failure(last.check, last.reason)
        if example.bank:
            both = [example.bank, example.text]
            if any(similar_pairs(list(map(shingles, both)), LEAST_LETTERS)):
                return Failure("near_letters", f"nearly the same as {example.bank!r}")
            if alike(both, ["", ""], LEAST_MEANING):
                return Failure("near_meaning", f"means the same as {example.bank!r}")
        (other,) = self.reader.misread([example.text], [f"{cell.kind}/{cell.target}"])
        return Failure("round_trip", f"is read as {other}") if other else None


def judge_examples(texts: Sequence[str], targets: Sequence[str]) -> pd.DataFrame:
    """Judge every example.

    Args:
        texts: A bank for the round trip to learn from.
        targets: "kind/target" of each.

    Returns:
        One row an example: type ("good" or what is broken), part, cell, text, check and reason (None where it passes).

    Raises:
        InputError: measured.yaml doesn't fit `Measured`.
    """
    judge = Judge(Reader(texts, targets))
    rows = []
    for name, part, example in validated(read_yaml(MEASURED), Measured, MEASURED):
        failure = judge.failure(example)
        rows.append((name, part, example.cell, example.text, *(failure or (None, None))))
    return pd.DataFrame(rows, columns=["type", "part", "cell", "text", "check", "reason"], dtype=object)
