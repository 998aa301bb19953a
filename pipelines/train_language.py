"""Stage `train_language`: learn what a request asks for.

python -m pipelines.train_language
"""

from __future__ import annotations

import torch

from corpus.params import load_params
from model.checkpoint import save_intent_head
from model.flans import ModelParams
from model.intent_head import IntentHead
from model.objectives import LanguageObjective
from model.texts import TextBatches, load_texts
from model.training import TrainParams
from pipelines.stage import MODELS, TOKENS, stage
from pipelines.train import VALIDATION_STEPS, provenance, run
from prompts.dataset import file_hash


@stage
def main() -> None:
    """Train the intent head alone and save it to models/language."""
    params = load_params("train_language", TrainParams)
    torch.manual_seed(params.seed)
    texts = load_texts(TOKENS)
    head = IntentHead(texts.embeddings.embedding.shape[1], load_params("model", ModelParams).dim)

    def save(figures: dict[str, float]) -> None:
        save_intent_head(head.eval(), MODELS / "language", provenance("language alone", params, figures))

    run(
        "language",
        LanguageObjective(head, texts),
        TextBatches(texts, "train", params.batch_size, params.steps, params.seed),
        TextBatches(texts, "val", params.batch_size, VALIDATION_STEPS, params.seed),
        params,
        {name: file_hash(path) for name, path in sorted((p.name, p) for p in TOKENS.iterdir())},
        save,
    )


if __name__ == "__main__":
    main()
