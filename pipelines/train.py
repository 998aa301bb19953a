"""What the training stages share."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from torch import nn

from corpus.params import load_params
from model.data import Augmentation, SplitData, TrainingBatches
from model.flans import ModelParams
from model.texts import Texts
from model.training import TrainParams, curves, fit
from pipelines.stage import DATA, DATASET, MODELS, SLICES, cohort, console, progress
from prompts.dataset import file_hash

VALIDATION_STEPS = 8


def dataset_key() -> dict[str, str]:
    """What the data set's files hash to."""
    return json.loads((DATASET / "manifest.json").read_text(encoding="utf-8"))["sha256"]


def train(
    name: str,
    objective: nn.Module,
    texts: Texts | None,
    params: TrainParams,
    start: tuple[str, ...] = (),
    askew: bool = False,
) -> None:
    """Fit an objective that sees slices.

    Args:
        name: The stage's name without "train_".
        start: The checkpoints under models/ that the stage starts from.
        askew: Whether a share of the slices is rotated far, for a canonicalizer that brings them upright.
    """
    model_params = load_params("model", ModelParams)
    augment = load_params("augment", Augmentation)
    if not askew:
        augment = replace(augment, tilted=0.0)

    def batches(split: str, steps: int, augment: Augmentation | None) -> TrainingBatches:
        return TrainingBatches(
            SplitData(DATASET, SLICES / cohort(), split),
            texts,
            model_params,
            split=split,
            batch_size=params.batch_size,
            prompts=params.prompts,
            steps=steps,
            seed=params.seed,
            augment=augment,
        )

    sections = {name: load_params(name, dict) for name in ("model", "canonicalizer", "augment", "loss")}
    key = dataset_key() | {c: file_hash(MODELS / c / "model.safetensors") for c in start} | sections
    run(name, objective, batches("train", params.steps, augment), batches("val", VALIDATION_STEPS, None), params, key)


def run(
    name: str, objective: nn.Module, training: Any, validation: Any, params: TrainParams, key: dict[str, Any]
) -> None:
    """Fit one stage's objective, with a progress bar and learning curves in models/curves/<name>.

    Args:
        name: The stage's name without "train_".
        training: The batch of each step.
        validation: The batches to validate on.
        key: What the run depends on besides its parameters.
    """
    with progress(f"train {name}", params.steps) as advance, curves(MODELS / "curves" / name) as log:

        def report(step: int, values: dict[str, float]) -> None:
            log(step, values)
            console.print(f"step {step}: " + "  ".join(f"{k} {v:.4f}" for k, v in values.items()))

        fit(
            objective,
            training,
            validation,
            params,
            state_dir=DATA / "unfinished",
            key=key,
            log=report,
            advance=advance,
        )
