"""`flans baselines`: what else could answer the test set's requests, in one table with the model.

evaluation/baselines.csv   baseline, scan, kind, dice and its 95% interval over patients, nsd, cases; and the hash of
                           cases.parquet, by which the report knows a table of an earlier model
models/baselines/<name>    checkpoints of those that are trained; trained again only if parameters, data or code changed
                           (the U-Net: parameters or data)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.table import Table

from corpus.errors import InputError
from corpus.files import file_sha256
from corpus.params import load_params, read_yaml
from model.data import Augmentation, SplitData
from model.flans import ModelParams
from model.groups import NAMES
from model.inference import Segmenter
from model.studies.baselines import (
    COLUMNS,
    NAMED,
    Baseline,
    boxed,
    closed_set,
    figures,
    keywords,
    random_slices,
    replay,
    segmenter_alone,
)
from model.studies.lite_medsam import load_lite_medsam
from model.studies.unet import ClosedUNet, train_unet
from model.training.params import TrainParams, rate
from pipelines.experiments import Experiment, workspace_kept
from pipelines.reporting import SCANS, records
from pipelines.runs import CASES, LOCK, check_workspace, flat
from pipelines.stage import DATA, DATASET, EVALUATION, MODELS, SLICES, cohort, console, progress, results
from pipelines.train import dataset_key
from prompts.splits import OUT

TABLE = EVALUATION / "baselines.csv"
"""Not in evaluation/tables, which is a stage's output: what lies there besides makes `dvc repro` run it again."""
FLANS = "flans"
OVERLAYS = {
    "no_canonicalizer_augmented": Path("examples/no_canonicalizer.yaml"),
    "learned": Path("examples/learned.yaml"),
}
"""Baselines that are the model, trained with other parameters."""
BASELINES = ("keywords", "no_canonicalizer", "unet", *OVERLAYS, "lite_medsam")
ABREAST = 4
"""So many columns fit a terminal of 80, whatever the names."""


def run_baselines(names: list[str], slices: int) -> pd.DataFrame:
    """Score baselines on the cases of evaluation/cases.parquet, and write the table.

    Args:
        names: Of `BASELINES`; none for all of them, but for what isn't installed.
        slices: How many slices, drawn with a seed, LiteMedSAM is asked; it takes seconds for each.

    Returns:
        The table, the model first.

    Raises:
        InputError: No such baseline, the pipeline hasn't been run to its end, or what a named one needs is missing.
    """
    if unknown := sorted(set(names) - set(BASELINES)):
        raise InputError("baseline", f"none is called {', '.join(unknown)}", f"choose from {', '.join(BASELINES)}")
    path = EVALUATION / CASES
    if not path.is_file():
        raise InputError(path, "expected the evaluation's cases, found none", "run `dvc repro evaluate`")
    check_workspace()
    torch.set_num_threads(load_params("train_joint", TrainParams).threads)
    cases = pd.read_parquet(path)
    cases = cases[cases["transform"].isin(NAMES) & (cases["domain"] != OUT)]
    data = SplitData(DATASET, SLICES / cohort(), "test")
    chosen = [name for name in BASELINES if name in (names or BASELINES)]
    for name in chosen:
        if name in OVERLAYS:
            train_overlay(name)

    parts = [figures(cases).assign(baseline=FLANS)]
    named = cases[cases["kind"].isin(NAMED)]
    for name in chosen:
        asked = named if name == "unet" else cases
        if name == "lite_medsam":  # an organ that isn't there has no box
            asked = random_slices(cases[cases["kind"] == "anatomy"], slices, load_params("evaluate", dict)["seed"])
        try:
            baseline = BUILDERS[name]() if name in BUILDERS else segmenter_alone(_segmenter(folder(name)))
        except InputError as error:
            if name in names:
                raise
            console.print(f"[yellow]{name} is left out.[/] ", end="")
            console.print(str(error), markup=False)
            continue
        with progress(name, asked.groupby(["slice_id", "transform"]).ngroups) as advance:
            parts.append(figures(replay(asked, data, baseline, advance)).assign(baseline=name))
    table = pd.concat(parts, ignore_index=True)[COLUMNS]
    table.assign(cases_sha256=file_sha256(path)).to_csv(TABLE, index=False)
    return table


def folder(name: str) -> Path:
    """Where a trained baseline's checkpoint lies."""
    return MODELS / "baselines" / name


def _segmenter(checkpoint: Path = MODELS / "flans") -> Segmenter:
    return Segmenter.from_pretrained(checkpoint)


