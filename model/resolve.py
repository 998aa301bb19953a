"""Which organ does "leftmost" mean here? Geometry on predicted maps, by the rules that made the prompts."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from corpus.anatomy import BY_ID, BY_NAME, N_ORGANS, UNIONS
from prompts.intent import Intent, pair_of
from prompts.rules import Scene, answer

MINIMUM_PIXELS = 10
"""Of the network's: smaller predicted structures don't compete, since they are likelier noise than anatomy."""
SURE = 0.95
"""Nor do structures that nowhere reach this probability: they are likelier the blur of what ends nearby."""
EVERY_ORGAN = range(1, N_ORGANS + 1)
"""Organ ids."""
SURELY_ABSENT = 0.02
"""Probability of presence below which an organ takes no pixel. Presence is a coarser judge than the map itself: an even
chance as the limit costs 6 points of Dice."""


def organ_scores(logits: Tensor, presence: Tensor, competing: Collection[int]) -> Tensor:
    """Whose each pixel may be: no organ's, whose score is 0, or one of those that compete.

    Args:
        logits: `[B, 24, S, S]`; presence: `[B, 24]` logits.
        competing: Organ ids that may compete (a union doesn't where parts of it do).

    Returns:
        `[B, 25, S, S]` by organ id, -inf for what is out of the question.
    """
    allowed = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    allowed[[o - 1 for o in competing if set(competing).isdisjoint(UNIONS.get(o, ()))]] = True
    possible = allowed & (presence.sigmoid() > SURELY_ABSENT)
    return F.pad(logits.masked_fill(~possible[..., None, None], -torch.inf), (0, 0, 0, 0, 1, 0))


def predicted_labels(scores: Tensor) -> Tensor:
    """Each pixel to its likeliest organ, or to none: `[B, 25, S, S]` -> uint8 `[B, S, S]` organ ids."""
    return scores.argmax(1).to(torch.uint8)


def surest(scores: Tensor) -> Tensor:
    """The probability of each organ where it is likeliest: `[B, 25, S, S]` -> `[B, 25]` by organ id."""
    return scores.softmax(1).amax((-2, -1))


def by_geometry(intent: Intent) -> bool:
    """Whether an intent's organ has to be found in the picture: it isn't named, or by its place only."""
    return intent.kind != "none" and not (intent.kind == "anatomy" and intent.frame == "patient")


class Seen:
    """What a slice shows, or the slices of one volume laid over each other.

    Args:
        labels: uint8 `[Z, H, W]` predicted organ ids, turned to the display frame.
        pixel: How many of their pixels make one of the network's.
        sureness: `[25]` by organ id, the probability of each where it is likeliest.
        known: Organ ids that training has labelled.
    """

    def __init__(self, labels: Tensor, pixel: float, sureness: Tensor, known: Collection[int] = EVERY_ORGAN) -> None:
        self.labels, self.known = labels.cpu().numpy(), known
        pixels = sum(np.bincount(label.ravel(), minlength=N_ORGANS + 1) for label in self.labels)
        self._present = set(np.flatnonzero(pixels).tolist()) - {0}
        doubtful = (pixels < MINIMUM_PIXELS * pixel) | (sureness.cpu().numpy() < SURE)
        self._doubtful = self._present & set(np.flatnonzero(doubtful).tolist())
        self._scenes: dict[frozenset[int], Scene] = {}

    def scene(self, intent: Intent) -> Scene:
        """Without what is doubtful, but for a structure that the intent names; with it where there is nothing else."""
        names = (intent.organ, *(pair_of(intent.organ) or ())) if intent.organ else ()
        left_out = frozenset(self._doubtful - {BY_NAME[name].id for name in names})
        if left_out == self._present:
            left_out = frozenset()
        if left_out not in self._scenes:
            found = np.where(np.isin(self.labels, list(left_out)), 0, self.labels).astype(np.uint8)
            self._scenes[left_out] = Scene(found, (1.0, 1.0), self.known)
        return self._scenes[left_out]


def resolve(seen: Seen, intent: Intent) -> str | None:
    """The organ that an intent means, however narrowly; None if there is none. "Left" is the display frame's."""
    found = answer(seen.scene(intent), intent)
    return BY_ID[found.organ].name if found else None
