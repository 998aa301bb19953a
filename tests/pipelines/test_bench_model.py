"""`flans bench model`: every number of prompts is measured, in use and in training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from corpus.params import PARAMS, read_yaml
from model.inference import fastest_device
from pipelines.bench_model import REQUESTS, show
from pipelines.cli import app
from prompts.intent import ATTRIBUTES
from tests.pipelines.conftest import REPOSITORY


def test_more_prompts_are_measured_on_one_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = read_yaml(REPOSITORY / PARAMS)
    params["train_segmenter"]["threads"] = 1  # a second would be in the way of the other worker's
    (tmp_path / PARAMS).write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    command = ["bench", "model", "--encoder", "conv", "--size", "32", "--repeats", "1"]
    result = CliRunner().invoke(app, [*command, "--prompts", "1", "--prompts", "5", "--json"], catch_exceptions=False)
    figures = json.loads(result.stdout)
    assert (figures["encoder"], figures["size"], figures["device"]) == ("conv", 32, str(fastest_device()))
    assert [row["prompts"] for row in figures["rows"]] == [1, 5]
    assert figures["straight_ms"] > 0
    assert figures["askew_ms"] > 0
    assert all(row[name] > 0 for row in figures["rows"] for name in ("read_ms", "segment_ms", "train_ms"))
    show(figures)
    shown = capsys.readouterr().out
    assert "a slice that lies straight: " in shown
    assert "a slice that lies askew: " in shown


def test_requests_are_of_every_kind() -> None:
    asked = [intent for _, intent in REQUESTS]
    assert len({text for text, _ in REQUESTS}) == 24
    assert {intent.kind for intent in asked} == {"anatomy", "position", "size"}
    assert {intent.attribute for intent in asked} == {None, *ATTRIBUTES}


def test_an_unknown_encoder_is_named() -> None:
    result = CliRunner().invoke(app, ["bench", "model", "--encoder", "vgg"])
    assert result.exit_code == 1
    assert "'vgg' found using 'kind' does not match any of the expected tags: 'conv', 'lite_medsam'" in result.stderr
