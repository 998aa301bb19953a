"""`flans bench prompts`: the quality figures of banks side by side, with unedited prompts of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from corpus.errors import InputError
from pipelines.stage import BANK, results
from prompts.bank import read_bank
from prompts.comparison import Side, compare

SHARES = ("accepted", "cells filled", "exact duplicates", "near duplicates", "round trip")
"""Figures that are printed in percent."""


def bench_prompts(banks: Sequence[Path], sample: int) -> list[Side]:
    """Compare the banks in the files or folders `banks`.

    Raises:
        InputError: One is missing, isn't a bank, or holds no accepted prompt.
    """
    files = [path / "bank.parquet" if path.is_dir() else path for path in banks]
    for path, file in zip(banks, files, strict=True):
        if path != BANK and not file.is_file():
            raise InputError(file, "expected a bank of prompts, found none", "correct its name")
    return compare([read_bank(path) for path in files], sample)


def _shown(name: str, value: float) -> str:
    if name in SHARES:
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}"


def rows(sides: Sequence[Side]) -> Iterator[list[str]]:
    """The table's rows: the writers' names, then a figure a row."""
    yield ["of what each wrote", *(side.name for side in sides)]
    for name in sides[0].figures:
        yield [name, *(_shown(name, side.figures[name]) for side in sides)]


def markdown(sides: Sequence[Side]) -> str:
    """What `show` prints, for a README."""
    head, *body = ("| " + " | ".join(row) + " |" for row in rows(sides))
    lines = [head, "|---|" + "---:|" * len(sides), *body]
    for side in sides:
        lines += ["", f"`{side.name}`:", ""]
        lines += [f"- {row.text} *({row.kind}: {row.target})*" for row in side.sample.itertuples()]
    return "\n".join(lines)


def show(sides: Sequence[Side]) -> None:
    """Print the figures, and the sample of each bank."""
    head, *body = rows(sides)
    table = Table(*head, title="Prompts by provider", title_justify="left")
    for row in body:
        table.add_row(*row)
    for column in table.columns[1:]:
        column.justify = "right"
    results.print(table)
    for side in sides:
        results.print(f"\n{side.name}", style="bold", markup=False)
        for text, cell in zip(side.sample["text"], side.sample["cell"], strict=True):
            results.print(f"  {text}  [{cell}]", markup=False, soft_wrap=True)
