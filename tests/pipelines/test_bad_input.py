"""Bad input stops a stage before any work, with one message that names file, key and mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]


def run(folder: Path, stage: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"pipelines.{stage}", *arguments]
    env = {"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def params() -> dict[str, Any]:
    return yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))


def stops(folder: Path, params: dict[str, Any] | None, stage: str, *arguments: str) -> str:
    """Run a stage that must fail, and give its message."""
    if params is not None:
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    before = sorted(p.name for p in folder.rglob("*"))
    result = run(folder, stage, *arguments)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "To mend it:" in result.stderr
    assert sorted(p.name for p in folder.rglob("*")) == before, "nothing may have been written"
    return result.stderr


def test_missing_params_file(tmp_path: Path) -> None:
    assert "params.yaml: the file is missing" in stops(tmp_path, None, "phantom")


def test_unreadable_params_file(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("phantom: [", encoding="utf-8")
    assert "expected YAML" in stops(tmp_path, None, "phantom")


def test_missing_key(tmp_path: Path, params: dict[str, Any]) -> None:
    del params["ingest"]["shards"]
    assert "`ingest.shards`: the key is missing" in stops(tmp_path, params, "ingest", "phantom")


def test_unknown_key(tmp_path: Path, params: dict[str, Any]) -> None:
    params["phantom"]["patiens"] = 3
    assert "`phantom.patiens`: no parameter has this name" in stops(tmp_path, params, "phantom")


def test_value_out_of_range(tmp_path: Path, params: dict[str, Any]) -> None:
    params["ingest"]["negatives"] = 2.0
    assert "negatives must be from 0 to 1" in stops(tmp_path, params, "ingest", "phantom")


def test_wrong_type(tmp_path: Path, params: dict[str, Any]) -> None:
    params["train_segmenter"]["steps"] = "many"
    message = stops(tmp_path, params, "train_segmenter")
    assert "`train_segmenter.steps`" in message
    assert "found 'many'" in message


def test_missing_source_folder(tmp_path: Path, params: dict[str, Any]) -> None:
    params["ingest"]["sources"] = {"mine": {"adapter": "nnunet", "root": "no/such/folder"}}
    message = stops(tmp_path, params, "ingest", "mine")
    assert "no/such/folder: expected the source's folder, found none" in message
    assert "ingest.sources" in message


def test_source_folder_in_another_layout(tmp_path: Path, params: dict[str, Any]) -> None:
    params["ingest"]["sources"] = {"mine": {"adapter": "btcv", "root": str(tmp_path)}}
    assert "expected images RawData/Training/img/img{case}.nii.gz, found none" in stops(
        tmp_path, params, "ingest", "mine"
    )


def test_unknown_adapter(tmp_path: Path, params: dict[str, Any]) -> None:
    params["ingest"]["sources"] = {"mine": {"adapter": "bctv", "root": str(tmp_path)}}
    message = stops(tmp_path, params, "ingest", "mine")
    assert "btcv, chaos" in message
    assert "found 'bctv'" in message


def test_missing_report_file(tmp_path: Path, params: dict[str, Any]) -> None:
    params["reports"]["sources"] = {"mine": {"reader": "jsonl", "path": "notes.jsonl"}}
    message = stops(tmp_path, params, "passages", "mine")
    assert "notes.jsonl: expected a file or folder, but it is missing" in message
    assert "reports.sources.mine" in message


def test_missing_input_of_a_later_stage(tmp_path: Path, params: dict[str, Any]) -> None:
    assert "dvc repro" in stops(tmp_path, params, "measure", "phantom")
