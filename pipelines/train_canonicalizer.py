"""Stage `train_canonicalizer`: learn which way up, and which way round, an abdomen lies.

python -m pipelines.train_canonicalizer
"""

from __future__ import annotations

import torch

from corpus.params import load_params, plain
from model.canonicalizer import CanonicalizerParams, build_canonicalizer
from model.checkpoint import save_checkpoint
from model.training.loop import curves
from model.training.objectives import CanonicalizerObjective, LossWeights
from model.training.params import TrainParams
from model.training.processes import launch
from pipelines.stage import MODELS, console, stage
from pipelines.train import learned_from_slices, train


@stage
def main() -> None:
    """Train the canonicalizer alone and save it to models/canonicalizer."""
    params = load_params("train_canonicalizer", TrainParams)
    torch.manual_seed(params.seed)
    canonicalizer = build_canonicalizer(load_params("canonicalizer", CanonicalizerParams))

    def save(figures: dict[str, float]) -> None:
        config = {
            "canonicalizer": plain(canonicalizer.params),
            "training": learned_from_slices("canonicalizer alone", params, figures) if canonicalizer.learns else {},
        }
        save_checkpoint(canonicalizer.eval(), config, MODELS / "canonicalizer")

    if canonicalizer.learns:
        objective = CanonicalizerObjective(canonicalizer, load_params("loss", LossWeights))
        train("canonicalizer", objective, None, params, askew=canonicalizer.params.any_angle, save=save)
    elif launch().is_global_zero:
        console.print("an identity canonicalizer has nothing to learn")
        with curves(MODELS / "curves" / "canonicalizer") as log:  # DVC expects the stage's every output
            log(0, {})
        save({})


if __name__ == "__main__":
    main()
