"""What each training stage minimises: a module from a batch to named losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.params import check_least, params_dataclass
from model.canonicalizer import Canonicalizer, Pose
from model.data import Batch
from model.flans import FLanS, one_hot_organs, spoken_organs
from model.groups import IDENTITY, INVERSE, ORDER, act_batch, compose, rotate
from model.intent_head import NO_ORGAN, IntentHead
from model.texts import TextBatch, Texts
from model.training.losses import intent_loss, mask_loss, organ_loss, organ_targets, presence_loss
from model.training.processes import mean_everywhere


@params_dataclass
class LossWeights:
    """Weights of the losses' sum; mask and presence as in the paper (10 : 1)."""

    mask: float = 10.0
    organ: float = 10.0
    presence: float = 1.0
    pose: float = 1.0
    angle: float = 2.0

    def __post_init__(self) -> None:
        check_least(self, **dict.fromkeys(vars(self), 0))


def pose_losses(
    canonicalizer: Canonicalizer, heads: tuple[Tensor, Tensor], element: Tensor, degrees: Tensor
) -> dict[str, Tensor]:
    """What the heads make of slices that were rotated by `degrees`, then turned by `element`: the losses
    `pose` and `angle`, and `pose_accuracy`, the share of views found."""
    logits, vectors = heads
    view, straight, wanted = canonicalizer.targets(element, degrees)
    vector = vectors[torch.arange(len(straight), device=straight.device), straight]
    return {
        "pose": F.cross_entropy(logits, view),
        "angle": (vector - wanted).square().sum(-1).mean(),
        "pose_accuracy": (logits.argmax(-1) == view).float().mean(),
    }


class CanonicalizerObjective(nn.Module):
    """Stage 1: of the views of a slice, the one that is nearest to upright must score best."""

    def __init__(self, canonicalizer: Canonicalizer, weights: LossWeights) -> None:
        super().__init__()
        self.canonicalizer, self.weights = canonicalizer, weights

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch, and the share of poses found."""
        unturned = torch.full((len(batch.image),), IDENTITY, device=batch.image.device)
        heads = self.canonicalizer.heads(batch.image)
        losses = pose_losses(self.canonicalizer, heads, unturned, batch.degrees)
        return {"loss": self.weights.pose * losses["pose"] + self.weights.angle * losses["angle"], **losses}


class LanguageObjective(nn.Module):
    """Stage 2: what requests ask for. Both opinions learn by themselves: they are to err in places of their own."""

    def __init__(self, head: IntentHead, texts: Texts) -> None:
        super().__init__()
        self.head, self.texts = head, texts

    def forward(self, batch: TextBatch) -> dict[str, Tensor]:
        """The loss of a batch of requests, and the share whose kind, and of those that name an organ the share whose
        organ, is found."""
        texts = self.texts
        read, wanted = self.head.read(texts.embeddings[batch.text]), texts.intents[batch.text]
        second = intent_loss(self.head.second(texts.embeddings.wording(batch.skimmed)), texts.intents[batch.skimmed])
        kind_right, organ_right = (
            getattr(read, part).argmax(-1) == getattr(wanted, part) for part in ("kind", "organ")
        )
        named = wanted.organ != NO_ORGAN  # a batch of chatter names none
        return {
            "loss": intent_loss(read, wanted) + second,
            "wording": second,
            "kind_accuracy": kind_right.float().mean(),
            "organ_accuracy": mean_everywhere((organ_right & named).sum(), named.sum()),
        }


class SegmenterObjective(nn.Module):
    """Stage 3: masks, organ maps and presence, on slices that lie as they should. What prompts ask for is known by now:
    the intent head stays as it is."""

    def __init__(self, model: FLanS, texts: Texts, weights: LossWeights) -> None:
        super().__init__()
        self.model, self.texts, self.weights = model, texts, weights
        model.intent_head.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As ever, but for the intent head, which reads as it does in use."""
        super().train(mode)
        self.model.intent_head.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch of canonical slices, their weighted sum as `loss`, and the mean Dice of the
        prompts' masks."""
        model, texts = self.model, self.texts
        image = model.encode_image(batch.image)
        targets = organ_targets(batch.label)

        with torch.no_grad():
            intent = model.intent_head(texts.embeddings[batch.text.flatten()])
        if model.params.resolve == "geometric":
            organs = one_hot_organs(batch.organ)  # what geometry will resolve the prompt to, once the maps are right
        else:
            organs = spoken_organs(intent).unflatten(0, batch.organ.shape)
        masks = model.decode(image, texts.embeddings[batch.text], intent, organs)
        wanted = targets.gather(1, (batch.organ - 1)[..., None, None].expand(-1, -1, *targets.shape[-2:]))

        losses = {
            "mask": mask_loss(masks.float(), wanted),
            "organ": organ_loss(image.organs.logits.float(), batch.label, batch.labelled),
            "presence": presence_loss(image.organs.presence.float(), targets, batch.labelled),
        }
        total = sum(getattr(self.weights, name) * value for name, value in losses.items())
        with torch.no_grad():
            found = (masks > 0).float()
            overlap, size = (found * wanted).sum((-2, -1)), found.sum((-2, -1)) + wanted.sum((-2, -1))
            dice = torch.where(size > 0, 2 * overlap / size.clamp(min=1), 1.0).mean()
        return {"loss": torch.as_tensor(total), **losses, "dice": dice}


