"""What every stage shares."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.stage import stage

OTHER = """
import sys
from pipelines.stage import stage

@stage
def main(name):
    print("begun", flush=True)
    sys.stdin.read()

main("x")
"""


def test_nobody_runs_a_stage_beside_one_that_a_killed_run_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "other.py"
    script.write_text(OTHER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code = compile(OTHER.replace('main("x")', "").replace("sys.stdin.read()", ""), str(script), "exec")
    names: dict = {}
    exec(code, names)
    with subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as left:
        assert left.stdin
        assert left.stdout
        assert left.stdout.readline() == "begun\n"
        with pytest.raises(SystemExit):
            names["main"]("x")
        assert "other-x: this stage is running already" in capsys.readouterr().err
        names["main"]("y")
        monkeypatch.setenv("LOCAL_RANK", "1")
        names["main"]("x")
        monkeypatch.delenv("LOCAL_RANK")
        left.stdin.close()
    names["main"]("x")
    assert capsys.readouterr().out == "begun\n" * 3


def test_a_full_disk_is_told_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def write(number: int) -> None:
        raise OSError(number, "No space left on device", "data/x")

    with pytest.raises(SystemExit):
        stage(write)(errno.ENOSPC)
    assert "data/x: expected room to write, but No space left on device" in capsys.readouterr().err
    with pytest.raises(OSError, match="No space"):
        stage(write)(errno.EIO)
