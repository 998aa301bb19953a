"""Losses: partial labels are respected, perfection costs nothing, unions come from their parts."""

from __future__ import annotations

import torch

from corpus.anatomy import BY_NAME, N_ORGANS
from model.training.losses import mask_loss, organ_loss, organ_targets, presence_loss

LIVER, SPLEEN, LEFT, RIGHT, BOTH = (BY_NAME[n].id for n in ("liver", "spleen", "left kidney", "right kidney", "kidney"))


def label() -> torch.Tensor:
    x = torch.zeros(2, 16, 16, dtype=torch.uint8)
    x[0, 2:8, 2:8], x[0, 10:14, 1:5], x[1, 10:14, 10:14] = LIVER, RIGHT, LEFT
    return x


def labelled(*organs: int) -> torch.Tensor:
    known = torch.zeros(2, N_ORGANS, dtype=torch.bool)
    known[:, [o - 1 for o in organs]] = True
    return known


def test_unlabelled_organs_get_no_gradient() -> None:
    logits = torch.randn(2, N_ORGANS, 16, 16, requires_grad=True)
    presence = torch.randn(2, N_ORGANS, requires_grad=True)
    known = labelled(LIVER, LEFT, RIGHT, BOTH)
    (organ_loss(logits, label(), known) + presence_loss(presence, organ_targets(label()), known)).backward()
    assert logits.grad is not None
    assert presence.grad is not None
    touched = logits.grad.abs().amax((0, 2, 3)) > 0
    assert touched.tolist() == known[0].tolist()
    assert (presence.grad.abs().amax(0) > 0).tolist() == known[0].tolist()
    assert torch.isfinite(logits.grad).all()


def test_right_maps_cost_almost_nothing_and_wrong_ones_much() -> None:
    known = labelled(LIVER, LEFT, RIGHT, BOTH)
    right = organ_targets(label()) * 40 - 20
    assert organ_loss(right, label(), known) < 0.05
    assert organ_loss(right.roll(1, dims=1), label(), known) > 2
    assert mask_loss(right[:, :3], organ_targets(label())[:, :3]) < 0.01


def test_union_target_is_the_union_of_its_parts() -> None:
    targets = organ_targets(label())
    assert torch.equal(targets[:, BOTH - 1], targets[:, [LEFT - 1, RIGHT - 1]].amax(1))
    assert targets[:, BOTH - 1].sum() == 32


def test_a_union_alone_competes_like_any_organ() -> None:
    x = torch.zeros(2, 16, 16, dtype=torch.uint8)
    x[:, 3:9, 3:9] = BOTH
    logits = torch.zeros(2, N_ORGANS, 16, 16, requires_grad=True)
    organ_loss(logits, x, labelled(BOTH, LIVER)).backward()
    assert logits.grad is not None
    assert (logits.grad[:, BOTH - 1, 3:9, 3:9] < 0).all(), "the map must rise where the union is"
    assert (logits.grad[:, LIVER - 1, 3:9, 3:9] > 0).all()


def test_a_union_whose_parts_are_labelled_has_a_map_of_its_own() -> None:
    logits = torch.zeros(2, N_ORGANS, 16, 16, requires_grad=True)
    organ_loss(logits, label(), labelled(LEFT, RIGHT, BOTH)).backward()
    assert logits.grad is not None
    either, gradient = organ_targets(label())[:, BOTH - 1] > 0, logits.grad[:, BOTH - 1]
    assert (gradient[either] < 0).all(), "the map must rise where a part is"
    assert (gradient[~either] > 0).all()
