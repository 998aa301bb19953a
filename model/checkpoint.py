"""Checkpoints: `model.safetensors` (weights), `config.json` (how to build the module), `README.md` (the model card)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from corpus.errors import InputError
from corpus.files import replacing
from model.card import model_card

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
AGAIN = "run `make repro`; commands take another folder by --checkpoint"


def save_checkpoint(module: nn.Module, config: dict[str, Any], out: Path) -> None:
    """Write a module's weights, its configuration and the card that follows from it. They take the place of an earlier
    checkpoint's once all are whole, the weights, by which it is known, last.

    Args:
        config: JSON types; its `training` is what the card says of the data and the training (see `model.card`).
    """
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / WEIGHTS) as weights, replacing(out / CONFIG) as settings, replacing(out / CARD) as card:
        settings.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        card.write_text(model_card(config), encoding="utf-8")
        save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, weights)
        shutil.copymode(settings, weights)  # which safetensors lets the owner alone read


def read_config(directory: Path) -> dict[str, Any]:
    """A checkpoint's configuration.

    Raises:
        InputError: There is none, or it is damaged.
    """
    path = _file(directory, CONFIG)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(path, f"expected JSON, but {error}", AGAIN) from None
    if not isinstance(content, dict):
        raise InputError(path, f"expected keys with values, found {str(content)[:40]}", AGAIN)
    return content


def load_weights(module: nn.Module, directory: Path) -> None:
    """Give a module the weights of a checkpoint.

    Raises:
        InputError: There are none, they are damaged or no numbers, or they are another network's.
    """
    path = _file(directory, WEIGHTS)
    try:
        weights = load_file(path)
        if broken := [name for name, x in weights.items() if not x.isfinite().all()]:
            raise InputError(path, f"expected numbers, found NaN or infinity in {', '.join(broken[:3])}", AGAIN)
        module.load_state_dict(weights)
    except SafetensorError as error:
        raise InputError(path, f"expected safetensors, but {error}", AGAIN) from None
    except RuntimeError as error:
        expected = f"expected the weights of this version's {type(module).__name__}"
        raise InputError(path, f"{expected}, but {_first_differences(error)}", AGAIN) from None


def _first_differences(error: RuntimeError) -> str:
    """PyTorch's report without the names of the hundred tensors that follow the first."""
    return "; ".join(line.strip()[:120] for line in str(error).splitlines()[1:3])


def _file(directory: Path, name: str) -> Path:
    if not (directory / name).is_file():
        raise InputError(directory / name, "expected a checkpoint's file, found none", AGAIN)
    return directory / name
