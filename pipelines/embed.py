"""Stage `embed`: the data set's requests and their variants as token embeddings, once for every training stage.

python -m pipelines.embed
"""

from __future__ import annotations

import torch

from corpus.params import load_params
from model.encoders.text import build_text_encoder
from model.flans import ModelParams
from model.texts import EmbedParams, embed_texts
from model.training.memory import keep_memory
from pipelines.stage import DATASET, TOKENS, stage


@stage
def main() -> None:
    """Embed texts.parquet and variants.parquet of the data set into data/tokens."""
    torch.set_num_threads(load_params("embed", EmbedParams).threads)
    keep_memory()
    embed_texts(DATASET, build_text_encoder(load_params("model", ModelParams).text_encoder), TOKENS)


if __name__ == "__main__":
    main()
