"""The square that the network looks at."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.framing import MARGIN, find_frame
from model.groups import ORDER, act, pad_to_square


def slice_with_body(height: int, width: int, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Air, a body with a hole of air in it, and a thin couch across the whole picture."""
    image = torch.zeros(height, width)
    image[rows[0] : rows[1], columns[0] : columns[1]] = 0.5
    middle = (sum(rows) // 2, sum(columns) // 2)
    image[middle[0] - 4 : middle[0] + 4, middle[1] - 4 : middle[1] + 4] = 0.0
    image[height - 3 : height - 2] = 0.6
    return image


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(192, 192, (50, 150), (20, 170)), (101, 140, (20, 80), (30, 130)), (512, 384, (100, 400), (10, 300))],
)
def test_the_body_fills_the_frame(height: int, width: int, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    frame = find_frame(slice_with_body(height, width, rows, columns), "body")
    longer = max(rows[1] - rows[0], columns[1] - columns[0])
    pixel = 2 * max(height, width) / 96
    assert abs(frame.side - longer * (1 + 2 * MARGIN)) <= pixel
    inside = frame.cut(pad_to_square(slice_with_body(height, width, rows, columns)))
    assert (inside == 0.5).sum() == (rows[1] - rows[0]) * (columns[1] - columns[0]) - 64, "nothing of it is cut off"


def test_what_is_put_back_lies_where_it_was() -> None:
    image = slice_with_body(100, 130, (10, 60), (20, 120))
    frame = find_frame(image, "body")
    square = pad_to_square(image)
    back = frame.put_back(frame.cut(square), -1.0)
    assert back.shape == square.shape
    assert torch.equal(back[back >= 0], square[back >= 0])
    assert (back[10 + 15 : 60 + 15, 20:120] >= 0).all(), "the body is not touched"


@pytest.mark.parametrize("element", range(ORDER))
@pytest.mark.parametrize("whole", [192, 193, 150])
def test_the_frame_turns_with_the_picture(element: int, whole: int) -> None:
    for shift in range(-7, 8):  # half pixels among them
        image = slice_with_body(whole, whole, (50 + shift, 140), (20, 130 + shift))
        upright, turned = find_frame(image, "body"), find_frame(act(element, image), "body")
        expected = act(element, upright.put_back(torch.ones(upright.side, upright.side), 0.0))
        found = turned.put_back(torch.ones(turned.side, turned.side), 0.0)
        assert torch.equal(expected, found), shift


def test_a_slice_of_air_is_seen_whole() -> None:
    frame = find_frame(torch.zeros(60, 80), "body")
    assert (frame.top, frame.left, frame.side) == (0, 0, 80)
    assert find_frame(slice_with_body(60, 80, (10, 50), (10, 60)), "whole") == frame
