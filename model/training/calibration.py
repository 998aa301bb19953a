"""The temperature that makes an intent head's confidence one to believe (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
import torch

from model.intent_head import IntentHead, IntentLogits, understand
from model.texts import Texts
from prompts.intent import Intent

TEMPERATURES = tuple(float(t) for t in np.geomspace(0.5, 4.0, 25).round(3))
MOST = 1024
"""Texts that the temperature is fitted on."""
BATCH = 128


@torch.inference_mode()
def calibrate(head: IntentHead, texts: Texts) -> float:
    """Set the head's temperature to the one under which validation texts are likeliest to be understood as often as it
    says. Their variants are left out: made to be hard, they would let it doubt what people type.

    Returns:
        The temperature.
    """
    head.eval()
    head.temperature.fill_(1.0)
    rows = np.flatnonzero((texts.table["split"] == "val") & texts.table["variant"].isna())
    rows = rows[:: -(-len(rows) // MOST)]
    wanted = [Intent.of_row(row) for row in texts.table.iloc[rows].to_dict("records")]
    parts = [head(texts.embeddings[torch.from_numpy(rows[i : i + BATCH])]) for i in range(0, len(rows), BATCH)]
    logits = IntentLogits(*(torch.cat(values) for values in zip(*(vars(part).values() for part in parts), strict=True)))

    def loss(temperature: float) -> float:
        # Whatever it is unsure of: the loss is smooth then, and whether to act on it is another question.
        read = understand(IntentLogits(*(values / temperature for values in vars(logits).values())), unsure=0.0)
        right = np.array([found.intent == intent for found, intent in zip(read, wanted, strict=True)])
        sure = np.clip([found.confidence for found in read], 1e-4, 1 - 1e-4)
        return float(-np.log(np.where(right, sure, 1 - sure)).mean())

    best = min(TEMPERATURES, key=loss)
    head.temperature.fill_(best)
    return best
