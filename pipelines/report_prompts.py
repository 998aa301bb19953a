"""The report's section on the prompts: how they were written, checked, reviewed, and how good the bank is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd

from corpus.params import load_params
from pipelines.reporting import read_json, read_png, read_table, records, require, round_robin, without_folders
from pipelines.stage import BANK, DATASET, INDEX, PASSAGES, REVIEW, cohort
from prompts.bank import REPORTS, UNASKED
from prompts.checks import CHECKS
from prompts.kinds import kinds, styles
from prompts.quality import draw
from prompts.sheets import unguarded
from prompts.splits import SPLITS

PICTURES, REQUESTS = 8, 10
"""Masks shown, and example requests of each kind and style."""
REFUSED, CONFLICTS = 3, 20
"""Refused candidates shown of each check, and conflicts of reviewers."""


def prompts() -> dict[str, Any]:
    """The bank: how it was written, its quality, what retrieval gave, and examples of it."""
    columns = ["prompt_id", "text", "kind", "target", "style", "split", "provider"]
    texts = read_table(DATASET / "texts.parquet", "dataset", columns)
    used = texts[texts["split"].isin(SPLITS) & (texts["provider"] != REPORTS)]
    providers = read_table(REVIEW / "accepted.parquet", "review", ["provider"])["provider"]
    keys = ["candidates", "prompts", "acceptance_by_check", "rejected_by_check", "prompts_by_kind", "decisions"]
    quality = read_json(REVIEW / "metrics.json", "review", keys)
    passed = quality["acceptance_by_check"]
    keys = ["provider", "model", "language_model_used"]
    listed = (*kinds(), "none")
    asked = {
        (kind, style): used[(used["kind"] == kind) & (used["style"] == style)] for kind in listed for style in styles()
    }
    return {
        "quality": quality,
        "checks": {name: passed[name] for name in in_order(passed)},
        "unasked": {name: int((providers == name).sum()) for name in UNASKED},
        "written": read_json(BANK / "summary.json", "generate", keys),
        "reports": reports(),
        "retrieval": retrieval(),
        "styles": {name: style.voice for name, style in styles().items()},
        "requests": {kind: {style: sample(asked[kind, style]) for style in styles()} for kind in listed},
        "pictures": mask_pictures(used),
        "unedited": unedited(),
        "coverage": coverage(),
        "coverage_columns": [(kind, style) for kind in kinds() for style in styles()],
        "refused": refused(),
        "reviewers": reviewers(),
    }


def sample(texts: pd.DataFrame) -> list[str]:
    """A few requests, drawn with a seed."""
    return draw(texts, REQUESTS, seed=0)["text"].tolist() if len(texts) else []


def unedited() -> list[dict[str, Any]]:
    """A few requests as they were written, whatever their kind: what a reader would find in the bank."""
    columns = ("prompt_id", "text", "kind", "target", "style", "original_text")
    accepted = read_table(REVIEW / "accepted.parquet", "review", columns)
    asked = accepted[accepted["original_text"].isna() & (accepted["kind"] != "none")]
    shown = draw(asked, REQUESTS, seed=0)
    return records(shown[["text", "kind", "target", "style"]])


def coverage() -> list[dict[str, Any]]:
    """One row an organ: its masks, and for every kind and style the prompts that such a mask may get.

    `share`: of the fullest cell of that kind, from 0 to 1. `missing`: there are such masks, and no prompt for them.
    """
    table = read_table(REVIEW / "organs.csv", "review", ("organ", "kind", "style", "prompts", "masks"))
    fullest = table.groupby("kind")["prompts"].transform("max").clip(lower=1)
    table = table.assign(share=table["prompts"] / fullest, missing=(table["masks"] > 0) & (table["prompts"] == 0))
    rows: dict[str, dict[str, Any]] = {}
    for cell in records(table):
        row = rows.setdefault(cell["organ"], {"organ": cell["organ"], "masks": 0, "cells": {}})
        row["cells"][cell["kind"], cell["style"]] = cell
        row["masks"] = max(row["masks"], cell["masks"])
    return list(rows.values())


def refused() -> dict[str, list[dict[str, Any]]]:
    """Check -> a few of the candidates that it refused, each with its reason, drawn with a seed."""
    columns = ("prompt_id", "text", "kind", "style", "provider", "failed_check", "reason")
    table = read_table(REVIEW / "rejected.csv", "review", columns)
    table = table[table["provider"] != REPORTS]  # what was refused of a report may name somebody
    table = table.assign(**{name: table[name].astype(str).map(unguarded) for name in ("text", "reason")})
    by_check = {str(name): group for name, group in table.groupby("failed_check")}
    return {name: records(draw(by_check[name], REFUSED, seed=0)) for name in in_order(by_check)}


def in_order(found: Collection[str]) -> list[str]:
    """Checks as they run: those of a text (`CHECKS`), then those of the whole bank."""
    return [name for name in (*CHECKS, *sorted(set(found) - set(CHECKS))) if name in found]


def reviewers() -> dict[str, list[dict[str, Any]]]:
    """How far each pair of reviewers agrees, and the prompts on which they differ, with the decision that holds."""
    sides = ("text", "reviewer_a", "decision_a", "reviewer_b", "decision_b", "holds")
    conflicts = read_table(REVIEW / "conflicts.csv", "review", sides)
    conflicts = conflicts.assign(text=conflicts["text"].astype(str).map(unguarded))
    columns = ("reviewer_a", "reviewer_b", "prompts", "agreement", "kappa")
    pairs = read_table(REVIEW / "agreement.csv", "review", columns)
    return {"pairs": records(pairs), "conflicts": records(conflicts.head(CONFLICTS))}


def reports() -> dict[str, dict[str, Any]]:
    """Source -> what became of its reports: how many were read, how many rejected and why, and what was replaced."""
    keys = ("reports", "rejected", "rejected_because", "left_out", "replaced", "passages")
    sources = load_params("reports", dict)["sources"]
    summaries = {
        name: read_json(PASSAGES / cohort() / name / "summary.json", f"passages@{name}", keys) for name in sources
    }
    for each in summaries.values():
        each["rejected_because"] = {without_folders(str(reason)): n for reason, n in each["rejected_because"].items()}
    return summaries


def retrieval() -> dict[str, Any]:
    """How many accepted prompts were written with retrieved passages at hand, and how alike those were to the query."""
    accepted = read_table(REVIEW / "accepted.parquet", "review", ("kind", "passage_ids", "passage_scores"))
    index = read_json(INDEX / "manifest.json", "index", ("n_passages", "sources", "encoder"))

    def row(prompts: pd.DataFrame) -> dict[str, Any]:
        with_passages = prompts[prompts["passage_scores"].map(len) > 0]  # a report's sentence has its own, unretrieved
        scores = with_passages["passage_scores"].explode().astype(float)
        return {
            "prompts": len(prompts),
            "with_passages": len(with_passages),
            "passages": with_passages["passage_ids"].explode().nunique(),
            "similarity": scores.median() if len(scores) else None,
        }

    rows = {kind: row(accepted[accepted["kind"] == kind]) for kind in (*kinds(), "none")}
    return {"rows": rows | {"all": row(accepted)}, "index": index}


def mask_pictures(texts: pd.DataFrame) -> list[dict[str, Any]]:
    """Some of the review's pictures of masks, kinds in turn, each with a request for such a mask."""
    folder = require(REVIEW / "pictures", "review")
    chosen = []
    for path in round_robin([sorted(folder.glob(f"{kind}-*.png")) for kind in kinds()], PICTURES):
        kind, _, target = path.stem.partition("-")
        target = target.replace("-", " ")
        text = next(iter(sample(texts[(texts["kind"] == kind) & (texts["target"] == target)])), None)
        chosen.append({"kind": kind, "target": target, "text": text, "image": read_png(path, "review")})
    return chosen
