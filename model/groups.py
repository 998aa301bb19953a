"""D4, the symmetry group of the square, and its exact action on pixels and directions; and rotation in between.

An element (k, r) first reflects left-right if r, then turns k quarter turns counter-clockwise, as displayed.
Elements are numbered 4 r + k, so that 0 is the identity. The action only moves pixels: nothing is interpolated.
Rotation by any other angle (`rotate`) resamples, and is no part of the group.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

ORDER: Final = 8
IDENTITY: Final = 0
NAMES: Final = ("identity", "rot90", "rot180", "rot270", "flip", "flip_rot90", "flip_rot180", "flip_rot270")


def act(element: int, x: Tensor) -> Tensor:
    """Apply one element to the last two axes: `[..., H, W]` -> `[..., H, W]` (`[..., W, H]` for a quarter turn)."""
    reflect, turns = divmod(element, 4)
    if reflect:
        x = x.flip(-1)
    return torch.rot90(x, turns, (-2, -1)) if turns else x


def compose(first: int, then: int) -> int:
    """The element that acts like `first`, followed by `then`."""
    r1, k1 = divmod(first, 4)
    r2, k2 = divmod(then, 4)
    # A reflection turns a rotation round: F R^k = R^-k F.
    return 4 * ((r1 + r2) % 2) + (k2 + (-k1 if r2 else k1)) % 4


def inverse(element: int) -> int:
    """The element that undoes `element`: a reflected element undoes itself."""
    reflect, turns = divmod(element, 4)
    return element if reflect else (-turns) % 4


INVERSE: Final = tuple(inverse(g) for g in range(ORDER))


def act_batch(elements: Tensor, x: Tensor) -> Tensor:
    """Apply to each item its own element.

    Args:
        elements: int64 `[B]`.
        x: `[B, ..., S, S]`, square.
    """
    if x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"a batch must be square to be turned, but found {tuple(x.shape[-2:])}; pad it with pad_to_square"
        )
    out = torch.empty_like(x)
    for g in elements.unique().tolist():
        chosen = elements == g
        out[chosen] = act(g, x[chosen])
    return out


def rotate(x: Tensor, degrees: Tensor, fill: float = 0.0) -> Tensor:
    """Turn each item counter-clockwise about its centre, by one resampling; by 0 degrees it stays as it is, to the bit.

    Args:
        x: `[B, ..., S, S]`. Floats are interpolated linearly; labels and masks take the nearest pixel.
        degrees: `[B]`.
        fill: What comes in at the corners.
    """
    tilted = degrees != 0
    if not tilted.any():
        return x
    angle = torch.deg2rad(degrees[tilted].float())
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    theta = torch.stack([torch.stack([cos, -sin, zero], -1), torch.stack([sin, cos, zero], -1)], 1)
    items = x[tilted].flatten(1, -3) if x.ndim > 3 else x[tilted][:, None]
    grid = F.affine_grid(theta, list(items.shape), align_corners=False)
    mode = "bilinear" if x.is_floating_point() else "nearest"
    turned = F.grid_sample(items.float() - fill, grid, mode, align_corners=False) + fill
    out = x.clone()
    out[tilted] = turned.reshape(x[tilted].shape).to(x.dtype)
    return out


def pad_to_square(x: Tensor, value: float = 0.0) -> Tensor:
    """Pad the last two axes to a square, centred: `[..., H, W]` -> `[..., S, S]`, S = max(H, W)."""
    height, width = x.shape[-2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return F.pad(x, (left, side - width - left, top, side - height - top), value=value)


def crop_from_square(x: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `pad_to_square`."""
    side = x.shape[-1]
    top, left = (side - height) // 2, (side - width) // 2
    return x[..., top : top + height, left : left + width]


_QUARTER: Final = {
    "rightmost": "topmost",
    "topmost": "leftmost",
    "leftmost": "bottommost",
    "bottommost": "rightmost",
    "right of": "above",
    "above": "left of",
    "left of": "below",
    "below": "right of",
}
_MIRROR: Final = {"leftmost": "rightmost", "rightmost": "leftmost", "left of": "right of", "right of": "left of"}


def act_direction(element: int, attribute: str) -> str:
    """What an attribute or a relation becomes when the picture is turned: leftmost in x is
    `act_direction(g, "leftmost")` in g x.

    Sizes stay as they are.
    """
    reflect, turns = divmod(element, 4)
    if reflect:
        attribute = _MIRROR.get(attribute, attribute)
    for _ in range(turns):
        attribute = _QUARTER.get(attribute, attribute)
    return attribute
