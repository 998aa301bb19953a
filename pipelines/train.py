"""What the training stages share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pandas as pd
from torch import nn

from corpus.anatomy import ORGANS
from corpus.files import file_sha256
from corpus.params import load_params, plain
from corpus.scans.store import SHA256
from model.data import Augmentation, learning_batches
from model.encoders.pretrained import PretrainedEncoder
from model.encoders.text import folder_sha256
from model.flans import ModelParams
from model.texts import Texts
from model.training.loop import Batches, curves, fit
from model.training.params import TrainParams
from model.training.processes import launch
from pipelines.stage import DATA, DATASET, MODELS, SLICES, cohort, console, imported_code, progress

Save = Callable[[dict[str, float]], None]


def dataset_key() -> dict[str, str]:
    """What the data set's files and its sources' slices hash to: a killed training doesn't go on with other pixels."""
    manifest = _manifest()
    return manifest["sha256"] | {name: file_sha256(SLICES / cohort() / name / SHA256) for name in manifest["sources"]}


def _manifest() -> dict[str, Any]:
    return json.loads((DATASET / "manifest.json").read_text(encoding="utf-8"))


def learned(stage: str, params: TrainParams, figures: dict[str, float]) -> dict[str, Any]:
    """What a model card says of the training.

    Args:
        stage: In words.
        figures: Of the validation, as `fit` gives them to what saves.
    """
    validation = {name.removeprefix("val/"): value for name, value in figures.items()}
    return {"stage": stage, "parameters": plain(params), "validation": validation}


def learned_from_slices(stage: str, params: TrainParams, figures: dict[str, float]) -> dict[str, Any]:
    """The same, and what it says of the data set, and by what it knows a text encoder of a folder."""
    manifest = _manifest()
    table = pd.read_parquet(DATASET / "slices.parquet", columns=["source", "volume", "modality", "labelled", "split"])
    table = table[table["split"] == "train"]
    names = {organ.id: organ.name for organ in ORGANS}
    sources = {
        str(source): {
            "slices": len(rows),
            "volumes": int(rows["volume"].nunique()),
            "modality": sorted(rows["modality"].unique()),
            "organs": [names[i] for i in sorted({int(i) for organs in rows["labelled"] for i in organs})],
            "synthetic": source in manifest["synthetic"],
        }
        for source, rows in table.groupby("source", sort=True)
    }
    encoder = folder_sha256(load_params("model", ModelParams).text_encoder)
    return {
        **learned(stage, params, figures),
        **{name: manifest[name] for name in ("patients", "slices")},
        "sources": sources,
        "dataset_sha256": manifest["sha256"],
        **({"text_encoder_sha256": encoder} if encoder else {}),
    }


def train(
    name: str,
    objective: nn.Module,
    texts: Texts | None,
    params: TrainParams,
    start: tuple[str, ...] = (),
    askew: bool = False,
    save: Save = lambda figures: None,
) -> None:
    """Fit an objective that sees slices; see `run`.

    Args:
        start: The checkpoints under models/ that the stage starts from.
        askew: Whether a share of the slices is rotated far, for a canonicalizer that brings them upright.
    """
    model_params = load_params("model", ModelParams)
    augment = augmentation(objective, askew)
    sections = {name: load_params(name, dict) for name in ("model", "canonicalizer", "augment", "loss")}
    key = dataset_key() | {c: file_sha256(MODELS / c / "model.safetensors") for c in start} | sections
    batches = learning_batches(DATASET, SLICES / cohort(), texts, model_params, augment, params)
    run(name, objective, *batches, params, key, save)


def augmentation(objective: nn.Module, askew: bool) -> Augmentation:
    """Section `augment`, as it is for what an objective trains; with copies, frozen encoders remember what they make of
    each."""
    params = load_params("augment", Augmentation)
    frozen = [module for module in objective.modules() if isinstance(module, PretrainedEncoder) and module.frozen]
    for encoder in frozen if params.copies else []:
        encoder.remember()
    return replace(params, tilted=params.tilted if askew else 0.0, copies=params.copies if frozen else 0)


def run(
    name: str,
    objective: nn.Module,
    training: Batches,
    validation: Batches,
    params: TrainParams,
    key: dict[str, Any],
    save: Save = lambda figures: None,
) -> None:
    """Fit one stage's objective, with a progress bar and learning curves in models/curves/<name>; throughput and
    memory, which differ from run to run, go to data/speed/<name>.

    Of several processes the first alone returns. The others end here: what a stage writes is written once.

    Args:
        name: The stage's name without "train_".
        training: The batch of each step.
        validation: The batches to validate on: of other patients.
        key: What the run depends on besides its parameters.
        save: Writes the result, given the validation figures; a run that is killed before it is done need not train
            again.
    """
    fabric = launch()
    key = key | {"code": imported_code()}
    state: dict[str, Any] = {"state_dir": DATA / "unfinished" / name, "key": key, "fabric": fabric, "save": save}
    if not fabric.is_global_zero:
        fit(objective, training, validation, params, log=lambda step, values: None, **state)
        sys.exit(0)
    with ExitStack() as stack:
        advance = stack.enter_context(progress(f"train {name}", params.steps))
        log = stack.enter_context(curves(MODELS / "curves" / name))
        log_speed = stack.enter_context(curves(DATA / "speed" / name))

        def report(step: int, values: dict[str, float]) -> None:
            log(step, values)
            _print(step, values)

        def measured(step: int, values: dict[str, float]) -> None:
            log_speed(step, values)
            _print(step, values)

        fit(objective, training, validation, params, log=report, measured=measured, advance=advance, **state)


def _print(step: int, values: dict[str, float]) -> None:
    console.print(f"step {step}: " + "  ".join(f"{k} {v:.4g}" for k, v in values.items()))
