"""The canonicalizer: finds which of the eight views of a slice is the radiological one, and turns the slice to it.

After Kaba et al. 2023, "Equivariance with learned canonicalization functions": one small network scores every view
of a low-resolution copy, and the best-scoring view is the canonical one. Because the views of g x are the views of x
in another order, the canonical view of g x is that of x for any weights, ties aside; a tie within a margin is
reported as "pose unsure".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.params import params_dataclass
from model.groups import IDENTITY, INVERSE, ORDER, act_batch, all_views
from model.image_encoder import conv_block

SLICES_AT_ONCE = 16
"""Slices of a scan that go through a network at once: this, and not the scan, bounds the memory."""


@params_dataclass
class CanonicalizerParams:
    """Section `canonicalizer` of params.yaml. `kind` is "d4" or "identity" (which leaves every slice as it is)."""

    kind: str
    size: int
    """Side of the low-resolution copy, in pixels."""
    width: int
    """Channels of the scoring network's first layer."""
    sure_probability: float
    """A pose is sure if its view's probability reaches this."""

    def __post_init__(self) -> None:
        if self.kind not in ("d4", "identity"):
            raise ValueError(f"canonicalizer.kind must be d4 or identity, found {self.kind}")
        if self.size % 16:
            raise ValueError("canonicalizer.size must be a multiple of 16")


@dataclass(frozen=True)
class Pose:
    """How a batch of slices lies: `element` int64 `[B]` turns each to its canonical view; `probability` `[B]`;
    `sure` bool `[B]`."""

    element: Tensor
    probability: Tensor
    sure: Tensor

    @property
    def back(self) -> Tensor:
        """The elements that turn canonical views back: int64 `[B]`."""
        return torch.tensor(INVERSE, device=self.element.device)[self.element]


class Canonicalizer(nn.Module):
    """Contract: `canonicalize(x) -> (x', pose)`, `restore(y, pose)`, and `restore(canonicalize(x)) == x` to the bit."""

    def __init__(self, params: CanonicalizerParams) -> None:
        super().__init__()
        self.params = params
        w = params.width
        self.score = nn.Sequential(
            conv_block(1, w, 2),
            conv_block(w, 2 * w, 2),
            conv_block(2 * w, 2 * w),
            conv_block(2 * w, 4 * w, 2),
            conv_block(4 * w, 4 * w),
            conv_block(4 * w, 4 * w, 2),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(4 * w * (params.size // 16) ** 2, 1),
        )

    def view_logits(self, x: Tensor) -> Tensor:
        """Score every view: `[B, 1, S, S]` in [0, 1] -> `[B, 8]`, entry g for the view g x."""
        low = F.adaptive_avg_pool2d(x, self.params.size)
        views = all_views(low)
        return self.score(views.flatten(0, 1)).view(len(x), ORDER)

    def pose(self, logits: Tensor) -> Pose:
        """Decide: `[B, 8]` view logits -> the pose. Average a volume's logits first to give its slices one pose."""
        probability, element = logits.float().softmax(-1).max(-1)
        return Pose(element, probability, probability >= self.params.sure_probability)

    def canonicalize(self, x: Tensor) -> tuple[Tensor, Pose]:
        """Turn each slice to its canonical view: `[B, 1, S, S]` -> the same shape, and the pose.

        A slice whose pose is unsure is turned to its best-scoring view all the same; `pose.sure` says so.
        """
        pose = self.pose(self.view_logits(x))
        return act_batch(pose.element, x), pose

    def volume_pose(self, x: Tensor) -> Pose:
        """How the slices `[Z, 1, S, S]` of one scan lie, one pose for all: their log-probabilities, averaged."""
        logits = torch.cat([self.view_logits(part) for part in x.split(SLICES_AT_ONCE)])
        return self.pose(logits.log_softmax(-1).mean(0, keepdim=True))

    @staticmethod
    def restore(y: Tensor, pose: Pose) -> Tensor:
        """Turn anything in the canonical frame (`[B, ..., S, S]`) back to the displayed frame."""
        return act_batch(pose.back, y)


class IdentityCanonicalizer(Canonicalizer):
    """Takes every slice to lie as it should; the same contract, for comparison."""

    def __init__(self, params: CanonicalizerParams) -> None:
        nn.Module.__init__(self)
        self.params = params
        self.register_buffer(
            "logits", torch.full((ORDER,), -30.0).index_fill(0, torch.tensor(IDENTITY), 0.0), persistent=False
        )

    def view_logits(self, x: Tensor) -> Tensor:
        """`[B, 8]` constant logits, certain of the identity."""
        logits: Tensor = self.logits  # type: ignore[assignment]
        return logits.expand(len(x), ORDER)


def build_canonicalizer(params: CanonicalizerParams) -> Canonicalizer:
    """The canonicalizer that `params.kind` names."""
    return Canonicalizer(params) if params.kind == "d4" else IdentityCanonicalizer(params)
