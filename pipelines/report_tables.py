"""The report's tables that not every run has: how robust the answers are, calibration, pose, baselines, and others.

Each is shown where its file is there. A file that is there and broken is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import pandas as pd

from pipelines.reporting import TRANSFORMS, known, read_table, records
from pipelines.stage import EVALUATION

FOLDER = EVALUATION / "tables"
PLAIN = {
    "volumes": ("Whole volumes", "The slices of a volume put together, then measured in three dimensions."),
    "sources": ("By data set", "Each source of scans on its own."),
    "sizes": ("By size of the structure", "Small structures are harder: a pixel more or less weighs more."),
}
"""File -> title and what it is; shown as it was written."""
WORDS = {"dice": "Dice", "nsd": "NSD", "nsd_1mm": "NSD at 1 mm", "hd95": "HD95 in mm", "hd95_missing": "without HD95"}
"""Columns whose names aren't words."""
WHOLE = ("cases", "organs", "hd95_missing", "patients", "slices", "volumes", "prompts")
"""Columns that count."""
OVERALL = ("all", "anatomy")
"""The kind of request that a chart is drawn for; the first that a table has."""


def further() -> dict[str, Any]:
    """What lies beside the tables that every run has, by name; without those that this run hasn't.

    Raises:
        InputError: A table is unreadable or lacks a column.
    """
    found = {
        "robustness": robustness(),
        "calibration": calibration(),
        "poses": poses(),
        "baselines": baselines(),
        "plain": {name: plain(name) for name in PLAIN},
    }
    found["plain"] = {name: table for name, table in found["plain"].items() if table}
    return {name: table for name, table in found.items() if table}


def _table(name: str, columns: Collection[str]) -> pd.DataFrame | None:
    """A table, or None where there is no such file, or nothing in it."""
    path = FOLDER / f"{name}.csv"
    table = read_table(path, "evaluate", columns) if path.exists() else None
    return None if table is None or table.empty else table


def robustness() -> dict[str, dict[str, Any]] | None:
    """Factor -> its levels, each with the figures of every kind of request, and the kind that is drawn."""
    columns = ("factor", "level", "kind", "dice", "dice_low", "dice_high", "consistency", "understood", "cases")
    table = _table("robustness", columns)
    return (
        None if table is None else {str(n): _by_kind(rows, "level") for n, rows in table.groupby("factor", sort=False)}
    )


def baselines() -> dict[str, dict[str, Any]] | None:
    """Scan -> its baselines, each with the figures of every kind of request, and the kind that is drawn."""
    table = _table("baselines", ("baseline", "scan", "kind", "dice", "dice_low", "dice_high", "nsd", "cases"))
    return (
        None if table is None else {str(n): _by_kind(rows, "baseline") for n, rows in table.groupby("scan", sort=False)}
    )


def _by_kind(table: pd.DataFrame, name: str) -> dict[str, Any]:
    kinds = list(dict.fromkeys(table["kind"]))
    rows: dict[Any, dict[str, Any]] = {}
    for row in records(table):
        rows.setdefault(row[name], {})[row["kind"]] = row
    return {"kinds": kinds, "drawn": next((kind for kind in OVERALL if kind in kinds), kinds[0]), "rows": rows}


def calibration() -> list[dict[str, Any]] | None:
    """Bins of confidence with the share of their requests that was understood; without the empty ones."""
    table = _table("calibration", ("low", "high", "confidence", "accuracy", "prompts"))
    if table is None:
        return None
    bins = records(table[table["prompts"] > 0])
    most = max((row["prompts"] for row in bins), default=1)
    return [row | {"weight": row["prompts"] / most} for row in bins]


def poses() -> dict[str, Any] | None:
    """How scans lay against how the model took them to lie, as the cells of a matrix."""
    table = _table("poses", ("actual", "predicted"))
    return None if table is None else matrix(table, TRANSFORMS)


def matrix(table: pd.DataFrame, order: Collection[str]) -> dict[str, Any]:
    """A confusion matrix.

    Args:
        table: One row a case, with the columns actual and predicted.
        order: Names in the order in which they are shown; another comes last.

    Returns:
        `names`, `cases`, `wrong` (how many), and `cells`: actual, predicted, count, and of how many; the most
        frequent first.
    """
    counts = Counter(zip(table["actual"], table["predicted"], strict=True))
    asked = Counter(table["actual"])
    pairs = sorted(counts, key=lambda pair: (-counts[pair], pair))
    cells = [{"actual": a, "predicted": p, "count": counts[a, p], "of": asked[a]} for a, p in pairs]
    seen = {name for pair in counts for name in pair}
    return {
        "names": [name for name in [*order, *sorted(seen - {*order})] if name in seen],
        "cases": len(table),
        "wrong": sum(cell["count"] for cell in cells if cell["actual"] != cell["predicted"]),
        "cells": cells,
    }


def plain(name: str) -> dict[str, Any] | None:
    """A table as it was written: its title, its columns in words, and each value with how it is set."""
    table = _table(name, ())
    if table is None:
        return None
    numbers = [column for column in table if pd.api.types.is_numeric_dtype(table[column])]
    digits = {column: 0 if column in WHOLE else 1 if column == "hd95" else 3 for column in numbers}
    # What names a row stands before its figures.
    columns = sorted(table, key=lambda column: column in numbers)
    return {
        "title": PLAIN[name][0],
        "what": PLAIN[name][1],
        "columns": [{"name": WORDS.get(c, str(c).replace("_", " ")), "number": c in numbers} for c in columns],
        "rows": [[{"value": known(row[c]), "digits": digits.get(c)} for c in columns] for row in records(table)],
    }
