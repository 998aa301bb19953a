"""The intent head: what a prompt asks for, read from its tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from corpus.anatomy import N_ORGANS, ORGANS
from prompts.intent import ATTRIBUTES, FRAMES, KINDS, Intent

NO_ORGAN = 0
"""Organ class 0 is "none"; class i is the organ with id i."""
NO_ATTRIBUTE = 0


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
    """A small transformer over frozen token embeddings, one classifier for each part of the intent.

    Args:
        text_dim: Width of the text encoder's tokens.
        dim: Width of the head and of its embedding.
    """

    def __init__(self, text_dim: int, dim: int, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(text_dim, dim), nn.LayerNorm(dim), nn.Dropout(dropout))
        self.summary = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.kind = nn.Linear(dim, len(KINDS))
        self.organ = nn.Linear(dim, N_ORGANS + 1)
        self.attribute = nn.Linear(dim, len(ATTRIBUTES) + 1)
        self.frame = nn.Linear(dim, len(FRAMES))

    def forward(self, tokens: Tensor, mask: Tensor) -> IntentLogits:
        """tokens `[N, L, text_dim]`, mask bool `[N, L]` -> logits `[N, classes]` and embedding `[N, dim]`."""
        x = torch.cat([self.summary.expand(len(tokens), -1, -1), self.project(tokens)], 1)
        keep = torch.cat([mask.new_ones(len(mask), 1), mask], 1)
        embedding = self.encoder(x, src_key_padding_mask=~keep)[:, 0]
        return IntentLogits(
            self.kind(embedding), self.organ(embedding), self.attribute(embedding), self.frame(embedding), embedding
        )


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
