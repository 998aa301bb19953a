"""Losses: Dice + BCE on masks, Dice + cross-entropy on organ maps, cross-entropy on intent, BCE on presence.

Where several processes share a batch, the mean of what they get is what one process would get for the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from corpus.anatomy import N_ORGANS, UNIONS
from model.intent_head import NO_ATTRIBUTE, NO_ORGAN, NO_RELATION, IntentLogits, IntentTargets
from model.training.processes import everywhere, mean_everywhere

SURELY_NOT = 1e-12
"""A probability that keeps logarithms finite."""


def soft_dice_loss(probability: Tensor, target: Tensor, dims: tuple[int, ...]) -> Tensor:
    """1 - soft Dice over `dims` (Milletari et al. 2016, squared terms); 0 where prediction and target are empty."""
    overlap = (probability * target).sum(dims)
    total = (probability**2).sum(dims) + target.sum(dims)
    return 1 - (2 * overlap + 1) / (total + 1)


def mask_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Dice + BCE of each mask: `[..., S, S]` logits and float targets -> `[...]`."""
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((-2, -1))
    return bce + soft_dice_loss(logits.sigmoid(), target, (-2, -1))


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The mean of `mask_losses` over P prompted masks: `[B, P, S, S]` logits and float targets -> scalar."""
    return mask_losses(logits, target).mean()


def organ_targets(label: Tensor) -> Tensor:
    """Label maps `[B, S, S]` of organ ids -> float masks `[B, 24, S, S]`, unions included."""
    ids = torch.arange(1, N_ORGANS + 1, device=label.device, dtype=label.dtype)
    masks = (label[:, None] == ids[:, None, None]).float()
    for union, parts in UNIONS.items():
        masks[:, union - 1] = masks[:, [union - 1, *(p - 1 for p in parts)]].amax(1)
    return masks


def organ_loss(logits: Tensor, label: Tensor, labelled: Tensor) -> Tensor:
    """Dice + cross-entropy of the organ maps, each pixel going to one organ or to none.

    The background's logit is 0, so that a map above 0 beats it. An organ that the source doesn't label is unknown:
    it takes no part in the softmax and gets no gradient. A union whose parts are labelled doesn't compete with them;
    its map gets Dice + BCE of its own.

    Args:
        logits: `[B, 24, S, S]`.
        label: uint8 `[B, S, S]` organ ids.
        labelled: bool `[B, 24]`.
    """
    competing = labelled.clone()
    total = logits.new_zeros(())
    for union, parts in UNIONS.items():
        derived = labelled[:, [p - 1 for p in parts]].all(1)
        competing[:, union - 1] &= ~derived
        target = torch.isin(label[derived], label.new_tensor([union, *parts])).float()
        losses = mask_losses(logits[derived, union - 1], target)
        total = total + mean_everywhere(losses.sum(), derived.sum()) / N_ORGANS
    scores = F.pad(logits.flatten(2), (0, 0, 1, 0))
    probability = scores.masked_fill_(~F.pad(competing, (1, 0), value=True)[..., None], -torch.inf).softmax(1)
    organ = label.long().flatten(1)[:, None]
    right = probability.gather(1, organ)
    # Dice over the batch: a few stray pixels of an organ that one slice lacks don't count as all of it.
    overlap = logits.new_zeros(N_ORGANS + 1).index_add(0, organ.flatten(), right.flatten())
    size = torch.bincount(organ.flatten(), minlength=N_ORGANS + 1).to(overlap)
    overlap, found, size = everywhere(torch.stack([overlap, probability.sum((0, 2)), size]))
    dice = 1 - (2 * overlap + 1) / (found + size + 1)
    present = (size > 0)[1:].float()
    return total - (right + SURELY_NOT).log().mean() + (dice[1:] * present).sum() / present.sum().clamp(min=1)


def presence_loss(logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
    """BCE of presence: logits `[B, 24]` against whether each labelled organ has a pixel in the slice."""
    present = (target.amax((-2, -1)) > 0).float()
    weight = labelled.float()
    losses = F.binary_cross_entropy_with_logits(logits, present, reduction="none")
    return mean_everywhere((losses * weight).sum(), weight.sum())


def intent_loss(logits: IntentLogits, target: IntentTargets) -> Tensor:
    """The summed cross-entropies of an intent's parts; of a part only over the prompts whose intent has one."""
    has = {
        "organ": target.organ != NO_ORGAN,
        "attribute": target.attribute != NO_ATTRIBUTE,
        "rank": (target.attribute != NO_ATTRIBUTE) & (target.organ == NO_ORGAN),
        "relation": target.relation != NO_RELATION,
        "negated": (target.organ != NO_ORGAN) & (target.relation == NO_RELATION),
    }
    parts = [F.cross_entropy(logits.kind, target.kind), F.cross_entropy(logits.frame, target.frame)]
    for part, rows in has.items():
        losses = F.cross_entropy(getattr(logits, part)[rows], getattr(target, part)[rows], reduction="sum")
        parts.append(mean_everywhere(losses, rows.sum()))
    return torch.stack(parts).sum()
