"""The canonical view doesn't depend on how a slice is turned, for any weights; restoring is exact."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from model.canonicalizer import Canonicalizer, CanonicalizerParams, RandomErasing, build_canonicalizer
from model.data import Batch
from model.groups import INVERSE, ORDER, act, act_batch, compose, rotate
from model.training.objectives import CanonicalizerObjective, LossWeights

PARAMS = CanonicalizerParams(
    kind="d4", order=8, residual=True, dead_zone=5.0, size=16, width=4, erased=0, sure_probability=0.9
)
SIZES = [16, 32, 33, 47]


def untrained(params: CanonicalizerParams = PARAMS, seed: int = 0) -> Canonicalizer:
    torch.manual_seed(seed)
    model = build_canonicalizer(params).eval()
    if params.kind != "identity":
        model.score.weight.data *= 1e6  # untrained scores lie so close that all would be unsure
        model.angle.bias.data = torch.tensor([1.0, 0.25])  # and untrained angles would contradict them
    return model


def pictures(count: int, size: int, seed: int) -> Tensor:
    """Slices that lie straight: a big organ on the left, a small one on the right, a spine at the bottom; and noise."""
    generator = torch.Generator().manual_seed(seed)
    at = (torch.arange(size) + 0.5) / size
    rows, cols = torch.meshgrid(at, at, indexing="ij")
    x = 0.2 * torch.rand(count, 1, size, size, generator=generator)
    for row, col, radius in ((0.45, 0.33, 0.16), (0.42, 0.7, 0.08), (0.75, 0.5, 0.07)):
        jitter = 0.02 * torch.randn(count, 2, 1, 1, 1, generator=generator)
        x += 0.8 * ((rows - row - jitter[:, 0]).square() + (cols - col - jitter[:, 1]).square() < radius**2)
    return x.clamp(0, 1)


@cache
@torch.enable_grad()
def trained(kind: str = "d4") -> Canonicalizer:
    """A canonicalizer that has learnt those pictures, straight and askew."""
    torch.manual_seed(0)
    model = build_canonicalizer(replace(PARAMS, kind=kind, residual=kind == "d4", size=32))
    objective = CanonicalizerObjective(model, LossWeights())
    optimizer = torch.optim.AdamW(objective.parameters(), 3e-3)
    nothing = torch.zeros(0)
    for step in range(120):
        degrees = 100 * torch.rand(16, generator=torch.Generator().manual_seed(step)) - 50
        degrees[:4] = 0
        image = rotate(pictures(16, 32, step), degrees)
        loss = objective(Batch(image, nothing, nothing, nothing, nothing, degrees))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def differs(a: Tensor, b: Tensor) -> Tensor:
    """How far two angles lie apart, in degrees."""
    return ((a - b + 180) % 360 - 180).abs()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("weights", ["random", "trained", "random, without residual angle", "random, D8"])
@torch.no_grad()
def test_canonical_view_is_the_same_for_every_element(size: int, dtype: torch.dtype, weights: str) -> None:
    params = replace(PARAMS, residual="without" not in weights, kind="dn" if "D8" in weights else "d4")
    model = untrained(params, size)
    if weights == "trained":
        model = build_canonicalizer(trained().params).eval()
        model.load_state_dict(trained().state_dict())
    model = model.to(dtype)
    x = pictures(8, size, seed=1)
    if weights == "trained":
        x = rotate(x, torch.tensor([0.0, 0, 15, -15, 25, -25, 35, -35]))
    x = x.to(dtype)
    canonical, pose = model.canonicalize(x)
    assert pose.sure.sum() >= 4, "too few poses are sure to show anything"
    for g in range(ORDER):
        again, turned = model.canonicalize(act(g, x))
        assert torch.equal(again[pose.sure], canonical[pose.sure])
        assert torch.equal(turned.degrees[pose.sure], pose.degrees[pose.sure])
        # h(g x) = h(x) g^-1: first undo g, then do what x needs.
        expected = [compose(INVERSE[g], h) for h in pose.element.tolist()]
        assert [h for h, s in zip(turned.element.tolist(), pose.sure, strict=True) if s] == [
            h for h, s in zip(expected, pose.sure, strict=True) if s
        ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_low_resolution_copy_turns_with_the_slice(size: int, dtype: torch.dtype) -> None:
    model, x = untrained(), pictures(2, size, 0).to(dtype)
    for g in range(ORDER):
        torch.testing.assert_close(model.low(act(g, x)), act(g, model.low(x)))


def test_restore_inverts_masks_and_images() -> None:
    model = untrained(replace(PARAMS, residual=False))
    x = torch.rand(8, 1, 21, 21)
    canonical, pose = model.canonicalize(x)
    assert len(pose.element.unique()) > 1
    assert torch.equal(model.restore(canonical, pose), x)
    masks = torch.rand(8, 5, 21, 21) > 0.5
    assert torch.equal(model.restore(act_batch(pose.element, masks), pose), masks)


@torch.no_grad()
def test_slices_askew_are_brought_upright_and_back() -> None:
    straight = pictures(64, 48, seed=999)
    degrees = 90 * torch.rand(64, generator=torch.Generator().manual_seed(3)) - 45
    element = torch.arange(64) % ORDER
    turned = act_batch(element, rotate(straight, degrees))
    canonical, pose = trained().canonicalize(turned)
    # A neighbouring view and a quarter turn more is the same pose: compare what both parts do together.
    undone = torch.tensor([compose(g, h) for g, h in zip(element.tolist(), pose.element.tolist(), strict=True)])
    assert (undone[pose.sure] < 4).all(), "mirrored"
    error = differs(90.0 * undone + pose.degrees, -degrees)[pose.sure]
    assert pose.sure.float().mean() > 0.7
    assert error.median() < 5
    disc = ((torch.arange(48) - 23.5).square()[:, None] + (torch.arange(48) - 23.5).square()) < 20**2
    there_and_back = trained().restore(canonical, pose)
    assert ((there_and_back - turned).abs() * disc).mean() < 0.05


@torch.no_grad()
def test_a_second_look_brings_a_slice_nearer_to_upright() -> None:
    degrees = torch.linspace(15, 40, 64)
    x = rotate(pictures(64, 48, seed=41), degrees)
    once, twice = (
        differs(90.0 * pose.element + pose.degrees, -degrees)[pose.sure & (pose.element < 4)].median()
        for pose in (trained().pose(*trained().heads(x)), trained().locate(x))
    )
    assert twice < 0.9 * once


@torch.no_grad()
def test_a_straight_slice_is_not_resampled() -> None:
    straight = pictures(32, 32, seed=77)
    canonical, pose = trained().canonicalize(straight)
    left = pose.degrees == 0
    assert left.float().mean() > 0.8
    assert torch.equal(canonical[left & (pose.element == 0)], straight[left & (pose.element == 0)])


@torch.no_grad()
def test_a_finer_group_finds_the_nearest_of_its_rotations() -> None:
    """D8 by interpolation: all that is left is at most half a step, 22.5 degrees."""
    straight = pictures(48, 32, seed=5)
    degrees = torch.linspace(-45, 45, 48)
    _, pose = trained("dn").canonicalize(rotate(straight, degrees))
    total = 90.0 * pose.element + pose.degrees
    assert set((pose.degrees.unique() % 45).tolist()) == {0.0}
    assert (differs(total, -degrees)[pose.sure] < 30).float().mean() > 0.9
    assert pose.sure.any()


@torch.no_grad()
def test_the_slices_of_a_scan_share_pose_and_angle() -> None:
    x = rotate(pictures(20, 32, seed=8), torch.full((20,), 20.0))
    pose = trained().volume_pose(x)
    assert pose.element.tolist() == [0]
    assert float(pose.degrees) == pytest.approx(-20, abs=5)
    assert pose.expand(20).degrees.shape == (20,)


@torch.no_grad()
def test_what_speaks_for_a_pose_besides_is_weighed_and_a_contradiction_is_unsure() -> None:
    x = pictures(4, 32, seed=9)
    free = trained().volume_pose(x)
    assert free.element.tolist() == [0]
    assert free.sure.all()
    for agrees in (torch.zeros(ORDER), torch.zeros(ORDER).index_fill(0, torch.tensor([1, 4]), -torch.inf)):
        pose = trained().volume_pose(x, agrees)
        assert pose.element.tolist() == [0]
        assert pose.sure.all()
    for g in range(1, ORDER):
        against = torch.full((ORDER,), -torch.inf).index_fill(0, torch.tensor([g]), 0.0)
        pose = trained().volume_pose(x, against)
        assert pose.element.tolist() == [g]
        assert not pose.sure.any(), "the network is sure that it lies otherwise"
    for penalty, stays in ((0.01, True), (1e3, False)):
        pose = trained().volume_pose(x, torch.zeros(ORDER).index_fill(0, torch.tensor([0]), -penalty))
        assert (pose.element.tolist() == [0]) == stays


def test_identity_keeps_everything() -> None:
    model = untrained(replace(PARAMS, kind="identity"))
    x = torch.rand(2, 1, 16, 16)
    canonical, pose = model.canonicalize(x)
    assert torch.equal(canonical, x)
    assert pose.element.tolist() == [0, 0]
    assert pose.sure.all()


def test_a_tie_is_unsure() -> None:
    _, pose = untrained().canonicalize(torch.full((1, 1, 16, 16), 0.5))
    assert not pose.sure.any()
    assert pose.probability.item() == pytest.approx(1 / ORDER, abs=1e-5)


def test_training_erases_rectangles_of_some_slices_and_use_none() -> None:
    torch.manual_seed(0)
    layer, x = RandomErasing(1), 2 * torch.ones(400, 1, 40, 40)  # no grey that is painted is as bright
    assert layer.eval()(x) is x
    erased = (layer.train()(x) != x)[:, 0]
    some = erased.flatten(1).any(1)
    assert float(some.float().mean()) == pytest.approx(1 - RandomErasing.SPARED, abs=0.1)
    for where in erased[some]:
        rows, columns = where.any(1), where.any(0)
        assert torch.equal(where, rows[:, None] & columns[None]), "a rectangle"
        assert 1 <= int(rows.sum()) <= 21
        assert 1 <= int(columns.sum()) <= 21
    whole = torch.cat([where.any(1).sum()[None] for where in erased[some]])
    assert whole.float().std() > 2, "each of its own size"
    assert not torch.equal(erased, (layer(x) != x)[:, 0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "d8"}, "'d4', 'dn' or 'identity'"),
        ({"kind": "dn", "order": 6}, "8, 12, 16"),
        ({"kind": "dn", "order": 4}, "8, 12, 16"),
        ({"sure_probability": 0.5}, r"0\.6"),
        ({"size": 20}, "16"),
        ({"size": 0}, "16"),
        ({"width": 0}, "width"),
        ({"dead_zone": -1.0}, "dead_zone"),
        ({"erased": -1}, "erased"),
    ],
)
def test_parameters_are_checked(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PARAMS, **wrong)
