"""The canonical view doesn't depend on how a slice is turned, for any weights; restoring is exact."""

from __future__ import annotations

import pytest
import torch

from model.canonicalizer import Canonicalizer, CanonicalizerParams, build_canonicalizer
from model.groups import INVERSE, ORDER, act, compose


def canonicalizer(kind: str = "d4", seed: int = 0) -> Canonicalizer:
    torch.manual_seed(seed)
    model = build_canonicalizer(CanonicalizerParams(kind, size=16, width=4, sure_probability=0.9)).eval()
    if kind == "d4":
        last = model.score[-1]
        assert isinstance(last, torch.nn.Linear)
        last.weight.data *= 1000  # untrained scores lie so close that bfloat16 would make them ties
        last.bias.data.zero_()
    return model


@pytest.mark.parametrize("size", [16, 32, 33, 47])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_canonical_view_is_the_same_for_every_element(size: int, dtype: torch.dtype) -> None:
    model = canonicalizer(seed=size).to(dtype)
    x = torch.rand(3, 1, size, size, generator=torch.Generator().manual_seed(size)).to(dtype)
    with torch.no_grad():
        best = model.view_logits(x).float().topk(2).values
        assert ((best[:, 0] - best[:, 1]) > 1e-6).all(), "a tie: choose another seed"
        canonical, pose = model.canonicalize(x)
        for g in range(ORDER):
            again, turned_pose = model.canonicalize(act(g, x))
            assert torch.equal(again, canonical)
            # h(g x) = h(x) g^-1: first undo g, then do what x needs.
            assert turned_pose.element.tolist() == [compose(INVERSE[g], h) for h in pose.element.tolist()]


def test_restore_inverts_masks_and_images() -> None:
    model = canonicalizer()
    x = torch.rand(8, 1, 21, 21)
    canonical, pose = model.canonicalize(x)
    assert torch.equal(model.restore(canonical, pose), x)
    masks = torch.rand(8, 5, 21, 21) > 0.5
    assert torch.equal(
        model.restore(model.restore(masks, pose), type(pose)(pose.back, pose.probability, pose.sure)), masks
    )


def test_identity_keeps_everything() -> None:
    model = canonicalizer("identity")
    x = torch.rand(2, 1, 16, 16)
    canonical, pose = model.canonicalize(x)
    assert torch.equal(canonical, x)
    assert pose.element.tolist() == [0, 0]
    assert pose.sure.all()


def test_a_tie_is_unsure() -> None:
    model = canonicalizer()
    _, pose = model.canonicalize(torch.full((1, 1, 16, 16), 0.5))
    assert not pose.sure.any()
    assert pose.probability.item() == pytest.approx(1 / ORDER, abs=1e-5)


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="d4 or identity"):
        CanonicalizerParams("d8", 16, 4, 0.9)
