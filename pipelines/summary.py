"""`flans summary`: what a run made, and where it lies."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from corpus.errors import InputError
from corpus.params import PARAMS
from pipelines.reporting import LYING, WORDED, about_absent, about_rotated, beside_names
from pipelines.runs import CASES, FINISH, locked_stages, workspace_doubt
from pipelines.stage import EVALUATION, MODELS, PHANTOM, REPORT, REVIEW, cohort, results
from prompts.kinds import kinds
from prompts.targets import ABSENT

SCAN = PHANTOM / "imagesTr" / "phantom_001_0000.nii"
"""Something to try the model on."""


def show() -> None:
    """Print the places of the results and the headline figures.

    Raises:
        InputError: The pipeline hasn't been run.
    """
    path = EVALUATION / "metrics.json"
    if not path.is_file():
        raise InputError(path, "expected the evaluation's metrics, found none", "run `make repro`")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    title = f"Macro Dice (cases), 95% interval; {metrics['patients']} held-out patients, {metrics['slices']} slices"
    figures = Table(title=title, title_justify="left")
    figures.add_column("asked")
    scans = {scan: metrics[scan] for scan in LYING if scan in metrics}
    for scan in scans:
        figures.add_column(LYING[scan], justify="right")
    for kind in kinds().values():
        if any(kind.name in found for found in scans.values()):
            figures.add_row(kind.title, *(_cell(found.get(kind.name)) for found in scans.values()))
    original = metrics["original"]
    others = [f"requests understood: {metrics['intent']['accuracy']:.1%}"]
    if "abstains" in metrics["intent"]:
        others.append(f"texts that ask for nothing, known as such: {metrics['intent']['abstains']:.1%}")
    if ABSENT in original:
        empty, count = original[ABSENT]["empty"], original[ABSENT]["cases"]
        others.append(f"organs that a slice doesn't show, left out: {empty:.1%} of {count:,}")
    for which, requests in WORDED.items():
        if found := original.get(which):
            others.append(f"by name, of requests {requests}: {found['dice']:.3f} ({found['cases']:,})")
    pose = original["pose"]
    others.append(f"pose found: {pose['accuracy']:.1%} of single slices")
    if "abdomen" in pose:
        others.append(f"of those that show the abdomen {pose['accuracy_abdomen']:.1%} ({pose['abdomen']:,})")
    places = Table(title="Results", title_justify="left", show_header=False)
    for what, where in (
        ("report, to open in a browser", REPORT / "report.html"),
        ("prompts to review", REVIEW / "review.csv"),
        ("checkpoint", MODELS / "flans"),
        ("metrics", path),
    ):
        places.add_row(what, str(where) if where.exists() else f"{where} (not there)")
    if doubt := _doubt():
        results.print(f"[yellow]{doubt}[/]", soft_wrap=True)
    results.print(figures, f"{'; '.join(others)}.".capitalize())
    if told := beside_names(original):
        results.print(told)
    if "rotated" in scans:
        results.print(about_rotated())
    volume = metrics.get("volume", {})
    if named := volume.get("anatomy"):
        counts = f"{named['cases']} organs in {volume['volumes']} volumes"
        results.print(f"Whole volumes: Dice {named['dice']:.3f}, over {counts}.")
    if ABSENT in volume:
        results.print(about_absent(volume))
    results.print(places)
    if SCAN.is_file():
        results.print(f'Try: flans segment {SCAN} "outline the liver" --out answer', soft_wrap=True)


def _doubt() -> str | None:
    """Why the figures may not be those of what lies here."""
    of = locked_stages().get("evaluate", {}).get("params", {}).get(PARAMS.as_posix(), {}).get("cohort")
    if of and of != cohort():
        return f"These are figures of the cohort {of}; params.yaml says {cohort()}, which `dvc repro` evaluates."
    if not (EVALUATION / CASES).is_file():
        return "These are the figures that came with the code: nothing was evaluated here yet (`make repro`)."
    if doubt := workspace_doubt():
        return f"These may not be the figures of the model that lies here: {doubt}; {FINISH}."
    return None


def _cell(found: dict[str, Any] | None) -> str:
    """Dice with the number of cases, and its interval below."""
    if found is None:
        return ""
    interval = f"\n{found['dice_low']:.3f} - {found['dice_high']:.3f}" if "dice_low" in found else ""
    return f"{found['dice']:.3f} ({found['cases']:,}){interval}"
