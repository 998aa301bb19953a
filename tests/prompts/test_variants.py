"""Further texts for the intent head."""

import numpy as np
from rapidfuzz.distance import OSA

from prompts.variants import misspell


def test_a_slip_changes_one_letter_or_swaps_two_and_leaves_the_first() -> None:
    rng = np.random.default_rng(0)
    slips = [misspell("pancreas", rng) for _ in range(500)]
    assert {OSA.distance("pancreas", slip) for slip in slips} <= {0, 1}  # 0: another letter may be the same
    assert {slip[0] for slip in slips} == {"p"}
    assert {len(slip) for slip in slips} == {7, 8, 9}
    assert any(sorted(slip) == sorted("pancreas") and slip != "pancreas" for slip in slips), "some are swapped"
