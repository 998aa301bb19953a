"""The mask decoder: SAM's two-way transformer over a prompt's tokens and the image's coarse embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.attention import TokenBlock, TwoWayBlock
from model.organ_head import dot


class MaskDecoder(nn.Module):
    """Turns a prompt into a vector whose dot product with the fine features is the mask.

    The vector is the resolved organ's own plus what the two-way transformer adds, so that a prompt whose organ is
    known starts from that organ's map.

    Args:
        text_dim: Width of the text encoder's tokens.
        dim: Width of tokens and coarse image embedding.
        fine_dim: Channels of the fine features.
    """

    def __init__(self, text_dim: int, dim: int, fine_dim: int, depth: int = 2) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.project = nn.Linear(text_dim, dim)
        self.blocks = nn.ModuleList(TwoWayBlock(dim, 4) for _ in range(depth - 1))
        self.last_block = TokenBlock(dim, 4)  # whose image nobody looks at
        last = nn.Linear(dim, fine_dim + 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.to_vector = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), last)

    def forward(
        self,
        text: Tensor,
        mask: Tensor,
        intent: Tensor,
        query: Tensor,
        vector: Tensor,
        coarse: Tensor,
        fine: Tensor,
        position: Tensor,
    ) -> Tensor:
        """Decode P prompts for each of B images.

        Args:
            text: `[B, P, L, text_dim]` token embeddings; mask: bool `[B, P, L]`.
            intent: `[B, P, D]` intent embeddings.
            query, vector: `[B, P, D]` and `[B, P, C + 1]` of the organ that each prompt resolves to (zero where none).
            coarse: `[B, N, D]`; fine: `[B, C, S, S]`; position: `[N, D]`.

        Returns:
            Mask logits `[B, P, S, S]`.
        """
        batch, prompts = text.shape[:2]
        lead = torch.stack([self.mask_token.expand(batch, prompts, -1), query, intent], 2)
        tokens = torch.cat([lead, self.project(text)], 2).flatten(0, 1)
        keep = torch.cat([mask.new_ones(batch, prompts, 3), mask], 2).flatten(0, 1)
        image = coarse
        for block in self.blocks:
            tokens, image = block(tokens, keep, image, position)
        tokens = self.last_block(tokens, keep, image, position)
        return dot(vector + self.to_vector(tokens[:, 0]).unflatten(0, (batch, prompts)), fine)
