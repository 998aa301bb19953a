"""The intent head: what a prompt asks for, read word by word, and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.anatomy import BY_NAME, N_ORGANS, ORGANS
from model.attention import EncoderLayer
from model.encoders.ngrams import BUCKETS, NGRAMS
from model.encoders.text import CUE_CODES, TokenEmbeddings, Tokens, Wording, equally_long
from model.encoders.tuned_layers import TunedLayers
from prompts.intent import (
    ATTRIBUTES,
    FRAMES,
    KINDS,
    POSITIONS,
    RANKS,
    RELATIONS,
    SIDES,
    SIZES,
    Attribute,
    Intent,
    on_display,
)
from prompts.wording.cues import CUES, NUMBERS, PICTURES, UNSIDED

NO_ORGAN = 0
"""Organ class 0 is "none"; class i is the organ with id i."""
NO_ATTRIBUTE = NO_RELATION = 0
UNCUED = 0.1
"""Share of the texts that the head sees without cues in training."""
UNTOLD = 0.25
"""Share of the texts in which it sees no cue that a side is the picture's."""
UNNAMED = 0.5
"""Share of the texts whose words for structures it sees as such words only."""
CLASSES = {
    "kind": len(KINDS),
    "organ": N_ORGANS + 1,
    "attribute": len(ATTRIBUTES) + 1,
    "frame": len(FRAMES),
    "rank": len(RANKS),
    "relation": len(RELATIONS) + 1,
    "negated": 2,
}
"""The parts of an intent, each of which has a classifier of its own, and how many classes it has."""
PARTS = tuple(CLASSES)
WORDING_WEIGHT = 0.2
"""How much the second opinion counts beside the reader's."""
UNREAD = 0.3
"""Share of the n-grams that the second opinion doesn't see in training."""


@dataclass(frozen=True)
class IntentLogits:
    """Logits of each part of the intent, `[..., classes]`, and the `embedding` `[..., D]` that conditions the
    decoder."""

    kind: Tensor
    organ: Tensor
    attribute: Tensor
    frame: Tensor
    rank: Tensor
    relation: Tensor
    negated: Tensor
    embedding: Tensor

    def __getitem__(self, rows: slice | Tensor) -> IntentLogits:
        """Some of the prompts."""
        return IntentLogits(*(getattr(self, f.name)[rows] for f in fields(self)))

    def to(self, device: torch.device) -> IntentLogits:
        """The same on another device."""
        return IntentLogits(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True)
class IntentTargets:
    """Class indices of each part of the intent, int64 `[N]`."""

    kind: Tensor
    organ: Tensor
    attribute: Tensor
    frame: Tensor
    rank: Tensor
    relation: Tensor
    negated: Tensor

    def __getitem__(self, rows: Tensor) -> IntentTargets:
        return IntentTargets(*(getattr(self, part)[rows.to(self.kind.device)].to(rows.device) for part in PARTS))

    @classmethod
    def of(cls, intents: list[Intent]) -> IntentTargets:
        """Encode intents as class indices."""
        ids = {organ.name: organ.id for organ in ORGANS}
        return cls(
            torch.tensor([KINDS.index(i.kind) for i in intents]),
            torch.tensor([ids[i.organ] if i.organ else NO_ORGAN for i in intents]),
            torch.tensor([ATTRIBUTES.index(i.attribute) + 1 if i.attribute else NO_ATTRIBUTE for i in intents]),
            torch.tensor([FRAMES.index(i.frame) for i in intents]),
            torch.tensor([RANKS.index(i.rank) for i in intents]),
            torch.tensor([RELATIONS.index(i.relation) + 1 if i.relation else NO_RELATION for i in intents]),
            torch.tensor([int(i.negated) for i in intents]),
        )


