"""The layers of a sentence encoder that learn along with the intent head, where the frozen ones leave off.

The frozen layers are what every text is embedded by, once; these go on from there. What pretraining knows of language
is their beginning, and reading requests is what they learn: they generalise far better than a head on frozen layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from corpus.errors import InputError
from corpus.params import params_dataclass
from model.text_encoder import KEY, TextEncoderParams, Tokens, load_network


@params_dataclass
class TunedShape:
    """What the layers look like; by default there are none."""

    layers: int = 0
    heads: int = 1
    """Of attention, a layer."""
    feedforward: int = 1
    """Width of a layer's hidden units."""


class TunedLayers(nn.Module):
    """BERT's layers (post-norm transformers) over tokens; without any, tokens stay as they are.

    Args:
        dim: Width of the tokens.
    """

    pretrained = True
    """Learns at `TrainParams.pretrained_rate`."""

    def __init__(self, dim: int, shape: TunedShape) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                dim, shape.heads, shape.feedforward, 0.0, "gelu", layer_norm_eps=1e-12, batch_first=True
            )
            for _ in range(shape.layers)
        )

    def forward(self, text: Tokens) -> Tokens:
        """Tokens `[N, L, dim]` -> the same tokens, read on."""
        x = text.embedding
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~text.mask)
        return replace(text, embedding=x * text.mask[..., None])


def load_tuned_layers(params: TextEncoderParams) -> TunedLayers:
    """The text encoder's layers that follow the frozen ones, with their pretrained weights, on the CPU.

    Raises:
        InputError: The encoder has too few of them, or isn't made like BERT.
    """
    network: Any = load_network(params)[0]
    width = network.config.hidden_size
    if not params.tuned:
        return TunedLayers(width, TunedShape())
    layers = getattr(getattr(network, "encoder", None), "layer", ())
    if not layers or not {name for names in _NAMES.values() for name in names} <= _parts(layers[0]):
        raise InputError(f"{KEY}.tuned", "only layers like BERT's can learn along", "set it to 0 in params.yaml")
    first = params.layers or 0
    last, count = first + params.tuned, len(layers)
    if not first or last > count:
        found = f"expected layers + tuned to be at most {count}, and layers at least 1, found {first} + {params.tuned}"
        raise InputError(KEY, found, "correct it in params.yaml")
    shape = TunedShape(params.tuned, network.config.num_attention_heads, network.config.intermediate_size)
    tuned = TunedLayers(width, shape)
    for layer, source in zip(tuned.layers, layers[first:last], strict=True):
        layer.load_state_dict(_as_torch_names(source.state_dict()))
    return tuned


_NAMES = {
    "self_attn.in_proj_": ("attention.self.query.", "attention.self.key.", "attention.self.value."),
    "self_attn.out_proj.": ("attention.output.dense.",),
    "norm1.": ("attention.output.LayerNorm.",),
    "linear1.": ("intermediate.dense.",),
    "linear2.": ("output.dense.",),
    "norm2.": ("output.LayerNorm.",),
}
"""Of `nn.TransformerEncoderLayer`, and of `transformers`' BertLayer, whose weights are put one under the other."""


def _parts(layer: nn.Module) -> set[str]:
    return {name.removesuffix("weight") for name in layer.state_dict()}


def _as_torch_names(source: dict[str, Tensor]) -> dict[str, Tensor]:
    def joined(names: Sequence[str], part: str) -> Tensor:
        return torch.cat([source[name + part] for name in names])

    return {own + part: joined(names, part) for own, names in _NAMES.items() for part in ("weight", "bias")}
