"""From a dataset to the slice store: volume by volume, one shard a task."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from corpus.anatomy import BY_ID
from corpus.errors import InputError
from corpus.parallel import run_tasks
from corpus.params import params_dataclass
from corpus.scans.adapters import Case, Reject, Source, open_source, read_case
from corpus.scans.store import REJECTS, SLICES, TABLE, ShardWriter, shard_of


@params_dataclass
class SourceParams:
    """Where one source lies, and the adapter that knows its layout."""

    adapter: str
    root: Path


@params_dataclass
class IngestParams:
    """Section `ingest` of params.yaml."""

    sources: dict[str, SourceParams]
    shards: int
    """Shards a source; about one for every 250 to 1000 slices."""
    speck_mm2: float
    """Connected components of a 2D mask that are smaller than this are dropped."""
    negatives: float
    """Share of the slices with no labelled organ that is kept."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("expected at least one source")
        if not 1 <= self.shards <= 999:
            raise ValueError("shards must be from 1 to 999")
        if not 0 <= self.negatives <= 1:
            raise ValueError("negatives must be from 0 to 1")


@dataclass(frozen=True)
class _Task:
    number: int
    cases: list[Case]
    source: Source
    name: str
    params: IngestParams
    out: Path


def remove_specks(label: np.ndarray, spacing: tuple[float, float], minimum_mm2: float) -> tuple[np.ndarray, int]:
    """Drop the connected components of each organ's 2D mask that are smaller than `minimum_mm2`.

    Args:
        label: uint8 `[H, W]` organ ids.
        spacing: (y, x) in mm.

    Returns:
        The cleaned label map, and how many components were dropped.
    """
    minimum_pixels = minimum_mm2 / (spacing[0] * spacing[1])
    clean, dropped = label.copy(), 0
    for organ, box in enumerate(ndimage.find_objects(label), start=1):
        if box is None:
            continue
        components, n = ndimage.label(label[box] == organ)
        sizes = np.bincount(components.ravel(), minlength=n + 1)
        small = np.flatnonzero(sizes < minimum_pixels)
        small = small[small > 0]
        if len(small):
            clean[box][np.isin(components, small)] = 0
            dropped += len(small)
    return clean, dropped


def _write_shard(task: _Task) -> tuple[pd.DataFrame, list[dict]]:
    writer = ShardWriter(task.out, task.number)
    rows: list[dict] = []
    rejects: list[dict] = []
    for case in task.cases:
        try:
            rows += _write_case(case, task, writer)
        except Reject as reason:
            rejects.append({"source": task.name, "volume": case.volume, "file": str(case.image), "reason": str(reason)})
    writer.close()
    return pd.DataFrame(rows), rejects  # far smaller than the dictionaries


def _write_case(case: Case, task: _Task, writer: ShardWriter) -> list[dict]:
    volume = read_case(case, task.source)
    spacing_z, spacing_y, spacing_x = volume.spacing
    cleaned = [remove_specks(s, (spacing_y, spacing_x), task.params.speck_mm2) for s in volume.label]
    label = np.stack([c for c, _ in cleaned])
    keep = [z for z in range(len(label)) if label[z].any() or _keep_negative(task, case, z)]
    if not keep:
        raise Reject("no slice has a labelled organ")
    shard, first = writer.append(volume.image[keep], label[keep])
    labelled = sorted(set(task.source.labels.values()))
    return [
        {
            "slice_id": f"{task.name}/{case.volume}/{z:04d}",
            "source": task.name,
            "patient": f"{task.name}/{case.patient}",
            "volume": case.volume,
            "z": z,
            "shard": shard,
            "row": first + i,
            "height": label.shape[1],
            "width": label.shape[2],
            "spacing_z": spacing_z,
            "spacing_y": spacing_y,
            "spacing_x": spacing_x,
            "modality": task.source.modality,
            "orientation": volume.orientation,
            "labelled": labelled,
            "present": [o for o, box in enumerate(ndimage.find_objects(label[z]), start=1) if box],
            "specks": cleaned[z][1],
        }
        for i, z in enumerate(keep)
    ]


def _keep_negative(task: _Task, case: Case, z: int) -> bool:
    return shard_of(f"{task.name}/{case.volume}/{z}", 1000) < 1000 * task.params.negatives


def ingest(
    name: str, params: IngestParams, out: Path, advance: Callable[..., None] = lambda n=0, total=None: None
) -> dict:
    """Write one source's slice store.

    Args:
        name: The source's key in `params.sources`.
        out: Folder of the store; an old one is replaced.
        advance: Called with the number of volumes done since the last call, and once with their `total`.

    Returns:
        The summary, as written to summary.json.

    Raises:
        InputError: The source's folder is missing or in another layout, or no volume of it could be used.
    """
    source = open_source(params.sources[name].adapter, params.sources[name].root)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    grouped: dict[int, list[Case]] = {}
    for case in source.cases:
        grouped.setdefault(shard_of(f"{name}/{case.patient}", params.shards), []).append(case)
    tasks = [_Task(number, cases, source, name, params, out) for number, cases in sorted(grouped.items())]
    advance(0, total=len(source.cases))
    results = run_tasks(_write_shard, tasks, lambda task: advance(len(task.cases)))

    rejects = pd.DataFrame([r for _, rs in results for r in rs], columns=["source", "volume", "file", "reason"])
    rejects.sort_values("volume").to_csv(out / REJECTS, index=False)
    parts = [part for part, _ in results if len(part)]
    if not parts:
        reasons = "; ".join(sorted(set(rejects["reason"]))[:3])
        raise InputError(
            params.sources[name].root,
            f"none of {len(rejects)} volumes could be used ({reasons})",
            f"see {out / REJECTS}",
        )
    table = SLICES.validate(pd.concat(parts).sort_values(["volume", "z"], ignore_index=True))
    table.to_parquet(out / TABLE, index=False)
    summary = {
        "volumes": len(source.cases) - len(rejects),
        "rejected_volumes": len(rejects),
        "patients": int(table["patient"].nunique()),
        "slices": len(table),
        "specks_dropped": int(table["specks"].sum()),
        "dropped_labels": sorted(source.dropped.values()),
        "labelled_organs": [BY_ID[i].name for i in sorted(set(source.labels.values()))],
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary
