"""Implicit shapes of the phantom: how far every voxel lies from a surface, in mm.

Frame: x to the patient's left, y to the back, z to the head (mm). A distance is negative inside, and rough where a tube
is squashed. Arrays see + - * / and square roots alone, whose last bits are the same on every CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, sqrt
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from corpus.params import params_dataclass

Array: TypeAlias = NDArray[np.float64]
Box: TypeAlias = tuple[slice, slice, slice]
Point: TypeAlias = tuple[float, float, float]
Measure: TypeAlias = tuple[Array, Array | None]  # distance (mm), and depth below the gas level in local radii

FAR = 1e6
STEP_MM = 10.0  # length of the straight pieces that a curved tube is cut into


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a volume lie in the atlas.

    `x`, `y`, `z` are `[Z, Y, X]`, mm, bent by a smooth field of at most `slack` mm; `axes` are the straight z, y and x.
    """

    x: Array
    y: Array
    z: Array
    axes: tuple[Array, Array, Array]
    slack: float

    def box(self, low: Point, high: Point, margin: float) -> Box:
        """Index box of the voxels that may lie between two corners (x, y, z), or within `margin` mm of them."""
        reach = self.slack + margin
        ends = zip(self.axes, low[::-1], high[::-1], strict=True)
        cuts = [np.searchsorted(axis, [lo - reach, hi + reach]) for axis, lo, hi in ends]
        z, y, x = (slice(int(a), int(b)) for a, b in cuts)
        return z, y, x


class Piece(Protocol):
    """A placed shape."""

    def corners(self) -> tuple[Point, Point]:
        """Lowest and highest (x, y, z) that it reaches."""
        ...

    def measure(self, x: Array, y: Array, z: Array) -> Measure:
        """Distance and depth of the points (x, y, z)."""
        ...


@dataclass(frozen=True)
class Ball:
    """A turned ellipsoid. `turn` holds its three axes as rows; `level` is the gas level as a share of its depth."""

    at: Point
    radii: Point
    turn: tuple[Point, Point, Point]
    level: float
    gravity: int

    def corners(self) -> tuple[Point, Point]:
        (x, y, z), (ex, ey, ez) = self.at, self._extents()
        return (x - ex, y - ey, z - ez), (x + ex, y + ey, z + ez)

    def _extents(self) -> list[float]:
        return [sqrt(sum((self.turn[k][i] * self.radii[k]) ** 2 for k in range(3))) for i in range(3)]

    def measure(self, x: Array, y: Array, z: Array) -> Measure:
        dx, dy, dz = x - self.at[0], y - self.at[1], z - self.at[2]
        unit, steep = np.zeros_like(x), np.zeros_like(x)
        for (a, b, c), r in zip(self.turn, self.radii, strict=True):
            u = (a * dx + b * dy + c * dz) * (1 / r)
            u *= u
            unit += u
            steep += u * (1 / (r * r))
        unit = np.sqrt(unit) + 1e-6
        depth = dy * (self.gravity / self._extents()[1]) - self.level
        return (unit - 1) * unit / (np.sqrt(steep) + 1e-9), depth


@dataclass(frozen=True)
class Segment:
    """A straight piece of tube: two ends (x, y, z, radius, gas level), and how the cross-section is squashed."""

    a: tuple[float, float, float, float, float]
    b: tuple[float, float, float, float, float]
    squash: Point
    gravity: int

    def corners(self) -> tuple[Point, Point]:
        r = max(self.a[3], self.b[3])
        spans = [(min(p, q) - r * s, max(p, q) + r * s) for p, q, s in zip(self.a, self.b, self.squash, strict=False)]
        (x, far_x), (y, far_y), (z, far_z) = spans
        return (x, y, z), (far_x, far_y, far_z)

    def measure(self, x: Array, y: Array, z: Array) -> Measure:
        off = [(v - p) * (1 / s) for v, p, s in zip((x, y, z), self.a, self.squash, strict=False)]
        way = [(q - p) / s for p, q, s in zip(self.a, self.b, self.squash, strict=False)]
        along = off[0] * way[0] + off[1] * way[1] + off[2] * way[2]
        along *= 1 / (way[0] * way[0] + way[1] * way[1] + way[2] * way[2] + 1e-9)
        np.clip(along, 0, 1, out=along)
        for o, w in zip(off, way, strict=True):
            o -= along * w
        radius = self.a[3] + (self.b[3] - self.a[3]) * along
        depth = off[1] * self.gravity / radius - (self.a[4] + (self.b[4] - self.a[4]) * along)
        return np.sqrt(off[0] * off[0] + off[1] * off[1] + off[2] * off[2]) - radius, depth


