"""What an unfinished training is known by."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from pipelines import train
from tests.pipelines.conftest import REPOSITORY


def test_an_unfinished_run_is_of_the_code_that_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("__main__")
    module.__spec__ = ModuleSpec("pipelines.train_new", None, origin=str(tmp_path / "train_new.py"))
    (tmp_path / "train_new.py").write_text("x = 1")
    before = train._code()
    assert {"model.flans", "corpus.files", "pipelines.train"} <= set(before)
    assert not any(name.startswith(("torch", "tests")) for name in before)
    monkeypatch.setitem(sys.modules, "__main__", module)
    first = train._code()
    assert "pipelines.train_new" in first
    (tmp_path / "train_new.py").write_text("x = 2")
    assert train._code() != first


@pytest.mark.parametrize(("given", "used"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_sleep_soon_where_nobody_says_otherwise(given: dict[str, str], used: str) -> None:
    """It must be said before PyTorch is loaded."""
    code = "import os, sys, pipelines; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment | given, capture_output=True, check=True
    )
    assert done.stdout.decode().split() == [used, "False"]
