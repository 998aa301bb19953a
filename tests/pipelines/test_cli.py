"""The command line as somebody meets it who has nothing yet: its help, and what it says is missing."""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipelines.bench import bench
from pipelines.cli import ADAPTERS, _lines, _piped, app

COMMANDS = [[name] for name in get_command(app).commands]  # type: ignore[attr-defined]
COMMANDS += [["bench", name] for name in get_command(bench).commands]  # type: ignore[attr-defined]


def help_of(*command: str) -> str:
    """What is printed on a terminal of 80 columns."""
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"})
    assert result.exit_code == 0
    return result.stdout


def test_what_a_new_user_needs_comes_first() -> None:
    said = help_of()
    panels = ["Use a trained model", "Look at a run", "Prepare a run", "Measure"]
    assert re.findall(r"╭─ ([^─]+) ─", said)[1:] == panels
    assert said.index("segment") < said.index("summary") < said.index("configure") < said.index("bench")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_is_whole_at_eighty_columns(command: list[str]) -> None:
    said = help_of(*command)
    assert "\u2026" not in said
    assert max(map(len, said.splitlines())) <= 80


def test_the_layouts_of_data_sets_are_listed() -> None:
    assert {"nnunet", "btcv", "dicom", "png"} <= set(ADAPTERS)
    listed = " ".join(help_of("evaluate").replace("\u2502", " ").split())
    assert all(name in listed for name in ADAPTERS)


@pytest.mark.parametrize(
    ("command", "missing", "mend"),
    [
        (
            ["segment", "scan.nii.gz", "the liver"],
            "scan.nii.gz: expected a scan, found no such file",
            "correct its name",
        ),
        (["understand", "the liver"], "models/flans/config.json", "make repro"),
        (["summary"], "evaluation/metrics.json", "make repro"),
        (["compare", "no-such-run"], "no-such-run", "dvc exp show"),
        (["diagnose"], "evaluation/cases.parquet", "dvc repro evaluate"),
        (["baselines"], "evaluation/cases.parquet", "dvc repro evaluate"),
        (["configure", "mine.yaml"], "mine.yaml", "examples/"),
        (["pose"], "params.yaml", "git checkout params.yaml"),
        (["search", "gallstones"], "data/index", "dvc repro index"),
        (["estimate"], "params.yaml", "git checkout params.yaml"),
        (["study", "scaling"], "git status", "a Git repository"),
        (["bench", "prompts", "nope"], "nope: expected a bank of prompts, found none", "correct its name"),
        (["bench", "prompts"], "data/prompts: expected a bank of prompts, found none", "dvc repro generate"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_missing_is_named_and_nothing_is_written(
    command: list[str], missing: str, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    found, _, fix = said.partition("To mend it:")
    assert missing in found
    assert mend in fix
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [["summary"], ["understand", "the liver"], ["search", "gallstones"], ["configure", "examples/small.yaml"]],
)
def test_elsewhere_nobody_is_sent_to_a_pipeline_that_is_not_there(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = "run from the repository's root"
    assert root in CliRunner().invoke(app, command).stderr
    Path("params.yaml").touch()
    said = CliRunner().invoke(app, command).stderr
    assert "repro" in said or "examples/" in said
    assert root not in said


@pytest.mark.parametrize("command", [["pose"], ["bench", "ingest"]])
def test_a_phantom_that_is_not_drawn_yet_has_its_stage(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, command).stderr
    assert "data/raw/phantom: expected the phantom's scans, found none" in said
    assert "run `dvc repro phantom`" in said


def test_standard_input_that_is_no_utf8_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("die Öse\n".encode("latin-1"))))
    assert _piped() == "die \ufffdse\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_standard_input_may_be_as_windows_writes_it(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "die Öse\u2028liegt\r\n".encode(encoding)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert _piped() == "die Öse\u2028liegt\r\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("the liver\r\n\n \nthe\u2028spleen\n", ["the liver", "", " ", "the\u2028spleen"]),
        ("the liver\nthe spleen", ["the liver", "the spleen"]),
        ("\n", [""]),
        ("", []),
    ],
)
def test_every_line_of_standard_input_is_a_request_blank_ones_too(text: str, lines: list[str]) -> None:
    assert _lines(text) == lines


def test_a_file_that_may_not_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "report/compare/compare.csv")

    monkeypatch.setattr("pipelines.summary.show", refuse)
    result = CliRunner().invoke(app, ["summary"])
    assert result.exit_code == 1
    assert "report/compare/compare.csv: expected to be let in, but this user may not read or write it" in result.stderr


def test_a_source_is_named_or_told_by_its_folder() -> None:
    result = CliRunner().invoke(app, ["pose", "phantom", "--adapter", "nnunet", "--root", "elsewhere"])
    assert result.exit_code == 1
    assert "expected phantom or --adapter and --root, found both" in result.stderr


@pytest.mark.parametrize(
    ("organ", "size", "said"),
    [
        ("liver", "9.0 ml", "position: leftmost, here liver (read with confidence 0.90), 9.0 ml"),
        (None, "0.0 ml", "position: leftmost, here nothing (read with confidence 0.90), 0.0 ml"),
        (None, "9.0 ml", "position: leftmost (read with confidence 0.90), 9.0 ml"),  # as it was learned to answer
    ],
)
def test_nothing_is_said_of_an_empty_mask_alone(
    organ: str | None, size: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"prompt": "far left", "kind": "position", "asked": "leftmost", "organ": organ, "size": size}
    answer["empty"] = size == "0.0 ml"
    answer |= {"confidence": 0.9, "mask": "m", "overlay": "o", "warnings": []}
    monkeypatch.setattr("pipelines.segment.segment_scan", lambda *arguments: [answer])
    result = CliRunner().invoke(app, ["segment", "scan.nii", "far left"], catch_exceptions=False)
    assert said in result.stdout
