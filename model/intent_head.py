"""The intent head: what a prompt asks for, read from its tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.anatomy import N_ORGANS, ORGANS
from model.text_encoder import CUE_CODES, Tokens
from prompts.cues import CUES
from prompts.intent import ATTRIBUTES, FRAMES, KINDS, Intent

NO_ORGAN = 0
"""Organ class 0 is "none"; class i is the organ with id i."""
NO_ATTRIBUTE = 0
UNCUED = 0.1
"""Share of the texts that the head sees without cues in training."""


@dataclass(frozen=True)
class IntentLogits:
    """Logits of each part of the intent, `[..., classes]`, and the `embedding` `[..., D]` that conditions the
    decoder."""

    kind: Tensor
    organ: Tensor
    attribute: Tensor
    frame: Tensor
    embedding: Tensor

    def __getitem__(self, rows: slice | Tensor) -> IntentLogits:
        """Some of the prompts."""
        return IntentLogits(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class IntentTargets:
    """Class indices of each part of the intent, int64 `[N]`."""

    kind: Tensor
    organ: Tensor
    attribute: Tensor
    frame: Tensor

    def __getitem__(self, rows: Tensor) -> IntentTargets:
        return IntentTargets(self.kind[rows], self.organ[rows], self.attribute[rows], self.frame[rows])

    @classmethod
    def of(cls, intents: list[Intent]) -> IntentTargets:
        """Encode intents as class indices."""
        ids = {organ.name: organ.id for organ in ORGANS}
        return cls(
            torch.tensor([KINDS.index(i.kind) for i in intents]),
            torch.tensor([ids[i.organ] if i.organ else NO_ORGAN for i in intents]),
            torch.tensor([ATTRIBUTES.index(i.attribute) + 1 if i.attribute else NO_ATTRIBUTE for i in intents]),
            torch.tensor([FRAMES.index(i.frame) for i in intents]),
        )


class IntentHead(nn.Module):
    """A small transformer over frozen token embeddings and their cues, one classifier for each part of the intent.

    Organ and attribute are also pointed at (Vinyals et al. 2015, "Pointer networks"): the head learns which of a text's
    cues is asked for, and what it learns of one structure holds for all of them.

    Args:
        text_dim: Width of the text encoder's tokens.
        dim: Width of the head and of its embedding.
    """

    def __init__(self, text_dim: int, dim: int, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(text_dim, dim), nn.LayerNorm(dim), nn.Dropout(dropout))
        self.cue = nn.Embedding(CUE_CODES, dim, padding_idx=0)
        self.summary = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.kind = nn.Linear(dim, len(KINDS))
        self.organ = nn.Linear(dim, N_ORGANS + 1)
        self.attribute = nn.Linear(dim, len(ATTRIBUTES) + 1)
        self.frame = nn.Linear(dim, len(FRAMES))
        self.point = nn.Linear(dim, 1)
        self.trust = nn.Parameter(torch.full((1,), 4.0))

    def forward(self, text: Tokens) -> IntentLogits:
        """Tokens `[N, L, text_dim]` -> logits `[N, classes]` and embedding `[N, dim]`."""
        cue = self._seen(text.cue)
        x = self.project(text.embedding) + self.cue(cue)
        x = torch.cat([self.summary.expand(len(x), -1, -1), x], 1)
        keep = torch.cat([text.mask.new_ones(len(x), 1), text.mask], 1)
        x = self.encoder(x, src_key_padding_mask=~keep)
        embedding = x[:, 0]
        pointed = self._pointed(x[:, 1:], cue)
        return IntentLogits(
            self.kind(embedding),
            self.organ(embedding) + F.pad(pointed[:, :N_ORGANS], (1, 0)),
            self.attribute(embedding) + F.pad(pointed[:, N_ORGANS:], (1, 0)),
            self.frame(embedding),
            embedding,
        )

    def _seen(self, cue: Tensor) -> Tensor:
        """In training a tenth of the texts come without cues: a description need not hold any."""
        return cue * (torch.rand(len(cue), 1, device=cue.device) > UNCUED) if self.training else cue

    def _pointed(self, x: Tensor, cue: Tensor) -> Tensor:
        """How strongly each cue is pointed at, `[N, CUES]`; of several words with the same cue the strongest counts."""
        score = self.point(x)[..., 0].float().sigmoid() * self.trust
        strongest = score.new_zeros(len(x), CUE_CODES).scatter_reduce(1, cue, score, "amax")
        return strongest[:, 1 : len(CUES) + 1].to(x)


@dataclass(frozen=True)
class Understanding:
    """One prompt, understood: the intent, and the joint probability of its parts."""

    intent: Intent
    confidence: float


def understand(logits: IntentLogits) -> list[Understanding]:
    """Decide each prompt's intent: the likeliest kind, then the likeliest organ or attribute that this kind allows."""
    kind = logits.kind.float().softmax(-1).cpu()
    organ = logits.organ.float()[:, 1:].softmax(-1).cpu()
    attribute = logits.attribute.float().cpu()
    results = []
    for row in range(len(kind)):
        probability, index = kind[row].max(-1)
        name = KINDS[int(index)]
        confidence = float(probability)
        if name == "anatomy":
            best, organ_index = organ[row].max(-1)
            intent = Intent("anatomy", ORGANS[int(organ_index)].name, None, "patient")
            confidence *= float(best)
        elif name in ("position", "size"):
            allowed = slice(1, 5) if name == "position" else slice(5, 7)
            best, offset = attribute[row, allowed].softmax(-1).max(-1)
            intent = Intent(name, None, ATTRIBUTES[int(offset) + allowed.start - 1], "image")
            confidence *= float(best)
        else:
            intent = Intent("none", None, None, "image")
        results.append(Understanding(intent, confidence))
    return results