@dataclass(frozen=True)
class Sheet:
    """A line in the axial plane, `half` mm thick to either side, that changes with z: rows of (z, x, y, x, y, ...)."""

    rows: Array
    half: float

    def corners(self) -> tuple[Point, Point]:
        z, x, y = self.rows[:, 0], self.rows[:, 1::2], self.rows[:, 2::2]
        low = float(x.min()) - self.half, float(y.min()) - self.half, float(z[0])
        return low, (float(x.max()) + self.half, float(y.max()) + self.half, float(z[-1]))

    def measure(self, x: Array, y: Array, z: Array) -> Measure:
        levels = self.rows[:, 0]
        knots = [np.interp(z, levels, self.rows[:, k]) for k in range(1, self.rows.shape[1])]
        nearest = np.full_like(x, FAR)
        for ax, ay, bx, by in zip(knots[0::2], knots[1::2], knots[2::2], knots[3::2], strict=False):
            wx, wy, ox, oy = bx - ax, by - ay, x - ax, y - ay
            t = np.clip((ox * wx + oy * wy) / (wx * wx + wy * wy + 1e-9), 0, 1)
            ox -= t * wx
            oy -= t * wy
            np.minimum(nearest, ox * ox + oy * oy, out=nearest)
        ends = np.maximum(levels[0] - z, z - levels[-1])
        return np.maximum(np.sqrt(nearest) - self.half, ends), None


@dataclass(frozen=True)
class Draw:
    """What chance decided for one row of the anatomy in one patient; places its points and scales its radii."""

    rng: np.random.Generator
    move: Point
    turn: Point
    size: float
    """Share of the radii."""
    scale: float
    """Share of the distances from `anchor`, where there is one."""
    anchor: Point | None
    wobble: float
    side: int
    """-1 paints the mirror image."""
    spread: float
    """How far visceral fat pushes organs apart, as a share of their distance from the spine (0 = lean)."""
    gas: tuple[float, float]
    gravity: int
    """+1 where gas rises to the front (supine), -1 where it rises to the back (prone)."""

    def place(self, point: Point) -> Point:
        """A point of the atlas in this patient."""
        x, y, z = point
        if self.anchor:
            x, y, z = (a + (p - a) * self.scale for p, a in zip(point, self.anchor, strict=True))
        x, y = stretch(x, y, z, self.spread)
        dx, dy, dz = self.rng.uniform(-self.wobble, self.wobble, 3).tolist() if self.wobble else (0.0, 0.0, 0.0)
        return self.side * (x + self.move[0] + dx), y + self.move[1] + dy, z + self.move[2] + dz

    def level(self) -> float:
        """A gas level: -1 leaves no room for gas, 1 is all gas."""
        return float(self.rng.uniform(*self.gas))


def stretch(x: float, y: float, z: float, spread: float) -> tuple[float, float]:
    """x and y after visceral fat has pushed the abdomen's content outwards: most to the front, not in the pelvis."""
    weight = spread * min(max((z - 40) / 90, 0.0), 1.0)
    return x * (1 + 0.3 * weight), y * (1 + weight * (1.0 if y < 0 else 0.15))


@params_dataclass
class Ellipsoid:
    """Centre, radii along its axes, and turns about x, y and z in degrees."""

    at: Point
    radii: Point
    turn: Point = (0.0, 0.0, 0.0)

    def pieces(self, draw: Draw) -> list[Piece]:
        a, b, c = (radians(t + d) for t, d in zip(self.turn, draw.turn, strict=True))
        b, c = draw.side * b, draw.side * c
        turn = (
            (cos(b) * cos(c), cos(b) * sin(c), -sin(b)),
            (sin(a) * sin(b) * cos(c) - cos(a) * sin(c), sin(a) * sin(b) * sin(c) + cos(a) * cos(c), sin(a) * cos(b)),
            (cos(a) * sin(b) * cos(c) + sin(a) * sin(c), cos(a) * sin(b) * sin(c) - sin(a) * cos(c), cos(a) * cos(b)),
        )
        rx, ry, rz = (r * draw.size for r in self.radii)
        return [Ball(draw.place(self.at), (rx, ry, rz), turn, draw.level(), draw.gravity)]


@params_dataclass
class Tube:
    """A curve through points (x, y, z, radius); `squash` flattens the cross-section along x, y or z."""

    through: tuple[tuple[float, float, float, float], ...]
    squash: Point = (1.0, 1.0, 1.0)

    def pieces(self, draw: Draw) -> list[Piece]:
        knots = [(*draw.place((x, y, z)), r * draw.size, draw.level()) for x, y, z, r in self.through]
        return chain(np.array(knots), self.squash, draw.gravity)


