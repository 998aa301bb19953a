"""From a slice store to its facts tables, a few hundred slices a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from corpus.parallel import run_tasks
from corpus.scans.store import SliceStore
from prompts.facts import FACTS, slice_facts, volume_facts
from prompts.relations import RELATIONS, slice_relations, to_table
from prompts.rules import ANSWERS, Scene, slice_answers


@dataclass(frozen=True)
class _Task:
    store: SliceStore
    rows: pd.DataFrame


@dataclass(frozen=True)
class Measured:
    """What is known of the masks of a store."""

    facts: pd.DataFrame
    """`prompts.facts.FACTS`: each mask in each slice."""
    volumes: pd.DataFrame
    """`prompts.facts.VOLUME_FACTS`: each structure in each volume."""
    relations: pd.DataFrame
    """`prompts.relations.RELATIONS`: pairs of masks in each slice."""
    answers: pd.DataFrame
    """`prompts.rules.ANSWERS`: what can be asked of each slice, and the right answer."""


def _measure(task: _Task) -> tuple[pd.DataFrame, ...]:
    facts, relations, answers = [], [], []
    for row in task.rows.to_dict("records"):
        label: np.ndarray = task.store.label(row["shard"], row["row"])
        spacing = (row["spacing_y"], row["spacing_x"])
        scene = Scene(label[None], spacing, row["labelled"])
        keys = {name: row[name] for name in ("slice_id", "source", "patient", "volume")}
        facts += [keys | fact for fact in slice_facts(scene.shapes, spacing, row["labelled"])]
        named = {"slice_id": row["slice_id"]}
        relations += [named | relation for relation in slice_relations(scene.competing, spacing)]
        answers += [named | answer for answer in slice_answers(scene)]
    # Tables are far smaller than the dictionaries.
    return (
        pd.DataFrame(facts, columns=list(FACTS.columns)),
        to_table(relations),
        pd.DataFrame(answers, columns=list(ANSWERS.columns)).astype({"margin": float}),
    )


def measure(store: SliceStore, advance: Callable[..., None] = lambda n=0, total=None: None) -> Measured:
    """Measure every mask of a store.

    Args:
        advance: Called with the number of slices done since the last call, and once with their `total`.
    """
    table = store.table
    advance(0, total=len(table))
    tasks = [_Task(store, rows) for _, rows in table.groupby("shard", sort=True)]
    results = run_tasks(_measure, tasks, lambda task: advance(len(task.rows)))
    facts = pd.concat([part for part, _, _ in results if len(part)])
    relations, answers = (pd.concat([parts[i] for parts in results]) for i in (1, 2))
    del results
    facts = FACTS.validate(facts.sort_values(["slice_id", "organ"], ignore_index=True), inplace=True)
    order = ["slice_id", "relation", "organ", "other"]
    relations = RELATIONS.validate(relations.sort_values(order, ignore_index=True), inplace=True)
    answers = answers.sort_values(["slice_id", "kind", "target"], ignore_index=True)
    voxel_mm3 = table["spacing_z"] * table["spacing_y"] * table["spacing_x"]
    volumes = volume_facts(facts, dict(zip(table["volume"], voxel_mm3, strict=True)))
    return Measured(facts, volumes, relations, ANSWERS.validate(answers, inplace=True))
