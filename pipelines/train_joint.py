"""Stage `train_joint`: canonicalizer and segmenter together, on slices that lie anyhow.

python -m pipelines.train_joint
"""

from __future__ import annotations

import torch

from corpus.params import load_params
from model.flans import FLanS
from model.testing.held_out import save_held_out
from model.texts import load_texts, read_table
from model.training.objectives import JointObjective, LossWeights
from model.training.params import TrainParams
from pipelines.stage import DATASET, MODELS, TOKENS, stage
from pipelines.train import learned_from_slices, train


@stage
def main() -> None:
    """Train both from models/segmenter on, and save the model to use to models/flans."""
    params = load_params("train_joint", TrainParams)
    torch.set_num_threads(params.threads)
    model = FLanS.from_pretrained(MODELS / "segmenter")
    texts = load_texts(TOKENS)
    objective = JointObjective(model, texts, load_params("loss", LossWeights))
    askew = model.canonicalizer.params.any_angle

    def save(figures: dict[str, float]) -> None:
        training = learned_from_slices("joint, on turned and mirrored slices", params, figures)
        model.eval().save_pretrained(MODELS / "flans", training)
        save_held_out(read_table(DATASET / "texts.parquet"), MODELS / "flans")

    train("joint", objective, texts, params, start=("segmenter",), askew=askew, save=save)


if __name__ == "__main__":
    main()
