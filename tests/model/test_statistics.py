"""Macro means and bootstrap intervals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from corpus.errors import InputError
from model.testing.statistics import aggregate, bootstrap_interval, paired_bootstrap


def table(rows: list[tuple[str, str | None, float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["organ", "attribute", "dice", "hd95"])
    return frame.assign(nsd=frame["dice"] / 2, nsd_1mm=0.0)


CASES = table(
    [
        ("liver", None, 1.0, 2.0),
        ("liver", None, 0.8, 4.0),
        ("liver", "leftmost", 0.6, math.nan),
        ("spleen", None, 0.2, 8.0),
        ("aorta", "leftmost", 0.0, math.nan),
    ]
)


def test_aggregate_is_the_mean_over_organs_of_means_over_cases() -> None:
    (row,) = aggregate(CASES, []).to_dict("records")
    # liver 0.8, spleen 0.2, aorta 0; the aorta has no HD95 at all.
    assert row == pytest.approx(
        {"cases": 5, "organs": 3, "dice": 1 / 3, "nsd": 1 / 6, "nsd_1mm": 0, "hd95": 5.5, "hd95_missing": 2}
    )
    assert isinstance(row["cases"], int)


def test_aggregate_by_columns() -> None:
    by_attribute = aggregate(CASES, ["attribute"])
    assert by_attribute["attribute"].tolist()[0] == "leftmost"
    assert by_attribute["attribute"].isna().tolist() == [False, True]
    assert by_attribute["dice"].tolist() == pytest.approx([0.3, 0.55])
    assert by_attribute["hd95"].tolist() == pytest.approx([math.nan, 5.5], nan_ok=True)
    assert by_attribute["hd95_missing"].tolist() == [2, 0]

    by_organ = aggregate(CASES, ["organ"])
    assert by_organ["organ"].tolist() == ["aorta", "liver", "spleen"]
    assert by_organ["dice"].tolist() == pytest.approx([0, 0.8, 0.2])
    assert by_organ["organs"].tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="columns missing: style"):
        aggregate(CASES, ["style"])


def test_macro_interval_equals_resampling_one_patient_at_a_time() -> None:
    """The matrix form against rows taken patient by patient, and scored by `aggregate`, with the same draws."""
    rng = np.random.default_rng(1)
    patients = np.repeat(["p1", "p2", "p3", "p4"], [1, 4, 2, 5])
    organs = np.array(["liver", "liver", "aorta", "spleen"] * 3)
    values = rng.random(12)
    values[7] = math.nan
    draws = np.random.default_rng(5).multinomial(4, [0.25] * 4, size=50)
    samples = []
    for times in draws:
        rows = np.concatenate([np.tile(np.flatnonzero(patients == f"p{i + 1}"), n) for i, n in enumerate(times)])
        sample = pd.DataFrame({"organ": organs[rows], "dice": values[rows], "nsd": 0, "nsd_1mm": 0, "hd95": 0})
        samples.append(aggregate(sample, [])["dice"].item())
    tail = stats.norm.cdf(-np.sqrt(4 / 3) * stats.t.ppf(0.95, 3))  # 0.0033, where many patients have 0.05
    expected = np.nanquantile(samples, [tail, 1 - tail])
    assert bootstrap_interval(values, patients, organs, level=0.9, draws=50, seed=5) == pytest.approx(tuple(expected))


def test_interval_agrees_with_scipy_where_each_patient_has_one_case() -> None:
    values = np.random.default_rng(2).beta(5, 2, 40)
    level = 1 - 2 * stats.norm.cdf(-np.sqrt(40 / 39) * stats.t.ppf(0.975, 39))
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", confidence_level=level, n_resamples=10_000, rng=0
    ).confidence_interval
    low, high = bootstrap_interval(values, np.arange(40))
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * (high - low))


@pytest.mark.parametrize("patients", [5, 20])
def test_an_interval_holds_the_mean_as_often_as_it_says(patients: int) -> None:
    """Plain percentiles of five patients miss it in one set of seven."""
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(300):
        values = np.repeat(rng.normal(0, 1, patients), 3) + rng.normal(0, 0.1, 3 * patients)
        low, high = bootstrap_interval(values, np.repeat(np.arange(patients), 3), draws=2000)
        missed += not low < 0 < high
    assert 0.02 < missed / 300 < 0.13


def test_patients_are_resampled_not_cases() -> None:
    values, patients = np.array([0.2, 0.5, 0.9]), np.array(["a", "b", "c"])
    once = bootstrap_interval(values, patients)
    assert bootstrap_interval(np.repeat(values, 50), np.repeat(patients, 50)) == pytest.approx(once)
    few = bootstrap_interval(values, patients, draws=11)
    for order in ([1, 2, 0], [2, 1, 0]):
        assert bootstrap_interval(values[order], patients[order], draws=11) == pytest.approx(few)
    assert bootstrap_interval(values, patients, draws=11, seed=1) != few
    assert all(map(math.isnan, bootstrap_interval(values, ["a"] * 3)))
    assert all(map(math.isnan, bootstrap_interval([math.nan] * 3, patients)))
    # A patient without a value is none: neither one more to draw nor one more to be sure by.
    assert bootstrap_interval([*values, math.nan], [*patients, "d"]) == once
    assert all(map(math.isnan, bootstrap_interval([0.2, 0.3, math.nan], ["a", "a", "b"])))
    with pytest.raises(InputError, match="found 3, 2 and 3"):
        bootstrap_interval(values, patients[:2])


def test_paired_bootstrap_sees_a_small_steady_gain() -> None:
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(30), 4)
    before = np.repeat(rng.uniform(0.2, 0.9, 30), 4)
    after = before + 0.02 + rng.normal(0, 0.005, 120)
    gain = paired_bootstrap(before, after, patients)
    assert gain.mean == pytest.approx((after - before).mean())
    assert 0.015 < gain.low < gain.mean < gain.high < 0.025
    # Unpaired, the spread between patients hides it.
    low, high = bootstrap_interval(before, patients)
    assert high - low > 0.1

    worse = paired_bootstrap(after, before, patients)
    assert worse == pytest.approx((-gain.mean, -gain.high, -gain.low), rel=0.1)
    after[:4] = math.nan
    assert paired_bootstrap(before, after, patients).mean == pytest.approx((after - before)[4:].mean())
    with pytest.raises(InputError, match="expected pairs"):
        paired_bootstrap(before, after[1:], patients)
