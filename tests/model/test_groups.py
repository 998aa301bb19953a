"""D4 acts exactly: a group action, inverted to the bit, on images of any size."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from model.groups import (
    INVERSE,
    NAMES,
    ORDER,
    act,
    act_batch,
    act_direction,
    compose,
    crop_from_square,
    inverse,
    pad_to_square,
    rotate,
)
from prompts.facts import shapes, slice_facts

SIZES = [(8, 8), (7, 7), (5, 9)]


def image(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", SIZES)
def test_composition_and_inverse_are_exact(size: tuple[int, int]) -> None:
    x = image(*size)
    for a, b in product(range(ORDER), repeat=2):
        assert torch.equal(act(b, act(a, x)), act(compose(a, b), x))
    for g in range(ORDER):
        assert torch.equal(act(INVERSE[g], act(g, x)), x)
        assert compose(g, inverse(g)) == 0


def test_elements_differ_and_are_named() -> None:
    x = image(4, 4)
    views = [act(g, x) for g in range(ORDER)]
    assert not any(torch.equal(a, b) for i, a in enumerate(views) for b in views[:i])
    assert len(set(NAMES)) == ORDER


def test_quarter_turn_is_counter_clockwise_and_the_mirror_swaps_sides() -> None:
    x = torch.tensor([[1, 2], [3, 4]])
    assert act(1, x).tolist() == [[2, 4], [1, 3]]
    assert act(4, x).tolist() == [[2, 1], [4, 3]]


def test_a_batch_is_turned_item_by_item() -> None:
    x = torch.randn(ORDER, 1, 6, 6)
    turned = act_batch(torch.arange(ORDER), x)
    assert all(torch.equal(turned[g], act(g, x[g])) for g in range(ORDER))


def test_a_batch_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        act_batch(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 1, 4, 5))


@pytest.mark.parametrize("size", SIZES)
def test_padding_is_undone(size: tuple[int, int]) -> None:
    x = image(*size)
    square = pad_to_square(x, -1.0)
    assert square.shape[-1] == square.shape[-2] == max(size)
    assert torch.equal(crop_from_square(square, *size), x)


@pytest.mark.parametrize("element", range(ORDER))
@pytest.mark.parametrize("attribute", ["leftmost", "rightmost", "topmost", "bottommost", "largest", "smallest"])
def test_directions_turn_with_the_picture(element: int, attribute: str) -> None:
    """The organ that facts call leftmost in x is the one that they call act_direction(g, leftmost) in g x."""
    label = np.zeros((40, 40), np.uint8)
    label[18:22, 2:6], label[3:9, 18:22], label[17:24, 30:38], label[33:38, 18:20] = 1, 2, 6, 7
    turned = act(element, torch.from_numpy(label)).numpy()

    def winner(picture: np.ndarray, name: str) -> str:
        column = f"{name}_mm" if "most" in name else f"{name}_ratio"
        return max(slice_facts(shapes(picture), (1.0, 1.0), shapes(picture)), key=lambda fact: fact[column])["organ"]

    assert winner(turned, act_direction(element, attribute)) == winner(label, attribute)


@pytest.mark.parametrize("size", [8, 7])
def test_rotation_by_quarter_turns_is_the_groups(size: int) -> None:
    x = torch.randn(4, 3, size, size)
    turned = rotate(x, torch.tensor([0.0, 90.0, 180.0, -90.0]))
    torch.testing.assert_close(turned, torch.stack([act(k, x[k]) for k in range(4)]), atol=1e-4, rtol=0)
    assert torch.equal(turned[0], x[0]), "by 0 degrees nothing is resampled"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.bfloat16])
def test_rotation_keeps_kind_and_shape_and_fills_the_corners(dtype: torch.dtype) -> None:
    x = torch.ones(2, 16, 16).to(dtype)
    turned = rotate(x, torch.tensor([45.0, 30.0]))
    assert turned.dtype == dtype
    assert turned.shape == x.shape
    assert not turned[0, 0, 0]
    assert turned[0, 8, 8] == 1


def test_labels_come_back_from_a_rotation() -> None:
    label = torch.zeros(1, 64, 64, dtype=torch.uint8)
    label[0, 20:40, 12:50] = 7
    back = rotate(rotate(label, torch.tensor([25.0])), torch.tensor([-25.0]))
    assert set(back.unique().tolist()) == {0, 7}
    assert (back == label).float().mean() > 0.98
