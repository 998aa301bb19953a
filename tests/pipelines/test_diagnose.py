"""`flans diagnose` on a run of an untrained model: what it names, proves and pictures, and what it needs for that."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from corpus.params import PARAMS
from model.studies.diagnosis import Finding
from model.testing.held_out import REQUESTS, read_requests
from pipelines.cli import app
from pipelines.diagnose import show
from pipelines.evaluate_source import Protocol, prepare
from pipelines.sources import find_source
from prompts.splits import OUT


def diagnose(outside: Path, folder: Path, out: Path) -> Result:
    return CliRunner().invoke(app, ["diagnose", str(folder), "--checkpoint", str(outside / "m"), "--out", str(out)])


@pytest.fixture
def workspace(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline's folders with the data set of the run `whole`."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(outside / PARAMS, PARAMS)
    name, source = find_source(None, "nnunet", outside / "scans")
    texts = read_requests(outside / "m" / REQUESTS)
    dataset = Path("data/dataset")
    dataset.mkdir(parents=True)
    prepare(name, Protocol.load(PARAMS, name, source), texts, dataset)
    texts.to_parquet(dataset / "texts.parquet", index=False)
    Path("data/slices").mkdir()
    (dataset / "slices").rename("data/slices/phantom")
    return tmp_path


def test_an_untrained_canonicalizer_is_named_proved_and_pictured(workspace: Path, outside: Path, whole: Path) -> None:
    result = diagnose(outside, whole, workspace / "out")
    assert result.exit_code == 0, result.output
    said = json.loads((workspace / "out/diagnosis.json").read_text())
    assert said["canonicalizer"]["verdict"] == "at fault"
    assert "asked again with the right one" in said["canonicalizer"]["evidence"][-1]
    assert said["text encoder"]["verdict"] == "at fault", "the model was made with other names' embeddings"
    assert said["intent head"]["verdict"] == "can't be judged"
    assert "At fault: canonicalizer, text encoder" in result.stdout
    shown = pd.read_csv(workspace / "out/canonicalizer.csv")
    assert len(list((workspace / "out/canonicalizer").glob("*.png"))) == len(shown) > 0
    assert not shown["pose_right"].any()


def test_without_the_data_set_the_figures_are_enough(
    outside: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert diagnose(outside, whole, tmp_path / "out").exit_code == 0
    said = json.loads((tmp_path / "out/diagnosis.json").read_text())
    assert said["canonicalizer"]["verdict"] == "at fault"
    assert not any("asked again" in sentence for sentence in said["canonicalizer"]["evidence"])
    assert (tmp_path / "out/intent_head.csv").is_file()


def test_a_data_set_that_deals_its_requests_otherwise_is_not_the_runs(
    workspace: Path, outside: Path, whole: Path
) -> None:
    """As after `dvc exp run -S dataset.seed=7 dataset`, before anything is evaluated."""
    path = Path("data/dataset/texts.parquet")
    texts, asked = pd.read_parquet(path), pd.read_parquet(whole / "cases.parquet")["prompt_id"]
    texts.assign(split=texts["split"].mask(texts["prompt_id"] == asked.iloc[0], "train")).to_parquet(path)
    result = diagnose(outside, whole, workspace / "out")
    assert result.exit_code == 0, result.output
    assert "asked again" not in result.stdout


def test_what_training_never_saw_is_no_fault_of_a_part(
    outside: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = shutil.copytree(whole, tmp_path / "run")
    cases = pd.read_parquet(run / "cases.parquet")
    first = cases["patient"] == cases["patient"].iloc[0]
    cases.assign(domain=cases["domain"].mask(first, OUT)).to_parquet(run / "cases.parquet")
    assert diagnose(outside, run, tmp_path / "out").exit_code == 0
    worst = pd.read_csv(tmp_path / "out/canonicalizer.csv")
    assert len(worst)
    assert not set(worst["patient"]) & set(cases.loc[first, "patient"])
    cases.assign(domain=OUT).to_parquet(run / "cases.parquet")
    assert "of a source that training has seen" in diagnose(outside, run, tmp_path / "out").stderr


def test_the_run_of_another_checkpoint_is_refused(outside: Path, whole: Path, tmp_path: Path) -> None:
    other = shutil.copytree(whole, tmp_path / "other")
    said = json.loads((other / "run.json").read_text())
    said["checkpoint"]["sha256"] = "0" * 64
    (other / "run.json").write_text(json.dumps(said))
    result = diagnose(outside, other, tmp_path / "out")
    assert result.exit_code == 1
    assert "was made with another checkpoint" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_workspaces_run_of_another_training_is_refused(workspace: Path, outside: Path, whole: Path) -> None:
    run = shutil.copytree(whole, workspace / "evaluation")
    (run / "run.json").unlink()
    joint, evaluate = {"outs": [{"path": "models/flans", "md5": "new.dir"}]}, {"path": "models/flans", "md5": "old.dir"}
    lock = {"stages": {"train_joint": joint, "evaluate": {"deps": [evaluate]}}}
    (workspace / "dvc.lock").write_text(json.dumps(lock))
    result = diagnose(outside, Path("evaluation"), workspace / "out")
    assert result.exit_code == 1
    assert "found those of another training" in result.stderr


def test_no_run_no_diagnosis(outside: Path, tmp_path: Path) -> None:
    result = diagnose(outside, tmp_path / "none", tmp_path / "out")
    assert result.exit_code == 1
    assert "cases.parquet: expected a finished run's cases" in result.stderr


def test_where_nothing_can_be_judged_nothing_is_called_sound(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = Finding("canonicalizer", "can't be judged", [], pd.DataFrame())
    show([unknown, replace(unknown, part="intent head")], Path("out"))
    said = capsys.readouterr().out
    assert "Too few cases to judge: canonicalizer, intent head." in said
    assert "No fault found" not in said
    show([unknown, replace(unknown, part="intent head", verdict="sound")], Path("out"))
    assert "No fault found.\nToo few cases to judge: canonicalizer." in capsys.readouterr().out


def test_a_folder_with_other_files_is_left_alone(outside: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    result = diagnose(outside, whole, tmp_path)
    assert result.exit_code == 1
    assert "expected a folder of its own, found other files" in result.stderr
    assert (tmp_path / "notes.txt").is_file()
