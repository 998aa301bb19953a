"""Stage `phantom`: the built-in synthetic cohort, as NIfTI in nnU-Net's layout.

python -m pipelines.phantom
"""

from __future__ import annotations

from corpus.parallel import workers
from corpus.params import load_params
from corpus.scans.phantom import PhantomParams, write_cohort
from pipelines.stage import DATA, console, progress, stage


@stage
def main() -> None:
    """Render every patient to data/raw/phantom."""
    params = load_params("phantom", PhantomParams)
    out = DATA / "raw" / "phantom"
    with progress("phantom", params.patients) as advance:
        write_cohort(params, out, workers(), on_done=lambda case: advance(1))
    console.print(f"{params.patients} synthetic patients in {out}")


if __name__ == "__main__":
    main()
