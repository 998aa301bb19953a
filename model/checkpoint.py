"""Checkpoints: `model.safetensors` (weights), `config.json` (how to build the module), `README.md` (the model card)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from corpus.errors import InputError
from model.card import model_card

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def save_checkpoint(module: nn.Module, config: dict[str, Any], out: Path) -> None:
    """Write a module's weights, its configuration and the card that follows from it.

    Args:
        config: JSON types; its `training` is what the card says of the data and the training (see `model.card`).
    """
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, out / WEIGHTS)
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / CARD).write_text(model_card(config), encoding="utf-8")


def read_config(directory: Path) -> dict[str, Any]:
    """A checkpoint's configuration.

    Raises:
        InputError: There is none.
    """
    return json.loads(_file(directory, CONFIG).read_text(encoding="utf-8"))


def read_weights(directory: Path) -> dict[str, Tensor]:
    """A checkpoint's weights by name, on the CPU.

    Raises:
        InputError: There are none.
    """
    return load_file(_file(directory, WEIGHTS))


def _file(directory: Path, name: str) -> Path:
    if not (directory / name).is_file():
        fix = "run `make repro`, or name another folder"
        raise InputError(directory / name, "expected a checkpoint's file, found none", fix)
    return directory / name
