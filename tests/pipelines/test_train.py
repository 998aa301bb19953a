"""What an unfinished training is known by."""

from __future__ import annotations

import os
import re
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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch's threads are another library's")
@pytest.mark.parametrize(("given", "used"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_sleep_soon_where_nobody_says_otherwise(given: dict[str, str], used: str) -> None:
    """What OpenMP itself says that it read: by the time PyTorch is loaded, it must be there."""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"OMP_DISPLAY_ENV": "verbose"} | given
    command = [sys.executable, "-c", "import pipelines.stage, torch"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)) == {used}
