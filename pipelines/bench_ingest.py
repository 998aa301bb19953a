"""`flans bench ingest`: our slice store beside the usual way, on the same volumes, in one run.

The usual way of the field (MedSAM's preprocessing and what came of it): every slice is windowed, resized to 1024 x 1024
with three equal channels, scaled to [0, 1] and saved as float64 .npy, its label map as uint8 .npy beside it. The
resize is scikit-image's `resize(order=3)`, by the call of SciPy that it makes. Because that resize is slow and needn't
be, the same files are also made in the cheapest way we know, and the slower and the faster figure both shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image
from rich.table import Table
from scipy import ndimage

from corpus.params import load_params
from corpus.scans.adapters import Case, open_source, read_case
from corpus.scans.ingest import ingest
from corpus.scans.ingest_params import IngestParams, SourceParams
from corpus.scans.store import SliceStore
from corpus.scans.windowing import window
from pipelines.stage import progress, results

SIDE = 1024
WARM_PASSES = 5
BATCH = 8
RESIZES = {"cubic": "usual .npy", "cheap": "cheap resize"}

Read = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Reads one slice: its image and its label map."""


@dataclass
class Elapsed:
    """Seconds on the clock, and of this process's CPU time: what a core needs, whatever else runs beside it."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time spent inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


def bench_ingest(name: str, source: SourceParams, volumes: int, slices: int) -> dict:
    """Measure both ways in a temporary folder (TMPDIR says where).

    Args:
        name: What the source is called.
        volumes: How many of its volumes are ingested.
        slices: How many of their slices, evenly spread, are also saved and read the usual way.

    Returns:
        Figures by way ("store", "cubic", "cheap"), and how many times better the store is than each usual way.
    """
    with TemporaryDirectory(prefix="flans-bench-") as folder, progress("bench ingest", 4) as advance:
        scratch = Path(folder)
        cases = open_source(source.adapter, source.root).cases
        root = link_cases(source.root, cases, cases[:volumes], scratch / "raw")
        params = load_params("ingest", IngestParams)
        # One shard is one task, so that one process does it all; every slice is kept, as in the other two ways.
        sources = {name: SourceParams(adapter=source.adapter, root=root)}
        params = IngestParams(sources=sources, shards=1, speck_mm2=params.speck_mm2, negatives=1.0)
        ours = Elapsed()
        with ours.running():
            ingest(name, params, scratch / "store", scratch / "unfinished")
        advance()
        store = SliceStore(scratch / "store")
        table = store.table
        chosen = table.iloc[np.unique(np.linspace(0, len(table) - 1, min(slices, len(table))).astype(int))]
        ways = {"store": _way(len(table), ours, _bytes(scratch / "store"))}
        for resize in RESIZES:
            spent = save_usual_way(params.sources[name], chosen, resize == "cubic", scratch / resize)
            ways[resize] = _way(len(chosen), spent, _bytes(scratch / resize))
            advance()
        alike = table[table["shard"] == table["shard"].iloc[0]]  # a shard's slices have one size, as a batch must
        ours_read = [partial(store.read, *where) for where in zip(alike["shard"], alike["row"], strict=True)]
        ways["store"] |= time_reading(ours_read, scratch / "store")
        usual_read = [partial(_load_usual_way, scratch / "cubic", i) for i in range(len(chosen))]
        reading = time_reading(usual_read, scratch / "cubic")
        for resize in RESIZES:
            ways[resize] |= reading
        advance()
    higher_is_better = (
        "slices_per_cpu_second",
        "reads_per_second_cold",
        "reads_per_cpu_second_warm",
        "batched_per_cpu_second_warm",
    )
    times = {
        resize: {key: round(ways["store"][key] / ways[resize][key], 1) for key in higher_is_better}
        | {"bytes_per_slice": round(ways[resize]["bytes_per_slice"] / ways["store"]["bytes_per_slice"], 1)}
        for resize in RESIZES
    }
    size = f"{table['height'].iloc[0]}x{table['width'].iloc[0]}"
    return {"source": name, "volumes": int(table["volume"].nunique()), "slice": size, "ways": ways, "times": times}


def link_cases(root: Path, cases: list[Case], chosen: list[Case], out: Path) -> Path:
    """A folder that looks like `root` to its adapter, with the chosen cases only: links, nothing copied."""
    kept = {path for case in chosen for path in (case.image, case.label)}
    left_out = {path for case in cases for path in (case.image, case.label)} - kept
    for path in sorted(root.rglob("*")):
        # The nearest of the cases' files and folders decides: a chosen series may lie beside one that isn't.
        named = next((each for each in (path, *path.parents) if each in kept or each in left_out), None)
        if path.is_file() and named not in left_out:
            link = out / path.relative_to(root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return out


def save_usual_way(source: SourceParams, rows: pd.DataFrame, cubic: bool, out: Path) -> Elapsed:
    """Save slices as the field does, `<i>.image.npy` and `<i>.label.npy` for row i.

    Returns:
        The time for these slices: of reading a volume, the part that falls to each slice of it.
    """
    out.mkdir()
    spent = Elapsed()
    opened = open_source(source.adapter, source.root)
    cases = {case.volume: case for case in opened.cases}
    number = 0
    for name, group in rows.groupby("volume", sort=False):
        reading = Elapsed()
        with reading.running():
            volume = read_case(cases[str(name)], opened)
        share = len(group) / len(volume.image)
        spent = Elapsed(spent.wall + reading.wall * share, spent.cpu + reading.cpu * share)
        for z in group["z"]:
            with spent.running():
                np.save(out / f"{number}.image.npy", usual_image(volume.image[z], cubic))
                label = Image.fromarray(volume.label[z]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
                np.save(out / f"{number}.label.npy", np.asarray(label))
            number += 1
    return spent


def usual_image(hu: np.ndarray, cubic: bool) -> np.ndarray:
    """One slice's HU `[H, W]` as the field saves it: float64 `[1024, 1024, 3]` in [0, 1]."""
    grey = window(hu)
    if cubic:
        channels = np.repeat(grey[..., None].astype(np.float64), 3, axis=-1)
        factors = (SIDE / grey.shape[0], SIDE / grey.shape[1], 1)
        resized = ndimage.zoom(channels, factors, order=3, mode="grid-constant", grid_mode=True)
        return (resized - resized.min()) / max(np.ptp(resized), 1e-8)
    resized = np.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)
    return np.repeat(((resized - resized.min()) / max(np.ptp(resized), 1e-8))[..., None], 3, axis=-1)


