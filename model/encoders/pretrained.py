"""A pretrained network as an image encoder: its embedding joins the `conv` encoder's U-Net over the pixels.

The embedding alone is too coarse to draw with (a step of 4 pixels at LiteMedSAM's size, 16 at SAM's): as in ViTMatte
(Yao et al. 2024) a convolutional stream gives the edges. And it says what is here rather than which of two kidneys it
is: the U-Net's lower levels see the whole picture.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.encoders.conv import ConvEncoder, ImageFeatures
from model.encoders.sam import SamViT
from model.encoders.text import bfloat16_where_fast
from model.encoders.tiny_vit import TinyViT

Colour = tuple[float, float, float]
REMEMBERED_BYTES = 3 << 30
"""How much memory remembered embeddings may take; one of LiteMedSAM takes 2 MiB."""


class PretrainedEncoder(nn.Module):
    """Makes of an image what the network was trained on, and tells its embedding to a U-Net.

    Args:
        network: `[B, 3, side, side]` -> `[B, channels, s, s]`.
        unet: Told the embedding.
        mean, std: What the network expects the colours of pictures in [0, 1] to be normalised by.
        frozen: The network keeps its weights and its batch statistics; the U-Net learns.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: TinyViT | SamViT, unet: ConvEncoder, mean: Colour, std: Colour, frozen: bool) -> None:
        super().__init__()
        self.network, self.unet, self.frozen = network.requires_grad_(not frozen), unet, frozen
        self._remembered: dict[bytes, Tensor] | None = None
        for name, colour in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(colour).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> PretrainedEncoder:
        """Training mode, but for a frozen network."""
        super().train(mode)
        self.network.train(mode and not self.frozen)
        return self

    def remember(self) -> None:
        """From now on keep what the network, which is frozen, makes of an image, in half precision, for when the image
        comes again: the last ones, as far as `REMEMBERED_BYTES` go."""
        self._remembered = {}

    def forward(self, x: Tensor) -> ImageFeatures:
        """`[B, 1, S, S]` in [0, 1], S as the U-Net takes it -> the features. In use the network computes in bfloat16 on
        a CPU that does so in less than half the time; training says itself what it computes in."""
        with nullcontext() if self.training else bfloat16_where_fast():
            embedding = self.embed(x)
        return self.unet(x, embedding.to(x))

    def embed(self, x: Tensor) -> Tensor:
        """The network's embedding of images, `[B, channels, s, s]`."""
        if self._remembered is None:
            return self._embed(x)
        # One by one: what is made of an image must not hang on which others were new.
        return torch.stack([self._recall(image, self._remembered) for image in x])

    def _recall(self, image: Tensor, remembered: dict[bytes, Tensor]) -> Tensor:
        key = hashlib.blake2b(image.cpu().contiguous().view(torch.uint8).numpy().tobytes()).digest()
        if key not in remembered:
            embedding = self._embed(image[None])[0].half().cpu()
            if len(remembered) >= REMEMBERED_BYTES // embedding.nbytes:
                remembered.pop(next(iter(remembered)))
            remembered[key] = embedding
        return remembered[key].to(image)

    def _embed(self, x: Tensor) -> Tensor:
        side = self.network.side
        if x.shape[-1] != side:
            # On a CPU there is no antialiasing in bfloat16, in which mixed precision brings images.
            x = F.interpolate(x.float(), (side, side), mode="bilinear", antialias=True, align_corners=False)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.network((x - self.mean) / self.std)
