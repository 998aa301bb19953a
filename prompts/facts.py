"""The geometry of every mask, measured: what a prompt may truthfully say of it.

Frames and units: rows run down the displayed picture and columns to its right; centroids and boxes are in pixels (a box
is half-open: rows `row0:row1`), margins in mm, areas in mm2.

An organ is leftmost in a slice when both its left edge and its centroid lie further left than every other candidate's;
its margin is the smaller of the two leads over the runner-up. Where edge and centroid disagree nobody is leftmost,
because people would disagree as well. The other three directions are alike. An organ is largest (smallest) by area; its
margin is the ratio of its area to the runner-up's (of the runner-up's to its own).

The organs that are there compete, in the finest labels that the source gives: a union competes only in a source that
labels none of its parts, whatever is missing from the scan. Whole numbers are counted and summed first and scaled to mm
last, so that a fact is off by no more than its own rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa
from scipy import ndimage

from corpus.anatomy import BY_ID, BY_NAME, N_ORGANS, UNIONS, with_unions

POSITION_MARGINS = {
    "leftmost": "leftmost_mm",
    "rightmost": "rightmost_mm",
    "topmost": "topmost_mm",
    "bottommost": "bottommost_mm",
}
SIZE_MARGINS = {"largest": "largest_ratio", "smallest": "smallest_ratio"}

FACTS = pa.DataFrameSchema(
    {
        "slice_id": pa.Column(str),
        "source": pa.Column(str),
        "patient": pa.Column(str),
        "volume": pa.Column(str),
        "organ": pa.Column(str),
        "pixels": pa.Column(int, pa.Check.gt(0)),
        "area_mm2": pa.Column(float, pa.Check.gt(0)),
        **{side: pa.Column(int) for side in ("row0", "row1", "col0", "col1")},
        "centroid_row": pa.Column(float),
        "centroid_col": pa.Column(float),
        "candidates": pa.Column(object),
        **{margin: pa.Column(float, nullable=True) for margin in (*POSITION_MARGINS.values(), *SIZE_MARGINS.values())},
    },
    unique=["slice_id", "organ"],
    strict=True,
)
"""One row a slice and organ. `candidates`: ids of the organs that compete in the slice; margins are null for an
organ that doesn't compete (a union whose parts are labelled) and where fewer than two compete."""

VOLUME_FACTS = pa.DataFrameSchema(
    {
        "source": pa.Column(str),
        "patient": pa.Column(str),
        "volume": pa.Column(str),
        "organ": pa.Column(str),
        "slices": pa.Column(int, pa.Check.gt(0)),
        "volume_mm3": pa.Column(float, pa.Check.gt(0)),
        "largest_ratio": pa.Column(float, nullable=True),
        "smallest_ratio": pa.Column(float, nullable=True),
    },
    unique=["source", "volume", "organ"],
    strict=True,
)


@dataclass(frozen=True)
class Shape:
    """One organ's mask in one slice, measured in pixels."""

    organ: int
    pixels: int
    box: tuple[int, int, int, int]
    """row0, row1, col0, col1; half-open."""
    centroid: tuple[float, float]
    """row, column."""


def shapes(label: np.ndarray) -> dict[int, Shape]:
    """Measure every organ of a label map.

    Args:
        label: uint8 `[H, W]` organ ids.

    Returns:
        Organ id -> its shape.
    """
    height, width = label.shape
    flat = label.ravel()
    pixels = np.bincount(flat, minlength=N_ORGANS + 1)
    # Sums of whole numbers are exact in float64, so centroids are the same on every machine.
    rows = np.bincount(flat, weights=np.repeat(np.arange(height), width), minlength=N_ORGANS + 1)
    cols = np.bincount(flat, weights=np.tile(np.arange(width), height), minlength=N_ORGANS + 1)
    boxes = ndimage.find_objects(label, max_label=N_ORGANS)
    return {
        organ: Shape(
            organ,
            int(pixels[organ]),
            (box[0].start, box[0].stop, box[1].start, box[1].stop),
            (float(rows[organ] / pixels[organ]), float(cols[organ] / pixels[organ])),
        )
        for organ, box in enumerate(boxes, start=1)
        if box is not None
    }


def _others(scores: np.ndarray, place: int) -> np.ndarray:
    """For each score the one at `place` (from 1) among the others, lowest first; infinite where there are too few."""
    order = np.append(np.sort(scores), np.inf)
    own = np.searchsorted(order, scores)
    return np.where(own < place, order[min(place, len(scores))], order[place - 1])


def _leads(scores: np.ndarray, rank: int) -> np.ndarray:
    """How far each score lies below the one after it and above the one before it, if it were at place `rank`, lowest
    first (negative where it isn't)."""
    behind = _others(scores, rank) - scores
    return behind if rank == 1 else np.minimum(behind, scores - _others(scores, rank - 1))


def position_leads(found: list[Shape], spacing: tuple[float, float], rank: int = 1) -> dict[str, np.ndarray]:
    """Each shape's margin in mm for the four directions: the smaller of its edge's and its centroid's lead.

    Args:
        found: At least two shapes, and as many as `rank`.
        spacing: (y, x) in mm.
        rank: 2 asks who comes second; the lead is the smaller one of those before and behind.
    """
    y, x = spacing
    row0, row1, col0, col1 = np.array([s.box for s in found], float).T
    row, col = np.array([s.centroid for s in found], float).T
    return {
        "leftmost": np.minimum(_leads(col0, rank), _leads(col, rank)) * x,
        "rightmost": np.minimum(_leads(-col1, rank), _leads(-col, rank)) * x,
        "topmost": np.minimum(_leads(row0, rank), _leads(row, rank)) * y,
        "bottommost": np.minimum(_leads(-row1, rank), _leads(-row, rank)) * y,
    }


