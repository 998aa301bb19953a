"""Which of two organs lies left of the other, and which above it: what a relational prompt may truthfully say.

Frames and units as in `prompts.facts`. One organ is left of another when its left edge, its right edge and its centroid
all lie further left than the other's; the margin is the smallest of the three leads in mm. Where they disagree, because
one organ reaches round the other, neither is left of the other. The other directions are alike. The organs that are
compared are those that compete for "leftmost". Which of several is nearest is told by the least distance between
pixels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from scipy.spatial import KDTree

from corpus.anatomy import BY_ID, ORGANS
from prompts.facts import Shape

CONVERSES = {"left of": "right of", "above": "below"}
"""What is stored, and what follows from it: b is right of a where a is left of b, by the same margin."""

ORGAN_NAMES = pd.CategoricalDtype([organ.name for organ in ORGANS])
RELATION_NAMES = pd.CategoricalDtype(list(CONVERSES))

RELATIONS = pa.DataFrameSchema(
    {
        "slice_id": pa.Column(str),
        "organ": pa.Column(ORGAN_NAMES),
        "relation": pa.Column(RELATION_NAMES),
        "other": pa.Column(ORGAN_NAMES),
        "margin_mm": pa.Column(float, pa.Check.gt(0)),
    },
    unique=["slice_id", "organ", "relation", "other"],
    strict=True,
)
"""One row a slice and true relation: `organ` is `relation` `other`. The converse relations aren't stored."""


def relation_margins(found: list[Shape], spacing: tuple[float, float]) -> dict[str, np.ndarray]:
    """By how many mm shape i is left of (above, right of, below) shape j: entry [i, j], not positive where it isn't.

    Args:
        found: N shapes.
        spacing: (y, x) in mm.

    Returns:
        Relation -> float64 `[N, N]`.
    """
    row0, row1, col0, col1 = np.array([s.box for s in found], float).reshape(-1, 4).T
    row, col = np.array([s.centroid for s in found], float).reshape(-1, 2).T

    def leads(*lines: np.ndarray) -> np.ndarray:
        return np.min([line[None, :] - line[:, None] for line in lines], axis=0)

    y, x = spacing
    return {
        "left of": leads(col0, col1, col) * x,
        "above": leads(row0, row1, row) * y,
        "right of": leads(-col0, -col1, -col) * x,
        "below": leads(-row0, -row1, -row) * y,
    }


def slice_relations(competing: list[Shape], spacing: tuple[float, float]) -> list[dict]:
    """Every relation of one slice that holds.

    Args:
        competing: The shapes of the organs that compete.
        spacing: (y, x) in mm.

    Returns:
        One row a relation, with the columns of `RELATIONS` from `organ` on.
    """
    margins = relation_margins(competing, spacing)
    names = [BY_ID[shape.organ].name for shape in competing]
    return [
        {
            "organ": names[i],
            "relation": relation,
            "other": names[j],
            "margin_mm": round(float(margins[relation][i, j]), 4),
        }
        for relation in CONVERSES
        for i, j in np.argwhere(margins[relation].round(4) > 0).tolist()
    ]


def to_table(rows: list[dict]) -> pd.DataFrame:
    """Rows of `slice_relations`, each with its `slice_id`, as a table of `RELATIONS`."""
    table = pd.DataFrame(rows, columns=list(RELATIONS.columns))
    return table.astype(
        {"slice_id": str, "organ": ORGAN_NAMES, "relation": RELATION_NAMES, "other": ORGAN_NAMES, "margin_mm": float}
    )


Borders = dict[int, np.ndarray]
"""Organ id -> its border's pixel centres, (y, x) in mm, float64 `[N, 2]`."""


def borders(label: np.ndarray, spacing: tuple[float, float]) -> Borders:
    """The pixels of every organ that touch another organ, the background or the picture's end with a side.

    Args:
        label: uint8 `[H, W]` organ ids.
        spacing: (y, x) in mm.
    """
    padded = np.pad(label, 1)
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = (label > 0) & np.any([side != label for side in sides], axis=0)
    points, organs = np.argwhere(edge), label[edge]
    return {int(organ): points[organs == organ] * np.array(spacing) for organ in np.unique(organs)}


def gap_mm(found: Borders, one: int, other: int) -> float:
    """The least distance between pixel centres of two organs of a slice; infinite where it lacks one of them."""
    if one not in found or other not in found:
        return float("inf")
    distances, _ = KDTree(found[one]).query(found[other])
    return float(np.min(distances))
