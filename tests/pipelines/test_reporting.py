"""What the report's sections share: words, figures as text, curves."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from corpus.errors import InputError
from model.groups import NAMES
from pipelines.report import learning_curves
from pipelines.reporting import (
    LYING,
    SCANS,
    TRANSFORMS,
    Curve,
    asked_for,
    curve,
    percent,
    read_table,
    round_robin,
    ticks,
    without_folders,
)
from prompts.kinds import kinds
from prompts.targets import ABSENT


def test_every_transformation_and_kind_has_words() -> None:
    assert tuple(TRANSFORMS) == NAMES
    assert list(LYING) == list(SCANS)
    assert set(asked_for()) == {*kinds(), "none", ABSENT}


def test_a_curve_spans_its_axes() -> None:
    drawn = curve("loss", {"train": pd.DataFrame({"step": [50, 100], "loss": [10.0, 0.0]})})
    assert drawn.lines == {
        "train": f"{(Curve.LEFT + Curve.RIGHT) / 2:g}.0,{Curve.TOP}.0 {Curve.RIGHT}.0,{Curve.BOTTOM}.0"
    }
    assert drawn.last == {"train": 0.0}
    assert drawn.y_ticks[0] == (Curve.BOTTOM, "0")
    assert drawn.y_ticks[-1] == (Curve.TOP, "10")
    # A share keeps its whole scale; a value that isn't finite leaves a gap.
    share = curve("dice", {"val": pd.DataFrame({"step": [1, 2], "dice": [0.8, float("nan")]})})
    assert [text for _, text in share.y_ticks] == ["0", "0.5", "1"]
    assert len(share.lines["val"].split()) == 1


def test_a_figure_that_is_no_number_is_left_out_of_its_curve(tmp_path: Path) -> None:
    (tmp_path / "loss.tsv").write_text("step\tloss\n10\t2.5\n20\tnan\n30\t1.5\n")
    table = read_table(tmp_path / "loss.tsv", "train", ("step", "loss"))
    assert len(curve("loss", {"val": table}).lines["val"].split()) == 2


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 250, [0, 100, 200, 300]), (0, 1, [0, 0.5, 1]), (-1, 3, [-1, 0, 1, 2, 3])]
)
def test_ticks_are_round_and_hold_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_round_robin_takes_groups_in_turn() -> None:
    assert round_robin(["abc", "d", "ef"], 5) == ["a", "d", "e", "b", "f"]


def test_a_small_share_keeps_its_digits() -> None:
    assert percent(0.9998, 2) == "99.98%"
    assert percent(None) == "–"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/data/p/My Scans/doe_john/vol.nii: bad", "…/vol.nii: bad"),
        ("/data/doe_john/2024-01-01T10:30/ct.nii: bad", "…/ct.nii: bad"),
        ("expected /data/a b/c.nii, found /home/d.nii", "expected …/c.nii, found …/d.nii"),
        ("see https://example.org/a/b and 3/4 of a/b", "see https://example.org/a/b and 3/4 of a/b"),
    ],
)
def test_no_folder_of_a_path_is_shown(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_a_stage_that_had_nothing_to_learn_has_no_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the canonicalizer that takes every slice as it lies."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="dvc repro train_canonicalizer"):
        learning_curves("canonicalizer")
    Path("models/curves/canonicalizer").mkdir(parents=True)
    assert learning_curves("canonicalizer") == {"outcomes": [], "parts": []}