def unet(out: Path, seconds: float | None = None) -> ClosedUNet:
    """A U-Net trained on the slices that the segmenter was trained on, with as many steps or for so many seconds."""
    params = load_params("train_segmenter", TrainParams)
    steps = params.steps + load_params("train_joint", TrainParams).steps
    return train_unet(
        DATASET,
        SLICES / cohort(),
        load_params("model", ModelParams),
        replace(load_params("augment", Augmentation), tilted=0.0, copies=0),
        replace(params, steps=steps, prompts=1, watch="loss"),  # its only one
        out,
        key=dataset_key(),
        state_dir=DATA / "unfinished/unet",
        seconds=seconds,
        report=console.print,
    )


BUILDERS: dict[str, Callable[[], Baseline]] = {
    "keywords": lambda: keywords(_segmenter()),
    "no_canonicalizer": lambda: segmenter_alone(_segmenter(), upright=True),
    "unet": lambda: closed_set(unet(folder("unet"))),
    "lite_medsam": lambda: boxed(load_lite_medsam()),
}


def overlaid(name: str) -> dict[str, Any]:
    """The parameters of a baseline that is the model itself, by their dotted names."""
    changes = {key: value for key, value in flat(read_yaml(OVERLAYS[name])).items() if value is not None}
    if changes.get("canonicalizer.kind") == "identity":
        # The stage that turns slices gets all the steps, and the schedule of those that it takes over.
        upright, turned = (load_params(section, TrainParams) for section in ("train_segmenter", "train_joint"))
        changes |= {"train_segmenter.steps": 1, "train_joint.steps": upright.steps + turned.steps}
        changes |= {"train_segmenter.warmup": 0, "train_segmenter.learning_rate": rate(0, upright)}  # its first step
        changes |= {f"train_joint.{key}": getattr(upright, key) for key in ("learning_rate", "warmup")}
    return changes


def train_overlay(name: str) -> None:
    """Train the model with an overlay's parameters, as the experiment `baseline-<name>`, into `folder(name)`."""
    out = folder(name)
    changes = overlaid(name)
    trained = {"changes": changes, "from": _training_stages()}
    kept = out / "trained.json"
    if kept.is_file() and json.loads(kept.read_text(encoding="utf-8")) == trained:
        console.print(f"{out}: trained already")
        return
    with workspace_kept() as run:
        run(Experiment(f"baseline-{name.replace('_', '-')}", changes), "train_joint")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(MODELS / FLANS, out)
    kept.write_text(json.dumps(trained, indent=2) + "\n", encoding="utf-8")


def _training_stages() -> dict[str, Any]:
    """What the training stages were last run with, as dvc.lock has it: hashes of data and code, and parameters."""
    if not LOCK.is_file():
        raise InputError(LOCK, "expected the pipeline's state, found none", "run `dvc repro`")
    stages = read_yaml(LOCK)["stages"]
    return {
        name: {part: entry.get(part) for part in ("deps", "params")}
        for name, entry in stages.items()
        if name.startswith("train_")
    }


def show(table: pd.DataFrame) -> None:
    """Print the table of baselines: a row a kind of request, a column a baseline, `ABREAST` of them at a time."""
    for scan, rows in table.groupby("scan", sort=True):
        results.print(f"[bold]Macro Dice and its 95% interval over patients, {SCANS[str(scan)]}[/]")
        cells = {(row["baseline"], row["kind"]): row for row in records(rows)}
        cases = {kind: row["cases"] for (name, kind), row in cells.items() if name == FLANS}
        every = list(dict.fromkeys(name for name, _ in cells))
        for names in (every[first : first + ABREAST] for first in range(0, len(every), ABREAST)):
            shown = Table("asked", *(name.replace("_", "_\n") for name in names))
            for kind, count in cases.items():
                found = (cells.get((name, kind)) for name in names)
                shown.add_row(f"{kind}\n{count:,} cases", *(_cell(row, count) if row else "" for row in found))
            results.print(shown)
    results.print(
        "absent: the share answered by an empty mask, a mean over the organs.",
        f"The same in {TABLE}, with NSD.",
        sep="\n",
    )


def _cell(row: dict[str, Any], cases: int) -> str:
    """A line each for Dice, its interval, and how many cases were asked where that isn't all."""
    lines = [f"{row['dice']:.3f}"]
    if not pd.isna(row["dice_low"]):
        lines.append(f"{row['dice_low']:.2f}-{row['dice_high']:.2f}")
    if row["cases"] != cases:
        lines.append(f"{row['cases']:,} cases")
    return "\n".join(lines)
