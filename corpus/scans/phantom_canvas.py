"""Painting a phantom patient: every row of the anatomy becomes HU and labels, later rows over earlier ones."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from corpus.anatomy import BY_NAME
from corpus.scans.phantom_body import Body, PhantomParams, Row, anatomy
from corpus.scans.shapes import Array, Box, Draw, Grid, stretch, union

HU_AIR = -1000.0
MR_AIR = 0.0
SLACK_MM = 9.0  # how far the smooth bending of the atlas may carry a point


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[float, ...]) -> Array:
    """A smooth random field in [-1, 1] (SD about 1/3): a random lattice, `cells` voxels wide, under cubic B-splines."""
    field = rng.uniform(-1.75, 1.75, [ceil(n / cell) + 4 for n, cell in zip(shape, cells, strict=True)])
    for axis, (n, cell) in enumerate(zip(shape, cells, strict=True)):
        at = np.arange(n) / cell
        whole = at.astype(np.intp)
        t = (at - whole).reshape([-1 if a == axis else 1 for a in range(field.ndim)])
        s, t2, t3 = 1 - t, t * t, t * t * t  # products, as np.power isn't the same to the last bit on every CPU
        weights = (s * s * s, 3 * t3 - 6 * t2 + 4, 3 * (t + t2 - t3) + 1, t3)
        terms = [(w / 6) * np.take(field, whole + k, axis=axis) for k, w in enumerate(weights)]
        field = terms[0] + terms[1] + terms[2] + terms[3]
    return np.clip(field, -1, 1, out=field)


def blur(volume: Array, shares: tuple[float, float, float]) -> Array:
    """Give each voxel's two neighbours along z, y and x a share of it (0 leaves an axis alone, 0.25 blurs most)."""
    for axis, share in enumerate(shares):
        if share:
            volume = correlate1d(volume, [share, 1 - 2 * share, share], axis=axis, mode="nearest")
    return volume


def make_grid(params: PhantomParams, body: Body) -> Grid:
    """Where every voxel of the patient lies in the atlas."""
    width, depth, height = body.scale
    low, high = (z * height for z in body.extent)
    n = max(2, ceil((high - low) / params.slice_mm))
    across = (np.arange(params.size) - (params.size - 1) / 2) * params.spacing_mm
    along = low + np.arange(n) * params.slice_mm
    dx, dy = body.shift
    axes = tuple(np.asarray(a, np.float64) for a in (along / height, (across - dy) / depth, (across - dx) / width))
    cells = (70 / params.slice_mm, 75 / params.spacing_mm, 75 / params.spacing_mm)
    bent = [
        axis.reshape([-1 if a == k else 1 for a in range(3)])
        + SLACK_MM * smooth_noise(body.rng, (n, params.size, params.size), cells)
        for k, axis in enumerate(axes)
    ]
    return Grid(z=bent[0], y=bent[1], x=bent[2], axes=(axes[0], axes[1], axes[2]), slack=SLACK_MM)


def outline(grid: Grid, rows: Array, grow: tuple[Array | float, Array | float, Array | float] = (0, 0, 0)) -> Array:
    """Distance `[Z, Y, X]` from an outline, a squarish ellipse in each slice; `grow` adds to sides, front and back."""
    half, front, back = (np.interp(grid.axes[0], rows[:, 0], rows[:, k])[:, None, None] for k in (1, 2, 3))
    half, front, back = half + grow[0], front - grow[1], back + grow[2]
    middle, radius = (front + back) / 2, (back - front) / 2
    y = grid.y - middle
    u, v = grid.x * (1 / half), y * (1 / radius)
    u *= u
    v *= v
    unit = np.sqrt(np.sqrt(u * u + v * v + 1.3 * u * v)) + 1e-6
    return np.sqrt(grid.x * grid.x + y * y) * (1 - 1 / unit)


def make_regions(grid: Grid, body: Body) -> dict[str, Array]:
    """Distances from skin, fascia, cavity, abdomen and thorax, each `[Z, Y, X]`."""
    table = anatomy()
    placed = {}
    for name, rows in table.outlines.items():
        fat_rows = [
            (z, *stretch(half, front, z, body.spread), stretch(0, back, z, body.spread)[1])
            for z, half, front, back in rows
        ]
        placed[name] = np.array(fat_rows)
    z = grid.axes[0][:, None, None]
    chest = np.clip((z - 230) / 120, 0, 1)  # fat thins out over the ribs
    fat = {side: (a + (b - a) * body.fat) * (1 - 0.55 * chest) for side, (a, b) in table.subcutaneous.items()}
    regions = {
        "skin": outline(grid, placed["fascia"], (fat["side"], fat["front"], fat["back"])),
        "fascia": outline(grid, placed["fascia"]),
        "cavity": outline(grid, placed["cavity"]),
    }
    breath = float(body.rng.uniform(-8, 8))
    roof = np.full(grid.x.shape, -1e6)
    for cx, cy, top, ax, ay, fall in table.domes:
        u, v = (grid.x - cx) * (1 / ax), (grid.y - cy) * (1 / ay)
        np.maximum(roof, (top + breath) - fall * (u * u + v * v), out=roof)
    regions["abdomen"] = np.maximum(regions["cavity"], grid.z - roof)
    regions["thorax"] = np.maximum(regions["cavity"], roof - grid.z)
    return regions


