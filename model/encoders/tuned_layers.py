"""The layers of a sentence encoder that learn along with the intent head, where the frozen ones leave off.

The frozen layers are what every text is embedded by, once; these go on from there. What pretraining knows of language
is their beginning, and reading requests is what they learn: they generalise far better than a head on frozen layers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from corpus.errors import InputError
from corpus.params import params_dataclass
from model.attention import EncoderLayer
from model.encoders.text import KEY, TextEncoderParams, Tokens, load_network


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
            EncoderLayer(dim, shape.heads, shape.feedforward, norm_first=False, eps=1e-12) for _ in range(shape.layers)
        )

    def forward(self, text: Tokens) -> Tokens:
        """Tokens `[N, L, dim]` -> the same tokens, read on."""
        x = text.embedding
        for layer in self.layers:
            x = layer(x, text.mask)
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
    if not layers or not {f"{name}weight" for name in _NAMES.values()} <= layers[0].state_dict().keys():
        raise InputError(f"{KEY}.tuned", "only layers like BERT's can learn along", "set it to 0 in params.yaml")
    first = params.layers or 0
    last, count = first + params.tuned, len(layers)
    if not first or last > count:
        found = f"expected layers + tuned to be at most {count}, and layers at least 1, found {first} + {params.tuned}"
        raise InputError(KEY, found, "correct it in params.yaml")
    shape = TunedShape(params.tuned, network.config.num_attention_heads, network.config.intermediate_size)
    tuned = TunedLayers(width, shape)
    for layer, source in zip(tuned.layers, layers[first:last], strict=True):
        layer.load_state_dict(_own_names(source.state_dict()))
    return tuned


_NAMES = {
    "attention.q.": "attention.self.query.",
    "attention.k.": "attention.self.key.",
    "attention.v.": "attention.self.value.",
    "attention.out.": "attention.output.dense.",
    "norms.0.": "attention.output.LayerNorm.",
    "mlp.0.": "intermediate.dense.",
    "mlp.2.": "output.dense.",
    "norms.1.": "output.LayerNorm.",
}
"""Of `EncoderLayer`, and of `transformers`' BertLayer."""


def _own_names(source: dict[str, Tensor]) -> dict[str, Tensor]:
    return {own + part: source[name + part] for own, name in _NAMES.items() for part in ("weight", "bias")}