_COMPOSED = torch.tensor([[compose(first, then) for then in range(ORDER)] for first in range(ORDER)])


def nearly_upright(pose: Pose, element: Tensor, degrees: Tensor) -> Pose:
    """A pose that turns slices upright, give or take an angle: where it is out by an eighth of a turn, or mirrors, the
    true pose.

    Args:
        element, degrees: The slices were rotated by `degrees` `[B]`, then turned by `element` `[B]`.
    """
    net = _COMPOSED.to(element.device)[element, pose.element]
    off = (90 * (net % 4) + pose.degrees + degrees + 180) % 360 - 180
    right = (net < 4) & (off.abs() < 45)
    undone = torch.tensor(INVERSE, device=element.device)[element]
    # Turned back by `undone`, a slice has the tilt that it had before it was turned.
    return replace(
        pose,
        element=torch.where(right, pose.element, undone),
        degrees=torch.where(right, pose.degrees, -degrees),
    )


class JointObjective(nn.Module):
    """Stage 4: slices that lie anyhow; the canonicalizer turns them, and the segmenter learns to live with the angle
    that is left. A slice that it mirrors is put right first: sides that contradict the picture teach nothing. One that
    doesn't learn (the identity) turns nothing, and the segmenter learns from slices as they lie."""

    def __init__(self, model: FLanS, texts: Texts, weights: LossWeights) -> None:
        super().__init__()
        self.segmenter = SegmenterObjective(model, texts, weights)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Turn each slice by a random element, canonicalize, segment."""
        canonicalizer, weights = self.segmenter.model.canonicalizer, self.segmenter.weights
        element = torch.randint(ORDER, (len(batch.image),)).to(batch.image.device)
        turned = act_batch(element, batch.image)
        heads = canonicalizer.heads(turned)
        with torch.no_grad():
            pose = canonicalizer.pose(*heads)
            if canonicalizer.learns:
                pose = nearly_upright(pose, element, batch.degrees)
        canonical, label = (
            rotate(act_batch(pose.element, x), pose.degrees) for x in (turned, act_batch(element, batch.label))
        )
        losses = self.segmenter(replace(batch, image=canonical, label=label))
        if not canonicalizer.learns:
            return losses
        found = pose_losses(canonicalizer, heads, element, batch.degrees)
        total = losses.pop("loss") + weights.pose * found["pose"] + weights.angle * found["angle"]
        return {"loss": total, **losses, **found}
