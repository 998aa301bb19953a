"""`flans bench consistency`: whether answers turn with their pictures, on the held-out slices of a trained run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.table import Table

from model.data import SplitData
from model.inference import Segmenter
from model.studies.consistency import ConsistencyParams, consistency
from model.testing.asked import read_prompts
from model.testing.views import ROTATED
from pipelines.stage import DATASET, SLICES, cohort, progress, results

LARGE_MM2 = 300.0
CONSISTENT = 0.999


def bench_consistency(checkpoint: Path, params: ConsistencyParams) -> pd.DataFrame:
    """Measure a model on the test split of the data set that lies in data/.

    Returns:
        The table of `model.studies.consistency.consistency`.

    Raises:
        InputError: There is no such checkpoint.
    """
    segmenter = Segmenter.from_pretrained(checkpoint)
    data = SplitData(DATASET, SLICES / cohort(), "test")
    prompts = read_prompts(segmenter, pd.read_parquet(DATASET / "texts.parquet"))
    with progress("consistency", min(params.slices, len(data.table))) as advance:
        return consistency(segmenter, data, prompts, params, advance)


def figures(rows: pd.DataFrame) -> dict:
    """Dice between answers and their counterparts where the pose is sure and the prompts were read right: turned by D4,
    by kind; rotated, by kind, of answers over 300 mm2; how often prompts were read right; how often the pose was sure,
    how often right where it was, and by how many degrees it was out there (median)."""
    rotated = rows["transform"] == ROTATED
    fit = rows["sure"] & rows["read"]
    looks = rows.drop_duplicates(["slice_id", "transform", "degrees"])
    return {
        "turned": _by_kind(rows[~rotated & fit]),
        "rotated": _by_kind(rows[rotated & fit & (rows["area_mm2"] > LARGE_MM2)]),
        "read_right": round(float(rows["read"].mean()), 4),
        "pose": {
            name: {
                "pictures": len(group),
                "sure": round(float(group["sure"].mean()), 4),
                "right": round(float(group["pose_right"].mean()), 4),
                "right_where_sure": round(float(group.loc[group["sure"], "pose_right"].mean()), 4),
                "degrees_out_where_sure": round(float(group.loc[group["sure"], "degrees_out"].median()), 2),
            }
            for name, group in looks.groupby(rotated.map({False: "turned", True: "rotated"}), sort=False)
        },
    }


def _by_kind(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    groups = [*rows.groupby("kind", sort=True), ("all", rows)]
    return {
        str(kind): {
            "answers": len(group),
            "dice": round(float(group["dice"].mean()), 4),
            "least": round(float(group["dice"].min()), 4),
            "share_consistent": round(float((group["dice"] >= CONSISTENT).mean()), 4),
        }
        for kind, group in groups
    }


def show(rows: pd.DataFrame) -> None:
    """Print the figures."""
    found = figures(rows)
    table = Table(
        title="f(g x, t) beside g f(x, t), where the pose is sure and prompts are read right", title_justify="left"
    )
    for column in ("", "kind", "answers", "mean Dice", "least", f">= {CONSISTENT}"):
        table.add_column(column, justify="left" if column in ("", "kind") else "right")
    for name, title in (("turned", "turned, mirrored"), ("rotated", f"rotated, over {LARGE_MM2:g} mm2")):
        for kind, row in found[name].items():
            share = f"{row['share_consistent']:.1%}"
            table.add_row(title, kind, str(row["answers"]), f"{row['dice']:.4f}", f"{row['least']:.4f}", share)
        table.add_section()
    results.print(table)
    results.print(f"prompts read right: {found['read_right']:.1%}")
    for name, row in found["pose"].items():
        right, out = f"{row['right_where_sure']:.1%}", f"{row['degrees_out_where_sure']:g}"
        results.print(
            f"{name}: pose right in {row['right']:.1%} of {row['pictures']} pictures, sure in {row['sure']:.1%}; "
            f"where sure, right in {right} and {out} degrees out (median)"
        )
