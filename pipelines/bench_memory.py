"""`flans bench memory`: what `ingest` and `measure` hold at their peak, for few volumes and for many.

One phantom patient is written once and linked under as many names as asked for. Each stage runs in a process of its
own, and the resident memory of that process and all that it started is summed a hundred times a second. Pages that
processes share are counted in each of them, so that the figures are upper bounds.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import psutil
from rich.table import Table

from corpus.params import load_params
from corpus.scans.ingest import ingest
from corpus.scans.ingest_params import IngestParams, SourceParams
from corpus.scans.phantom import PhantomParams, write_cohort
from corpus.scans.store import SliceStore
from pipelines.stage import progress, results
from prompts.measure import measure

SAMPLE_S = 0.01
NAME = "bench"


def bench_memory(volumes: Sequence[int], workers: Sequence[int], phantom: PhantomParams) -> list[dict]:
    """Measure every pair of a number of volumes and a number of workers.

    Args:
        phantom: The patient to copy.

    Returns:
        One row a pair: volumes, workers, ingest_mb and measure_mb at the peak, and slices_mb, the slices' size without
        compression.
    """
    params = load_params("ingest", IngestParams)
    rows = []
    with TemporaryDirectory(prefix="flans-bench-") as folder, progress("bench memory") as advance:
        advance(0, total=2 * len(volumes) * len(workers))
        scratch = Path(folder)
        write_cohort(phantom, scratch / "patient")
        for count, processes in itertools.product(volumes, workers):
            root, store = scratch / f"raw-{count}", scratch / f"store-{count}-{processes}"
            _link_copies(scratch / "patient", count, root)
            source = {NAME: SourceParams(adapter="nnunet", root=root)}
            shards = max(2, count // 10)  # about as many slices each, as a user would have it
            sized = IngestParams(sources=source, shards=shards, speck_mm2=params.speck_mm2, negatives=params.negatives)
            row = {"volumes": count, "workers": processes}
            with mock.patch.dict(os.environ, {"FLANS_WORKERS": str(processes)}):
                row["ingest_mb"] = _peak_mb(ingest, NAME, sized, store, scratch / "unfinished")
                advance()
                row["measure_mb"] = _peak_mb(measure, SliceStore(store))
                advance()
            table = SliceStore(store).table
            row["slices_mb"] = round(3 * int((table["height"] * table["width"]).sum()) / 1e6)
            rows.append(row)
    return rows


def _link_copies(patient: Path, count: int, out: Path) -> None:
    """An nnU-Net folder in which one case appears under `count` names."""
    if out.exists():
        return
    for kind, ending in (("imagesTr", "_0000.nii"), ("labelsTr", ".nii")):
        (out / kind).mkdir(parents=True)
        (only,) = (patient / kind).glob("*.nii")
        for number in range(count):
            (out / kind / f"copy_{number:04d}{ending}").symlink_to(only)
    (out / "dataset.json").symlink_to(patient / "dataset.json")


def _peak_mb(function: Callable[..., object], *args: object) -> int:
    """Run a function in a fresh process; the most memory that it and its children held together, in MB."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=args)
    process.start()
    root, peak = psutil.Process(process.pid), 0
    while process.is_alive():
        peak = max(peak, sum(_resident(p) for p in (root, *_children(root))))
        process.join(SAMPLE_S)
    if process.exitcode:
        raise RuntimeError(f"{function.__name__} ended with exit status {process.exitcode}")
    return round(peak / 1e6)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:  # it ended since it was listed
        return 0


def show(rows: list[dict]) -> None:
    """Print the figures as a table."""
    table = Table(title="Peak memory, all processes together", title_justify="left")
    for column in ("volumes", "workers", "ingest, MB", "measure, MB", "slices uncompressed, MB"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("volumes", "workers", "ingest_mb", "measure_mb", "slices_mb")))
    results.print(table)
