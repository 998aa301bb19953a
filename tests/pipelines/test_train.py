"""What an unfinished training is known by."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipelines import train


def test_an_unfinished_run_is_of_the_code_that_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("model.new")
    module.__file__ = str(tmp_path / "new.py")
    Path(module.__file__).write_text("x = 1")
    before = train._code()
    assert {"model.flans", "corpus.files", "pipelines.train"} <= set(before)
    assert not any(name.startswith(("torch", "tests")) for name in before)
    monkeypatch.setitem(sys.modules, "model.new", module)
    first = train._code()
    Path(module.__file__).write_text("x = 2")
    assert train._code() != first != before
