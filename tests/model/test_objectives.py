"""What training makes of a slice that lies anyhow."""

from __future__ import annotations

import torch

from model.canonicalizer import Pose
from model.groups import INVERSE, ORDER, act_batch, compose, rotate
from model.objectives import nearly_upright


def found(element: torch.Tensor, degrees: torch.Tensor) -> Pose:
    return Pose(element, degrees, torch.ones(len(element)), torch.ones(len(element), dtype=torch.bool))


def picture() -> torch.Tensor:
    """A smooth blob off the centre, so that a rotation there and back loses little."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    return torch.exp(-8 * ((x - 0.3) ** 2 + (y + 0.1) ** 2))[None, None]


def test_a_pose_that_is_nearly_right_stays_and_any_other_is_put_right() -> None:
    element = torch.arange(ORDER)
    tilt = torch.full((ORDER,), 20.0)
    turned = act_batch(element, rotate(picture().expand(ORDER, -1, -1, -1), tilt))
    undone = torch.tensor(INVERSE)[element]

    close = nearly_upright(found(undone, torch.full((ORDER,), -15.0)), element, tilt)
    assert torch.equal(close.element, undone)
    assert (close.degrees == -15).all(), "5 degrees out: the segmenter learns to live with it"

    for error in range(1, ORDER):
        wrong = torch.tensor([compose(int(u), error) for u in undone])
        mended = nearly_upright(found(wrong, torch.full((ORDER,), -20.0)), element, tilt)
        assert torch.equal(mended.element, undone)
        upright = rotate(act_batch(mended.element, turned), mended.degrees)
        assert (upright - picture()).abs().max() < 0.02


def test_a_quarter_turn_and_a_tilt_the_other_way_are_one_pose() -> None:
    """Tilted by 48 degrees, a slice is nearer to the neighbouring view."""
    element, tilt = torch.tensor([0]), torch.tensor([48.0])
    other = found(torch.tensor([3]), torch.tensor([42.0]))
    same = nearly_upright(other, element, tilt)
    assert torch.equal(same.element, other.element)
    assert torch.equal(same.degrees, other.degrees)
    upright = rotate(act_batch(same.element, rotate(picture(), tilt)), same.degrees)
    assert (upright - picture()).abs().max() < 0.02
