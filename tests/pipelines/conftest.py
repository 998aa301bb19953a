"""A clone of the repository in which the whole pipeline has run on small data."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

REPOSITORY = Path(__file__).parents[2]
Shell = Callable[[str], str]
Flans = Callable[..., Result]


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree's files in a Git and DVC repository of their own, nothing run yet."""
    folder = tmp_path_factory.mktemp("clone") / "flans"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    for command in (["init", "-q"], ["config", "user.name", "t"], ["config", "user.email", "t@t"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-qm", "clone"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def shell(clone: Path) -> Shell:
    """Runs a shell command in the clone, and gives what it printed; a failure shows it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(clone), "COLUMNS": "160", "DVC_NO_ANALYTICS": "1"}

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=clone, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def small(clone: Path, shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone after a whole `dvc repro` on small data, committed: run by one worker, copied by the others."""
    base = tmp_path_factory.getbasetemp()
    whole = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small"
    with FileLock(f"{whole}.lock"):
        if whole.exists():
            shutil.rmtree(clone)
            shutil.copytree(whole, clone, symlinks=True)
        else:
            shell("flans configure examples/small.yaml && dvc repro && git add -A && git commit -qm small")
            shutil.copytree(clone, whole, symlinks=True)
    return clone


@pytest.fixture
def flans(small: Path, monkeypatch: pytest.MonkeyPatch) -> Flans:
    """Runs `flans` in the clone, in this process: starting one takes seconds. Gives output, errors and exit status."""
    from pipelines.cli import app

    monkeypatch.chdir(small)
    return lambda *arguments, typed=None: CliRunner().invoke(app, arguments, input=typed)


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scans and an untrained checkpoint, with nothing of the pipeline's around them."""
    from tests.pipelines.outside import write_outside

    write_outside(folder := tmp_path_factory.mktemp("outside"))
    return folder


@pytest.fixture(scope="session")
def whole(outside: Path) -> Path:
    """The output of `flans evaluate` on them."""
    from tests.pipelines.outside import run

    result = run(outside, outside / "whole")
    assert result.exit_code == 0, result.output
    assert "Not used: phantom_002" in result.stderr
    return outside / "whole"
