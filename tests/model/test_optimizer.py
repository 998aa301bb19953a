"""Matrices of hidden layers learn by Muon, all else by AdamW."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from model.attention import Attention
from model.training.optimizer import UPDATE_RMS, MuonAdamW, orthogonal, parameter_groups
from tests.model.training_run import PARAMS


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 32, 288), (1, 256, 64)])
def test_matrices_become_orthogonal_whatever_their_size(
    shape: tuple[int, int, int], scale: float, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    found = orthogonal((torch.randn(shape) * scale).to(dtype))
    assert found.shape == shape
    assert found.dtype == dtype
    singular = torch.linalg.svdvals(found.double()) / max(shape[1:]) ** 0.5
    assert (singular.amax(1) < 1.3).all()
    assert (singular.median(1).values > 0.6).all()
    assert found.float().square().mean((1, 2)).sqrt().tolist() == pytest.approx([1.0] * shape[0], rel=0.2)


def test_nothing_stays_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 4, 18)), torch.zeros(1, 4, 18))


def step(layer: nn.Module, gradient: Tensor, rate: float = 1.0, decay: float = 0.0) -> Tensor:
    """How far one step moves a layer's weight."""
    before = layer.weight.detach().clone()  # type: ignore[union-attr,operator]
    layer.weight.grad = gradient  # type: ignore[assignment]
    params = replace(PARAMS, learning_rate=rate, weight_decay=decay)
    MuonAdamW(parameter_groups(layer, params), params).step()
    return layer.weight.detach() - before  # type: ignore[union-attr,operator]


def test_a_convolution_learns_all_directions_alike() -> None:
    """Though the gradient is a thousand times as strong in one direction as in another."""
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, 32))[0] for n in (32, 288))
    strength = torch.logspace(0, -3, 32)
    gradient = (left * strength @ right.T).reshape(32, 32, 3, 3)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        convolution = nn.Conv2d(32, 32, 3, bias=False).to(memory_format=memory_format)  # type: ignore[call-overload]
        moved = step(convolution, gradient)
        assert float(moved.square().mean().sqrt()) == pytest.approx(UPDATE_RMS, rel=0.5)
        along = -(left.T @ moved.flatten(1) @ right).diagonal() / (UPDATE_RMS * 288**0.5)
        assert (along[strength > 0.03] > 0.5).all()
        assert (along < 1.3).all()
        assert (along > 0).all()


def test_weights_decay_with_the_rate() -> None:
    layer = nn.Linear(32, 32, bias=False)
    nn.init.ones_(layer.weight)
    moved = step(layer, torch.zeros(32, 32), rate=0.1, decay=0.5)
    torch.testing.assert_close(moved, torch.full((32, 32), -0.05))


def test_hidden_matrices_that_start_from_nothing_are_orthogonal() -> None:
    layers = nn.ModuleDict(
        {
            "hidden": nn.Conv2d(32, 32, 3),
            "attention": Attention(32, 4),
            "out": nn.Linear(32, 7),
            "embedding": nn.Embedding(100, 32),
            "norm": nn.BatchNorm2d(32),
            "begun": nn.Linear(32, 32),
            "frozen": nn.Linear(32, 32).requires_grad_(False),
        }
    )
    layers["begun"].pretrained = True  # type: ignore[assignment]
    names = {id(p): name for name, p in layers.named_parameters()}
    groups = parameter_groups(layers, replace(PARAMS, pretrained_rate=0.5))
    found = {names[id(p)]: (group["share"], group["orthogonal"]) for group in groups for p in group["params"]}
    assert {name for name, (_, orthogonal) in found.items() if orthogonal} == {
        "hidden.weight",
        *(f"attention.{name}.weight" for name in ("q", "k", "v", "out")),
    }
    assert {name for name, (share, _) in found.items() if share == 0.5} == {"begun.weight", "begun.bias"}
    assert len(found) == sum(len(group["params"]) for group in groups)
    assert set(names.values()) - set(found) == {"frozen.weight", "frozen.bias"}
    assert not any(group["orthogonal"] for group in parameter_groups(layers, replace(PARAMS, optimizer="adamw")))


def test_pretrained_weights_learn_at_their_own_pace() -> None:
    def moved(share: float) -> tuple[float, float]:
        torch.manual_seed(0)
        objective = nn.ModuleDict({"begun": nn.Linear(4, 4), "new": nn.Linear(4, 4), "frozen": nn.Linear(4, 4)})
        objective["begun"].pretrained = True  # type: ignore[assignment]
        objective["frozen"].pretrained = True  # type: ignore[assignment]
        objective["frozen"].requires_grad_(False)
        groups = parameter_groups(objective, replace(PARAMS, pretrained_rate=share))
        assert sum(len(group["params"]) for group in groups) == 4
        start = {name: module.weight.detach().clone() for name, module in objective.items()}
        optimizer = torch.optim.SGD(groups, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = group["share"]
        sum(p.sum() for p in objective.parameters()).backward()  # type: ignore[union-attr]
        optimizer.step()
        distance = {
            name: float((module.weight - start[name]).detach().abs().max()) for name, module in objective.items()
        }
        assert distance["frozen"] == 0
        return distance["new"], distance["begun"]

    assert moved(0.25) == pytest.approx((1.0, 0.25))
    assert moved(1.0) == pytest.approx((1.0, 1.0))
