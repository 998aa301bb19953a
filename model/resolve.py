"""Which organ does "leftmost" mean here? Geometry on predicted maps, by the rules that made the prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from corpus.anatomy import BY_ID, BY_NAME, N_ORGANS, UNIONS
from prompts.intent import Intent, pair_of
from prompts.rules import Scene, answer

MINIMUM_PIXELS = 10
"""Of the network's: smaller predicted structures don't compete, since they are likelier noise than anatomy."""

SURELY_ABSENT = 0.02
"""Probability of presence below which an organ takes no pixel. Presence is a coarser judge than the map itself: an even
chance as the limit costs 6 points of Dice."""


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
    possible = allowed & (presence.sigmoid() > SURELY_ABSENT)
    best, index = logits.masked_fill(~possible[..., None, None], -torch.inf).max(1)
    return torch.where(best > 0, index + 1, 0).to(torch.uint8)


def by_geometry(intent: Intent) -> bool:
    """Whether an intent's organ has to be found in the picture: it isn't named, or by its place only."""
    return intent.kind != "none" and not (intent.kind == "anatomy" and intent.frame == "patient")


class Seen:
    """What a slice shows, or the slices of one volume laid over each other.

    Args:
        labels: uint8 `[Z, H, W]` predicted organ ids, turned to the display frame.
        pixel: How many of their pixels make one of the network's.
    """

    def __init__(self, labels: Tensor, pixel: float) -> None:
        self.labels = labels.cpu().numpy()
        pixels = np.bincount(self.labels.ravel(), minlength=N_ORGANS + 1)[1:]
        self._present = {int(i) + 1 for i in np.flatnonzero(pixels)}
        self._specks = {int(i) + 1 for i in np.flatnonzero(pixels < MINIMUM_PIXELS * pixel)} & self._present
        self._scenes: dict[frozenset[int], Scene] = {}

    def scene(self, intent: Intent) -> Scene:
        """Without the specks, but for a structure that the intent names; with them where there is nothing else."""
        names = (intent.organ, *(pair_of(intent.organ) or ())) if intent.organ else ()
        left_out = frozenset(self._specks - {BY_NAME[name].id for name in names})
        if left_out == self._present:
            left_out = frozenset()
        if left_out not in self._scenes:
            found = np.where(np.isin(self.labels, list(left_out)), 0, self.labels).astype(np.uint8)
            self._scenes[left_out] = Scene(found, (1.0, 1.0), range(1, N_ORGANS + 1))
        return self._scenes[left_out]


def resolve(seen: Seen, intent: Intent) -> str | None:
    """The organ that an intent means, however narrowly; None if there is none. "Left" is the display frame's."""
    found = answer(seen.scene(intent), intent)
    return BY_ID[found.organ].name if found else None