def time_reading(reads: Sequence[Read], files: Path) -> dict[str, float]:
    """Slices in random order: one at a time, a second on the clock, from files that the system's cache has let go of;
    one at a time, a second of CPU time, from its cache; and the same in batches, as training takes them.

    The two warm figures differ because a slice that is dropped at once leaves its memory to the next one, whereas a
    batch needs memory of its own, which the system clears first. The cache is asked to let go (posix_fadvise); a
    disk's own cache, or a virtual disk's host, may still hold the files.
    """
    shuffled = [reads[i] for i in np.random.default_rng(0).permutation(len(reads))]
    _let_go(files.iterdir())
    cold = _time(read() for read in shuffled)
    warm = min(_time(read() for read in shuffled).cpu for _ in range(WARM_PASSES))
    batched = min(_time(in_batches(shuffled, BATCH)).cpu for _ in range(WARM_PASSES))
    return {
        "reads_per_second_cold": round(len(reads) / cold.wall, 1),
        "reads_per_cpu_second_warm": round(len(reads) / warm, 1),
        "batched_per_cpu_second_warm": round(len(reads) / batched, 1),
    }


def in_batches(reads: Sequence[Read], size: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Images and label maps `[size, ...]`, stacked as PyTorch's DataLoader does; the last batch may be smaller."""
    for first in range(0, len(reads), size):
        yield tuple(np.stack(alike) for alike in zip(*(read() for read in reads[first : first + size]), strict=True))


def _time(work: Iterable[object]) -> Elapsed:
    elapsed = Elapsed()
    with elapsed.running():
        for done in work:
            del done  # before the next one asks for memory
    return elapsed


def _let_go(paths: Iterable[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _load_usual_way(folder: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / f"{number}.image.npy"), np.load(folder / f"{number}.label.npy")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _way(slices: int, elapsed: Elapsed, size: int) -> dict[str, float]:
    return {
        "slices": slices,
        "slices_per_second": round(slices / elapsed.wall, 2),
        "slices_per_cpu_second": round(slices / elapsed.cpu, 2),
        "bytes_per_slice": round(size / slices),
    }


def show(figures: dict) -> None:
    """Print the figures as a table."""
    ways, times = figures["ways"], figures["times"]
    table = Table(
        title=f"{figures['source']}: {figures['volumes']} volumes, slices of {figures['slice']}", title_justify="left"
    )
    for column in ("", "store", *RESIZES.values(), "times"):
        table.add_column(column, justify="right" if column else "left")
    for key, label in (
        ("slices", "slices"),
        ("slices_per_cpu_second", "ingest: slices per core-second"),
        ("slices_per_second", "ingest: slices/s on the clock"),
        ("bytes_per_slice", "bytes a slice and its labels"),
        ("reads_per_second_cold", "reads/s on the clock, not cached"),
        ("reads_per_cpu_second_warm", "reads per core-second, cached"),
        ("batched_per_cpu_second_warm", f"the same in batches of {BATCH}"),
    ):
        better = " / ".join(f"{times[r][key]:,.0f}" for r in RESIZES if key in times[r])
        table.add_row(label, *(f"{way[key]:,}" for way in ways.values()), better)
    results.print(table)
