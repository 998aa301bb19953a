"""What a run made, and where it lies."""

from __future__ import annotations

import json

from rich.table import Table

from corpus.errors import InputError
from pipelines.stage import DATA, EVALUATION, MODELS, REPORT, REVIEW, console
from prompts.kinds import kinds
from prompts.targets import ABSENT

SCAN = DATA / "raw" / "phantom" / "imagesTr" / "phantom_001_0000.nii"
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
    title = f"Macro Dice on {metrics['patients']} held-out patients, {metrics['slices']} slices"
    figures = Table(title=title, title_justify="left")
    figures.add_column("asked")
    for column in ("scans as they lie", "95% interval", "turned or mirrored"):
        figures.add_column(column, justify="right")
    original, transformed = metrics["original"], metrics.get("transformed", {})
    for kind in kinds().values():
        if "dice_low" in (values := original.get(kind.name, {})) and kind.name in transformed:
            interval = f"{values['dice_low']:.3f} - {values['dice_high']:.3f}"
            figures.add_row(kind.title, f"{values['dice']:.3f}", interval, f"{transformed[kind.name]['dice']:.3f}")
    others = [f"requests understood: {metrics['intent']['accuracy']:.1%}"]
    if "abstains" in metrics["intent"]:
        others.append(f"texts that ask for nothing, known as such: {metrics['intent']['abstains']:.1%}")
    if ABSENT in original:
        others.append(f"organs that a slice doesn't show, left out: {original[ABSENT]['empty']:.1%}")
    others.append(f"pose found: {original['pose']['accuracy']:.1%} of single slices")
    places = Table(title="Results", title_justify="left", show_header=False)
    for what, where in (
        ("report, to open in a browser", REPORT / "report.html"),
        ("prompts to review", REVIEW / "review.csv"),
        ("checkpoint", MODELS / "flans"),
        ("metrics", path),
    ):
        places.add_row(what, str(where))
    console.print(figures, f"{'; '.join(others)}.".capitalize(), places)
    if SCAN.is_file():
        console.print(f'Try: flans segment {SCAN} "outline the liver" --out answer', soft_wrap=True)
