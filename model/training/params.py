"""How long and how fast a training stage learns."""

from __future__ import annotations

from math import cos, pi
from typing import Literal

from corpus.params import params_dataclass


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
        if min(self.steps, self.batch_size, self.prompts, self.validate_every, self.threads, self.accumulate) < 1:
            raise ValueError("steps, batch_size, prompts, validate_every, threads and accumulate must be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, found {self.seed}")
        if self.learning_rate <= 0 or min(self.weight_decay, self.pretrained_rate, self.warmup) < 0:
            raise ValueError("learning_rate must be above 0, and weight_decay, pretrained_rate and warmup at least 0")
        if self.warmup > self.steps:
            raise ValueError(f"warmup must be at most steps, {self.steps}, found {self.warmup}")
        if not 0 <= self.ema < 1 or self.patience < 0:
            raise ValueError("ema must be from 0 to below 1, and patience at least 0")


def rate(step: int, params: TrainParams) -> float:
    """The learning rate of a step."""
    if step < params.warmup:
        return params.learning_rate * (step + 1) / params.warmup
    done = (step - params.warmup) / max(1, params.steps - params.warmup)
    return params.learning_rate * (1 + cos(pi * done)) / 2
