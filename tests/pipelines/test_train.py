"""What an unfinished training is known by."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from pipelines import train


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