class Canvas:
    """HU (float64) and organ ids of a patient while the rows of the anatomy are painted, `[Z, Y, X]`."""

    def __init__(self, params: PhantomParams, body: Body) -> None:
        self.body = body
        self.across = (np.arange(params.size) - (params.size - 1) / 2) * params.spacing_mm
        self.grid = make_grid(params, body)
        self.regions = make_regions(self.grid, body)
        shape = self.grid.x.shape
        cells = [(mm / params.slice_mm, mm / params.spacing_mm, mm / params.spacing_mm) for mm in (18, 5)]
        self.bulge, self.mottle = (smooth_noise(body.rng, shape, tuple(max(c, 1.0) for c in cell)) for cell in cells)
        self.hu = np.full(shape, MR_AIR if params.modality == "MR" else HU_AIR)
        self.label = np.zeros(shape, np.uint8)

    def paint_table(self) -> None:
        """Paint the curved CT table under the patient."""
        table, across, gravity = anatomy().table, self.across, self.body.gravity
        outside = self.regions["skin"] > 0
        touched = np.flatnonzero(~outside.all(axis=(0, 2)))
        skin = gravity * float(across[touched[-1] if gravity > 0 else touched[0]])
        rise = across * across * (1 / (2 * table["radius"]))
        depth = across[:, None] * gravity - (skin + table["gap"] - rise)
        wall, thick = table["wall"], table["thick"]
        self.hu[outside & (depth >= 0) & (depth < thick)] = self.body.hu["table"]
        self.hu[outside & (depth >= wall) & (depth < thick - wall)] = self.body.hu["foam"]

    def paint(self, row: Row, draws: list[Draw]) -> None:
        """Paint one row: what it covers loses its earlier tissue and label."""
        if row.region:
            box: Box = (slice(None), slice(None), slice(None))
            self._fill(row, box, self.regions[row.region], np.ones((1, 1, 1)))
            return
        pieces = [piece for draw in draws for shape in row.shapes for piece in shape.pieces(draw)]
        if pieces:
            self._fill(row, *union(self.grid, pieces, row.halo + row.lumps + 1))

    def _fill(self, row: Row, box: Box, distance: Array, depth: Array) -> None:
        distance = self._clip(row, box, distance)
        hu, label = self.hu[box], self.label[box]
        if row.halo:
            near = (distance < row.halo) & (label > 0)
            if row.within:
                near &= self.regions[row.within][box] < 0
            self._tint(hu, box, near, "fat")
            label[near] = 0
        inside = distance < 0
        self._tint(hu, box, inside, row.tissue)
        lumen = inside
        if row.rind:
            lumen = distance < row.ragged * self.bulge[box] - row.rind[0]
            self._tint(hu, box, inside & ~lumen, row.rind[1])
        if row.pool:
            depth = self._pool(box, lumen, float(self.body.rng.uniform(*row.pool)))
        if row.pool or row.gas[1] > -1:
            self._tint(hu, box, lumen & (depth < 0), "gas")
        if not row.keep:
            organ = BY_NAME.get(row.name)
            label[inside] = organ.id if organ else 0

    def _clip(self, row: Row, box: Box, distance: Array) -> Array:
        """Apply the modifiers of a row to its distances."""
        y, z = self.grid.y[box], self.grid.z[box]
        if row.lumps:
            distance = distance - row.lumps * self.bulge[box]
        if row.band:
            distance = np.maximum(row.band[0] - distance, distance - row.band[1])
        if row.within:
            distance = np.maximum(distance, self.regions[row.within][box])
        if row.above:
            distance = np.maximum(distance, row.above[0] + row.above[1] * y - z)
        if row.every:
            period, share, back, aside, phase = row.every
            turns = (z + back * y + aside * np.abs(self.grid.x[box]) - phase) * (1 / period)
            distance = np.where(turns - np.floor(turns) < share, distance, np.maximum(distance, 0))
        return distance

    def _tint(self, hu: Array, box: Box, where: NDArray[np.bool_], name: str) -> None:
        tissue = anatomy().tissues[name]
        value = self.body.hu[name]
        if not (tissue.grain or tissue.specks):
            hu[where] = value
            return
        mottle = self.mottle[box][where]
        values = value + tissue.grain * mottle
        if tissue.specks:
            values += tissue.specks * np.maximum(mottle - 0.4, 0)
        hu[where] = values

    def _pool(self, box: Box, lumen: NDArray[np.bool_], share: float) -> Array:
        """Depth, in voxels, below the one gas level that leaves `share` of the lumen above it."""
        rows = lumen.sum(axis=(0, 2), dtype=np.int64)[:: self.body.gravity]
        level = int(np.searchsorted(np.cumsum(rows), share * int(rows.sum())))
        depth = (np.arange(len(rows), dtype=np.float64) - level)[:: self.body.gravity]
        return np.broadcast_to(depth[None, :, None], lumen.shape)

    def finish(self, params: PhantomParams) -> NDArray[np.int16]:
        """The scan: tissue blurred as by partial volume, plus noise with a mild spatial correlation, in whole HU."""
        plane = min(0.25, 0.72 / params.spacing_mm**2)
        image = blur(self.hu, (0.06, plane, plane))
        noise = self.body.rng.standard_normal(image.shape)
        image += blur(noise, (0, 0.24, 0.24)) * (self.body.noise_hu / 0.3856)  # what the blur leaves of the SD
        if params.modality == "MR":
            np.abs(image, out=image)  # an MR scan shows magnitudes
        return np.clip(np.rint(image), -1024, 3071).astype(np.int16)
