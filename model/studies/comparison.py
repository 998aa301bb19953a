"""Two runs on the same test set, case by case: what got worse, what got better, and what can't be told.

Figures are the project's macro mean (over the cases of an organ, then over organs). Patients, not cases, are resampled
and ranked, since the cases of one patient aren't independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from textwrap import shorten
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from model.testing.statistics import paired_bootstrap
from prompts.splits import OUT
from prompts.targets import ABSENT

COMPARED = ("dice", "nsd")
CASE = ["patient", "slice_id", "transform", "organ", "kind", "target", "text"]
"""What makes two rows of two runs the same case."""
COLUMNS = [*CASE, "domain", "truth", *COMPARED]
"""What `cases.parquet` must have."""
RESULT = [
    *("group", "stratum", "metric", "patients", "cases", "a", "b"),
    *("difference", "low", "high", "p", "p_holm", "change"),
]
SETS = {"patients": "patient", "slices": "slice_id", "transformations": "transform", "requests": "text"}
SHOWN = 3
SIGNIFICANT = 0.05
FEWEST = 5
"""With fewer patients nothing is called worse or better: four fall on one side by chance one time in eight."""


def incomparable(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """How two runs' test sets differ, a sentence each; empty where they are the same and can be compared.

    Args:
        a: Cases, with `COLUMNS`.
        b: The same of the other run.
    """
    found = [
        f"{what}: {_only(set(a[column]) - set(b[column]), 'A')}, {_only(set(b[column]) - set(a[column]), 'B')}"
        for what, column in SETS.items()
        if set(a[column]) != set(b[column])
    ]
    if found:
        return found
    both = _merged(a, b, "outer")
    sides = both["_merge"].value_counts()
    if sides["both"] < len(both):
        left, right = sides["left_only"], sides["right_only"]
        return [f"cases: {left} only in A, {right} only in B; the same requests are put to other masks or slices"]
    if other := int((both["truth_a"] != both["truth_b"]).sum()):
        slices = both.loc[both["truth_a"] != both["truth_b"], "slice_id"].unique()
        return [f"true masks: those of {other} of {len(both)} cases differ, on {_few(sorted(slices))}"]
    return []


def _only(names: set[str], side: str) -> str:
    return f"{len(names)} only in {side}" + (f" ({_few(sorted(names))})" if names else "")


def _few(names: Sequence[str]) -> str:
    shown = (shorten(name, 60, placeholder=" ...") for name in names[:SHOWN])
    return ", ".join(shown) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _merged(a: pd.DataFrame, b: pd.DataFrame, how: Literal["inner", "outer"]) -> pd.DataFrame:
    sides = []
    for cases in (a, b):
        side = cases[COLUMNS].astype(dict.fromkeys(CASE, object))
        # A request may be put to one mask twice, where there are few of them.
        sides.append(side.assign(repeat=side.groupby(CASE, sort=False).cumcount()))
    return sides[0].merge(sides[1], on=[*CASE, "repeat"], suffixes=("_a", "_b"), how=how, indicator=True)


def paired(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """One row a case: `CASE`, domain (`OUT` if either run's training left its source out), and each metric of both runs
    (dice_a, dice_b, ...)."""
    pairs = _merged(a, b, "inner").drop(columns=["_merge", "repeat", "truth_a", "truth_b"])
    domain = pairs.pop("domain_a").where(pairs.pop("domain_b") != OUT, OUT)
    return pairs.assign(domain=domain)


def strata(cases: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(group, name, cases): everything, each kind, each organ asked for by name, each transformation; and apart from
    these what is of sources that training never saw.

    An organ that the slice doesn't show is a kind of its own, and in no other stratum: its Dice is 1 for an empty
    answer and 0 for any other.
    """
    foreign = cases["domain"] == OUT
    apart, cases = cases[foreign], cases[~foreign]
    if len(apart):
        yield "sources", "not in training", apart[apart["kind"] != ABSENT]
    if cases.empty:
        return
    shown = cases[cases["kind"] != ABSENT]
    yield "all", "everything asked for", shown
    for group, column, rows in (
        ("kind", "kind", cases),
        ("organ", "organ", shown[shown["kind"] == "anatomy"]),
        ("transformation", "transform", shown),
    ):
        for name, chosen in rows.groupby(column, sort=True):
            yield group, str(name), chosen


def compare(pairs: pd.DataFrame) -> pd.DataFrame:
    """Compare every stratum by every metric.

    Args:
        pairs: What `paired` returned.

    Returns:
        One row a metric and stratum, metric by metric, what got worse first: group, stratum, metric, patients, cases,
        a, b, difference (b - a) with its 95% interval low and high, p (Wilcoxon's signed-rank test over patients),
        p_holm (corrected over the metric's strata), and change: worse, better, same or unclear. NaN: undefined.
    """
    tables = []
    for metric in COMPARED:
        rows = pd.DataFrame([_row(group, name, cases, metric) for group, name, cases in strata(pairs)])
        rows["p_holm"] = holm(rows["p"].to_numpy())
        tables.append(rows.sort_values("difference", kind="stable"))
    return pd.concat(tables, ignore_index=True)[RESULT]


def _row(group: str, name: str, cases: pd.DataFrame, metric: str) -> dict:
    known = cases.dropna(subset=[f"{metric}_a", f"{metric}_b"])
    a, b = known[f"{metric}_a"], known[f"{metric}_b"]
    patients = known["patient"].nunique()
    row = {
        "group": group,
        "stratum": name,
        "metric": metric,
        "patients": patients,
        "cases": len(known),
        "a": a.groupby(known["organ"]).mean().mean(),
        "b": b.groupby(known["organ"]).mean().mean(),
    }
    if known.empty:
        return row | dict.fromkeys(("difference", "low", "high", "p"), math.nan) | {"change": "unclear"}
    difference = paired_bootstrap(a, b, known["patient"], known["organ"])
    by_organ = (b - a).groupby([known["patient"], known["organ"]]).mean()
    return row | {
        "difference": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "p": signed_rank(by_organ.groupby(level=0).mean().to_numpy()),
        "change": _change(difference.low, difference.high, patients, bool((a == b).all())),
    }


def _change(low: float, high: float, patients: int, equal: bool) -> str:
    if equal:
        return "same"
    if patients < FEWEST:
        return "unclear"
    return "worse" if high < 0 else "better" if low > 0 else "unclear"


def signed_rank(differences: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where nothing differs, NaN with fewer than two patients."""
    # Equal differences must be equal to the bit to count as ties.
    rounded = np.round(differences, 9)
    if len(rounded) < 2:
        return math.nan
    return float(stats.wilcoxon(rounded).pvalue) if rounded.any() else 1.0


def smallest_p(patients: int) -> float:
    """The smallest p that the signed-rank test can give: every patient worse, or every one better."""
    return min(1.0, 2.0 ** (1 - patients))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction for many tests; NaN stays NaN and doesn't count."""
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    corrected = np.full(len(p), np.nan)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected
