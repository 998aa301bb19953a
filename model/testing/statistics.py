"""From a table of cases to means and intervals.

`aggregate` is the project's macro: the mean over the cases of one organ, then the mean over organs.
`bootstrap_interval` and `paired_bootstrap` resample patients, since the cases of one patient aren't independent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from corpus.errors import InputError
from model.testing.metrics import METRICS, Floats

DRAWS = 10_000
"""Of a bootstrap: of five patients the tails are a thousandth."""


def aggregate(cases: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Macro metrics: the mean over the cases of one organ, then over organs.

    Args:
        cases: One row a case, with `organ`, the columns of `by`, and `METRICS`.
        by: Columns to group by, missing values being a group of their own. With `organ` among them each row is one
            organ; with none there is one row.

    Returns:
        One row a group, sorted by `by`: those columns, `cases`, `organs` (how many), `METRICS`, and `hd95_missing` (the
            cases without HD95; an organ that has no others is left out of that mean).

    Raises:
        InputError: A column is missing.
    """
    if missing := [column for column in ("organ", *by, *METRICS) if column not in cases]:
        raise InputError(
            "cases", f"columns missing: {', '.join(missing)}", f"the table has {', '.join(map(str, cases))}"
        )
    keys = [*by, *({"organ"} - set(by))]
    per_organ = (
        cases.assign(cases=1, organs=1, hd95_missing=cases["hd95"].isna())
        .groupby(keys, dropna=False, observed=True)
        .agg({"cases": "sum", "organs": "first", **dict.fromkeys(METRICS, "mean"), "hd95_missing": "sum"})
    )
    over_organs = {"cases": "sum", "organs": "sum", **dict.fromkeys(METRICS, "mean"), "hd95_missing": "sum"}
    if by:
        return per_organ.groupby(by, dropna=False, observed=True).agg(over_organs).reset_index()
    return per_organ.agg(over_organs).to_frame().T.astype({"cases": int, "organs": int, "hd95_missing": int})


def _bootstrap(
    values: ArrayLike, groups: ArrayLike, strata: ArrayLike | None, level: float, draws: int, seed: int
) -> tuple[float, float, float]:
    """The macro mean of `values`, and the interval that `draws` samples of as many groups, drawn with replacement,
    give; a group without a value is none."""
    value, grouped = np.asarray(values, np.float64), np.asarray(groups)
    layer = np.zeros(len(value)) if strata is None else np.asarray(strata)
    if not len(value) == len(grouped) == len(layer) > 0:
        raise InputError(
            "bootstrap",
            f"expected a group and a stratum for each value, found {len(value)}, {len(grouped)} and {len(layer)}",
            "give columns of one table that has rows",
        )
    known = ~np.isnan(value)
    if not known.any():
        return math.nan, math.nan, math.nan
    group, n_groups = _codes(grouped[known])
    stratum, n_strata = _codes(layer[known])
    cell = group * n_strata + stratum
    shape = (n_groups, n_strata)
    totals = np.bincount(cell, value[known], n_groups * n_strata).reshape(shape)
    counts = np.bincount(cell, np.ones(len(cell)), n_groups * n_strata).reshape(shape)

    def macro(times: NDArray[np.int64]) -> Floats:
        """Macro mean where group g is taken times[..., g] times; a stratum that no drawn group has is left out."""
        drawn = times @ counts
        means = np.divide(times @ totals, drawn, out=np.zeros_like(drawn), where=drawn > 0)
        return means.sum(-1) / (drawn > 0).sum(-1)

    mean = float(macro(np.ones(n_groups, np.int64)))
    if n_groups == 1:
        return mean, math.nan, math.nan
    # How often each group is drawn is all that a mean needs, so that a draw is one row of a matrix.
    times = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)
    # Expanded percentile interval (Hesterberg 2015, The American Statistician 69, 371-386): the tails are cut where a
    # t interval of as many groups would cut them. Plain percentiles of few patients are too narrow.
    t = stats.t.isf((1 - level) / 2, n_groups - 1)
    tail = float(stats.norm.sf(math.sqrt(n_groups / (n_groups - 1)) * t))
    low, high = np.quantile(macro(times), [tail, 1 - tail])
    return mean, float(low), float(high)


def _codes(labels: np.ndarray) -> tuple[NDArray[np.int64], int]:
    """Labels as 0, 1, ..., and how many differ. Sorted, so that the order of rows doesn't change what a seed draws."""
    codes, distinct = pd.factorize(labels, sort=True, use_na_sentinel=False)
    return codes, len(distinct)


def bootstrap_interval(
    values: ArrayLike,
    groups: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """Expanded percentile bootstrap interval of a mean over cases, resampling patients.

    Args:
        values: [N] A metric of each case; one that is NaN is left out, as if it weren't there.
        groups: [N] The patient of each case.
        strata: [N] The organ of each case, for the interval of `aggregate`'s macro mean; None for the plain mean.
        level: Confidence, 0 to 1.
        draws: How many resamples.
        seed: Of the draws.

    Returns:
        (low, high); both NaN with fewer than two patients that have a value, for one says nothing of the spread between
            patients.

    Raises:
        InputError: There are no values, or the columns' lengths differ.
    """
    return _bootstrap(values, groups, strata, level, draws, seed)[1:]


class Difference(NamedTuple):
    """`b` minus `a`, with its bootstrap interval."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    groups: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """The mean of `b - a` over cases and its interval, resampling patients.

    `a[i]` and `b[i]` are two models' metric on the same case; a case that is NaN in either is left out of both. Other
    arguments and errors as in `bootstrap_interval`.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape:
        raise InputError(
            "bootstrap", f"expected pairs, found {len(first)} and {len(second)} values", "join the tables by case"
        )
    return Difference(*_bootstrap(second - first, groups, strata, level, draws, seed))
