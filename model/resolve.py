"""Which organ does "leftmost" mean here? Geometry on predicted maps, by the rules that made the prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from corpus.anatomy import BY_ID, N_ORGANS, UNIONS
from prompts.intent import Intent
from prompts.rules import Scene, answer

MINIMUM_PIXELS = 5
"""Of the network's: smaller predicted structures don't compete, since they are likelier noise than anatomy."""


def predicted_labels(logits: Tensor, presence: Tensor, competing: Sequence[int]) -> Tensor:
    """One label map a slice from organ maps: each pixel to its likeliest organ, or to none.

    Args:
        logits: `[B, 24, S, S]`; presence: `[B, 24]` logits.
        competing: Organ ids that may compete (a union doesn't where its parts are known).

    Returns:
        uint8 `[B, S, S]` organ ids.
    """
    allowed = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    allowed[[o - 1 for o in competing if o not in UNIONS]] = True
    possible = allowed & (presence > 0)
    best, index = logits.masked_fill(~possible[..., None, None], -torch.inf).max(1)
    return torch.where(best > 0, index + 1, 0).to(torch.uint8)


def by_geometry(intent: Intent) -> bool:
    """Whether an intent's organ has to be found in the picture: it isn't named, or by its place only."""
    return intent.kind != "none" and not (intent.kind == "anatomy" and intent.frame == "patient")


def seen(labels: Tensor, pixel: float) -> Scene:
    """What a slice shows, or the slices of one volume laid over each other; specks are left out where there is more.

    Args:
        labels: uint8 `[Z, H, W]` predicted organ ids, turned to the display frame.
        pixel: How many of their pixels make one of the network's.
    """
    found = labels.cpu().numpy()
    pixels = np.bincount(found.ravel(), minlength=N_ORGANS + 1)
    specks = pixels < MINIMUM_PIXELS * pixel
    if not specks[1:][pixels[1:] > 0].all():
        found = np.where(specks[found], 0, found).astype(np.uint8)
    return Scene(found, (1.0, 1.0), range(1, N_ORGANS + 1))


def resolve(scene: Scene, intent: Intent) -> str | None:
    """The organ that an intent means, however narrowly; None if there is none.

    Args:
        scene: In the display frame, whose left "leftmost" speaks of.
    """
    found = answer(scene, intent)
    return BY_ID[found.organ].name if found else None
