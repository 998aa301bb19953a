"""`flans pose`: a source's headers against its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.markup import escape
from rich.table import Table

from corpus.scans.adapters import Reject, open_source, read_case
from corpus.scans.ingest_params import SourceParams
from model.checkpoint import read_config
from model.flans import FLanS
from model.groups import NAMES, ORDER
from model.judging import Judgement, judge
from model.testing.drawing import montage
from pipelines.stage import check_own, make_folder, progress, results
from prompts.pictures import save

PICTURE_PX = 320
COLOURS = {"agrees": "green", "contradicts": "red", "unsure": "yellow", "unreadable": "yellow"}
RULES = ["back", "right", "head"]
"""Margins of the anatomical rules."""
TABLE = "headers.csv"
COLUMNS = ["volume", "header", "verdict", "upright", "slices", *RULES, "network", "probability", "picture"]


def check_source(
    name: str, source: SourceParams, checkpoint: Path | None, out: Path, outside: bool = False
) -> pd.DataFrame:
    """Judge every volume of a source; write the table and a picture of each volume that contradicts its header.

    Args:
        checkpoint: A trained model; None judges by the anatomical rules alone.
        outside: Whether the source isn't one of params.yaml's: no model was trained on it, whatever its name.

    Returns:
        One row a volume: the header's orientation, the verdict, which turns bring it upright and whether its slices are
        reversed, the rules' margins, and the network's view with its probability.

    Raises:
        InputError: The source or the checkpoint can't be opened, or `out` holds other files.
    """
    check_own(out, TABLE)
    opened = open_source(source.adapter, source.root)
    model = FLanS.from_pretrained(checkpoint) if checkpoint else None
    familiar = checkpoint is not None and not outside and name in _trained_on(checkpoint)
    make_folder(out)
    pd.DataFrame(columns=COLUMNS).to_csv(out / TABLE, index=False)  # by it the folder is known, should it be killed
    rows = []
    with progress(f"pose {name}", len(opened.cases)) as advance:
        for case in opened.cases:
            contradiction = out / f"{case.volume.replace('/', '_')}.png"
            contradiction.unlink(missing_ok=True)  # an earlier one's
            try:
                volume = read_case(case, opened)
            except Reject as reason:
                rows.append({"volume": case.volume, "verdict": "unreadable", "upright": str(reason)})
            else:
                found = judge(volume.image, volume.spacing if volume.modality == "CT" else None, model, familiar)
                row = {"volume": case.volume, "header": volume.orientation, **_row(found)}
                if found.verdict == "contradicts":
                    row["picture"] = contradiction.name
                    nothing = np.zeros(volume.image.shape, bool)
                    save(montage(volume.image, nothing, volume.spacing[1:], PICTURE_PX), contradiction)
                rows.append(row)
            advance()
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.to_csv(out / TABLE, index=False)
    return table


def _trained_on(checkpoint: Path) -> list[str]:
    """Names of the sources that a model was trained on."""
    return list(read_config(checkpoint)["training"].get("sources", {}))


def _row(found: Judgement) -> dict:
    upright = sorted(found.elements)
    row: dict[str, Any] = {
        "verdict": found.verdict,
        "upright": "" if len(upright) == ORDER else " or ".join(NAMES[g] for g in upright),
        "slices": {None: "unsure", True: "reversed", False: "in order"}[found.reversed],
    }
    if rules := found.rules:
        row |= {"back": rules.back.margin, "right": rules.right.margin, "head": rules.head.margin}
    if network := found.network:
        row |= {"network": NAMES[int(network.element)], "probability": round(float(network.probability), 3)}
    return row


def show(table: pd.DataFrame, out: Path) -> None:
    """Print the verdicts, contradictions first, and their counts; how clear the anatomy was is in the table."""
    shown = Table(title="Headers against pixels", title_justify="left")
    for column in ("volume", "header", "verdict", "upright after", "slices", "network"):
        shown.add_column(column, no_wrap=column in ("volume", "verdict"), overflow="fold")
    order = {verdict: i for i, verdict in enumerate(("contradicts", "unreadable", "unsure", "agrees"))}
    ordered = table.sort_values("verdict", key=lambda v: v.map(order), kind="stable").astype(object).fillna("")
    for row in ordered.to_dict("records"):
        verdict = f"[{COLOURS[row['verdict']]}]{row['verdict']}[/]"
        network = f"{row['network']} {row['probability']}".strip()
        upright = "" if row["verdict"] == "agrees" else row["upright"]
        shown.add_row(escape(row["volume"]), escape(row["header"]), verdict, escape(upright), row["slices"], network)
    results.print(shown)
    counts = table["verdict"].value_counts()
    results.print(
        f"{len(table)} volumes: "
        + ", ".join(
            f"{counts.get(verdict, 0)} {word}"
            for verdict, word in (
                ("agrees", "agree"),
                ("contradicts", "contradict"),
                ("unsure", "unsure"),
                ("unreadable", "unreadable"),
            )
        )
        + f"; {escape(str(out / TABLE))}",
        soft_wrap=True,
    )
