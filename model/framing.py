"""What the network sees of a slice: the square where the body lies, windowed and resized.

A scanner's field of view is wider than the patient, by more or less; what the network sees should not hang on that. The
square is found in the slice that the network will see, so that it is the same for every turn of a scan whose pose is
known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from corpus.scans.windowing import window
from model.flans import ModelParams
from model.groups import pad_to_square

GRID = 96
"""Side of the copy on which the body is looked for, in pixels."""
NOT_AIR = 0.05
"""In a windowed slice, air lies below; fat above."""
MARGIN = 0.03
"""Around the body on each side, as a share of its longer side."""


@dataclass(frozen=True)
class Frame:
    """A square of `side` pixels within a slice of `height` x `width` that is padded to a square; `top` and `left` count
    from the padded square's corner, and may lie outside it."""

    top: int
    left: int
    side: int
    height: int
    width: int

    @property
    def whole(self) -> int:
        """Side of the padded slice."""
        return max(self.height, self.width)

    @property
    def _pad(self) -> tuple[int, int, int, int]:
        right, bottom = self.left + self.side - self.whole, self.top + self.side - self.whole
        return -self.left, right, -self.top, bottom

    def cut(self, square: Tensor, value: float = 0.0) -> Tensor:
        """The frame's pixels of a padded slice: `[..., whole, whole]` -> `[..., side, side]`; `value` beyond it."""
        return F.pad(square, self._pad, value=value)

    def put_back(self, framed: Tensor, value: float) -> Tensor:
        """The inverse of `cut`: `[..., side, side]` -> `[..., whole, whole]`; `value` outside the frame."""
        return F.pad(framed, tuple(-n for n in self._pad), value=value)


def find_frame(image: Tensor, frame: str) -> Frame:
    """The square around the body, or around the whole slice.

    The body is the largest thing that isn't air, once thin things (the couch, the gown) are taken away.

    Args:
        image: Windowed to [0, 1], `[H, W]`.
        frame: body or whole.
    """
    height, width = image.shape
    whole = max(height, width)
    if frame == "body":
        low = F.adaptive_avg_pool2d(pad_to_square(image)[None, None].float(), min(GRID, whole))[0, 0]
        parts, count = ndimage.label(ndimage.binary_opening(low.numpy() > NOT_AIR, np.ones((3, 3), bool)))
        if count:
            sizes = np.bincount(parts.ravel())
            rows, columns = ndimage.find_objects(parts)[int(sizes[1:].argmax())]
            longer = max(rows.stop - rows.start, columns.stop - columns.start) * whole / len(low)
            side = round(longer * (1 + 2 * MARGIN))
            side += (whole - side) % 2
            top, left = ((whole - side) // 2 + _off_centre(edge, whole, len(low)) for edge in (rows, columns))
            return Frame(top, left, side, height, width)
    return Frame(0, 0, whole, height, width)


def _off_centre(edge: slice, whole: int, low: int) -> int:
    """By how many pixels of a slice of `whole` the middle of `edge`, in pixels of its copy of `low`, is off the
    slice's. Half a pixel is rounded towards the middle, so that it is so much off in a mirrored slice, too."""
    off = whole * (edge.start + edge.stop - low)  # of 2 * low
    pixels = -((low - abs(off)) // (2 * low))
    return pixels if off > 0 else -pixels


def to_network(image: np.ndarray, params: ModelParams) -> tuple[Tensor, list[Frame]]:
    """HU `[Z, H, W]` -> windowed to [0, 1], framed, resized: float `[Z, 1, S, S]`; and each slice's frame."""
    frames, framed = [], []
    for hu in image:  # one by one: windowed, a volume would take several times its memory
        x = torch.from_numpy(window(hu, params.level_hu, params.width_hu))
        frames.append(find_frame(x, params.frame))
        framed.append(resize(frames[-1].cut(pad_to_square(x))[None], params.size))
    return torch.stack(framed), frames


def resize(x: Tensor, size: int) -> Tensor:
    """Bilinear, antialiased: `[..., C, H, W]` -> `[..., C, size, size]`."""
    if x.shape[-2:] == (size, size):
        return x
    lead = x.shape[:-3]
    y = F.interpolate(x.reshape(-1, *x.shape[-3:]), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return y.reshape(*lead, *y.shape[-3:])


def label_to_network(label: np.ndarray, frame: Frame, size: int) -> Tensor:
    """A label map `[H, W]` -> what of it lies in the frame: uint8 `[S, S]`, nearest neighbour."""
    x = frame.cut(pad_to_square(torch.from_numpy(label)))[None, None].float()
    return F.interpolate(x, (size, size), mode="nearest-exact")[0, 0].to(torch.uint8)


def label_to_scan(label: Tensor, frame: Frame) -> Tensor:
    """The way back: uint8 `[S, S]` -> the padded slice `[whole, whole]`, 0 outside the frame."""
    x = F.interpolate(label[None, None].float(), (frame.side, frame.side), mode="nearest-exact")[0, 0]
    return frame.put_back(x, 0).to(torch.uint8)
