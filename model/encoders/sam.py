"""SAM's image encoder (Kirillov et al. 2023): a ViT from `transformers`, its architecture given by parameters."""

from __future__ import annotations

from torch import Tensor, nn

from corpus.params import params_dataclass


@params_dataclass
class SamViTParams:
    """The architecture; ViT-B, SAM's and MedSAM's, by default."""

    side: int = 1024
    """Of the input, in pixels."""
    patch: int = 16
    """Side of a patch, in pixels."""
    dim: int = 768
    depth: int = 12
    heads: int = 12
    window: int = 14
    """Side of an attention window, in patches."""
    global_layers: tuple[int, ...] = (2, 5, 8, 11)
    """The layers that attend to the whole picture."""
    channels: int = 256
    """Of the embedding."""

    def __post_init__(self) -> None:
        if self.dim % self.heads or self.side % self.patch:
            raise ValueError("dim must be a multiple of heads, and side of patch")


class SamViT(nn.Module):
    """The network: `[B, 3, side, side]`, normalised -> `[B, channels, side / patch, side / patch]`."""

    pretrained = True
    """Learns, where it isn't frozen, at `TrainParams.pretrained_rate`."""

    def __init__(self, params: SamViTParams) -> None:
        super().__init__()
        from transformers import SamVisionConfig, SamVisionModel

        self.side, self.channels = params.side, params.channels
        config = SamVisionConfig(
            hidden_size=params.dim,
            output_channels=params.channels,
            num_hidden_layers=params.depth,
            num_attention_heads=params.heads,
            image_size=params.side,
            patch_size=params.patch,
            window_size=params.window,
            global_attn_indexes=params.global_layers,
            initializer_range=0.02,
        )
        self.vit = SamVisionModel(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.vit(x).last_hidden_state
