"""From a dataset to the slice store: volume by volume, one shard a task. A killed ingest goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from corpus.anatomy import BY_ID
from corpus.errors import InputError
from corpus.parallel import run_tasks
from corpus.params import plain
from corpus.scans.adapters import open_source, read_case
from corpus.scans.ingest_params import IngestParams
from corpus.scans.sparse import SPARSE_FIX, slices_apart
from corpus.scans.store import REJECTS, SHA256, SLICES, TABLE, ShardWriter, shard_of
from corpus.scans.unfinished import Part, Unfinished
from corpus.scans.volumes import Case, Reject, Source, Volume


@dataclass(frozen=True)
class _Task:
    number: int
    cases: list[Case]
    source: Source
    name: str
    params: IngestParams
    unfinished: Unfinished


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


def _write_shard(task: _Task) -> None:
    writer = ShardWriter(task.unfinished.folder, task.number)
    rows: list[dict] = []
    rejects: list[dict] = []
    dropped: set[str] = set()
    for case in task.cases:
        try:
            volume = read_case(case, task.source)
            rows += _write_volume(case, volume, task, writer)
            dropped |= volume.dropped
        except Reject as reason:
            rejects.append({"source": task.name, "volume": case.volume, "file": str(case.image), "reason": str(reason)})
    task.unfinished.write(task.number, Part(rows, rejects, sorted(dropped), writer.close()))


def _named_apart(cases: list[Case]) -> Iterator[Case]:
    """The cases; one that is called like another before it ("a/b" of a folder tree, and "a-b") can't be used."""
    first: dict[str, Case] = {}
    for case in cases:
        if (other := first.setdefault(case.volume, case)) is not case:
            problem = f"{case.label}: its volume would be called {case.volume}, as that of {other.label}; rename one"
            case = replace(case, problem=case.problem or problem)
        yield case


def _write_volume(case: Case, volume: Volume, task: _Task, writer: ShardWriter) -> list[dict]:
    spacing_z, spacing_y, spacing_x = volume.spacing
    cleaned = [remove_specks(s, (spacing_y, spacing_x), task.params.speck_mm2) for s in volume.label]
    label = np.stack([c for c, _ in cleaned])
    present = [_organs(s) for s in label]
    if not any(present):
        raise Reject("no slice has a labelled organ")
    _check_drawn_throughout(present, case.label.name)
    keep = [z for z in range(len(label)) if present[z] or _keep_negative(task, case, z)]
    shard, first = writer.append(volume.image[keep], label[keep])
    labelled = sorted(volume.labelled)  # one list for all rows
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
            "modality": volume.modality,
            "orientation": volume.orientation,
            "intensity": volume.intensity,
            "mended": "; ".join(volume.mended),
            "labelled": labelled,
            "present": present[z],
            "specks": cleaned[z][1],
            "specks_only": sorted({*_organs(volume.label[z])} - {*present[z]}),
        }
        for i, z in enumerate(keep)
    ]


def _check_drawn_throughout(present: list[list[int]], name: str) -> None:
    """Refuse labels that leave slices out: what isn't drawn on a slice is taught as absent from it. Specks are gone by
    now, a few of which may lie anywhere.

    Args:
        present: The organs of each slice.
        name: The labels' file, for the reason.

    Raises:
        Reject: An organ is drawn on every other slice or fewer.
    """
    for organ in sorted({organ for organs in present for organ in organs}):
        places = np.array([z for z, organs in enumerate(present) if organ in organs])
        if apart := slices_apart(places):
            raise Reject(f"{name}: {BY_ID[organ].name} is drawn on slices {apart:.2g} apart: {SPARSE_FIX}")


def _organs(label: np.ndarray) -> list[int]:
    return [o for o, box in enumerate(ndimage.find_objects(label), start=1) if box]


def _keep_negative(task: _Task, case: Case, z: int) -> bool:
    return shard_of(f"{task.name}/{case.volume}/{z}", 1000) < 1000 * task.params.negatives


def _collected(
    work: Unfinished, tasks: list[_Task]
) -> tuple[list[pd.DataFrame], pd.DataFrame, set[str], dict[str, str]]:
    """What the tasks found out: tables of slices, the rejects, labels without an organ, and the files' sha256."""
    tables, rejected, dropped = [], [], set[str]()
    hashes: dict[str, str] = {}
    for task in tasks:
        part = work.read(task.number)
        if part is None:
            raise InputError(
                work.folder, "shards vanished while the others were made", "run it again; only it may write there"
            )
        hashes |= part.sha256
        rejected += part.rejects
        dropped |= set(part.dropped)
        if part.rows:
            tables.append(pd.DataFrame(part.rows))  # far smaller than its dictionaries
    return tables, pd.DataFrame(rejected, columns=["source", "volume", "file", "reason"]), dropped, hashes


def ingest(
    name: str,
    params: IngestParams,
    out: Path,
    unfinished: Path,
    advance: Callable[..., None] = lambda n=0, total=None: None,
) -> dict:
    """Write one source's slice store.

    Args:
        name: The source's key in `params.sources`.
        out: Folder of the store; an old one is replaced.
        unfinished: Folder for the shards until all are there; an ingest that was killed goes on from it.
        advance: Called with the number of volumes done since the last call, and once with their `total`.

    Returns:
        The summary, as written to summary.json.

    Raises:
        InputError: The source's folder is missing or in another layout, or no volume of it could be used.
    """
    chosen = params.sources[name]
    source = open_source(chosen.adapter, chosen.root)
    depends_on = plain(params) | {"sources": {name: plain(chosen)}}
    work = Unfinished.open(unfinished, source, depends_on)
    grouped: dict[int, list[Case]] = {}
    for case in _named_apart(source.cases):
        grouped.setdefault(shard_of(f"{name}/{case.patient}", params.shards), []).append(case)
    readers = replace(source, cases=[])  # a task carries its own cases alone
    tasks = [_Task(number, cases, readers, name, params, work) for number, cases in sorted(grouped.items())]
    todo = [task for task in tasks if work.read(task.number) is None]
    advance(len(source.cases) - sum(len(task.cases) for task in todo), total=len(source.cases))
    run_tasks(_write_shard, todo, lambda task: advance(len(task.cases)))
    tables, rejects, dropped, hashes = _collected(work, tasks)

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    rejects.sort_values("volume").to_csv(out / REJECTS, index=False)
    if not tables:
        work.publish(out)
        reasons = "; ".join(sorted(set(rejects["reason"]))[:3])
        raise InputError(
            chosen.root, f"none of {len(rejects)} volumes could be used ({reasons})", f"see {out / REJECTS}"
        )
    table = SLICES.validate(pd.concat(tables).sort_values(["volume", "z"], ignore_index=True))
    table.to_parquet(out / TABLE, index=False)
    summary = {
        "volumes": len(source.cases) - len(rejects),
        "rejected_volumes": len(rejects),
        "patients": int(table["patient"].nunique()),
        "slices": len(table),
        "specks_dropped": int(table["specks"].sum()),
        "mended_volumes": int(table.loc[table["mended"] != "", "volume"].nunique()),
        "dropped_labels": sorted(dropped),
        "labelled_organs": [BY_ID[i].name for i in sorted({i for each in table["labelled"] for i in each})],
    }
    (out / SHA256).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    work.publish(out)
    return summary
