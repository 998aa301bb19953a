"""The canonicalizer: finds how a slice lies, and turns it to the radiological view.

After Kaba et al. 2023, "Equivariance with learned canonicalization functions": one small network scores every view
of a low-resolution copy, and the best-scoring view is the canonical one. Because the views of g x are the views of x
in another order, the canonical view of g x is that of x for any weights, ties aside; a tie is reported as "pose
unsure". What is left is a rotation by at most half a step of the group: a second head reads it off the canonical view,
and one resampling undoes it. It is the same for every g x, to the bit, since the view that it is read from is. A view
that lies askew is looked at twice, since the angle is read the better the less of it there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from math import floor
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.params import check_least, params_dataclass
from model.encoders.conv import conv_block
from model.groups import IDENTITY, INVERSE, ORDER, act, act_batch, compose, rotate

SLICES_AT_ONCE = 16
"""Slices of a scan that go through a network at once: this, and not the scan, bounds the memory."""


@params_dataclass
class CanonicalizerParams:
    """Section `canonicalizer` of params.yaml."""

    kind: Literal["d4", "dn", "identity"]
    """d4: quarter turns and mirrors, exact; dn: finer turns, by interpolation; identity: every slice stays as it is."""
    order: int
    """How many rotations the group of kind dn has."""
    residual: bool
    """Whether the angle that the group leaves is found and undone."""
    dead_zone: float
    """Degrees; a smaller angle is left, so that a slice that lies straight is not resampled."""
    size: int
    """Side of the low-resolution copy, in pixels."""
    width: int
    """Channels of the scoring network's first layer."""
    erased: int
    """In training, a slice is erased in up to so many rectangles; see `RandomErasing`."""
    sure_probability: float
    """A pose is sure if its view's probability reaches this. From 0.6 on rounding can't swap two views."""

    def __post_init__(self) -> None:
        if self.kind == "dn" and (self.order <= 4 or self.order % 4):
            raise ValueError(
                f"canonicalizer.order must be 8, 12, 16, ..., so that quarter turns are in it, found {self.order}"
            )
        if self.size < 16 or self.size % 16:
            raise ValueError(f"canonicalizer.size must be a multiple of 16, found {self.size}")
        check_least(self, width=1, erased=0, dead_zone=0)
        if not 0.6 <= self.sure_probability <= 1:
            raise ValueError("canonicalizer.sure_probability must be from 0.6 to 1")

    @property
    def rotations(self) -> int:
        """How many rotations the group has."""
        return self.order if self.kind == "dn" else 4

    @property
    def straightens(self) -> bool:
        """Whether the angle that the group leaves is undone."""
        return self.residual and self.kind != "identity"

    @property
    def any_angle(self) -> bool:
        """Whether slices that lie askew are brought upright."""
        return self.kind == "dn" or self.straightens


@dataclass(frozen=True)
class Pose:
    """What turns a batch of slices to their canonical views: each first by `element` of D4, int64 `[B]`, then by
    `degrees` counter-clockwise, float `[B]`. `probability` `[B]`; `sure` bool `[B]`."""

    element: Tensor
    degrees: Tensor
    probability: Tensor
    sure: Tensor

    @property
    def back(self) -> Tensor:
        """The elements that turn canonical views back: int64 `[B]`."""
        return torch.tensor(INVERSE, device=self.element.device)[self.element]

    def expand(self, batch: int) -> Pose:
        """A scan's pose for each of its slices."""
        return Pose(*(getattr(self, field.name).expand(batch) for field in fields(self)))


def known_pose(element: int, degrees: float = 0.0, sure: bool = True) -> Pose:
    """The pose of a scan that is known to be turned upright by `element`, then by `degrees`."""
    return Pose(torch.tensor([element]), torch.tensor([degrees]), torch.ones(1), torch.tensor([sure]))


