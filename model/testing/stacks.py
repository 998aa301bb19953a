"""Answers to the slices of one volume, stacked: Dice, NSD and HD95 of a whole organ.

One held-out request a structure is put to every stored slice of a volume, each slice on its own, also to those that
don't show the structure: a false mask there counts. The store keeps every slice with a labelled organ and a share of
the others (`ingest.negatives`); the slices that it left out show no labelled organ, nothing is asked of them, and they
stand empty in the stack, so that masks there are neither found nor missed. Only what has a name is asked of a volume:
what is leftmost differs from slice to slice.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from corpus.anatomy import BY_ID, BY_NAME, with_unions
from model.testing.asked import HeldOutPrompts
from model.testing.metrics import METRICS, case_metrics
from prompts.facts import mask_of
from prompts.targets import ABSENT

VOLUMES = [
    *("source", "patient", "volume", "organ", "kind", "text", "slices", "truth_ml", "answer_ml"),
    *METRICS,
]
"""The columns of `Stack.rows`."""


class Stack:
    """One volume while its slices are answered; masks are kept as bits.

    Args:
        slices: The volume's rows of the slice table.
        prompts: What is asked is drawn from these, with `seed`.
    """

    def __init__(self, slices: pd.DataFrame, prompts: HeldOutPrompts, seed: int) -> None:
        self.info, self.first = slices.iloc[0], int(slices["z"].min())
        self.depth = int(slices["z"].max()) - self.first + 1
        self.request: dict[str, str] = {}
        """Structure -> the prompt that asks for it."""
        for organ in (BY_ID[o].name for o in sorted(with_unions({int(o) for o in self.info["labelled"]}))):
            if pool := prompts.pools.get(("anatomy", organ)):
                name = f"{seed}:{self.info['source']}:{self.info['volume']}:{organ}"
                self.request[organ] = pool[int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % len(pool)]
        self._slices: list[tuple[int, np.ndarray, np.ndarray]] = []

    def add(self, z: int, label: np.ndarray, masks: np.ndarray) -> None:
        """A slice's true label uint8 `[H, W]`, and its answers to `request`, bool `[P, H, W]`."""
        self._slices.append((z - self.first, label, np.packbits(masks, axis=-1)))

    def rows(self, prompts: HeldOutPrompts) -> list[dict]:
        """One row a structure; `kind` is "absent" where no slice shows it."""
        info = self.info
        shape = (self.depth, int(info["height"]), int(info["width"]))
        spacing = (float(info["spacing_z"]), float(info["spacing_y"]), float(info["spacing_x"]))
        truths = np.zeros(shape, np.uint8)
        for z, label, _ in self._slices:
            truths[z] = label
        rows = []
        for place, (organ, prompt) in enumerate(self.request.items()):
            answer = np.zeros(shape, bool)
            for z, _, masks in self._slices:
                answer[z] = np.unpackbits(masks[place], axis=-1, count=shape[-1])
            truth = mask_of(truths, BY_NAME[organ].id)
            row = {k: info[k] for k in ("source", "patient", "volume")} | {"organ": organ}
            row |= {"kind": "anatomy" if truth.any() else ABSENT, "text": prompts.text(prompt)}
            row["slices"] = len(self._slices)
            row |= {"truth_ml": _millilitres(truth, spacing), "answer_ml": _millilitres(answer, spacing)}
            rows.append(row | {k: round(v, 4) for k, v in case_metrics(answer, truth, spacing, organ).items()})
        return rows


def _millilitres(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    return round(float(np.count_nonzero(mask) * np.prod(spacing)) / 1000, 3)
