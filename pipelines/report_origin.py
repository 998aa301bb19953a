"""The report's section on what the run was made of: seeds, versions, the checkpoint, and where everything lies."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import yaml

from corpus.files import file_sha256
from corpus.params import PARAMS
from pipelines.reporting import read_json, require, without_folders
from pipelines.stage import MODELS

PACKAGES = (
    "torch",
    "lightning-fabric",
    "sentence-transformers",
    "transformers",
    "faiss-cpu",
    "langchain-core",
    "blosc2",
    "dvc",
)
"""Those whose version may change a result."""


def origin() -> dict[str, Any]:
    """Seeds, versions and hashes.

    Raises:
        InputError: The checkpoint is missing.
    """
    text = PARAMS.read_text(encoding="utf-8")
    folder = MODELS / "flans"
    config = read_json(folder / "config.json", "train_joint", ("model", "parameters", "training"))
    return {
        "parameters": without_folders(text),
        "seeds": seeds(yaml.safe_load(text)),
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "checkpoint": {
            "sha256": file_sha256(require(folder / "model.safetensors", "train_joint")),
            "parameters": config["parameters"],
            "image_encoder": config["model"]["image_encoder"]["kind"],
            "text_encoder": config["model"]["text_encoder"]["kind"],
            "size": config["model"]["size"],
        },
    }


def seeds(parameters: dict[str, Any]) -> dict[str, int]:
    """Every seed among the parameters, by its dotted name."""
    found: dict[str, int] = {}
    for name, value in parameters.items():
        if name == "seed":
            found[name] = value
        elif isinstance(value, dict):
            found |= {f"{name}.{below}": seed for below, seed in seeds(value).items()}
    return found
