"""The organ head: a map and a presence for each of the 24 organs of a slice, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from corpus.anatomy import N_ORGANS
from model.attention import Attention


@dataclass(frozen=True)
class OrganMaps:
    """`queries` `[B, 24, D]`, one an organ; `vectors` `[B, 24, C]`, whose dot product with the fine features gives
    `logits` `[B, 24, S, S]`; `presence` logits `[B, 24]`. Organ id i is at index i - 1."""

    queries: Tensor
    vectors: Tensor
    logits: Tensor
    presence: Tensor


class OrganHead(nn.Module):
    """Queries that start as the text embeddings of the organs' names and look at the image once.

    Args:
        name_embeddings: `[24, text_dim]`, the pooled text embedding of each organ's name.
        dim: Width of the queries and the coarse image embedding.
        fine_dim: Channels of the fine features.
    """

    def __init__(self, name_embeddings: Tensor, dim: int, fine_dim: int) -> None:
        super().__init__()
        if len(name_embeddings) != N_ORGANS:
            raise ValueError(f"expected {N_ORGANS} name embeddings, found {len(name_embeddings)}")
        generator = torch.Generator().manual_seed(0)
        projection = torch.randn(name_embeddings.shape[1], dim, generator=generator) / name_embeddings.shape[1] ** 0.5
        start = name_embeddings.float() @ projection
        self.names = nn.Parameter(torch.nn.functional.layer_norm(start, (dim,)))
        self.look = Attention(dim, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.to_vector = nn.Linear(dim, fine_dim + 1)
        self.presence = nn.Linear(dim, 1)
        nn.init.constant_(self.to_vector.bias[-1:], -2.0)  # most pixels belong to no given organ

    def forward(self, fine: Tensor, coarse: Tensor, position: Tensor) -> OrganMaps:
        """fine `[B, C, S, S]`, coarse `[B, N, D]`, position `[N, D]` -> maps."""
        queries = self.names.expand(len(fine), -1, -1)
        queries = self.norms[0](queries + self.look(queries, coarse + position, coarse))
        queries = self.norms[1](queries + self.mlp(queries))
        vectors = self.to_vector(queries)
        return OrganMaps(queries, vectors, dot(vectors, fine), self.presence(queries).squeeze(-1))


def dot(vectors: Tensor, fine: Tensor) -> Tensor:
    """Maps from vectors: `[B, P, C + 1]` (the last entry is a bias) and `[B, C, S, S]` -> logits `[B, P, S, S]`."""
    weights, bias = vectors[..., :-1], vectors[..., -1:]
    return torch.baddbmm(bias, weights, fine.flatten(2)).unflatten(-1, fine.shape[-2:])
