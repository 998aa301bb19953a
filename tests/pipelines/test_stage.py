"""What every stage shares."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.stage import stage

OTHER = """
import sys
from collections.abc import Callable
from pipelines.stage import stage

@stage
def main(name):
    print("begun", flush=True)
    sys.stdin.read()

main("x")
"""
WRITER = """
from pathlib import Path
from pipelines.stage import stage

@stage
def main(name):
    for path in ("out", "data/x/made"):
        Path(path).write_text("new")

main("x")
"""
DVC_YAML = """
stages:
  other:
    foreach: {x: {}}
    do:
      cmd: echo
      outs: [out, "data/${key}"]
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
        assert "other@x: this stage is running already" in (said := capsys.readouterr().err)
        assert "dvc commit -f other@x" in said
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


def test_ctrl_c_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        stage(interrupted)()
    assert stopped.value.code == 130
    assert capsys.readouterr().err.startswith("Stopped. The next run goes on")


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_stage_that_is_run_by_hand_leaves_the_cache_as_it_is(
    link: Callable[[Path, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], check=True)
    Path("dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    (cached := tmp_path / "cached").write_text("old", encoding="utf-8")
    cached.chmod(0o444)
    Path("data/x").mkdir(parents=True)
    for made in (file := Path("out"), in_folder := Path("data/x/made"), unmade := Path("data/x/kept")):
        link(cached, made)
    (other := Path("data/y")).hardlink_to(cached)

    Path("other.py").write_text(WRITER, encoding="utf-8")
    subprocess.run([sys.executable, "other.py"], check=True)
    assert [cached.read_text(), unmade.read_text()] == ["old", "old"]
    assert [file.read_text(), in_folder.read_text()] == ["new", "new"]
    assert other.samefile(cached)


def test_what_is_paid_for_in_a_copy_for_an_experiment_is_kept_in_the_repository(tmp_path: Path) -> None:
    (copy := tmp_path / ".dvc/tmp/exps/standalone/tmp1/flans").mkdir(parents=True)
    script = "from pipelines.stage import EMBEDDINGS, RESPONSES; print(EMBEDDINGS, RESPONSES)"

    def folders(at: Path) -> list[str]:
        command = [sys.executable, "-c", script]
        return subprocess.run(command, cwd=at, capture_output=True, text=True, check=True).stdout.split()

    assert folders(copy) == [f"{tmp_path}/data/embeddings", f"{tmp_path}/data/responses"]
    assert folders(tmp_path) == ["data/embeddings", "data/responses"]
