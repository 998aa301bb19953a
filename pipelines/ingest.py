"""Stage `ingest`: one source's labelled scans -> its slice store.

python -m pipelines.ingest SOURCE
"""

from __future__ import annotations

import sys

from corpus.errors import InputError
from corpus.params import PARAMS, check_names, load_params
from corpus.scans.ingest import ingest
from corpus.scans.ingest_params import IngestParams
from pipelines.stage import DATA, SLICES, cohort, console, progress, stage


@stage
def main(name: str = "") -> None:
    """Ingest the source that params.yaml calls `name`."""
    params = load_params("ingest", IngestParams)
    check_names(params.sources, "ingest.sources")
    if name not in params.sources:
        found = f"`ingest.sources` has no {name!r}"
        raise InputError(PARAMS, found, f"use one of: {', '.join(params.sources)}")
    with progress(f"ingest {name}") as advance:
        summary = ingest(name, params, SLICES / cohort() / name, DATA / "unfinished" / "ingest" / name, advance)
    console.print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in summary.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
