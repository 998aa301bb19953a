"""Stage `dataset`: accepted requests + facts + slice tables -> splits, samples, card and manifest.

python -m pipelines.dataset
"""

from __future__ import annotations

import pandas as pd

from corpus.params import load_params
from corpus.scans.ingest_params import IngestParams
from corpus.scans.store import SliceStore
from pipelines.stage import DATASET, FACTS, PHANTOM, REVIEW, SLICES, cohort, console, stage
from prompts.dataset import DatasetParams, build_dataset
from prompts.leaks import check_slices
from prompts.targets import TargetParams


@stage
def main() -> None:
    """Build the data set of all configured sources."""
    params = load_params("dataset", DatasetParams)
    targets = load_params("targets", TargetParams)
    roots = {name: source.root for name, source in sorted(load_params("ingest", IngestParams).sources.items())}
    stores = {name: SliceStore(SLICES / cohort() / name) for name in roots}
    slices = pd.concat([store.table for store in stores.values()], ignore_index=True)
    facts, answers = (
        pd.concat([pd.read_parquet(FACTS / cohort() / name / table) for name in roots], ignore_index=True)
        for table in ("slices.parquet", "answers.parquet")
    )
    accepted = pd.read_parquet(REVIEW / "accepted.parquet")
    synthetic = [name for name, root in roots.items() if root == PHANTOM]
    manifest = build_dataset(slices, facts, answers, accepted, targets, params, DATASET, synthetic)
    check_slices(  # before anything is trained: whoever finds it in the evaluation trains all over again
        pd.read_parquet(DATASET / "slices.parquet"),
        lambda row: stores[row["source"]].image(row["shard"], int(row["row"])),
        DATASET,
    )
    for what in ("patients", "slices", "texts"):
        console.print(f"{what}: {manifest[what]}")
    console.print(f"samples: {manifest['samples']}")
    if left_out := manifest["not_asked"]:
        console.print(f"[yellow]{left_out} masks[/] have no request of their split: {DATASET / 'not_asked.csv'}")


if __name__ == "__main__":
    main()
