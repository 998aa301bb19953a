"""How a CT of the trunk lies, told from its pixels by plain anatomy: without a network, and without its header.

Three questions, each answered with a margin; a margin below its limit means "unsure":

- Where is the back? A trunk is wider than it is deep, and the spine, the bone on its middle line, lies behind its
  centre.
- Where is the patient's right? The liver is the largest solid organ: where soft tissue is deep inside more of the same,
  it weighs most, and weighs down the right. Where lungs show, the heart, in front and in the middle between them,
  weighs down the left. The two are added, because neither is enough: a huge spleen can outweigh the liver, and few
  scans of the abdomen reach the heart.
- Which end of the slices is the head's? That with more air on both sides of the middle line at once: the lungs'.

The limits were set on real abdominal scans and on the phantom so that no answer is wrong there. They say nothing of
scans of other parts of the body, and a patient whose organs are truly mirrored looks like a mirrored scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

BODY_HU, AIR_HU, BONE_HU = -300, -500, 180
SOFT_HU = (20, 200)
GRID_MM = 4.0
"""The rules look at a coarse copy: nothing that they speak of is smaller."""
SPINE_MM, HEART_MM = 30.0, 60.0
"""How far the spine and the heart reach from the middle line, roughly."""
DEPTH_MM = 12.0
"""Soft tissue nearer to anything else weighs nothing: muscle, vessels and bowel are thin."""
LUNG_SHARE = 0.08
"""A slice with this share of its body filled with air on either side is a slice of the chest."""
WIDER = 1.08
"""A trunk is at least so much wider than deep."""
BACK_LIMIT, RIGHT_LIMIT, HEAD_LIMIT = 0.2, 0.5, 0.6


@dataclass(frozen=True)
class Answer:
    """`where`: an edge of the picture ("leftmost", "topmost", ...) or an end of the slices ("first", "last"); the best
    guess where it isn't `sure`."""

    where: str
    margin: float
    sure: bool


@dataclass(frozen=True)
class PixelPose:
    """What the pixels say. In the display frame: back bottommost, right leftmost, head last."""

    back: Answer
    right: Answer
    head: Answer


EDGES = (("topmost", "bottommost"), ("leftmost", "rightmost"))
"""Where low and high indices of rows and of columns lie."""


def pixel_pose(image: np.ndarray, spacing: tuple[float, float, float]) -> PixelPose:
    """Judge a volume.

    Args:
        image: HU, `[Z, H, W]`, as displayed.
        spacing: (z, y, x) in mm.
    """
    slices = list(_bodies(image, spacing[1:]))
    depth = int(np.argmin(np.mean([s.extent for s in slices], 0))) if slices else 0
    extents = [float(np.mean([s.extent[axis] for s in slices])) if slices else 1.0 for axis in (depth, 1 - depth)]
    behind = [spine / extents[0] for s in slices if (spine := s.spine(depth)) is not None]
    back = _answer(float(np.median(behind)) if behind else 0.0, BACK_LIMIT, EDGES[depth])
    if extents[1] < WIDER * extents[0]:
        back = replace(back, sure=False)

    to_back = 1 if back.where == EDGES[depth][1] else -1
    chest = [min(s.air(depth)) > LUNG_SHARE for s in slices]
    liver = _balance([s.weight(depth, s.body) for s, high in zip(slices, chest, strict=True) if not high])
    heart = _balance([s.weight(depth, s.front(depth, to_back)) for s, high in zip(slices, chest, strict=True) if high])
    right = _answer(liver - heart, RIGHT_LIMIT, EDGES[1 - depth])
    right = replace(right, sure=right.sure and back.sure)

    lungs = np.array([min(s.air(depth)) for s in slices])
    half = (len(lungs) + 1) // 2
    ends = (float(lungs[:half].sum()), float(lungs[-half:].sum()))
    # Without a slice of the chest, the little air that there is could be the bowel's.
    head = _answer(_balance([ends]) if any(chest) else 0.0, HEAD_LIMIT, ("first", "last"))
    return PixelPose(back, right, head)


def _answer(score: float, limit: float, where: tuple[str, str]) -> Answer:
    """Low scores mean the first place, high ones the second."""
    return Answer(where[score > 0], round(abs(score), 3), abs(score) >= limit)


def _balance(weights: list[tuple[float, float]]) -> float:
    """From -1, all on the low side, to 1, all on the high side; 0 where there is nothing."""
    low, high = np.sum(weights, 0) if weights else (0.0, 0.0)
    return float((high - low) / (low + high)) if low + high else 0.0


@dataclass(frozen=True)
class _Slice:
    """A coarse slice: `hu` and `body` `[h, w]`, `off` `[2, h, w]` mm from the body's centre, `extent` its mean
    deviation from there along rows and columns in mm, `soft_depth` what each pixel weighs. The methods' `depth` is the
    axis along which the body is less wide."""

    hu: np.ndarray
    body: np.ndarray
    off: np.ndarray
    extent: np.ndarray
    soft_depth: np.ndarray

    def spine(self, depth: int) -> float | None:
        """How far the bone near the middle line lies towards higher indices, in mm; None where there is none."""
        bone = self.body & (self.hu > BONE_HU) & (np.abs(self.off[1 - depth]) < SPINE_MM)
        return float(self.off[depth][bone].mean()) if bone.any() else None

    def air(self, depth: int) -> tuple[float, float]:
        """The shares of the body that are air on the low and on the high side of the middle line."""
        air = self.body & (self.hu < AIR_HU)
        side, size = self.off[1 - depth], self.body.sum()
        return float((air & (side < 0)).sum() / size), float((air & (side > 0)).sum() / size)

    def front(self, depth: int, to_back: int) -> np.ndarray:
        """Where the heart would be."""
        return self.body & (self.off[depth] * to_back < 0) & (np.abs(self.off[1 - depth]) < HEART_MM)

    def weight(self, depth: int, where: np.ndarray) -> tuple[float, float]:
        """What the deep soft tissue weighs on the low and on the high side of the middle line."""
        side = self.off[1 - depth]
        return float(self.soft_depth[where & (side < 0)].sum()), float(self.soft_depth[where & (side > 0)].sum())


def _bodies(image: np.ndarray, spacing: tuple[float, float]) -> Iterator[_Slice]:
    """The slices that show a body, each reduced to the patient: no couch, no air around."""
    steps = [max(1, round(GRID_MM / s)) for s in spacing]
    mm = np.array([step * s for step, s in zip(steps, spacing, strict=True)])
    height, width = (n // step for n, step in zip(image.shape[1:], steps, strict=True))
    for full in image:
        cropped = full[: height * steps[0], : width * steps[1]]
        hu = cropped.reshape(height, steps[0], width, steps[1]).mean((1, 3))
        parts, n = ndimage.label(ndimage.binary_opening(hu > BODY_HU, iterations=2))
        if not n:
            continue
        body = ndimage.binary_fill_holes(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))
        off = np.indices(hu.shape) * mm[:, None, None]
        off = off - off[:, body].mean(1)[:, None, None]
        soft = body & (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
        deep = np.clip(ndimage.distance_transform_edt(soft, sampling=mm) - DEPTH_MM, 0, None)
        yield _Slice(hu, body, off, off[:, body].std(1), deep)