class Reader(nn.Module):
    """A small transformer over token embeddings and their cues, one classifier for each part of the intent.

    Organ and attribute are also pointed at (Vinyals et al. 2015, "Pointer networks"): the head learns which of a text's
    cues is asked for, and what it learns of one structure holds for all of them.

    Args:
        text_dim: Width of the text encoder's tokens.
        dim: Width of the head and of its embedding.
    """

    sort: Tensor

    def __init__(self, text_dim: int, dim: int, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(text_dim, dim), nn.LayerNorm(dim), nn.Dropout(dropout))
        self.cue = nn.Embedding(CUE_CODES, dim, padding_idx=0)
        self.register_buffer("sort", _sorts(), persistent=False)
        self.summary = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.layers = nn.ModuleList(EncoderLayer(dim, 4, 2 * dim, norm_first=True) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.classify = _classifiers(dim)
        self.point = nn.Linear(dim, 1)
        self.trust = nn.Parameter(torch.full((1,), 4.0))

    def forward(self, text: Tokens) -> IntentLogits:
        """Tokens `[N, L, text_dim]` -> logits `[N, classes]` and embedding `[N, dim]`."""
        cue = self._seen(text.cue)
        sort = self.sort[cue]
        x = self.project(text.embedding).masked_fill(self._hidden(sort < 0)[..., None], 0.0) + self.cue(sort.abs())
        x = torch.cat([self.summary.expand(len(x), -1, -1), x], 1)
        keep = torch.cat([text.mask.new_ones(len(x), 1), text.mask], 1)
        for layer in self.layers:
            x = layer(x, keep)
        x = self.norm(x)
        embedding = x[:, 0]
        logits = {part: classifier(embedding) for part, classifier in self.classify.items()}
        # The cues come in this order, others after them, and of each part the first class stands for none of them.
        sizes = [N_ORGANS, len(ATTRIBUTES), len(RELATIONS), len(RANKS) - 1]
        pointed = self._pointed(x[:, 1:], cue)[:, : sum(sizes)].split(sizes, 1)
        for part, values in zip(("organ", "attribute", "relation", "rank"), pointed, strict=True):
            logits[part] = logits[part] + F.pad(values, (1, 0))
        return IntentLogits(**logits, embedding=embedding)

    def _hidden(self, named: Tensor) -> Tensor:
        """In training half of the texts don't show which structures they name: a request for one is like a request for
        another."""
        return named & (torch.rand(len(named), 1, device=named.device) < UNNAMED) if self.training else named & False

    def _seen(self, cue: Tensor) -> Tensor:
        """In training a tenth of the texts come without cues, a description need not hold any; and a quarter without
        the picture's sides among them, which can be told in more words than are known."""
        if not self.training:
            return cue
        chance = torch.rand(2, len(cue), 1, device=cue.device)
        untold = (cue == NUMBERS[PICTURES]) & (chance[1] < UNTOLD)
        return cue.masked_fill(untold | (chance[0] < UNCUED), 0)

    def _pointed(self, x: Tensor, cue: Tensor) -> Tensor:
        """How strongly each cue is pointed at, `[N, CUES]`; of several words with the same cue the strongest counts."""
        score = self.point(x)[..., 0].float().sigmoid() * self.trust
        strongest = score.new_zeros(len(x), CUE_CODES).scatter_reduce(1, cue, score, "amax")
        return strongest[:, 1 : len(CUES) + 1].to(x)


class WordingClassifier(nn.Module):
    """A second opinion, on a text's wording: a sum of embeddings of its n-grams, and one hidden layer (Joulin et al.
    2017, "Bag of tricks for efficient text classification"). It errs more often than the reader, but elsewhere: it
    knows turns of phrase, and words that are rare elsewhere, which a small pretrained encoder blurs."""

    def __init__(self, dim: int = 32, hidden: int = 256, dropout: float = 0.3) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(BUCKETS, dim, mode="sum", padding_idx=0)
        nn.init.normal_(self.embed.weight, std=0.1)
        self.layers = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout))
        self.classify = _classifiers(hidden)

    def forward(self, wording: Wording) -> IntentLogits:
        """The n-grams of N texts -> logits `[N, classes]` and embedding `[N, hidden]`."""
        seen, lengths = wording.ngrams.long(), wording.lengths * NGRAMS
        if self.training:
            seen = seen * (torch.rand(seen.shape, device=seen.device) > UNREAD)
        embedded = self.embed(seen.flatten(), lengths.cumsum(0) - lengths)
        embedding = self.layers(embedded / lengths.clamp(min=1)[:, None].sqrt())
        return IntentLogits(**{part: each(embedding) for part, each in self.classify.items()}, embedding=embedding)


class IntentHead(nn.Module):
    """The text encoder's tuned layers, the reader that goes on from them, and a second opinion.

    Args:
        tuned: Those layers, or none.
        text_dim, dim: As for `Reader`.
    """

    temperature: Tensor
    """What logits are divided by, so that the confidence can be believed; see `model.training.calibration`."""

    def __init__(self, tuned: TunedLayers, text_dim: int, dim: int) -> None:
        super().__init__()
        self.tuned, self.reader = tuned, Reader(text_dim, dim)
        self.second = WordingClassifier()
        self.register_buffer("temperature", torch.ones(()))

    def read(self, text: Tokens) -> IntentLogits:
        """The first opinion: tokens `[N, L, text_dim]` -> logits `[N, classes]` and embedding `[N, dim]`."""
        return self.reader(self.tuned(text))

    def forward(self, text: Tokens) -> IntentLogits:
        """Tokens `[N, L, text_dim]` -> both opinions' logits `[N, classes]`, and the reader's embedding `[N, dim]`."""
        read, second = self.read(text), self.second(text.wording)

        def together(part: str) -> Tensor:
            first, other = (getattr(each, part).float().log_softmax(-1) for each in (read, second))
            return (first + WORDING_WEIGHT * other) / self.temperature

        return replace(read, **{part: together(part) for part in PARTS})

    def by_length(self, text: TokenEmbeddings, at_once: int) -> IntentLogits:
        """As `forward`, at most `at_once` texts of equal length together, so that nothing is padded."""
        batches = list(equally_long(text.start.diff(), at_once))
        read, place = [vars(self(text[rows])) for rows in batches], torch.cat(batches).argsort()
        return IntentLogits(**{name: torch.cat([part[name] for part in read])[place] for name in read[0]})


