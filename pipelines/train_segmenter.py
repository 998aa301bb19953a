"""Stage `train_segmenter`: learn masks, on slices that lie as they should.

python -m pipelines.train_segmenter
"""

from __future__ import annotations

import torch

from corpus.params import load_params
from model.canonicalizer import CanonicalizerParams
from model.checkpoint import load_weights
from model.encoders.image import load_pretrained
from model.encoders.text import build_text_encoder
from model.encoders.tuned_layers import load_tuned_layers
from model.flans import FLanS, ModelParams
from model.texts import load_texts, name_embeddings
from model.training.objectives import LossWeights, SegmenterObjective
from model.training.params import TrainParams
from pipelines.stage import MODELS, TOKENS, stage
from pipelines.train import learned_from_slices, train


@stage
def main() -> None:
    """Train the segmenter and save it, with the canonicalizer and the intent head, to models/segmenter."""
    params = load_params("train_segmenter", TrainParams)
    model_params = load_params("model", ModelParams)
    torch.set_num_threads(params.threads)
    encoder, tuned = build_text_encoder(model_params.text_encoder), load_tuned_layers(model_params.text_encoder).shape
    texts = load_texts(TOKENS)
    torch.manual_seed(params.seed)
    canonicalizer = load_params("canonicalizer", CanonicalizerParams)
    model = FLanS(model_params, canonicalizer, name_embeddings(encoder), tuned)
    load_pretrained(model.image_encoder, model_params.image_encoder)
    load_weights(model.canonicalizer, MODELS / "canonicalizer")
    model.canonicalizer.requires_grad_(False)
    load_weights(model.intent_head, MODELS / "language")
    objective = SegmenterObjective(model, texts, load_params("loss", LossWeights))

    def save(figures: dict[str, float]) -> None:
        training = learned_from_slices("segmenter, on canonical slices", params, figures)
        model.eval().save_pretrained(MODELS / "segmenter", training)

    train("segmenter", objective, texts, params, start=("canonicalizer", "language"), save=save)


if __name__ == "__main__":
    main()
