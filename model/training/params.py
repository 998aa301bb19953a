"""How long and how fast a training stage learns."""

from __future__ import annotations

from math import cos, pi
from typing import Literal

from corpus.params import check_least, params_dataclass


@params_dataclass
class TrainParams:
    """Sections `train_...` of params.yaml."""

    steps: int
    batch_size: int
    """Slices, or texts, a step, of all processes together."""
    learning_rate: float
    weight_decay: float
    warmup: int
    """Steps of linear warm-up; then a cosine lowers the rate, which would be zero one step after the last."""
    validate_every: int
    seed: int
    threads: int
    """CPU threads. A parameter, because another number changes the last bits of the weights."""
    optimizer: Literal["muon", "adamw"] = "muon"
    """muon: for the matrices of hidden layers that start from nothing, adamw for all else; see optimizer.py."""
    pretrained_rate: float = 1.0
    """Of weights that come pretrained: their learning rate, as a share of the others'."""
    prompts: int = 1
    """Prompts a slice, where a stage asks any."""
    accumulate: int = 1
    """Parts that a batch is worked through in, for memory's sake; their gradients are averaged."""
    ema: float = 0.0
    """Decay of a moving average of the weights, which is validated and saved in their stead; 0 for none."""
    patience: int = 0
    """Validations in a row without a better `watch` after which training stops, and the best weights are kept; 0 to
    train to the end and keep the last."""
    watch: str = "loss"
    """The validation loss that `patience` looks at: `loss`, or one of those that make it up."""

    def __post_init__(self) -> None:
        check_least(self, steps=1, batch_size=1, prompts=1, validate_every=1, threads=1, accumulate=1)
        check_least(self, seed=0, weight_decay=0, pretrained_rate=0, warmup=0, patience=0)
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, but found {self.learning_rate}")
        if self.warmup > self.steps:
            raise ValueError(f"warmup must be at most steps, {self.steps}, found {self.warmup}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be from 0 to below 1, but found {self.ema}")


def rate(step: int, params: TrainParams) -> float:
    """The learning rate of a step."""
    if step < params.warmup:
        return params.learning_rate * (step + 1) / params.warmup
    done = (step - params.warmup) / max(1, params.steps - params.warmup)
    return params.learning_rate * (1 + cos(pi * done)) / 2
