"""Stage `phantom`: the built-in synthetic cohort, as NIfTI in nnU-Net's layout.

python -m pipelines.phantom
"""

from __future__ import annotations

from corpus.params import load_params
from corpus.scans.phantom import PhantomParams, write_cohort
from pipelines.stage import PHANTOM, console, progress, stage


@stage
def main() -> None:
    """Render every patient to data/raw/phantom."""
    params = load_params("phantom", PhantomParams)
    with progress("phantom", params.patients) as advance:
        write_cohort(params, PHANTOM, lambda index: advance(1))
    console.print(f"{params.patients} synthetic patients in {PHANTOM}")


if __name__ == "__main__":
    main()
