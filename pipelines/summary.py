"""What a run made, and where it lies."""

from __future__ import annotations

import json

from rich.table import Table

from corpus.errors import InputError
from pipelines.stage import EVALUATION, MODELS, REPORT, REVIEW, console
from prompts.kinds import kinds


def show() -> None:
    """Print the places of the results and the headline figures.

    Raises:
        InputError: The pipeline hasn't been run.
    """
    path = EVALUATION / "metrics.json"
    if not path.is_file():
        raise InputError(path, "expected the evaluation's metrics, found none", "run `make repro`")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    figures = Table(
        title=f"Macro Dice, {metrics['patients']} held-out patients, {metrics['slices']} slices", title_justify="left"
    )
    for column in ("prompts", "scans as they lie", "95% interval", "turned or mirrored"):
        figures.add_column(column)
    for kind, values in metrics["original"].items():
        if kind in kinds() and "dice_low" in values and kind in metrics.get("transformed", {}):
            interval = f"{values['dice_low']:.3f} - {values['dice_high']:.3f}"
            figures.add_row(kind, f"{values['dice']:.3f}", interval, f"{metrics['transformed'][kind]['dice']:.3f}")
    places = Table(title="Results", title_justify="left", show_header=False)
    for what, where in (
        ("HTML report", REPORT / "report.html"),
        ("review CSVs", REVIEW / "review.csv"),
        ("checkpoint", MODELS / "flans"),
        ("metrics", path),
    ):
        places.add_row(what, str(where))
    console.print(figures, places)
    console.print('Try: flans segment data/raw/phantom/imagesTr/phantom_001_0000.nii "outline the liver" --out answer')
