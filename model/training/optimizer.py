"""How weights learn: the matrices of hidden layers by Muon, all else by AdamW."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from model.training.params import TrainParams
from model.training.processes import like, whole

MOMENTUM = 0.95
"""Nesterov's; what Jordan et al. found best, as are the two that follow."""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration: it brings singular values to between about 0.7 and 1.2."""
ITERATIONS = 5
UPDATE_RMS = 0.4
"""Root mean square of Muon's updates at a learning rate of 1. AdamW's have about 0.2 (Liu et al. 2025, "Muon is
scalable for LLM training", section 2.2), so that both can go by one rate; here twice that learned faster."""
HIDDEN = 32
"""The fewest rows and columns of a matrix that Muon gets: smaller ones, as of first and last layers, have few
directions to even out."""


class MuonAdamW(torch.optim.AdamW):
    """AdamW; and, for groups that are `orthogonal`, Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in
    neural networks"): a step's momentum is replaced by the nearest orthogonal matrix, so that no direction is learned
    at the cost of the others. (`torch.optim.Muon` takes no convolutions.)

    Args:
        groups: As `parameter_groups` gives them.
        dtype: What matrices are made orthogonal in.
    """

    def __init__(self, groups: list[dict[str, Any]], params: TrainParams, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(groups, params.learning_rate, weight_decay=params.weight_decay, fused=True)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all groups; uses up the gradients of those that are orthogonal."""
        for group in self.param_groups:
            if group["orthogonal"]:
                self._step_orthogonal(group)
        return super().step(closure)

    def _step_orthogonal(self, group: dict[str, Any]) -> None:
        alike = defaultdict(list)
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                # AdamW looks for a `step` wherever there is a state.
                state.update(step=torch.zeros(()), momentum=torch.zeros_like(weight))
            state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
            direction = whole(weight.grad.lerp(state["momentum"], MOMENTUM)).flatten(1)
            alike[direction.shape].append((weight, direction))
            weight.grad = None
        for pairs in alike.values():
            weights, directions = zip(*pairs, strict=True)
            turned = orthogonal(torch.stack(directions).to(self.dtype)).to(directions[0].dtype)
            for weight, direction in zip(weights, turned, strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(like(direction.reshape(weight.shape), weight), alpha=-group["lr"] * UPDATE_RMS)


def orthogonal(matrices: Tensor) -> Tensor:
    """About the nearest semi-orthogonal matrices, by a Newton-Schulz iteration, scaled to a root mean square near 1;
    zeros stay zeros.

    Args:
        matrices: `[N, rows, columns]`, in the precision to work in.

    Returns:
        The same shape and precision.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x * x.shape[2] ** 0.5
    return x.mT if tall else x


def build_optimizer(module: nn.Module, params: TrainParams, fabric: Fabric) -> MuonAdamW:
    """The optimizer of what a module has to learn (see `parameter_groups`), as precise as the training is."""
    mixed = fabric.strategy.precision.precision == "bf16-mixed"
    return MuonAdamW(parameter_groups(module, params), params, torch.bfloat16 if mixed else torch.float32)


def parameter_groups(module: nn.Module, params: TrainParams) -> list[dict[str, Any]]:
    """What an optimizer is to learn, in groups: `params`, their `share` of the learning rate, and whether they are
    `orthogonal`.

    The share is `pretrained_rate` for modules that say they are `pretrained`, else 1. Orthogonal are, with `muon`, the
    matrices of hidden layers that start from nothing; what pretraining brought is only to be adjusted. What is frozen
    is in no group.
    """
    learns = [p for p in module.parameters() if p.requires_grad]
    slow = {p for m in module.modules() if getattr(m, "pretrained", False) for p in m.parameters()}
    matrices = {p for m in module.modules() for p in _matrices(m)} - slow if params.optimizer == "muon" else set()
    groups = [
        {"params": [p for p in learns if p not in slow | matrices], "share": 1.0, "orthogonal": False},
        {"params": [p for p in learns if p in matrices], "share": 1.0, "orthogonal": True},
        {"params": [p for p in learns if p in slow], "share": params.pretrained_rate, "orthogonal": False},
    ]
    return [group for group in groups if group["params"]]


def _matrices(layer: nn.Module) -> list[Tensor]:
    """The weights of a hidden layer, convolutions' among them, which are matrices of one row an output channel."""
    if not isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        return []
    return [layer.weight] if min(len(layer.weight), layer.weight[0].numel()) >= HIDDEN else []
