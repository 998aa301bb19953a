"""Use of a trained model: scans and sentences in, masks out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from corpus.anatomy import BY_NAME, N_ORGANS
from model.canonicalizer import Pose
from model.checkpoint import from_pretrained
from model.data import to_network
from model.flans import FLanS, one_hot_organs
from model.groups import act_batch, crop_from_square
from model.intent_head import IntentLogits, Understanding, understand
from model.resolve import by_geometry, predicted_labels, resolve, seen
from model.text_encoder import TextEncoder, TokenEmbeddings, build_text_encoder
from prompts.intent import Intent
from prompts.spelling import mend

BATCH = 16
"""Slices that are encoded at once."""


@dataclass(frozen=True)
class Request:
    """P prompts, read once: their token embeddings `[P, L, D]`, intent logits `[P, ...]` and what was understood."""

    prompts: tuple[str, ...]
    text: TokenEmbeddings
    intent: IntentLogits
    understood: tuple[Understanding, ...]


@dataclass(frozen=True)
class Segmentation:
    """The answer to P prompts on Z slices of a scan, in the frame in which the slices came."""

    masks: np.ndarray
    """bool `[P, Z, H, W]`"""
    organs: tuple[str | None, ...]
    """The organ that each prompt was resolved to; None where none was found or asked for."""
    request: Request
    pose: Pose
    """One element: how the scan lies."""


class Segmenter:
    """A trained model with its text encoder."""

    def __init__(self, model: FLanS, encoder: TextEncoder) -> None:
        self.model, self.encoder = model.eval(), encoder

    @classmethod
    def from_pretrained(cls, directory: Path) -> Segmenter:
        """Load a checkpoint and the text encoder that it names.

        Raises:
            InputError: The checkpoint or the encoder is missing.
        """
        model = from_pretrained(directory)
        return cls(model, build_text_encoder(model.params.text_encoder))

    @torch.inference_mode()
    def read(self, prompts: Sequence[str]) -> Request:
        """Read prompts, typing errors mended: what each asks for."""
        text = self.encoder.encode([mend(prompt) for prompt in prompts])
        text = text[torch.arange(len(prompts))]
        intent = self.model.intent_head(text.tokens, text.mask)
        return Request(tuple(prompts), text, intent, tuple(understand(intent)))

    @torch.inference_mode()
    def segment(
        self,
        image: np.ndarray,
        request: Request,
        pose: Pose | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> Segmentation:
        """Segment a slice or a volume; the slices of a volume share one pose, and "leftmost" speaks of the whole.

        Args:
            image: HU, `[Z, H, W]`, as displayed.
            pose: How the scan lies, if that is known; found from the pixels otherwise.
            advance: Called with the number of slices done since.
        """
        x = to_network(image, self.model.params)
        pose = pose or self.pose(x)
        organs = self._resolve(x, request, pose)
        weights = one_hot_organs(torch.tensor([BY_NAME[o].id if o else 0 for o in organs]))
        nothing = torch.tensor([o is None for o in organs])
        if self.model.params.resolve == "learned":
            weights = request.intent.organ.softmax(-1)
            nothing = torch.tensor([u.intent.kind == "none" for u in request.understood])
        masks = np.zeros((len(organs), *image.shape), bool)
        for start in range(0, len(x), BATCH):
            part = x[start : start + BATCH]
            elements = pose.element.expand(len(part))
            encoding = self.model.encode_image(act_batch(elements, part))
            logits = self.model.decode(
                encoding,
                request.text.tokens.expand(len(part), -1, -1, -1),
                request.text.mask.expand(len(part), -1, -1),
                request.intent[torch.arange(len(organs)).repeat(len(part))],
                weights.expand(len(part), -1, -1),
            )
            shown = act_batch(pose.back.expand(len(part)), logits)
            shown[:, nothing] = -torch.inf
            masks[:, start : start + len(part)] = self._to_scan(shown, image.shape[1:]).transpose(0, 1).numpy()
            advance(len(part))
        return Segmentation(masks, tuple(organs), request, pose)

    @torch.inference_mode()
    def pose(self, x: Tensor) -> Pose:
        """How the slices `[Z, 1, S, S]` of one scan lie."""
        return self.model.canonicalizer.volume_pose(x)

    def _resolve(self, x: Tensor, request: Request, pose: Pose) -> list[str | None]:
        intents = [u.intent for u in request.understood]
        sought = {i for i in intents if by_geometry(i)}
        answers: dict[Intent, str | None] = dict.fromkeys(sought)
        if sought and self.model.params.resolve == "geometric":
            labels = []
            for part in x.split(BATCH):
                organs = self.model.encode_image(act_batch(pose.element.expand(len(part)), part)).organs
                labels.append(predicted_labels(organs.logits, organs.presence, range(1, N_ORGANS + 1)))
            # Features are computed where organs look as trained; "left" is decided in the picture as displayed.
            scene = seen(act_batch(pose.back.expand(len(x)), torch.cat(labels)))
            answers = {intent: resolve(scene, intent) for intent in sought}
        return [answers.get(i, i.organ) for i in intents]

    @staticmethod
    def _to_scan(logits: Tensor, shape: tuple[int, ...]) -> Tensor:
        side = max(shape)
        resized = F.interpolate(logits.clamp(min=-50), (side, side), mode="bilinear", align_corners=False)
        return crop_from_square(resized, *shape) > 0
