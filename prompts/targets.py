"""Which prompts a mask may get: its facts, filtered by how clear they are."""

from __future__ import annotations

import pandas as pd

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

    def __post_init__(self) -> None:
        if self.position_margin_mm < 0 or self.min_area_mm2 < 0:
            raise ValueError("position_margin_mm and min_area_mm2 must not be negative")
        if self.size_ratio < 1:
            raise ValueError("size_ratio must be at least 1")


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
