"""From a slice store to its facts tables, a few hundred slices a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from corpus.parallel import run_tasks
from corpus.scans.store import SliceStore
from prompts.facts import FACTS, competitors, shapes, slice_facts, volume_facts
from prompts.relations import RELATIONS, slice_relations, to_table


@dataclass(frozen=True)
class _Task:
    store: SliceStore
    rows: pd.DataFrame


def _measure(task: _Task) -> tuple[pd.DataFrame, pd.DataFrame]:
    facts, relations = [], []
    for row in task.rows.to_dict("records"):
        found = shapes(task.store.label(row["shard"], row["row"]))
        spacing = (row["spacing_y"], row["spacing_x"])
        keys = {name: row[name] for name in ("slice_id", "source", "patient", "volume")}
        facts += [keys | fact for fact in slice_facts(found, spacing, row["labelled"])]
        competing = [found[organ] for organ in competitors(found, row["labelled"])]
        relations += [{"slice_id": row["slice_id"], **relation} for relation in slice_relations(competing, spacing)]
    # Tables are far smaller than the dictionaries.
    return pd.DataFrame(facts, columns=list(FACTS.columns)), to_table(relations)


def measure(
    store: SliceStore, advance: Callable[..., None] = lambda n=0, total=None: None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure every mask of a store.

    Args:
        advance: Called with the number of slices done since the last call, and once with their `total`.

    Returns:
        Facts a slice (`FACTS`), facts a volume (`VOLUME_FACTS`), and relations a slice (`RELATIONS`).
    """
    table = store.table
    advance(0, total=len(table))
    tasks = [_Task(store, rows) for _, rows in table.groupby("shard", sort=True)]
    results = run_tasks(_measure, tasks, lambda task: advance(len(task.rows)))
    facts = pd.concat([part for part, _ in results if len(part)])
    relations = pd.concat([part for _, part in results])
    del results
    facts = FACTS.validate(facts.sort_values(["slice_id", "organ"], ignore_index=True), inplace=True)
    order = ["slice_id", "relation", "organ", "other"]
    relations = RELATIONS.validate(relations.sort_values(order, ignore_index=True), inplace=True)
    voxel_mm3 = table["spacing_z"] * table["spacing_y"] * table["spacing_x"]
    return facts, volume_facts(facts, dict(zip(table["volume"], voxel_mm3, strict=True))), relations
