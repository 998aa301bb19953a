"""`flans compare`: two runs on one test set, paired by patient -> HTML and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from corpus.errors import InputError
from model.studies.comparison import COMPARED, FEWEST, SIGNIFICANT, compare, incomparable, paired, smallest_p
from pipelines.reporting import asked_for, known, records, render, without_folders
from pipelines.runs import Run, differing, open_run
from pipelines.stage import check_own, make_folder, results

PAGE = "compare.html"
PRINTED = 12
WORST = 12
"""Cases shown that lost the most."""
COLOURS = {"worse": "red", "better": "green", "unclear": "yellow", "same": "dim"}


def compare_runs(first: str, second: str, out: Path) -> pd.DataFrame:
    """Compare two runs; write compare.csv, cases.csv and compare.html.

    Args:
        first: The run to compare with, named as in `runs.open_run`.
        second: The run that may be better or worse.

    Returns:
        What `model.studies.comparison.compare` returns.

    Raises:
        InputError: A run can't be opened, their test sets differ, or `out` holds other files.
    """
    check_own(out, PAGE)
    a, b = open_run(first), open_run(second)
    if differences := incomparable(a.cases, b.cases):
        raise InputError(
            f"A = {first}, B = {second}",
            "expected one test set, but they were not asked the same:\n  - " + "\n  - ".join(differences),
            "evaluate both checkpoints on the same scans with the same requests (flans evaluate --prompts FILE), and "
            "compare the two folders",
        )
    pairs = paired(a.cases, b.cases)
    table = compare(pairs)
    make_folder(out)
    table.round(6).to_csv(out / "compare.csv", index=False)
    changed = pairs.assign(change=pairs["dice_b"] - pairs["dice_a"])
    changed = changed.sort_values(["change", "slice_id", "transform", "text"], ignore_index=True)
    changed.round(4).to_csv(out / "cases.csv", index=False)
    page = render(_page(a, b, table, changed), "compare.html.j2")
    (out / PAGE).write_text(page, encoding="utf-8", newline="\n")
    return table


def _page(a: Run, b: Run, table: pd.DataFrame, changed: pd.DataFrame) -> dict[str, Any]:
    patients = int(changed["patient"].nunique())
    reach = max(0.01, table[["low", "high", "difference"]].abs().max().max())
    worst = changed[changed["change"] < 0].drop_duplicates(["slice_id", "kind", "organ"]).head(WORST)
    return {
        "a": without_folders(a.name),
        "b": without_folders(b.name),
        "patients": patients,
        "slices": int(changed["slice_id"].nunique()),
        "cases": len(changed),
        "smallest_p": smallest_p(patients),
        "by_chance": by_chance(patients),
        "warning": warning(table),
        "tables": {metric: records(table[table["metric"] == metric]) for metric in COMPARED},
        "counts": {metric: table.loc[table["metric"] == metric, "change"].value_counts() for metric in COMPARED},
        "reach": reach,
        "worst": records(worst),
        "parameters": [_shown(*row) for row in differing(a.parameters, b.parameters)],
        "data": [_shown(*row, length=10) for row in differing(a.data, b.data)],
        "code": [path for path, _, _ in differing(a.code, b.code)],
    }


def _shown(key: str, a: Any, b: Any, length: int = 200) -> tuple[str, str, str]:
    texts = ("none" if value is None else without_folders(str(value))[:length] for value in (a, b))
    return (key, *texts)  # type: ignore[return-value]


def warning(table: pd.DataFrame) -> str | None:
    """What the number of patients keeps the tests from showing; None where it keeps them from nothing."""
    patients, tests = int(table["patients"].max()), int(table.groupby("metric")["p"].count().max())
    least = smallest_p(patients)
    if least > SIGNIFICANT:
        return (
            f"With {patients} patient{'s' if patients > 1 else ''} the Wilcoxon test can't give a p below {least:.3g}: "
            f"it can't reach {SIGNIFICANT:g} however large a difference is, and 6 patients are the fewest that can. "
            f"The intervals are rough, too; with fewer than {FEWEST} patients nothing is called worse or better."
        )
    if least * tests > SIGNIFICANT:
        return (
            f"With {patients} patients the smallest p is {least:.3g}; corrected for {tests} comparisons it is "
            f"{min(1.0, least * tests):.2g}, so no corrected p can reach {SIGNIFICANT:g}. Read the intervals."
        )
    return None


def by_chance(patients: int) -> str:
    """How many of the strata are called worse or better where nothing changed, as trials found it; empty where none can
    be."""
    if patients < FEWEST:
        return ""
    return f"; by chance alone about one in {'ten' if patients == FEWEST else 'twenty'} is called worse or better"


def _name(row: dict[str, Any]) -> str:
    name = row["stratum"]
    groups = {"kind": f"asked: {asked_for().get(name, name)}", "transformation": f"scans: {name}"}
    return (groups | {"sources": f"sources {name}"}).get(row["group"], name)


def show(table: pd.DataFrame, first: str, second: str, out: Path) -> None:
    """Print what got worse first, and where the rest is."""
    results.print(f"[bold]Dice, what got worse first. A: {escape(first)}, B: {escape(second)}[/]")
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("", "A", "B", "B - A", "95% interval", "p, Holm", ""):
        shown.add_column(column, justify="right" if column[:1] in ("A", "B", "p") else "left", no_wrap=bool(column))
    rows = table[table["metric"] == "dice"]
    for row in records(rows.head(PRINTED)):
        interval = "" if known(row["low"]) is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
        p = "" if known(row["p_holm"]) is None else f"{row['p_holm']:.2g}"
        change = f"[{COLOURS[row['change']]}]{row['change']}[/]"
        shown.add_row(
            _name(row), f"{row['a']:.3f}", f"{row['b']:.3f}", f"{row['difference']:+.3f}", interval, p, change
        )
    results.print(shown)
    counts = rows["change"].value_counts()
    chance = by_chance(int(rows["patients"].max()))
    asked = f"{rows['cases'].max():,} cases of {rows['patients'].max()} patients"
    told = ", ".join(f"{counts.get(each, 0)} {each}" for each in COLOURS)
    results.print(f"{told} of {len(rows)} strata{chance}; {asked}", soft_wrap=True)
    if message := warning(table):
        results.print(f"[yellow]{message}[/]", soft_wrap=True)
    results.print(f"{out / PAGE}, {out / 'compare.csv'}", markup=False, soft_wrap=True)
