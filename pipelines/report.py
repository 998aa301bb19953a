"""Stage `report`: what the stages before it wrote -> report/report.html, one file that opens offline.

Every figure on the page is read from those files.

python -m pipelines.report
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from corpus.anatomy import BY_NAME
from corpus.params import load_params
from corpus.scans.ingest_params import IngestParams
from corpus.scans.store import REJECTS, TABLE
from pipelines.report_origin import origin
from pipelines.report_prompts import prompts
from pipelines.report_tables import further, matrix
from pipelines.reporting import (
    SCANS,
    TRANSFORMS,
    Curve,
    about_absent,
    about_rotated,
    asked_for,
    curve,
    known,
    read_json,
    read_png,
    read_table,
    records,
    render,
    require,
    without_folders,
)
from pipelines.stage import DATASET, EVALUATION, MODELS, PHANTOM, REPORT, SLICES, cohort, console, stage
from prompts.kinds import kinds, styles
from prompts.targets import ABSENT

TRAININGS = ("canonicalizer", "language", "segmenter", "joint")
OUTCOMES = ("dice", "pose_accuracy", "kind_accuracy", "organ_accuracy", "loss")
"""The curves that are shown at once; the parts of a loss are folded away."""
FEW_PATIENTS = 20
"""Below this number of test patients the page warns that its intervals are rough."""
LISTED_CONFUSIONS = 12
"""More kinds of confusion than this are also drawn as a matrix."""
LISTED_MENDED = 20
"""Of the things that were put right in a source, so many are listed, the most frequent first."""
FIGURES = ("cases", "dice", "nsd", "hd95")


@stage
def main() -> None:
    """Write the report of the run that lies here."""
    page = render(collect(cohort(), load_params("ingest", IngestParams)))
    REPORT.mkdir(exist_ok=True)
    path = REPORT / "report.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    console.print(f"{path}: {len(page.encode()) / 1e6:.1f} MB; open it in a browser", markup=False)


def collect(cohort_name: str, ingest: IngestParams) -> dict[str, Any]:
    """Everything that the page shows, by section.

    Raises:
        InputError: An output of a stage is missing or unreadable.
    """
    keys = ("original", "intent", "organ_dice", "patients", "slices")
    metrics = read_json(EVALUATION / "metrics.json", "evaluate", keys)
    sources = sorted(ingest.sources)
    examples = example_answers()
    return {
        "metrics": metrics,
        "scans": {scan: metrics[scan] for scan in SCANS if scan in metrics},
        "about_rotated": about_rotated() if "rotated" in metrics else "",
        "about_absent": about_absent(metrics["volume"]) if ABSENT in metrics.get("volume", {}) else "",
        "tested_kinds": [kind for kind in kinds() if kind in metrics["original"]],
        "few_patients": metrics["patients"] < FEW_PATIENTS,
        "phantoms": [name for name in sources if ingest.sources[name].root == PHANTOM],
        "sources": sources,
        "opening": {
            # A reader who opens the page should not have to turn the head.
            group: min(cases, key=lambda case: case["transform"] != "identity")
            for group, cases in examples.items()
        },
        "examples": examples,
        "organs": organ_rows(),
        "kinds": kind_rows(),
        "transforms": transform_rows(),
        "intents": intents(),
        "curves": {name: learning_curves(name) for name in TRAININGS},
        "data": data(cohort_name, sources),
        "prompts": prompts(),
        "further": further(),
        "origin": origin(),
    }


def example_answers() -> dict[str, list[dict[str, Any]]]:
    """Group (best, typical, worst) -> its cases, with their pictures and what went wrong."""
    folder = EVALUATION / "examples"
    columns = (
        *(
            "group",
            "picture",
            "text",
            "organ",
            "target",
            "kind",
            "style",
            "transform",
            "slice_id",
            "dice",
            "nsd",
            "hd95",
        ),
        *("confidence", "understood", "understood_right", "answered", "pose_right"),
    )
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in records(read_table(folder / "examples.csv", "evaluate", columns)):
        case |= {"image": read_png(folder / case["picture"], "evaluate"), "trouble": trouble(case)}
        groups.setdefault(case["group"], []).append(case)
    return groups


def trouble(case: dict[str, Any]) -> str | None:
    """What went wrong before the outline was drawn, the earliest step first; None where nothing did."""
    answered = known(case["answered"])
    if not case["understood_right"]:
        return "misunderstood"
    if answered not in (None, case["organ"]):
        return f"the wrong organ was chosen: {answered}"
    # A model that has learned to resolve names no organ, but does answer.
    if answered is None and not case["dice"]:
        return "no organ was found that fits"
    return None if case["pose_right"] else "the scan's pose was misjudged"


def _by_scan(table: pd.DataFrame, by: list[str]) -> list[dict[str, Any]]:
    """One row a group, with a dict of figures for each scan (original, transformed) that it was tested on."""
    rows: dict[tuple, dict[str, Any]] = {}
    for row in records(table):
        key = tuple(row[name] for name in by)
        rows.setdefault(key, dict(zip(by, key, strict=True)))[row["scan"]] = row
    return list(rows.values())


def organ_rows() -> dict[str, Any]:
    """Figures of each organ asked for by name, the best first, and the organs that no test slice asks for."""
    columns = ("scan", "kind", "organ", "hd95_missing", *FIGURES)
    table = read_table(EVALUATION / "tables" / "organs.csv", "evaluate", columns)
    rows = _by_scan(table[table["kind"] == "anatomy"], ["organ"])
    rows.sort(key=lambda row: (-row.get("original", {}).get("dice", 0.0), row["organ"]))
    return {"rows": rows, "untested": [name for name in BY_NAME if name not in {row["organ"] for row in rows}]}


def kind_rows() -> list[dict[str, Any]]:
    """Figures of each kind and style of request, in the vocabulary's order."""
    table = read_table(EVALUATION / "tables" / "kinds.csv", "evaluate", ("scan", "kind", "style", *FIGURES))
    rows, asked = _by_scan(table, ["kind", "style"]), asked_for()
    return sorted(rows, key=lambda row: (list(asked).index(row["kind"]), [*styles(), row["style"]].index(row["style"])))


