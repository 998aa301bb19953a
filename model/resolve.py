"""Which organ does "leftmost" mean here? Geometry on predicted maps, by the rule that made the prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from corpus.anatomy import UNIONS
from prompts.facts import Shape, merge, position_leads, shapes, size_leads
from prompts.intent import POSITIONS

MINIMUM_PIXELS = 8
"""Smaller predicted structures don't compete: they are likelier noise than anatomy."""


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


def resolve(found: dict[int, Shape], attribute: str, spacing: tuple[float, float]) -> int | None:
    """The organ that an attribute means.

    Args:
        found: Organ id -> its shape, in the display frame.
        attribute: leftmost, rightmost, topmost, bottommost, largest or smallest.
        spacing: (y, x) in mm.

    Returns:
        The organ with the greatest margin (see `prompts.facts`), or None if there is no organ at all.
    """
    competing = [s for s in found.values() if s.pixels >= MINIMUM_PIXELS] or list(found.values())
    if len(competing) < 2:
        return competing[0].organ if competing else None
    if attribute in POSITIONS:
        leads = position_leads(competing, spacing)[attribute]
    else:
        leads = size_leads(np.array([s.pixels for s in competing], float))[attribute]
    return competing[int(leads.argmax())].organ


def seen(labels: Tensor) -> dict[int, Shape]:
    """The shape of every organ of a slice, or of the slices of one volume laid over each other.

    Args:
        labels: uint8 `[Z, S, S]` predicted organ ids, turned to the display frame.
    """
    found: dict[int, list[Shape]] = {}
    for label in labels.cpu().numpy():
        for organ, shape in shapes(label).items():
            found.setdefault(organ, []).append(shape)
    return {organ: merge(parts, organ) for organ, parts in sorted(found.items())}