def _classifiers(dim: int) -> nn.ModuleDict:
    return nn.ModuleDict({part: nn.Linear(dim, classes) for part, classes in CLASSES.items()})


def _sorts() -> Tensor:
    """What the head sees of each cue, int64 `[CUE_CODES]`: of structures, as a negative number, only that they are one,
    of which side, and whether negated."""
    sort = torch.arange(CUE_CODES)
    for base in (0, len(CUES)):
        for name in (*BY_NAME, *UNSIDED):
            first = next(o.name for o in ORGANS if o.side == BY_NAME[name].side) if name in BY_NAME else UNSIDED[0]
            sort[base + NUMBERS[name]] = -(base + NUMBERS[first])
    return sort


UNSURE = 0.31
"""What is understood with less confidence isn't acted on: the text counts as one that asks for nothing. With this limit
most of the validation texts are understood; from 0.25 to 0.36 it makes 0.3% of them."""


@dataclass(frozen=True)
class Understanding:
    """One prompt, understood: the intent, and the joint probability of its parts."""

    intent: Intent
    confidence: float


_IMAGE = FRAMES.index("image")
_SHOWN = [organ.id for organ in ORGANS if on_display(organ.name, "leftmost")]
"""The organs that are of a pair, or are one."""


def _likeliest(logits: Tensor, allowed: Sequence[int]) -> tuple[int, float]:
    """The likeliest of some classes, and its probability among them."""
    probability, index = logits[list(allowed)].softmax(-1).max(-1)
    return allowed[int(index)], float(probability)


def understand(logits: IntentLogits, unsure: float = UNSURE) -> list[Understanding]:
    """Decide each prompt's intent: the likeliest kind, then of each other part the likeliest that this kind allows.

    Args:
        logits: Of P prompts, `[P, ...]`.
        unsure: The confidence below which a prompt is taken to ask for nothing.
    """
    parts = {part: getattr(logits, part).detach().float().cpu() for part in PARTS}
    rows = ({part: values[row] for part, values in parts.items()} for row in range(len(logits.kind)))
    return [_understand(row, unsure) for row in rows]


def _understand(logits: dict[str, Tensor], unsure: float) -> Understanding:
    confidence = 1.0

    def decide(part: str, allowed: Sequence[int]) -> int:
        nonlocal confidence
        chosen, probability = _likeliest(logits[part], allowed)
        confidence *= probability
        return chosen

    def attribute(names: Sequence[Attribute]) -> Attribute:
        return ATTRIBUTES[decide("attribute", [ATTRIBUTES.index(name) + 1 for name in names]) - 1]

    kind = KINDS[decide("kind", range(len(KINDS)))]
    if kind == "anatomy":
        # Only a member of a pair can be asked for by its place in the picture.
        shown = decide("frame", range(len(FRAMES))) == _IMAGE
        organ = ORGANS[decide("organ", _SHOWN if shown else range(1, len(ORGANS) + 1)) - 1].name
        if shown:
            side = attribute(tuple(SIDES))
            intent = Intent(kind, on_display(organ, side), side, "image")
        else:
            intent = Intent(kind, organ, None, "patient", bool(decide("negated", range(2))))
    elif kind == "relation":
        organ = ORGANS[decide("organ", range(1, len(ORGANS) + 1)) - 1].name
        intent = Intent(kind, organ, relation=RELATIONS[decide("relation", range(1, len(RELATIONS) + 1)) - 1])
    elif kind == "none":
        intent = Intent(kind)
    else:
        extreme = attribute(POSITIONS if kind == "position" else SIZES)
        intent = Intent(kind, None, extreme, rank=RANKS[decide("rank", range(len(RANKS)))])
    if kind != "none" and confidence < unsure:
        return Understanding(Intent("none"), float(logits["kind"].softmax(-1)[KINDS.index("none")]))
    return Understanding(intent, confidence)
