"""Answers held against one slice's true masks; a mask that several prompts were answered with is measured once."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np

from corpus.anatomy import BY_NAME
from model.testing.metrics import Mask, case_metrics
from prompts.facts import mask_of

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")


class Grader:
    """Grades masks on one slice.

    Args:
        label: uint8 `[H, W]` organ ids.
        spacing: (y, x) in mm.
    """

    def __init__(self, label: np.ndarray, spacing: tuple[float, float]) -> None:
        self.label, self.spacing = label, spacing
        self._truths: dict[str, Truth] = {}
        self._grades: dict[tuple[str, bytes], dict[str, float]] = {}

    def truth(self, organ: str) -> Truth:
        """The true mask of an organ, empty where the slice doesn't show it."""
        if organ not in self._truths:
            self._truths[organ] = Truth(mask_of(self.label, BY_NAME[organ].id), self.spacing)
        return self._truths[organ]

    def __call__(self, mask: Mask, organ: str) -> dict[str, float]:
        """`metrics.case_metrics` of an answer bool `[H, W]`, rounded to four places."""
        key = (organ, np.packbits(mask).tobytes())
        if key not in self._grades:
            found = case_metrics(mask, self.truth(organ).mask, self.spacing, organ)
            self._grades[key] = {name: round(value, 4) for name, value in found.items()}
        return self._grades[key]


class Truth:
    """A true mask `[H, W]` and what a table of cases says of it."""

    def __init__(self, mask: Mask, spacing: tuple[float, float]) -> None:
        self.mask, self.spacing = mask, spacing

    @cached_property
    def row(self) -> dict[str, object]:
        """Area in mm2; the ninth of the picture in which the centroid lies, as displayed ("top left", "" for an empty
        mask); and 16 hexadecimal digits that stand for the mask: runs that were judged by other masks can't be
        compared."""
        where = repr((self.mask.shape, [float(step) for step in self.spacing]))
        digest = hashlib.sha256(where.encode() + np.packbits(self.mask).tobytes()).hexdigest()[:16]
        area = float(np.count_nonzero(self.mask) * self.spacing[0] * self.spacing[1])
        return {"area_mm2": area, "region": self._region(), "truth": digest}

    def _region(self) -> str:
        points = np.nonzero(self.mask)
        if not len(points[0]):
            return ""
        row, column = (int(3 * at.mean() / side) for at, side in zip(points, self.mask.shape, strict=True))
        return f"{ROWS[row]} {COLUMNS[column]}"
