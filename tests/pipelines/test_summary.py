"""`flans summary`: every figure with the number of cases that it rests on, at 80 columns."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from corpus.errors import InputError
from pipelines import summary
from pipelines.reporting import WORDED
from tests.pipelines.report_run import PARAMETERS, cases, write_evaluation, write_json


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    monkeypatch.setattr(summary, "results", Console(file=out, width=80))
    return out


def test_figures_come_with_their_cases(said: io.StringIO) -> None:
    Path("params.yaml").write_text(PARAMETERS, encoding="utf-8")
    asked = cases()
    rotated = asked[asked["transform"] == "identity"].assign(transform="rotated", degrees=12.0)
    write_evaluation(pd.concat([asked, rotated], ignore_index=True))
    metrics = json.loads(Path("evaluation/metrics.json").read_text(encoding="utf-8"))
    volume = {"anatomy": {"dice": 0.8125, "cases": 112}, "absent": {"empty": 0.0, "cases": 8}, "volumes": 5}
    write_json(Path("evaluation/metrics.json"), metrics | {"volume": volume})
    summary.show()
    text = " ".join(said.getvalue().split())
    for found, count in (("original", 6), ("transformed", 12), ("rotated", 6)):
        assert f"{(metrics | {'rotated': metrics['original']})[found]['anatomy']['dice']:.3f} ({count})" in text
    for which, requests in WORDED.items():
        found = metrics["original"][which]
        assert f"by name, of requests {requests}: {found['dice']:.3f} ({found['cases']})" in text
    assert "Only 25% of the slices are rotated, by up to 30°" in text
    assert "Whole volumes: Dice 0.812, over 112 organs in 5 volumes." in text
    assert "Of 8 cases in which no slice of a volume shows the organ (5 volumes), 0 got no mask" in text
    assert "\u2026" not in text


def test_figures_of_another_run_are_told(said: io.StringIO) -> None:
    Path("params.yaml").write_text(PARAMETERS, encoding="utf-8")
    write_evaluation(cases())
    Path("evaluation/cases.parquet").unlink()
    summary.show()
    assert "nothing was evaluated here yet" in said.getvalue()
    assert "report/report.html (not there)" in " ".join(said.getvalue().split())
    params = {"params.yaml": {"cohort": "elsewhere"}}
    Path("dvc.lock").write_text(json.dumps({"stages": {"evaluate": {"cmd": "x", "params": params}}}))
    summary.show()
    assert "figures of the cohort elsewhere" in said.getvalue()
    write_evaluation(cases())
    joint, evaluate = {"outs": [{"path": "models/flans", "md5": "new.dir"}]}, {"path": "models/flans", "md5": "old.dir"}
    Path("dvc.lock").write_text(json.dumps({"stages": {"train_joint": joint, "evaluate": {"deps": [evaluate]}}}))
    said.truncate(0)
    summary.show()
    assert "found those of another training" in " ".join(said.getvalue().split())


def test_what_a_run_lacks_is_not_spoken_of(said: io.StringIO) -> None:
    write_evaluation(cases(patients=1, transforms=("identity",)))
    summary.show()
    assert "rotated" not in said.getvalue()
    assert "volumes" not in said.getvalue()


def test_a_run_that_was_not_made_is_an_error(said: io.StringIO) -> None:
    with pytest.raises(InputError, match="make repro"):
        summary.show()
