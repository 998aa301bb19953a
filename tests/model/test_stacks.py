"""Answers to the slices of a volume, stacked."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from corpus.anatomy import BY_NAME
from model.testing.stacks import Stack

LIVER = BY_NAME["liver"].id


def test_a_volume_whose_first_slices_were_not_stored_is_stacked_from_the_first_that_was() -> None:
    prompts = SimpleNamespace(pools={("anatomy", "liver"): ["p"]}, text=lambda prompt: "the liver")
    about = {"source": "a", "patient": "a/1", "volume": "1", "height": 4, "width": 4}
    spacing = {"spacing_z": 5.0, "spacing_y": 1.0, "spacing_x": 1.0}
    slices = pd.DataFrame([{**about, **spacing, "z": z, "labelled": [LIVER]} for z in (7, 8, 9)])
    stack = Stack(slices, prompts, seed=0)  # type: ignore[arg-type]
    label = np.zeros((4, 4), np.uint8)
    label[1:3, 1:3] = LIVER
    for z in (7, 8, 9):
        stack.add(z, label, (label == LIVER)[None] & (z != 9))
    (row,) = stack.rows(prompts)  # type: ignore[arg-type]
    assert (row["slices"], row["truth_ml"], row["answer_ml"]) == (3, 3 * 4 * 5 / 1000, 2 * 4 * 5 / 1000)
    assert row["dice"] == round(2 * 8 / (8 + 12), 4)
