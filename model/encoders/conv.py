"""The `conv` image encoder, trained from scratch, and what every image encoder gives and is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class ImageFeatures:
    """`fine` `[B, C, S, S]` is dotted with a mask's vector; `coarse` `[B, D, s, s]` is attended to."""

    fine: Tensor
    coarse: Tensor


def conv_block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class ConvEncoder(nn.Module):
    """A small U-Net that works on 2x2 pixel blocks (nothing is lost: they are shuffled back at the end).

    Skips are added, as in a feature pyramid (Lin et al. 2017), not concatenated: half the work for the same
    accuracy here.

    Args:
        widths: Channels at 1/2, 1/4, 1/8, ... of the resolution.
        fine_dim: Channels of the fine features.
        coarse_dim: Channels of the coarse embedding, at 1/8 of the resolution.
        told: Channels of a pretrained network's embedding of the image, which joins at 1/4 and 1/8 of the resolution;
            0: there is none.
    """

    def __init__(self, widths: tuple[int, ...], fine_dim: int, coarse_dim: int, told: int = 0) -> None:
        super().__init__()
        first = widths[0]
        pairs = list(pairwise(widths))
        self.stem = nn.Sequential(conv_block(4, first), conv_block(first, first))
        self.down = nn.ModuleList(nn.Sequential(conv_block(a, b, stride=2), conv_block(b, b)) for a, b in pairs)
        self.reduce = nn.ModuleList(nn.Sequential(nn.Conv2d(b, a, 1, bias=False), nn.BatchNorm2d(a)) for a, b in pairs)
        self.up = nn.ModuleList(nn.Sequential(nn.ReLU(inplace=True), conv_block(a, a)) for a, _ in pairs)
        self.to_fine = nn.Conv2d(first, 4 * fine_dim, 1)
        self.to_coarse = nn.Conv2d(widths[2], coarse_dim, 1)
        joined = widths[1:3] if told else ()
        self.join = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(told), nn.Conv2d(told, width, 1)) for width in joined)
        nn.Module.to(self, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> ImageFeatures:
        """`[B, 1, S, S]` in [0, 1], S a multiple of 2^(number of widths), and, where the encoder is told one, an
        embedding `[B, told, s, s]` -> the features."""
        levels = [self.stem(F.pixel_unshuffle(x - 0.5, 2).contiguous(memory_format=torch.channels_last))]
        for i, down in enumerate(self.down):
            level = down(levels[-1])
            if embedding is not None and i < len(self.join):
                level = level + self.join[i](F.interpolate(embedding, level.shape[-2:], mode="area"))
            levels.append(level)
        for i in reversed(range(len(self.up))):
            above = F.interpolate(self.reduce[i](levels[i + 1]), scale_factor=2, mode="nearest")
            levels[i] = self.up[i](above + levels[i])
        return ImageFeatures(F.pixel_shuffle(self.to_fine(levels[0]), 2), self.to_coarse(levels[2]))
