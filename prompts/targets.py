"""Which prompts a mask may get: its facts, filtered by how clear they are; which organs it is asked in vain."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from corpus.anatomy import BY_ID, UNIONS, with_unions
from corpus.params import params_dataclass
from prompts.facts import POSITION_MARGINS, SIZE_MARGINS


@params_dataclass
class TargetParams:
    """Section `targets` of params.yaml."""

    position_margin_mm: float
    """A mask is called leftmost only if it leads the runner-up by this much: a one-pixel winner teaches noise."""
    size_ratio: float
    """A mask is called largest (smallest) only if its area is this many times the runner-up's (or the reverse)."""
    min_area_mm2: float
    """Smaller masks get no prompt."""
    absent: int
    """Organs that a slice doesn't show and is asked for all the same; the right answer is an empty mask."""

    def __post_init__(self) -> None:
        if min(self.position_margin_mm, self.min_area_mm2, self.absent) < 0:
            raise ValueError("position_margin_mm, min_area_mm2 and absent must not be negative")
        if self.size_ratio < 1:
            raise ValueError("size_ratio must be at least 1")


ABSENT = "absent"
"""The kind of a sample whose organ the slice doesn't show; its requests are those of kind "anatomy"."""
TARGET_COLUMNS = ["slice_id", "source", "patient", "organ", "kind", "attribute", "margin"]


def eligible(facts: pd.DataFrame, params: TargetParams) -> pd.DataFrame:
    """Every (mask, kind, attribute) that a prompt may truthfully and clearly speak of.

    Args:
        facts: Rows of `prompts.facts.FACTS`.

    Returns:
        Columns `TARGET_COLUMNS`, sorted; attribute is None for kind "anatomy". `margin` is in mm for positions, a ratio
        for sizes, and the area in mm2 for anatomy.
    """
    clear = facts[facts["area_mm2"] >= params.min_area_mm2]
    parts = [clear.assign(kind="anatomy", attribute=None, margin=clear["area_mm2"])]
    for kind, columns, threshold in (
        ("position", POSITION_MARGINS, params.position_margin_mm),
        ("size", SIZE_MARGINS, params.size_ratio),
    ):
        for attribute, column in columns.items():
            won = clear[clear[column] >= threshold]
            parts.append(won.assign(kind=kind, attribute=attribute, margin=won[column]))
    targets = pd.concat([p.astype({"attribute": object}) for p in parts], ignore_index=True)[TARGET_COLUMNS]
    return targets.sort_values(["slice_id", "kind", "attribute", "organ"], ignore_index=True)


def absent(slices: pd.DataFrame, params: TargetParams, seed: int) -> pd.DataFrame:
    """Organs that each slice's source labels and the slice doesn't show, `params.absent` of them, drawn with a seed.

    Args:
        slices: Rows of `corpus.scans.store.SLICES`.

    Returns:
        Columns `TARGET_COLUMNS`, of kind `ABSENT`.
    """
    rows = []
    for row in slices.to_dict("records"):
        present = set(row["present"])
        missing = [o for o in sorted(with_unions(set(row["labelled"]))) if not present & {o, *UNIONS.get(o, ())}]
        digest = hashlib.sha256(f"{seed}:{row['slice_id']}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8])))
        rows += [
            {k: row[k] for k in ("slice_id", "source", "patient")} | {"organ": BY_ID[organ].name}
            for organ in sorted(rng.permutation(missing)[: params.absent].tolist())
        ]
    targets = pd.DataFrame(rows, columns=["slice_id", "source", "patient", "organ"])
    return targets.assign(kind=ABSENT, attribute=None, margin=0.0)[TARGET_COLUMNS].astype({"attribute": object})
