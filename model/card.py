"""The model card beside a checkpoint: Hugging Face's format, from what the configuration says and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

TEMPLATE = Path(__file__).with_name("card.md.j2")
OPTIONAL = (
    "stage",
    "parameters",
    "sources",
    "patients",
    "slices",
    "labels",
    "dataset_sha256",
    "requests",
    "validation",
)


def model_card(config: dict[str, Any]) -> str:
    """The card as Markdown with YAML front matter.

    Args:
        config: A checkpoint's config.json. Its `training` may say `OPTIONAL`: in words which stage, and the stage's
            parameters; numbers of slices by source, of patients and slices by split; by source its volumes, modality
            and organs labelled; hashes of the data set's files; where it read nothing but requests, their numbers by
            kind and split; figures of the validation by name.
    """
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        config=config, training=dict.fromkeys(OPTIONAL) | config["training"], model=config.get("model")
    )
