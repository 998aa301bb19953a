"""The report's section on what the run was made of: seeds, versions, the checkpoint, and where everything lies."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version
from typing import Any

import yaml

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
    with require(folder / "model.safetensors", "train_joint").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    return {
        "parameters": without_folders(text),
        "seeds": seeds(yaml.safe_load(text)),
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "checkpoint": {
            "sha256": digest,
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
