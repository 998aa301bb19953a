"""Stage `review`: the bank of prompts + people's decisions -> the accepted prompts, the review sheet, quality figures.

python -m pipelines.review
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from corpus.params import load_params
from corpus.reports.encoder import Precision
from corpus.reports.index import IndexParams, embed
from corpus.reports.passages import read_passages
from corpus.scans.ingest_params import IngestParams
from corpus.scans.store import SliceStore
from pipelines.stage import BANK, EMBEDDINGS, FACTS, INDEX, REVIEW, SLICES, cohort, console, progress, stage
from prompts.bank import UNASKED, read_bank
from prompts.checks.bank import check_bank
from prompts.pictures import draw_pictures, representatives
from prompts.quality import (
    EMBEDDED_OVER,
    closest_pairs,
    draw,
    embedding_diversity,
    figures,
    flags,
    organ_coverage,
    rejections,
)
from prompts.review.decision_files import OUTCOMES, read_decisions
from prompts.review.sheet import REJECTED, ReviewParams, sample, settle, sheet
from prompts.sheets import write_sheet
from prompts.targets import TargetParams, eligible

DECISIONS = Path("prompts/review/decisions")


@stage
def main() -> None:
    """Settle the decisions, measure the bank, and write the sheet with its pictures."""
    params = load_params("review", ReviewParams)
    sources = sorted(load_params("ingest", IngestParams).sources)
    bank = read_bank(BANK / "bank.parquet")
    with progress("compare prompts", int((bank["accepted"] & (~bank["provider"].isin(UNASKED))).sum())) as advance:

        def embedded(texts: Sequence[str], precision: Precision) -> np.ndarray:
            """What an earlier run embedded isn't embedded again: after a decision, or for a bank that grew."""
            shown = advance if precision != "float64" else lambda n: None
            return embed(texts, IndexParams(precision=precision), EMBEDDINGS, shown)

        bank = check_bank(bank, embedded)
    facts, answers = (
        pd.concat([pd.read_parquet(FACTS / cohort() / name / table) for name in sources], ignore_index=True)
        for table in ("slices.parquet", "answers.parquet")
    )
    targets = eligible(facts, answers, load_params("targets", TargetParams))
    indexed = read_passages(INDEX / "passages.parquet")
    passages = dict(zip(indexed["passage_id"], indexed["text"], strict=True))

    settled = settle(bank, read_decisions(DECISIONS), passages)
    accepted = settled.accepted
    duplicates, near = closest_pairs(accepted)
    organs = organ_coverage(accepted, targets)
    drawn = draw(accepted[accepted["kind"] != "none"], EMBEDDED_OVER, params.seed)["text"].tolist()
    outcomes = settled.decisions["outcome"]
    metrics = figures(bank, accepted, near, organs, params.seed) | {
        "embedding_diversity": round(embedding_diversity(embedded(drawn, "float64")), 4),
        "decisions": {name: int((outcomes == name).sum()) for name in OUTCOMES},
        "conflicts": len(settled.conflicts),
        "kappa": settled.kappa,
    }

    pictures = representatives(targets)
    shutil.rmtree(REVIEW / "pictures", ignore_errors=True)
    (REVIEW / "pictures").mkdir(parents=True)
    with progress("draw masks") as advance:
        candidates = dict(zip(facts["slice_id"], facts["candidates"], strict=True))
        stores = {name: SliceStore(SLICES / cohort() / name) for name in sources}
        draw_pictures(pictures, candidates, stores, REVIEW / "pictures", params.picture_px, advance)
    # Flags are raised before any decision, so that the sheet doesn't change with the decisions.
    undecided, _ = closest_pairs(bank[bank["accepted"]])
    chosen = sample(bank, params, flags(bank, undecided, params.flagged, params.seed))
    tables = {
        "review": sheet(chosen, pictures, passages),
        "organs": organs,
        "rejected": bank.loc[~bank["accepted"], list(REJECTED)],
        "checks": rejections(bank),
        "duplicates": duplicates,
        "decisions": settled.decisions,
        "conflicts": settled.conflicts,
        "agreement": settled.agreement,
    }
    for name, table in tables.items():
        write_sheet(table, REVIEW / f"{name}.csv")
    accepted.to_parquet(REVIEW / "accepted.parquet", index=False)
    (REVIEW / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")

    console.print(
        f"{len(accepted)} of {len(bank)} candidates accepted; {len(chosen)} to review: {REVIEW / 'review.csv'}"
    )
    for row in settled.decisions.to_dict("records"):
        if row["outcome"] in ("unused", "refused") or (row["outcome"] == "undecided" and row["reason"]):
            console.print(f"{row['file']}, row {row['row']}: {row['outcome']}, {row['reason']}", markup=False)
    console.print(f"decisions: {metrics['decisions']}; conflicts: {len(settled.conflicts)}", markup=False)
    for row in settled.agreement.to_dict("records"):
        kappa = "undefined" if pd.isna(row["kappa"]) else row["kappa"]
        agree = f"{row['prompts']} prompts shared, agreement {row['agreement']}, Cohen's kappa {kappa}"
        console.print(f"{row['reviewer_a']} and {row['reviewer_b']}: {agree}", markup=False)


if __name__ == "__main__":
    main()
