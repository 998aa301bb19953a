"""What an unfinished training is known by."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from torch import nn

from model.data import Augmentation
from model.encoders.conv import ConvEncoder
from model.encoders.pretrained import PretrainedEncoder
from model.encoders.text import TextEncoderParams, folder_sha256
from model.encoders.tiny_vit import TinyViT, TinyViTParams
from model.training.params import TrainParams
from pipelines import stage, train
from tests.pipelines.conftest import REPOSITORY


def test_an_unfinished_run_is_of_the_code_that_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("__main__")
    module.__spec__ = ModuleSpec("pipelines.train_new", None, origin=str(tmp_path / "train_new.py"))
    (tmp_path / "train_new.py").write_text("x = 1")
    before = stage.imported_code()
    assert {"model.flans", "corpus.files", "pipelines.train"} <= set(before)
    assert not any(name.startswith(("torch", "tests")) for name in before)
    monkeypatch.setitem(sys.modules, "__main__", module)
    first = stage.imported_code()
    assert "pipelines.train_new" in first
    (tmp_path / "train_new.py").write_text("x = 2")
    assert stage.imported_code() != first


@pytest.mark.parametrize("frozen", [True, False, None])
def test_slices_have_copies_where_a_frozen_encoder_can_remember_them(
    frozen: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TinyViT(TinyViTParams(side=24, dims=(8, 12), depths=(1, 1), heads=(1, 2), windows=(3, 5)))
    unet = ConvEncoder((8, 12, 16), 8, 16, told=network.channels)
    encoder = unet if frozen is None else PretrainedEncoder(network, unet, (0.0,) * 3, (1.0,) * 3, frozen)
    section = Augmentation(5.0, 50.0, 0.5, 0.1, 0.1, 0.1, 0.1, copies=4)
    remembering: list[nn.Module] = []
    monkeypatch.setattr(train, "load_params", lambda name, kind: section)
    monkeypatch.setattr(PretrainedEncoder, "remember", lambda encoder: remembering.append(encoder))
    assert train.augmentation(nn.Sequential(encoder), askew=True).copies == (4 if frozen else 0)
    assert remembering == ([encoder] if frozen else [])
    assert train.augmentation(nn.Sequential(encoder), askew=False).tilted == 0


def test_a_text_encoder_of_a_folder_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest: dict[str, Any] = {"patients": {}, "slices": {}, "sha256": {}, "synthetic": []}
    columns = ["source", "volume", "modality", "labelled", "split"]
    monkeypatch.setattr(train, "_manifest", lambda: manifest)
    monkeypatch.setattr(train, "plain", vars)
    monkeypatch.setattr(train.pd, "read_parquet", lambda *_, **__: pd.DataFrame(columns=columns))
    recorded = []
    for weights in (None, str(tmp_path)):
        model = SimpleNamespace(text_encoder=TextEncoderParams("sentence", weights))
        monkeypatch.setattr(train, "load_params", lambda name, kind, model=model: model)
        recorded.append(train.learned_from_slices("joint", cast(TrainParams, SimpleNamespace()), {}))
    assert "text_encoder_sha256" not in recorded[0]
    assert recorded[1]["text_encoder_sha256"] == folder_sha256(TextEncoderParams("sentence", str(tmp_path)))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch's threads are another library's")
@pytest.mark.parametrize(("given", "used"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_threads_sleep_soon_where_nobody_says_otherwise(given: dict[str, str], used: str) -> None:
    """What OpenMP itself says that it read: by the time PyTorch is loaded, it must be there."""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"OMP_DISPLAY_ENV": "verbose"} | given
    command = [sys.executable, "-c", "import pipelines.stage, torch"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)) == {used}
