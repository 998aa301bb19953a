"""Stage `train_joint`: canonicalizer and segmenter together, on slices that lie anyhow.

python -m pipelines.train_joint
"""

from __future__ import annotations

import json

import torch

from corpus.params import load_params
from model.checkpoint import from_pretrained, save_pretrained
from model.held_out import save_held_out
from model.objectives import JointObjective, LossWeights
from model.texts import load_texts, read_table
from model.training import TrainParams
from pipelines.stage import DATASET, MODELS, TOKENS, stage
from pipelines.train import train


@stage
def main() -> None:
    """Train both from models/segmenter on, and save the model to use to models/flans."""
    params = load_params("train_joint", TrainParams)
    torch.set_num_threads(params.threads)
    model = from_pretrained(MODELS / "segmenter")
    texts = load_texts(TOKENS)
    objective = JointObjective(model, texts, load_params("loss", LossWeights))
    train("joint", objective, texts, params, start=("segmenter",), askew=model.canonicalizer.params.any_angle)
    manifest = json.loads((DATASET / "manifest.json").read_text(encoding="utf-8"))
    training = {"stage": "joint, on turned and mirrored slices", "steps": params.steps}
    training |= {"sources": manifest["sources"], "patients": manifest["patients"], "dataset_sha256": manifest["sha256"]}
    save_pretrained(model.eval(), MODELS / "flans", training)
    save_held_out(read_table(DATASET / "texts.parquet"), MODELS / "flans")


if __name__ == "__main__":
    main()
