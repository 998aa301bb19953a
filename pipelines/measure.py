"""Stage `measure`: one source's slice store -> the facts of every mask.

python -m pipelines.measure SOURCE
"""

from __future__ import annotations

import sys

from corpus.scans.store import SliceStore
from pipelines.stage import FACTS, SLICES, cohort, console, progress, stage
from prompts.measure import measure


@stage
def main(name: str) -> None:
    """Measure the source that params.yaml calls `name`."""
    with progress(f"measure {name}") as advance:
        measured = measure(SliceStore(SLICES / cohort() / name), advance)
    (out := FACTS / cohort() / name).mkdir(parents=True, exist_ok=True)
    measured.facts.to_parquet(out / "slices.parquet", index=False)
    measured.volumes.to_parquet(out / "volumes.parquet", index=False)
    measured.relations.to_parquet(out / "relations.parquet", index=False)
    measured.answers.to_parquet(out / "answers.parquet", index=False)
    console.print(
        f"{name}: {len(measured.facts)} masks in {measured.facts['slice_id'].nunique()} slices, "
        f"{len(measured.volumes)} organs in volumes, {len(measured.relations)} relations, "
        f"{len(measured.answers)} answers"
    )


if __name__ == "__main__":
    main(sys.argv[1])