def transform_rows() -> dict[str, dict[str, dict[str, Any]]]:
    """Transformation -> kind -> figures, in the group's order."""
    table = read_table(EVALUATION / "tables" / "transforms.csv", "evaluate", ("transform", "kind", *FIGURES))
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in TRANSFORMS}
    for row in records(table):
        found[row["transform"]][row["kind"]] = row
    return {name: by_kind for name, by_kind in found.items() if by_kind}


def intents() -> dict[str, Any]:
    """What requests ask for against what was understood: the confusions, the most frequent first, and their matrix."""
    table = read_table(EVALUATION / "tables" / "intents.csv", "evaluate", ("actual", "predicted"))
    order = dict.fromkeys(target for kind in kinds().values() for target in kind.intents) | {"none": None}
    found = matrix(table, order)
    wrong = [cell for cell in found["cells"] if cell["actual"] != cell["predicted"]]
    confused = {name for cell in wrong for name in (cell["actual"], cell["predicted"])}
    return found | {
        "confusions": len(wrong),
        "listed": wrong[:LISTED_CONFUSIONS],
        "names": [name for name in found["names"] if name in confused],
        "cells": [cell for cell in found["cells"] if {cell["actual"], cell["predicted"]} <= confused],
        "drawn": len(wrong) > LISTED_CONFUSIONS,
    }


def learning_curves(training: str) -> dict[str, list[Curve]]:
    """The curves of one training stage: the outcomes, and the parts of its loss; none where nothing was learned."""
    folder = require(MODELS / "curves" / training, f"train_{training}") / "plots" / "metrics"
    files: dict[str, dict[str, pd.DataFrame]] = {}
    for split in ("train", "val"):
        for path in sorted((folder / split).glob("*.tsv")):
            table = read_table(path, f"train_{training}", ("step", path.stem))
            files.setdefault(path.stem, {})[split] = table
    drawn = {name: curve(name, tables) for name, tables in sorted(files.items())}
    return {
        "outcomes": [drawn[name] for name in OUTCOMES if name in drawn],
        "parts": [each for name, each in drawn.items() if name not in OUTCOMES],
    }


def data(cohort_name: str, sources: list[str]) -> dict[str, Any]:
    """The data set's counts, each source's, the volumes that were refused, and what was put right in the others. A
    refused file's path isn't shown."""
    keys = ("patients", "slices", "texts", "samples", "masks", "sha256")
    refused: list[dict[str, Any]] = []
    counts = (
        *("volumes", "patients", "slices", "rejected_volumes"),
        *("specks_dropped", "dropped_labels", "labelled_organs"),
    )
    summaries, put_right = {}, []
    for name in sources:
        folder = SLICES / cohort_name / name
        summaries[name] = read_json(folder / "summary.json", f"ingest@{name}", counts)
        rejects = read_table(folder / REJECTS, f"ingest@{name}", ("source", "volume", "reason"))
        refused += [row | {"reason": without_folders(str(row["reason"]))} for row in records(rejects)]
        put_right += mended(read_table(folder / TABLE, f"ingest@{name}", ("source", "volume", "mended")))
    manifest = read_json(DATASET / "manifest.json", "dataset", keys)
    return {"manifest": manifest, "sources": summaries, "refused": refused, "mended": put_right}


def mended(slices: pd.DataFrame) -> list[dict[str, Any]]:
    """What was put right in a source's files, with the number of volumes, the most frequent first."""
    volumes = slices[slices["mended"] != ""].drop_duplicates("volume")
    counted = volumes.assign(what=volumes["mended"].str.split("; ")).explode("what")[["source", "what"]].value_counts()
    return records(counted.rename("volumes").reset_index().head(LISTED_MENDED))


if __name__ == "__main__":
    main()
