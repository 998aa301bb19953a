"""Bad input stops a stage before any work, with one message that names file, key and mend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
Stops = Callable[..., str]


@pytest.fixture
def params() -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stops:
    """Runs a stage that must fail, and gives its message."""
    monkeypatch.chdir(tmp_path)

    def run(params: dict[str, Any] | None, stage: str, *arguments: str) -> str:
        if params is not None:
            Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        before = sorted(p.name for p in tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as ended:
            import_module(f"pipelines.{stage}").main(*arguments)
        assert ended.value.code == 1
        message = capsys.readouterr().err
        assert "To mend it:" in message
        assert sorted(p.name for p in tmp_path.rglob("*")) == before, "nothing may have been written"
        return message

    return run


def test_a_stage_ends_with_status_1_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.phantom"]
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "params.yaml: the file is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_errors_keep_their_traceback_and_the_hook_that_was_there() -> None:
    hook = "import sys; sys.excepthook = lambda kind, *_: print('seen by the hook that was there:', kind.__name__)"
    said = []
    for first in ("", hook):
        code = f"{first}\nimport pipelines\n1 / 0"
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        said.append(done.stdout + done.stderr)
    assert "Traceback" in said[0]
    assert said[1].strip() == "seen by the hook that was there: ZeroDivisionError"


def test_a_file_that_is_read_where_its_module_is_loaded(tmp_path: Path) -> None:
    for room in ("corpus", "pipelines"):
        shutil.copytree(REPOSITORY / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    organs = tmp_path / "corpus" / "organs.yaml"
    organs.write_text(organs.read_text(encoding="utf-8").replace("- name: liver", "- nam: liver"), encoding="utf-8")
    command, env = [sys.executable, "-m", "pipelines.phantom"], os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "organs.yaml" in done.stderr
    assert "To mend it:" in done.stderr
    assert "Traceback" not in done.stderr


def test_unreadable_params_file(stops: Stops, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("phantom: [", encoding="utf-8")
    assert "expected YAML" in stops(None, "phantom")


def test_missing_key(stops: Stops, params: dict[str, Any]) -> None:
    del params["ingest"]["shards"]
    assert "`ingest.shards`: the key is missing" in stops(params, "ingest", "phantom")


def test_unknown_key(stops: Stops, params: dict[str, Any]) -> None:
    params["phantom"]["patiens"] = 3
    assert "`phantom.patiens`: no parameter has this name" in stops(params, "phantom")


def test_value_out_of_range(stops: Stops, params: dict[str, Any]) -> None:
    params["ingest"]["negatives"] = 2.0
    assert "negatives must be from 0 to 1" in stops(params, "ingest", "phantom")


def test_wrong_type(stops: Stops, params: dict[str, Any]) -> None:
    params["train_segmenter"]["steps"] = "many"
    message = stops(params, "train_segmenter")
    assert "`train_segmenter.steps`" in message
    assert "found 'many'" in message


def test_missing_source_folder(stops: Stops, params: dict[str, Any]) -> None:
    params["ingest"]["sources"] = {"mine": {"adapter": "nnunet", "root": "no/such/folder"}}
    message = stops(params, "ingest", "mine")
    assert "no/such/folder: expected the source's folder, found none" in message
    assert "ingest.sources" in message


def test_source_folder_in_another_layout(stops: Stops, params: dict[str, Any], tmp_path: Path) -> None:
    params["ingest"]["sources"] = {"mine": {"adapter": "btcv", "root": str(tmp_path)}}
    message = stops(params, "ingest", "mine")
    assert "expected images RawData/Training/img/img{case}.nii.gz, found none" in message


def test_unknown_adapter(stops: Stops, params: dict[str, Any], tmp_path: Path) -> None:
    params["ingest"]["sources"] = {"mine": {"adapter": "bctv", "root": str(tmp_path)}}
    message = stops(params, "ingest", "mine")
    assert "btcv, chaos" in message
    assert "found 'bctv'" in message


def test_missing_report_file(stops: Stops, params: dict[str, Any]) -> None:
    params["reports"]["sources"] = {"mine": {"reader": "jsonl", "path": "notes.jsonl"}}
    message = stops(params, "passages", "mine")
    assert "notes.jsonl: expected a file or folder, but it is missing" in message
    assert "reports.sources.mine" in message


def test_missing_input_of_a_later_stage(stops: Stops, params: dict[str, Any]) -> None:
    assert "dvc repro" in stops(params, "measure", "phantom")
