"""The report's tables that not every run has: robustness, calibration, pose, baselines, whole volumes, and other cuts.

Each is shown where its file is there. A file that is there and broken is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import pandas as pd

from corpus.files import file_sha256
from pipelines.reporting import SCANS, TRANSFORMS, read_table, records
from pipelines.stage import EVALUATION, console
from prompts.splits import OUT
from prompts.targets import ABSENT

FACTORS = {
    "paraphrase": "Other words for the same: of several requests the median, the best and the worst",
    "typo": "Slips of the fingers in a request",
    "length": "Length of the request",
    "style": "Who asks",
    "negation": "A structure by its name, and by what it isn’t",
    "absent": "Organs that are there, and organs that aren’t",
    "d4": "The picture turned or mirrored",
    "angle": "The picture rotated, in degrees",
    "noise": "Noise added, in HU",
    "shift": "Brightness shifted, in HU",
    "resolution": "Coarser pixels, times as large",
}
"""What is changed for the robustness card, in words; another factor goes by its name."""
CUTS = {
    "sizes": ("area_mm2", "By size of the structure, in mm²"),
    "angles": ("degrees", "By angle of rotation, in degrees"),
    "regions": ("region", "By place in the picture"),
}
"""File -> the column that it cuts the cases by, and its title."""
OVERALL = ("all", "anatomy")
"""The kind of request that a chart is drawn for: the first that a table has."""
FIGURES = ("kind", "dice", "cases")


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
        "cuts": cuts(),
        "volumes": volumes(),
    }
    return {name: table for name, table in found.items() if table}


def _table(name: str, columns: Collection[str]) -> pd.DataFrame | None:
    """A table of evaluation/, or None where there is no such file, or nothing in it."""
    path = EVALUATION / f"{name}.csv"
    table = read_table(path, "evaluate", columns) if path.exists() else None
    return None if table is None or table.empty else table


def _levels(table: pd.DataFrame, name: str, words: dict[str, str] | None = None) -> dict[str, Any]:
    """A table with a row for each level and kind, as it is drawn: the levels in their order, each kind's figures."""
    kinds = list(dict.fromkeys(table["kind"]))
    rows: dict[str, dict[str, Any]] = {}
    for row in records(table):
        rows.setdefault((words or {}).get(row[name], str(row[name])), {})[row["kind"]] = row
    return {"kinds": kinds, "drawn": next((kind for kind in OVERALL if kind in kinds), kinds[0]), "rows": rows}


def robustness() -> dict[str, dict[str, Any]]:
    """What was changed -> its levels."""
    columns = ("factor", "level", "dice_low", "dice_high", "consistency", "understood", *FIGURES)
    table = _table("tables/robustness", columns)
    if table is None:
        return {}
    by_factor = {str(name): rows for name, rows in table.groupby("factor", sort=False)}
    return {FACTORS.get(name, name): _levels(rows, "level", TRANSFORMS) for name, rows in by_factor.items()}


def baselines() -> dict[str, dict[str, Any]]:
    """How the scans lay -> the baselines; nothing where they were asked an earlier model's cases."""
    table = _table("baselines", ("baseline", "scan", "dice_low", "dice_high", "nsd", "cases_sha256", *FIGURES))
    if table is None:
        return {}
    if set(table["cases_sha256"]) != {file_sha256(EVALUATION / "cases.parquet")}:
        console.print("evaluation/baselines.csv is of another run and left out; `flans baselines` asks them anew")
        return {}
    return {SCANS.get(str(name), str(name)): _levels(rows, "baseline") for name, rows in table.groupby("scan")}


def cuts() -> dict[str, dict[str, Any]]:
    """Title -> the cases, cut by size, angle and place; and by source, with their intervals."""
    found = {title: (_table(f"tables/{name}", (column, *FIGURES)), column) for name, (column, title) in CUTS.items()}
    sources = _table("tables/sources", ("domain", "source", "scan", "dice_low", "dice_high", *FIGURES))
    if sources is not None:
        lying = sources[sources["scan"] == "original"]
        apart = lying["domain"].map({OUT: " (not in training)"}).fillna("")
        found["By data set"] = (lying.assign(source=lying["source"] + apart), "source")
    return {title: _levels(table, column) for title, (table, column) in found.items() if table is not None}


def calibration() -> list[dict[str, Any]]:
    """Bins of confidence with the share of their requests that was understood; without the empty ones."""
    table = _table("tables/calibration", ("low", "high", "confidence", "accuracy", "prompts"))
    if table is None:
        return []
    bins = records(table[table["prompts"] > 0])
    most = max((row["prompts"] for row in bins), default=1)
    return [row | {"weight": row["prompts"] / most} for row in bins]


def volumes() -> list[dict[str, Any]]:
    """Whole volumes: each organ's mean over the volumes that show it, the best first."""
    figures = ["dice", "nsd", "hd95", "truth_ml", "answer_ml"]
    table = _table("tables/volumes", ("volume", "organ", "kind", "domain", *figures))
    if table is None:
        return []
    trained = table[table["domain"] != OUT]
    table = trained if len(trained) else table
    shown = table[table["kind"] != ABSENT].assign(volumes=1)
    means = shown.groupby("organ").agg(dict.fromkeys(figures, "mean") | {"volumes": "sum"}).reset_index()
    return records(means.sort_values(["dice", "organ"], ascending=[False, True]))


def poses() -> dict[str, Any]:
    """How scans lay against how the model took them to lie, as the cells of a matrix."""
    table = _table("tables/poses", ("actual", "predicted"))
    return {} if table is None else matrix(table, TRANSFORMS)


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
