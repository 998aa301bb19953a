"""Overlays: a few parameters that turn params.yaml into that of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from corpus.errors import InputError
from corpus.params import PARAMS, read_yaml


def apply_overlay(overlay: Path, params: Path = PARAMS) -> list[str]:
    """Merge an overlay into params.yaml in place, keeping comments and order.

    Returns:
        One line a change.

    Raises:
        InputError: A file is missing or isn't YAML, or the overlay has a section that params.yaml lacks.
    """
    if not overlay.is_file():
        raise InputError(
            overlay, "expected a YAML file with parameters, found none", "examples/ has some; name one of them"
        )
    changes = read_yaml(overlay)
    read_yaml(params)
    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    content = yaml.load(params.read_text(encoding="utf-8"))
    if not isinstance(changes, dict):
        raise InputError(overlay, "expected sections of params.yaml", "see examples/btcv.yaml")
    if unknown := [key for key in changes if key not in content]:
        raise InputError(overlay, f"params.yaml has no section {', '.join(unknown)}", f"use those of {params}")
    lines: list[str] = []
    _merge(content, changes, "", lines)
    with params.open("w", encoding="utf-8") as stream:
        yaml.dump(content, stream)
    return lines


def _merge(into: Any, changes: dict, prefix: str, lines: list[str]) -> None:
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if value is None:
            if into.pop(key, None) is not None:
                lines.append(f"{name}: removed")
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, f"{name}.", lines)
        elif into.get(key) != value:
            lines.append(f"{name}: {into.get(key)} -> {value}")
            into[key] = value
