"""A pretrained network as an image encoder: its embedding for what is where, a small pyramid over the pixels for edges.

The embedding alone is too coarse to draw with (a step of 4 pixels at LiteMedSAM's size, 16 at SAM's), so that, as in
ViTMatte (Yao et al. 2024), a convolutional stream from the image meets it on the way back to full resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.encoders.conv import ImageFeatures, conv_block
from model.encoders.sam import SamViT
from model.encoders.tiny_vit import TinyViT

Colour = tuple[float, float, float]


class DetailPyramid(nn.Module):
    """An embedding and the image that it is of -> features for attention and for drawing.

    Args:
        channels: Of the embedding.
        widths: Channels at 1/2 and 1/4 of the image's resolution; further ones aren't used.
        fine_dim: Channels of the fine features.
        coarse_dim: Channels of the coarse features, at half of the embedding's resolution.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], fine_dim: int, coarse_dim: int) -> None:
        super().__init__()
        half, quarter = widths[:2]
        self.to_half = conv_block(4, half)
        self.to_quarter = conv_block(half, quarter, stride=2)
        self.project = nn.Conv2d(channels, quarter, 1)
        self.mix_quarter = nn.Sequential(conv_block(quarter, quarter), nn.Conv2d(quarter, half, 1))
        self.mix_half = conv_block(half, half)
        self.to_fine = nn.Conv2d(half, 4 * fine_dim, 1)
        self.to_coarse = nn.Conv2d(channels, coarse_dim, 2, stride=2)
        nn.Module.to(self, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, embedding: Tensor, image: Tensor) -> ImageFeatures:
        """embedding `[B, channels, s, s]`, image `[B, 1, S, S]` in [0, 1], S a multiple of 4 -> the features."""
        half = self.to_half(F.pixel_unshuffle(image - 0.5, 2).contiguous(memory_format=torch.channels_last))
        quarter = self.to_quarter(half)
        seen = F.interpolate(self.project(embedding), quarter.shape[-2:], mode="bilinear", align_corners=False)
        mixed = F.interpolate(self.mix_quarter(quarter + seen), scale_factor=2, mode="nearest")
        fine = F.pixel_shuffle(self.to_fine(self.mix_half(half + mixed)), 2)
        return ImageFeatures(fine, self.to_coarse(embedding))


class PretrainedEncoder(nn.Module):
    """Makes of an image what the network was trained on, and of its embedding what the rest of the model needs.

    Args:
        network: `[B, 3, side, side]` -> `[B, channels, s, s]`.
        mean, std: What the network expects the colours of pictures in [0, 1] to be normalised by.
        frozen: The network keeps its weights and its batch statistics; the pyramid learns.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: TinyViT | SamViT, pyramid: DetailPyramid, mean: Colour, std: Colour, frozen: bool
    ) -> None:
        super().__init__()
        self.network, self.pyramid, self.frozen = network.requires_grad_(not frozen), pyramid, frozen
        for name, colour in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(colour).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Training mode, but for a frozen network."""
        super().train(mode)
        self.network.train(mode and not self.frozen)
        return self

    def forward(self, x: Tensor) -> ImageFeatures:
        """`[B, 1, S, S]` in [0, 1], S a multiple of 4 -> the features."""
        return self.pyramid(self.embed(x), x)

    def embed(self, x: Tensor) -> Tensor:
        """The network's embedding of an image."""
        side = self.network.side
        if x.shape[-1] != side:
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.network((x - self.mean) / self.std)
