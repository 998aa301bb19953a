"""Stage `train_language`: learn what a request asks for.

python -m pipelines.train_language
"""

from __future__ import annotations

import torch

from corpus.files import file_sha256
from corpus.params import load_params, plain
from model.checkpoint import save_checkpoint
from model.data import validation_steps
from model.encoders.tuned_layers import load_tuned_layers
from model.flans import ModelParams
from model.intent_head import IntentHead
from model.texts import TextBatches, load_texts
from model.training.calibration import calibrate
from model.training.objectives import LanguageObjective
from model.training.params import TrainParams
from pipelines.stage import MODELS, TOKENS, console, stage
from pipelines.train import learned, run


@stage
def main() -> None:
    """Train the intent head and the text encoder's tuned layers, calibrate its confidence on the validation texts, and
    save it to models/language."""
    params = load_params("train_language", TrainParams)
    torch.manual_seed(params.seed)
    texts = load_texts(TOKENS)
    model_params = load_params("model", ModelParams)

    def untrained() -> IntentHead:
        tuned = load_tuned_layers(model_params.text_encoder)
        return IntentHead(tuned, texts.embeddings.embedding.shape[1], model_params.dim)

    head = untrained()

    def save(figures: dict[str, float]) -> None:
        whole = untrained()  # what was trained may lie on a GPU, or be spread over several: it can't be asked here
        whole.load_state_dict(head.state_dict())
        console.print(f"temperature of its confidence: {calibrate(whole, texts):g}")
        counts = texts.table.groupby(["kind", "split"]).size().unstack(fill_value=0).to_dict("index")
        training = learned("language alone", params, figures) | {"requests": counts}
        save_checkpoint(whole, {"training": training}, MODELS / "language")

    run(
        "language",
        LanguageObjective(head, texts),
        TextBatches(texts, "train", params.batch_size, params.steps, params.seed),
        TextBatches(texts, "val", params.batch_size, validation_steps(params.batch_size), params.seed),
        params,
        {path.name: file_sha256(path) for path in sorted(TOKENS.iterdir())}
        | {"text_encoder": plain(model_params.text_encoder), "dim": model_params.dim},
        save,
    )


if __name__ == "__main__":
    main()