def size_leads(sizes: np.ndarray, rank: int = 1) -> dict[str, np.ndarray]:
    """Each size's ratio to the next smaller other (for "largest"), and of the next larger other to it (for "smallest"),
    if it were at place `rank` from that end: the smaller one of the ratios before and behind."""
    with np.errstate(divide="ignore"):
        largest, smallest = sizes / np.maximum(-_others(-sizes, rank), 0), _others(sizes, rank) / sizes
    if rank > 1:
        largest = np.minimum(largest, -_others(-sizes, rank - 1) / sizes)
        smallest = np.minimum(smallest, sizes / _others(sizes, rank - 1))
    return {"largest": largest, "smallest": smallest}


def merge(parts: list[Shape], organ: int) -> Shape:
    """Several shapes as one: of an organ's parts, or of one organ in the slices of a volume."""
    pixels = sum(p.pixels for p in parts)
    row0, row1, col0, col1 = np.array([p.box for p in parts]).T
    row, col = (sum(p.centroid[axis] * p.pixels for p in parts) / pixels for axis in (0, 1))
    return Shape(organ, pixels, (int(row0.min()), int(row1.max()), int(col0.min()), int(col1.max())), (row, col))


def competitors(found: dict[int, Shape], labelled: Iterable[int]) -> list[int]:
    """Organ ids that are there and compete, sorted.

    Args:
        found: Organ id -> its shape.
        labelled: Organ ids that the source labels.
    """
    labelled = set(labelled)
    return sorted(organ for organ in found if labelled.isdisjoint(UNIONS.get(organ, ())))


def slice_facts(found: dict[int, Shape], spacing: tuple[float, float], labelled: Iterable[int]) -> list[dict]:
    """Every fact of one slice.

    Args:
        found: What `shapes` found in the slice as displayed.
        spacing: (y, x) in mm.
        labelled: Organ ids that the source labels; a union is measured where it or all its parts are among them.

    Returns:
        One row an organ, with the columns of `FACTS` from `organ` on.
    """
    labelled = set(labelled)
    candidates = competitors(found, labelled)
    margins: dict[int, dict[str, float]] = {}
    if len(candidates) > 1:
        competing = [found[o] for o in candidates]
        by_name = position_leads(competing, spacing) | size_leads(np.array([s.pixels for s in competing], float))
        columns = POSITION_MARGINS | SIZE_MARGINS
        margins = {o: {columns[a]: round(float(v[i]), 4) for a, v in by_name.items()} for i, o in enumerate(candidates)}
    measured = dict(found)
    for organ in with_unions(labelled) & set(UNIONS):
        parts = [found[p] for p in (organ, *UNIONS[organ]) if p in found]
        if parts:
            measured[organ] = merge(parts, organ)
    nothing = dict.fromkeys((*POSITION_MARGINS.values(), *SIZE_MARGINS.values()), float("nan"))
    return [
        {
            "organ": BY_ID[organ].name,
            "pixels": shape.pixels,
            "area_mm2": round(shape.pixels * spacing[0] * spacing[1], 4),
            **dict(zip(("row0", "row1", "col0", "col1"), shape.box, strict=True)),
            "centroid_row": round(shape.centroid[0], 4),
            "centroid_col": round(shape.centroid[1], 4),
            "candidates": candidates,
            **margins.get(organ, nothing),
        }
        for organ, shape in sorted(measured.items())
    ]


def volume_facts(facts: pd.DataFrame, voxel_mm3: dict[str, float]) -> pd.DataFrame:
    """Sum slice facts over each volume, and say which organ is largest and smallest in the whole scan.

    Args:
        facts: Rows of `FACTS`, one source.
        voxel_mm3: Volume -> what one of its voxels occupies.
    """
    keys = ["source", "patient", "volume", "organ"]
    table = facts.groupby(keys, as_index=False, sort=True).agg(slices=("slice_id", "size"), voxels=("pixels", "sum"))
    voxels = table.pop("voxels")
    table["volume_mm3"] = (voxels * table["volume"].map(voxel_mm3)).round(4)
    table["largest_ratio"] = table["smallest_ratio"] = float("nan")
    competing = {(v, o) for v, found in zip(facts["volume"], facts["candidates"], strict=True) for o in found}
    competes = pd.Series(
        [(v, BY_NAME[o].id) in competing for v, o in zip(table["volume"], table["organ"], strict=True)]
    )
    for _, group in table[competes].groupby("volume", sort=True):
        if len(group) > 1:
            leads = size_leads(voxels[group.index].to_numpy(float))
            table.loc[group.index, "largest_ratio"] = leads["largest"].round(4)
            table.loc[group.index, "smallest_ratio"] = leads["smallest"].round(4)
    return VOLUME_FACTS.validate(table)


def mask_of(label: np.ndarray, organ: int) -> np.ndarray:
    """The boolean mask of an organ in a label map, any shape; a union is the union of its parts' masks."""
    return np.isin(label, (organ, *UNIONS.get(organ, ())))
