"""The facts once more, by other means: loops over pixels and exact fractions, nothing shared with prompts.facts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

PARTS = {"kidney": {"left kidney", "right kidney"}}
DIRECTIONS = {"leftmost": (1, -1), "rightmost": (1, 1), "topmost": (0, -1), "bottommost": (0, 1)}
"""Attribute -> (axis, sign): whoever reaches furthest along `sign` of the axis wins."""


@dataclass(frozen=True)
class Mask:
    """One organ's pixels in one slice, as (row, column)."""

    points: list[tuple[int, int]]

    def edge(self, axis: int, sign: int) -> int:
        """How far the mask reaches along `sign` of the axis, in pixel borders."""
        lines = [point[axis] for point in self.points]
        return max(lines) + 1 if sign > 0 else -min(lines)

    def centre(self, axis: int, sign: int = 1) -> Fraction:
        """The mean pixel centre."""
        return Fraction(sign * sum(point[axis] for point in self.points), len(self.points))


def masks(label: np.ndarray, names: dict[int, str], labelled: set[str]) -> dict[str, Mask]:
    """Organ -> its mask, of every organ and every measurable union that is there."""
    found: dict[str, list[tuple[int, int]]] = {}
    for row, line in enumerate(label.tolist()):
        for col, value in enumerate(line):
            if value:
                name = names[value]
                unions = [u for u, parts in PARTS.items() if (u in labelled or parts <= labelled) and name in parts]
                for each in (name, *unions):
                    found.setdefault(each, []).append((row, col))
    return {name: Mask(points) for name, points in found.items()}


def competitors(there: set[str], labelled: set[str]) -> set[str]:
    """Who competes: all but unions of organs that the source labels one by one."""
    return {name for name in there if not PARTS.get(name, set()) & labelled}


def position_margin(name: str, rivals: dict[str, Mask], attribute: str, spacing: tuple[Fraction, Fraction]) -> Fraction:
    """By how many mm `name` leads all its rivals, with its edge and with its centre."""
    axis, sign = DIRECTIONS[attribute]
    own = rivals[name]
    others = [mask for other, mask in rivals.items() if other != name]
    edge = min(own.edge(axis, sign) - mask.edge(axis, sign) for mask in others)
    centre = min(own.centre(axis, sign) - mask.centre(axis, sign) for mask in others)
    return min(edge, centre) * spacing[axis]


def size_margin(name: str, sizes: dict[str, int], attribute: str) -> Fraction:
    """How many times the size of its greatest rival `name` has ("largest"), or its smallest rival that of `name`."""
    others = [size for other, size in sizes.items() if other != name]
    return Fraction(sizes[name], max(others)) if attribute == "largest" else Fraction(min(others), sizes[name])


def agrees(value: float, exact: Fraction, digits: int = 4) -> bool:
    """Whether a stored fact is the exact one, rounded."""
    return abs(Fraction(value) - exact) <= Fraction(1, 2 * 10**digits) + abs(exact) * Fraction(1, 10**12)
