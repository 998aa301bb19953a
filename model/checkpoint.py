"""Checkpoints: `model.safetensors` (weights), `config.json` (how to build the model), `README.md` (the model card)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from torch import nn

from corpus.anatomy import N_ORGANS, ORGANS
from corpus.errors import InputError
from corpus.params import plain
from model.canonicalizer import Canonicalizer, CanonicalizerParams
from model.card import model_card
from model.flans import FLanS, ModelParams, parameter_count
from model.intent_head import IntentHead

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def save_pretrained(model: FLanS, out: Path, training: dict) -> None:
    """Write a checkpoint.

    Args:
        training: What the model card says of the data and the training (see `model.card`); JSON types.
    """
    config = {
        "model": plain(model.params),
        "canonicalizer": plain(model.canonicalizer.params),
        "text_dim": model.mask_decoder.project.in_features,
        "organs": [organ.name for organ in ORGANS],
        "parameters": parameter_count(model),
        "training": training,
    }
    _write(model, config, out)


def save_intent_head(head: IntentHead, out: Path, training: dict) -> None:
    """Write an intent head alone; `training` as for `save_pretrained`."""
    _write(head, {"training": training}, out)


def save_canonicalizer(canonicalizer: Canonicalizer, out: Path, training: dict) -> None:
    """Write a canonicalizer alone; `training` as for `save_pretrained`."""
    _write(canonicalizer, {"canonicalizer": plain(canonicalizer.params), "training": training}, out)


def _write(module: nn.Module, config: dict, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, out / WEIGHTS)
    (out / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / CARD).write_text(model_card(config), encoding="utf-8")


def from_pretrained(directory: Path) -> FLanS:
    """Build the model of a checkpoint and load its weights, in evaluation mode, on the CPU.

    Raises:
        InputError: A file is missing, or the checkpoint was made with another vocabulary.
    """
    for name in (CONFIG, WEIGHTS):
        if not (directory / name).is_file():
            raise InputError(
                directory / name, "expected a checkpoint's file, found none", "run `make repro`, or name another folder"
            )
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    if config["organs"] != [organ.name for organ in ORGANS]:
        raise InputError(
            directory / CONFIG,
            "the checkpoint's organs are not those of corpus/organs.yaml",
            "train it again: dvc repro",
        )
    params = TypeAdapter(ModelParams).validate_python(config["model"])
    canonicalizer = TypeAdapter(CanonicalizerParams).validate_python(config["canonicalizer"])
    model = FLanS(params, canonicalizer, torch.zeros(N_ORGANS, config["text_dim"]))
    model.load_state_dict(load_file(directory / WEIGHTS))
    return model.eval()
