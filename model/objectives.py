"""What each training stage minimises: a module from a batch to named losses."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.params import params_dataclass
from model.canonicalizer import Canonicalizer
from model.data import Batch, Texts
from model.flans import FLanS, one_hot_organs
from model.groups import IDENTITY, ORDER, act_batch, rotate
from model.losses import intent_loss, mask_loss, organ_loss, organ_targets, presence_loss


@params_dataclass
class LossWeights:
    """Weights of the losses' sum; mask, intent and presence as in the paper (10 : 1 : 1)."""

    mask: float = 10.0
    organ: float = 10.0
    intent: float = 1.0
    presence: float = 1.0
    pose: float = 1.0
    angle: float = 2.0


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


class SegmenterObjective(nn.Module):
    """Stage 2: masks, organ maps, presence and intent, on slices that lie as they should."""

    def __init__(self, model: FLanS, texts: Texts, weights: LossWeights) -> None:
        super().__init__()
        self.model, self.texts, self.weights = model, texts, weights

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch of canonical slices, their weighted sum as `loss`, and the mean Dice of its organ
        maps."""
        model, texts = self.model, self.texts
        image = model.encode_image(batch.image)
        targets = organ_targets(batch.label)

        # One pass of the intent head over the batch's prompts and as many other texts, "none" ones among them.
        rows = torch.cat([batch.text.flatten(), batch.extra_text])
        read = texts.embeddings[rows]
        understood = model.intent_head(read)
        intent = understood[: batch.text.numel()]
        if model.params.resolve == "geometric":
            organs = one_hot_organs(batch.organ)  # what geometry will resolve the prompt to, once the maps are right
        else:
            organs = intent.organ.softmax(-1).unflatten(0, batch.organ.shape)
        masks = model.decode(image, texts.embeddings[batch.text], intent, organs)
        wanted = targets.gather(1, (batch.organ - 1)[..., None, None].expand(-1, -1, *targets.shape[-2:]))

        losses = {
            "mask": mask_loss(masks.float(), wanted),
            "organ": organ_loss(image.organs.logits.float(), batch.label, batch.labelled),
            "presence": presence_loss(image.organs.presence.float(), targets, batch.labelled),
            "intent": intent_loss(understood, texts.intents[rows]),
        }
        total = sum(getattr(self.weights, name) * value for name, value in losses.items())
        with torch.no_grad():
            found = (masks > 0).float()
            overlap, size = (found * wanted).sum((-2, -1)), found.sum((-2, -1)) + wanted.sum((-2, -1))
            dice = torch.where(size > 0, 2 * overlap / size.clamp(min=1), 1.0).mean()
        return {"loss": torch.as_tensor(total), **losses, "dice": dice}


class JointObjective(nn.Module):
    """Stage 3: slices that lie anyhow; the canonicalizer turns them, and the segmenter learns to live with its
    errors."""

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
        canonical, label = (
            rotate(act_batch(pose.element, x), pose.degrees) for x in (turned, act_batch(element, batch.label))
        )
        losses = self.segmenter(replace(batch, image=canonical, label=label))
        found = pose_losses(canonicalizer, heads, element, batch.degrees)
        total = losses.pop("loss") + weights.pose * found["pose"] + weights.angle * found["angle"]
        return {"loss": total, **losses, **found}
