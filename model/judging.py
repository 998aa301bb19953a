"""Do a scan's pixels agree with its header? The anatomical rules' answer and the canonicalizer's, taken together.

The rules (`corpus.scans.pixel_pose`) hold for any scan of the trunk. The canonicalizer is sharper on what it was
trained on, but on scans from elsewhere it can be sure and wrong: there it may only object, which makes the verdict
"unsure". A wrong verdict is worse than none. Where a scan is segmented some pose must be taken, and what the rules say
is a prior for the canonicalizer (`by_anatomy`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from corpus.scans.pixel_pose import PixelPose, pixel_pose
from model.canonicalizer import Pose
from model.flans import FLanS
from model.framing import to_network
from model.groups import IDENTITY, ORDER, act_direction

Verdict = Literal["agrees", "contradicts", "unsure"]
SLICES = 64
"""Of a longer volume, so many slices are looked at, evenly spread."""
TRUST, MOST = 8.0, 4.0
"""Log-odds that a margin of 1 is worth, and that any is at most: no more than a network that is sure of itself."""
TRUNK_MM = 120.0
"""Of a shorter stack of slices the rules see too little: the pubic bone is taken for the spine, a spleen for the liver.
In a verdict they have no say then, and as a prior less."""
ANY = frozenset(range(ORDER))


@dataclass(frozen=True)
class Judgement:
    """A volume's verdict; `elements` that may bring it upright as it is displayed; `reversed` says whether its slices
    run from head to feet, None if that can't be told; then what the rules, of a CT, and the network said."""

    verdict: Verdict
    elements: frozenset[int]
    reversed: bool | None
    rules: PixelPose | None
    network: Pose | None


def judge(
    image: np.ndarray, spacing: tuple[float, float, float] | None, model: FLanS | None, familiar: bool
) -> Judgement:
    """Judge a volume.

    Args:
        image: HU, `[Z, H, W]`, in the display frame if the header is right.
        spacing: (z, y, x) in mm of a CT; None for anything else, of which the rules, which go by HU, say nothing.
        model: A trained model, or None for the rules alone.
        familiar: Whether the model was trained on scans of this source.
    """
    seen = some_slices(image)
    rules = pixel_pose(seen, spacing) if spacing else None
    network = None
    if model is not None and model.canonicalizer.learns:
        with torch.inference_mode():
            network = model.canonicalizer.volume_pose(to_network(seen, model.params)[0])
    heard = rules if spacing and len(image) * spacing[0] >= TRUNK_MM else None
    elements = together(by_rules(heard) if heard else ANY, by_network(network), familiar)
    reverse = heard.head.where == "first" if heard and heard.head.sure else None
    return Judgement(verdict(elements, reverse), elements, reverse, rules, network)


def some_slices(image: np.ndarray) -> np.ndarray:
    """At most `SLICES` of a volume's slices, evenly spread."""
    return image[np.unique(np.linspace(0, len(image) - 1, min(SLICES, len(image))).astype(int))]


def by_anatomy(image: np.ndarray, spacing: tuple[float, float, float], rules: PixelPose | None = None) -> Tensor:
    """What the rules say for each element of D4 that might bring a CT volume upright; arguments as of `judge`, and the
    rules' answers where they were asked already.

    Nothing is excluded: in a short stack of slices the rules are sure and wrong now and then.

    Returns:
        Log-probabilities `[8]`, give or take a constant: a penalty for each answer that is contradicted, which grows
        with the answer's margin and with how much of the trunk is seen.
    """
    rules = rules or pixel_pose(some_slices(image), spacing)
    answers = [(rules.back, "bottommost")]
    if rules.back.sure:  # else the side may have been looked for along the wrong axis
        answers.append((rules.right, "leftmost"))
    seen = min(1.0, len(image) * spacing[0] / TRUNK_MM)
    prior = torch.zeros(ORDER)
    for answer, place in answers:
        contradicted = torch.tensor([act_direction(g, answer.where) != place for g in range(ORDER)])
        prior[contradicted] -= seen * min(TRUST * answer.margin, MOST)
    return prior


def by_rules(rules: PixelPose) -> frozenset[int]:
    """The elements that would turn what the rules are sure of to its place."""
    wanted = ((rules.back, "bottommost"), (rules.right, "leftmost"))
    return frozenset(
        g for g in range(ORDER) if all(act_direction(g, a.where) == place for a, place in wanted if a.sure)
    )


def by_network(pose: Pose | None) -> frozenset[int]:
    """The canonicalizer's element if it is sure, else all."""
    return frozenset([int(pose.element)]) if pose is not None and bool(pose.sure) else ANY


def together(rules: frozenset[int], network: frozenset[int], familiar: bool) -> frozenset[int]:
    """What both leave possible; everything, where they exclude each other."""
    both = rules & network
    if not both:
        return ANY
    return both if familiar else rules


def verdict(elements: frozenset[int], reverse: bool | None) -> Verdict:
    """What follows for the header. Slices that may or may not be reversed count as the header has them."""
    if IDENTITY not in elements or reverse:
        return "contradicts"
    return "agrees" if elements == {IDENTITY} else "unsure"
