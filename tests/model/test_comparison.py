"""Two runs compared: pairing, figures, tests, and the refusal to compare what isn't one test set."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from model.studies.comparison import FEWEST, compare, holm, incomparable, paired, signed_rank, smallest_p
from model.testing.statistics import aggregate
from prompts.splits import OUT

ORGANS = {"liver": 0.9, "spleen": 0.7}


def run(patients: int = 6, worse: float = 0.0, only: str | None = None) -> pd.DataFrame:
    """Cases of a run; `worse` is taken off the Dice of `only` (an organ), or of all."""
    rows = []
    for patient, organ, transform, kind in product(
        range(patients), ORGANS, ("identity", "rot90"), ("anatomy", "size", "absent")
    ):
        lost = worse * (1 + patient / 10) if only in (None, organ) and kind != "absent" else 0.0
        rows.append(
            {
                "patient": f"p{patient}",
                "domain": "in",
                "slice_id": f"p{patient}/0001",
                "transform": transform,
                "organ": organ,
                "kind": kind,
                "target": "largest" if kind == "size" else organ,
                "text": f"{kind} {organ}",
                "truth": f"{organ} {patient}",
                "dice": 1.0 if kind == "absent" else ORGANS[organ] - patient / 50 - lost,
                "nsd": 0.5,
            }
        )
    return pd.DataFrame(rows)


def test_figures_are_those_of_the_evaluation() -> None:
    a, b = run(), run(worse=0.1, only="liver").sample(frac=1, random_state=0)
    table = compare(paired(a, b)).set_index(["metric", "group", "stratum"])
    row = table.loc["dice", "kind", "anatomy"]
    for side, cases in (("a", a), ("b", b)):
        named = cases[cases["kind"] == "anatomy"].assign(hd95=0.0, nsd_1mm=0.0)
        assert row[side] == pytest.approx(aggregate(named, [])["dice"].iloc[0])
    assert row["difference"] == pytest.approx(row["b"] - row["a"])
    assert row["low"] <= row["difference"] <= row["high"] < 0
    assert (row["patients"], row["cases"]) == (6, 24)


def test_what_got_worse_comes_first_and_what_is_the_same_is_said() -> None:
    table = compare(paired(run(), run(worse=0.1, only="spleen")))
    dice = table[table["metric"] == "dice"].set_index("stratum")
    assert dice.index[0] == "spleen"
    assert dice.loc["spleen", "change"] == "worse"
    assert dice.loc["liver", "change"] == dice.loc["absent", "change"] == "same"
    assert dice["difference"].is_monotonic_increasing
    assert (table.loc[table["metric"] == "nsd", "p"] == 1).all()
    better = compare(paired(run(worse=0.1), run()))
    assert better["change"].iloc[0] == "same"
    assert (better.loc[(better["metric"] == "dice") & (better["stratum"] != "absent"), "change"] == "better").all()


def test_sources_that_training_never_saw_stand_apart() -> None:
    a = run()
    foreign = run(worse=0.4).assign(domain=OUT, patient=lambda rows: "x" + rows["patient"])
    b = pd.concat([run(), foreign])
    table = compare(paired(pd.concat([a, foreign.assign(dice=1.0, domain="in")]), b)).set_index(["metric", "group"])
    apart = table.loc[("dice", "sources")]
    assert (apart["change"], apart["patients"]) == ("worse", 6)  # left out by one training is enough
    rest = table.loc["dice"].drop("sources")
    assert set(rest["change"]) == {"same"}
    assert set(rest["patients"]) == {6}
    absent = run()[lambda rows: rows["kind"] == "absent"]
    assert set(compare(paired(absent, absent)).query("cases > 0")["stratum"]) == {"absent"}
    alone = compare(paired(foreign, foreign))
    assert set(alone["group"]) == {"sources"}


def test_too_few_patients_are_not_called_worse() -> None:
    changes = compare(paired(run(FEWEST - 1), run(FEWEST - 1, worse=0.3)))
    assert set(changes["change"]) == {"same", "unclear"}
    assert compare(paired(run(1), run(1, worse=0.3)))[["low", "p", "p_holm"]].isna().all(axis=None)
    assert "worse" in set(compare(paired(run(FEWEST), run(FEWEST, worse=0.3)))["change"])


def test_wilcoxon_reaches_its_smallest_p_where_every_patient_is_worse() -> None:
    for patients in (2, 5, 6, 8):
        steps = -np.arange(1.0, patients + 1)
        assert signed_rank(steps) == pytest.approx(smallest_p(patients))
    assert smallest_p(5) > 0.05 > smallest_p(6)
    assert signed_rank(np.zeros(4)) == 1
    # Differences that are one but for rounding are ties: they don't rank.
    assert signed_rank(np.array([0.3 - 0.2, 0.2 - 0.1, -0.1])) == signed_rank(np.array([0.1, 0.1, -0.1]))


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.04 times 3, 2, 1, never falling; NaN isn't counted.
    assert holm(np.array([0.04, np.nan, 0.01, 0.02])) == pytest.approx([0.04, np.nan, 0.03, 0.04], nan_ok=True)
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patient": "p9"}, "patients: 1 only in A (p0), 1 only in B (p9)"),
        ({"slice_id": "p0/0002"}, "slices: 1 only in A (p0/0001), 1 only in B (p0/0002)"),
        ({"transform": "flip"}, "transformations: 0 only in A, 1 only in B (flip)"),
        ({"text": "the largest"}, "requests: 0 only in A, 1 only in B (the largest)"),
        (
            {"text": "size liver"},
            "cases: 10 only in A, 10 only in B; the same requests are put to other masks or slices",
        ),
        ({"truth": "other"}, "true masks: those of 12 of 72 cases differ, on p0/0001"),
    ],
)
def test_other_test_sets_are_refused_and_said_how(change: dict[str, str], said: str) -> None:
    a, b = run(), run()
    assert incomparable(a, b.sample(frac=1, random_state=1)) == []
    where = b["patient"] == "p0"
    assert incomparable(a, b.assign(**{k: b[k].mask(where, v) for k, v in change.items()})) == [said]


def test_a_request_put_twice_to_one_mask_is_paired_once() -> None:
    a = pd.concat([run(), run()], ignore_index=True)
    assert len(paired(a, a)) == len(a)
    assert incomparable(a, run()) == [
        f"cases: {len(run())} only in A, 0 only in B; the same requests are put to other masks or slices"
    ]