@params_dataclass
class Ribbon:
    """A line in the axial plane, `half` mm thick to either side: rows of (z, x, y, x, y, ...), lowest first."""

    half: float
    rows: tuple[tuple[float, ...], ...]

    def pieces(self, draw: Draw) -> list[Piece]:
        placed = []
        for z, *flat in self.rows:
            points = [draw.place((x, y, z)) for x, y in zip(flat[0::2], flat[1::2], strict=True)]
            placed.append([points[0][2], *(v for x, y, _ in points for v in (x, y))])
        return [Sheet(np.array(placed), self.half * draw.size)]


@params_dataclass
class Loops:
    """Bowel coiled inside an ellipsoid: `apart` mm between neighbours, `bore` mm of radius."""

    at: Point
    radii: Point
    apart: float
    bore: float

    def pieces(self, draw: Draw) -> list[Piece]:
        rng, spots = draw.rng, np.empty((0, 3))
        for dart in rng.uniform(-1, 1, (1200, 3)):
            spot = dart * self.radii
            square = dart * dart  # fourth powers: a rounded box
            if (square * square).sum() < 1 and not (((spots - spot) ** 2).sum(axis=1) < self.apart**2).any():
                spots = np.vstack([spots, spot])
        pieces: list[Piece] = []
        left, here, run = list(range(1, len(spots))), 0, [0]
        while left:  # always on to the nearest spot; a far jump starts another coil
            gaps = ((spots[left] - spots[here]) ** 2).sum(axis=1)
            nearest = int(gaps.argmin())
            if gaps[nearest] > (2.2 * self.apart) ** 2:
                pieces += self._coil(spots[run], draw)
                run = []
            here = left.pop(nearest)
            run.append(here)
        return pieces + self._coil(spots[run], draw)

    def _coil(self, spots: Array, draw: Draw) -> list[Piece]:
        ax, ay, az = self.at
        radii = self.bore * draw.size * draw.rng.uniform(0.8, 1.2, len(spots))
        places = [draw.place((ax + x, ay + y, az + z)) for x, y, z in spots.tolist()]
        knots = [(*place, float(r), draw.level()) for place, r in zip(places, radii, strict=True)]
        return chain(np.array(knots), (1.0, 1.0, 1.0), draw.gravity)


def chain(knots: Array, squash: Point, gravity: int) -> list[Piece]:
    """Segments along the Catmull-Rom spline through `knots`, rows of (x, y, z, radius, gas level)."""
    padded = np.vstack([2 * knots[0] - knots[min(1, len(knots) - 1)], knots, 2 * knots[-1] - knots[-2 % len(knots)]])
    points = [knots[0]]
    for p, q, r, s in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        steps = max(1, round(sqrt(((r - q)[:3] ** 2).sum()) / STEP_MM))
        for k in range(1, steps + 1):
            t = k / steps
            point = q + 0.5 * t * (r - p + t * (2 * p - 5 * q + 4 * r - s + t * (3 * (q - r) + s - p)))
            point[3:] = q[3:] + t * (r - q)[3:]  # radius and gas level never overshoot
            points.append(point)
    ends = [tuple(point.tolist()) for point in points]
    return [Segment(a, b, squash, gravity) for a, b in zip(ends, ends[1:] or ends, strict=False)]


def union(grid: Grid, pieces: list[Piece], margin: float) -> tuple[Box, Array, Array]:
    """Distance to, and depth below the gas level in, the nearest of `pieces`, true within `margin` mm of them."""
    boxes = [grid.box(*piece.corners(), margin) for piece in pieces]
    start = [min(box[axis].start for box in boxes) for axis in range(3)]
    stop = [max(box[axis].stop for box in boxes) for axis in range(3)]
    distance = np.full([b - a for a, b in zip(start, stop, strict=True)], FAR)
    depth = np.ones_like(distance)
    for piece, box in zip(pieces, boxes, strict=True):
        inner = tuple(slice(s.start - a, s.stop - a) for s, a in zip(box, start, strict=True))
        gap, below = piece.measure(grid.x[box], grid.y[box], grid.z[box])
        closer = gap < distance[inner]
        np.copyto(distance[inner], gap, where=closer)
        if below is not None:
            np.copyto(depth[inner], below, where=closer)
    z, y, x = (slice(a, b) for a, b in zip(start, stop, strict=True))
    return (z, y, x), distance, depth
