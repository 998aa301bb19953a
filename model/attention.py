"""Multi-head attention, a transformer's layer, and the two-way block of SAM's mask decoder (Kirillov et al. 2023,
appendix A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def spread(x: Tensor, n: int) -> Tensor:
    """`[N, ...]` -> `[n, ...]`, each as often as the others."""
    return x if len(x) == n else x.repeat_interleave(n // len(x), 0)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention, by PyTorch's fused kernel; but for bfloat16 on a CPU, where that kernel's backward
    pass takes several times as long as plain products.

    Args:
        q: `[..., Lq, d]`; k and v: `[..., Lk, d]`.
        mask: Broadcasts to `[..., Lq, Lk]`: bool, False is not attended to (each query needs one that is), or float, to
            be added to the scores.

    Returns:
        `[..., Lq, d]`
    """
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v, mask)
    scores = q * q.shape[-1] ** -0.5 @ k.mT
    if mask is not None:
        scores = scores.masked_fill_(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ v


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its tokens'.

    Args:
        dim: Width of queries, keys, values and output.
        heads: Number of heads.
        shrink: The inner width is dim // shrink.
    """

    def __init__(self, dim: int, heads: int, shrink: int = 1) -> None:
        super().__init__()
        inner = dim // shrink
        self.heads = heads
        self.q, self.k, self.v = nn.Linear(dim, inner), nn.Linear(dim, inner), nn.Linear(dim, inner)
        self.out = nn.Linear(inner, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """q `[N, Lq, dim]`, k and v `[N, Lk, dim]`, mask bool `[N, Lk]` (False is not attended to) -> `[N, Lq, dim]`.
        Of q, or of k and v, there may be fewer, N / n, each for n of the others in turn."""
        n = max(len(q), len(k))
        q, k, v = (
            spread(layer(x), n).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.q, q), (self.k, k), (self.v, v))
        )
        attended = attend(q, k, v, None if mask is None else mask[:, None, None, :])
        return self.out(attended.transpose(1, 2).flatten(-2))


class EncoderLayer(nn.Module):
    """A transformer's layer: tokens attend to one another, and go through two layers of their own.

    Args:
        dim: Width of the tokens.
        heads: Number of heads.
        hidden: Width of the two layers' hidden units.
        norm_first: Norms before attention and layers (Xiong et al. 2020), not after them, as BERT has it.
        eps: Of the norms.
    """

    def __init__(self, dim: int, heads: int, hidden: int, norm_first: bool, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim, eps) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens `[N, L, dim]`, mask bool `[N, L]` (False is not attended to) -> tokens."""
        if self.norm_first:
            y = self.norms[0](x)
            x = x + self.attention(y, y, y, mask)
            return x + self.mlp(self.norms[1](x))
        x = self.norms[0](x + self.attention(x, x, x, mask))
        return self.norms[1](x + self.mlp(x))


class TokenBlock(nn.Module):
    """Tokens attend to themselves and to the image."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attention = Attention(dim, heads)
        self.token_to_image = Attention(dim, heads, shrink=2)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))

    def forward(self, tokens: Tensor, mask: Tensor, image: Tensor, position: Tensor) -> Tensor:
        """tokens `[N, L, dim]`, mask bool `[N, L]`, image `[N, S, dim]` (or N / n, each for n of the tokens in turn),
        position `[S, dim]` -> tokens."""
        tokens = self.norms[0](tokens + self.self_attention(tokens, tokens, tokens, mask))
        tokens = self.norms[1](tokens + self.token_to_image(tokens, image + position, image))
        return self.norms[2](tokens + self.mlp(tokens))


class TwoWayBlock(nn.Module):
    """The same, and then the image attends to the tokens."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.tokens = TokenBlock(dim, heads)
        self.image_to_token = Attention(dim, heads, shrink=2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor, mask: Tensor, image: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """As for `TokenBlock` -> tokens, and the image `[N, S, dim]` as each of them sees it."""
        tokens = self.tokens(tokens, mask, image, position)
        seen = self.image_to_token(image + position, tokens, tokens, mask)
        return tokens, self.norm(spread(image, len(tokens)) + seen)


def position_encoding(dim: int, side: int) -> Tensor:
    """Sines and cosines of row and column: `[side * side, dim]`, dim a multiple of 4."""
    steps = (torch.arange(side) + 0.5) / side
    waves = torch.pi * torch.logspace(0, 6, dim // 4, base=2.0)
    angles = steps[:, None] * waves
    axis = torch.cat([angles.sin(), angles.cos()], -1)
    rows = axis[:, None].expand(-1, side, -1)
    return torch.cat([rows, rows.transpose(0, 1)], -1).reshape(side * side, -1)