class RandomErasing(nn.Module):
    """In training, paints over rectangles, each one grey: a pose that is told by one organ alone is wrong where that
    organ is another's size. After Zhong et al. 2020, "Random erasing data augmentation", with several rectangles.

    Args:
        rectangles: How many at most; each is left out in `SPARED` of the slices.
    """

    SIDE = (0.1, 0.5)
    """From the shortest to the longest side of a rectangle, as shares of the picture's."""
    SPARED = 0.4

    def __init__(self, rectangles: int) -> None:
        super().__init__()
        self.rectangles = rectangles

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1, S, S]` -> the same shape; unchanged in evaluation."""
        for _ in range(self.rectangles if self.training else 0):
            x = torch.where(self._rectangle(x), torch.rand(len(x), 1, 1, 1, device=x.device), x)
        return x

    def _rectangle(self, x: Tensor) -> Tensor:
        """Where it lies: bool `[B, 1, S, S]`."""
        shortest, longest = self.SIDE
        pixel = (torch.arange(x.shape[-1], device=x.device) + 0.5) / x.shape[-1]
        draw = torch.rand(5, len(x), 1, device=x.device)
        rows, columns = (
            (pixel - centre).abs() < (shortest + (longest - shortest) * side) / 2
            for centre, side in (draw[:2], draw[2:4])
        )
        return (rows[:, :, None] & columns[:, None, :] & (draw[4] >= self.SPARED)[..., None])[:, None]


class Canonicalizer(nn.Module):
    """Contract: `canonicalize(x) -> (x', pose)`, `restore(y, pose)`; `restore(canonicalize(x)) == x` to the bit
    wherever `pose.degrees` is 0, and up to one resampling there and one back elsewhere."""

    learns = True
    """Whether there is anything to train."""

    def __init__(self, params: CanonicalizerParams) -> None:
        super().__init__()
        self.params = params
        self.step = 360 / params.rotations
        self.views = _views(params.rotations)
        """View v of x: `act` by this element of D4, then `rotate` by this angle."""
        w = params.width
        self.erase = RandomErasing(params.erased)
        self.trunk = nn.Sequential(
            conv_block(1, w, 2),
            conv_block(w, 2 * w, 2),
            conv_block(2 * w, 4 * w, 2),
            conv_block(4 * w, 4 * w),
            conv_block(4 * w, 4 * w, 2),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        features = 4 * w * (params.size // 16) ** 2
        self.score = nn.Linear(features, 1)
        self.angle = nn.Linear(features, 2)

    def low(self, x: Tensor) -> Tensor:
        """The low-resolution copy: `[B, 1, S, S]` -> `[B, 1, size, size]`."""
        return F.adaptive_avg_pool2d(x, self.params.size)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Look at all V views of `[B, 1, S, S]` in [0, 1].

        Returns:
            Each view's score, `[B, V]`; and (cos, sin) of the angle by which it is still to be turned counter-clockwise
            if it is the canonical one, `[B, V, 2]`.
        """
        low = self.erase(self.low(x))
        turned = [act(element, low) for element in range(ORDER)]
        views = [
            rotate(turned[element], torch.full((len(x),), angle, device=x.device)) for element, angle in self.views
        ]
        features = self.trunk(torch.stack(views, 1).flatten(0, 1)).unflatten(0, (len(x), len(views)))
        return self.score(features)[..., 0], self.angle(features)

    def view_logits(self, x: Tensor) -> Tensor:
        """Score every view: `[B, 1, S, S]` in [0, 1] -> `[B, V]`, entry v for view v of x."""
        return self.heads(x)[0]

    def pose(self, logits: Tensor, vectors: Tensor | None = None) -> Pose:
        """Decide, by what `heads` says."""
        probability, view = logits.float().softmax(-1).max(-1)
        element, angle = (torch.tensor(column, device=logits.device)[view] for column in zip(*self.views, strict=True))
        pose = Pose(element, angle, probability, probability >= self.params.sure_probability)
        if vectors is None or not self.params.straightens:
            return pose
        return self._undoing(pose, _degrees(vectors[torch.arange(len(view), device=view.device), view]))

    def locate(self, x: Tensor) -> Pose:
        """How each of the slices `[B, 1, S, S]` lies."""
        pose = self.pose(self.view_logits(x))
        return self._straightened(pose, lambda seen: self._vector(x, seen))

    def volume_pose(
        self, x: Tensor, prior: Tensor | None = None, turned: Callable[[int], Tensor] | None = None
    ) -> Pose:
        """How the slices `[Z, 1, S, S]` of one scan lie, one pose for all: their log-probabilities, averaged, then
        their angles.

        Args:
            prior: `[8]`, for each element of D4 what speaks for it besides, as a log-probability give or take a
                constant. Where that outweighs a view that the network is sure of, the pose is unsure.
            turned: What `x` is once the scan is turned by an element of D4. Without it `x` is turned, whose last bits
                hang on how the scan lay where it was resized.
        """
        parts = x.split(SLICES_AT_ONCE)
        logits = torch.cat([self.view_logits(part) for part in parts]).log_softmax(-1).mean(0, keepdim=True)
        pose = free = self.pose(logits)
        if prior is not None:
            pose = self.pose(logits + prior[[element for element, _ in self.views]].to(logits))
            pose = replace(pose, sure=pose.sure & ((free.element == pose.element) | ~free.sure))

        element = int(pose.element)
        upright = turned(element) if turned and element != IDENTITY else act(element, x)

        def look(seen: Pose) -> Tensor:
            straight = replace(seen, element=torch.full_like(seen.element, IDENTITY))
            looks = (self._vector(part, straight.expand(len(part))) for part in upright.split(SLICES_AT_ONCE))
            return torch.cat(list(looks)).mean(0, keepdim=True)

        return self._straightened(pose, look)

    def canonicalize(self, x: Tensor) -> tuple[Tensor, Pose]:
        """Turn each slice to its canonical view: `[B, 1, S, S]` -> the same shape, and the pose.

        A slice whose pose is unsure is turned to its best-scoring view all the same; `pose.sure` says so.
        """
        pose = self.locate(x)
        return self._turned(x, pose), pose

    @staticmethod
    def restore(y: Tensor, pose: Pose) -> Tensor:
        """Turn anything in the canonical frame (`[B, ..., S, S]`) back to the displayed frame. Where a slice lay
        askew, 0 comes in at the corners."""
        return act_batch(pose.back, rotate(y, -pose.degrees))

    def targets(self, element: Tensor, degrees: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `heads` should say of upright slices that were rotated by `degrees`, then turned by `element` of D4.

        Returns:
            The view nearest to upright, int64 `[B]`; the view that undoes `element`, int64 `[B]`; and (cos, sin) of the
            angle that is left in the latter, `[B, 2]`.
        """
        index = {view: v for v, view in enumerate(self.views)}
        undone = torch.tensor([[index[compose(INVERSE[g], e), angle] for e, angle in self.views] for g in range(ORDER)])
        steps = torch.floor(0.5 - degrees / self.step).long() % self.params.rotations
        table, left = undone.to(element.device), torch.deg2rad(-degrees)
        return table[element, steps], table[element, 0], torch.stack([left.cos(), left.sin()], -1)

    def _vector(self, x: Tensor, pose: Pose) -> Tensor:
        """A look at the view that a pose leads to. A pass of its own, since among eight views the last bits would
        depend on the view's place."""
        return self.angle(self.trunk(self.low(self._turned(x, pose))))

    def _straightened(self, pose: Pose, look: Callable[[Pose], Tensor]) -> Pose:
        """The pose that undoes the angle, too, that the group leaves.

        Args:
            look: What the angle head reads off the view that a pose leads to: (cos, sin), `[B, 2]`.
        """
        if not self.params.straightens:
            return pose
        angle = _degrees(look(pose))
        askew = angle.abs() >= self.params.dead_zone
        if askew.any():
            angle = angle + torch.where(askew, _degrees(look(replace(pose, degrees=pose.degrees + angle))), 0.0)
        return self._undoing(pose, angle)

    def _undoing(self, pose: Pose, angle: Tensor) -> Pose:
        """The pose that turns by `angle` degrees `[B]` more, unless that lies in the dead zone."""
        degrees = pose.degrees + torch.where(angle.abs() < self.params.dead_zone, 0.0, angle)
        # Much more than half a step: the two heads contradict each other.
        return replace(pose, degrees=degrees, sure=pose.sure & (angle.abs() < 0.75 * self.step))

    @staticmethod
    def _turned(x: Tensor, pose: Pose) -> Tensor:
        return rotate(act_batch(pose.element, x), pose.degrees)


class IdentityCanonicalizer(Canonicalizer):
    """Takes every slice to lie as it should; the same contract, for comparison."""

    learns = False

    def __init__(self, params: CanonicalizerParams) -> None:
        nn.Module.__init__(self)
        self.params = params
        self.step, self.views = 90.0, _views(4)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Certain of the identity."""
        logits = torch.full((len(x), ORDER), -30.0, device=x.device)
        logits[:, IDENTITY] = 0.0
        return logits, torch.tensor([1.0, 0.0], device=x.device).expand(len(x), ORDER, 2)


def _degrees(vector: Tensor) -> Tensor:
    """The angle of (cos, sin): `[B, 2]` -> float32 `[B]`."""
    return torch.rad2deg(torch.atan2(vector[:, 1].float(), vector[:, 0].float()))


def _views(rotations: int) -> tuple[tuple[int, float], ...]:
    """The elements of a group of `rotations` turns, times reflection: each as the nearest element of D4 and the angle
    that is left."""
    quarter = rotations // 4
    nearest = [(k, floor(k / quarter + 0.5)) for k in range(rotations)]
    return tuple((r + q % 4, 360 * (k - q * quarter) / rotations) for r in (0, 4) for k, q in nearest)


def build_canonicalizer(params: CanonicalizerParams) -> Canonicalizer:
    """The canonicalizer that `params.kind` names."""
    return IdentityCanonicalizer(params) if params.kind == "identity" else Canonicalizer(params)
