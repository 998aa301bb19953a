"""From a slice store to its facts tables, a few hundred slices a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from corpus.parallel import run_tasks
from corpus.scans.store import SliceStore
from prompts.facts import FACTS, slice_facts, volume_facts


@dataclass(frozen=True)
class _Task:
    store: SliceStore
    rows: pd.DataFrame


def _measure(task: _Task) -> pd.DataFrame:
    facts = []
    for row in task.rows.to_dict("records"):
        label = task.store.label(row["shard"], row["row"])
        keys = {name: row[name] for name in ("slice_id", "source", "patient", "volume")}
        facts += [keys | fact for fact in slice_facts(label, (row["spacing_y"], row["spacing_x"]), row["labelled"])]
    return pd.DataFrame(facts, columns=list(FACTS.columns))  # far smaller than the dictionaries


def measure(
    store: SliceStore, advance: Callable[..., None] = lambda n=0, total=None: None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every mask of a store.

    Args:
        advance: Called with the number of slices done since the last call, and once with their `total`.

    Returns:
        Facts a slice (`FACTS`) and facts a volume (`VOLUME_FACTS`).
    """
    table = store.table
    advance(0, total=len(table))
    tasks = [_Task(store, rows) for _, rows in table.groupby("shard", sort=True)]
    parts = run_tasks(_measure, tasks, lambda task: advance(len(task.rows)))
    facts = pd.concat([part for part in parts if len(part)])
    del parts
    facts = FACTS.validate(facts.sort_values(["slice_id", "organ"], ignore_index=True), inplace=True)
    voxel_mm3 = table["spacing_z"] * table["spacing_y"] * table["spacing_x"]
    return facts, volume_facts(facts, dict(zip(table["volume"], voxel_mm3, strict=True)))
