"""Use of a trained model: scans and sentences in, masks out."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from corpus.anatomy import BY_NAME, ORGANS, with_unions
from corpus.errors import InputError
from corpus.scans.intensity import AIR_HU
from corpus.scans.pixel_pose import PixelPose
from model.canonicalizer import SLICES_AT_ONCE, Canonicalizer, Pose, known_pose
from model.checkpoint import CONFIG
from model.encoders.text import (
    TextEncoder,
    TokenEmbeddings,
    Tokens,
    bfloat16_where_fast,
    build_text_encoder,
    folder_sha256,
)
from model.flans import FLanS, ImageEncoding, one_hot_organs, spoken_organs
from model.framing import Frame, label_to_scan, to_network
from model.groups import IDENTITY, act, crop_from_square, pad_to_square, rotate
from model.intent_head import IntentLogits, Understanding, understand
from model.judging import by_anatomy
from model.remarks import without_remarks
from model.resolve import EVERY_ORGAN, Seen, by_geometry, organ_scores, predicted_labels, resolve, surest
from prompts.intent import Intent
from prompts.wording.retraction import retraction

READ_AT_ONCE = 16
"""Prompts that go through the intent head together."""
MASKS_AT_ONCE = 16
"""Masks of a slice that are brought to the scan's resolution together: of a hundred prompts' all would take gigabytes
beside what is kept."""
NOTHING = -1
"""In place of a prompt's row where no mask is wanted."""
NOWHERE = -50.0
"""A mask's logit where it is surely not; finite, so that it can be interpolated."""
STRAY = 0.1
"""Parts of a structure in a volume that are smaller than this share of its largest part are left out: each slice is
looked at alone, and what one mistakes for the structure its neighbours rarely do."""
SPECK = 4
"""Of the network's pixels. Where a slice comes alone, a smaller mask of a structure that was named is left out: it is
likelier the blur of one that ends nearby. What geometry found in the picture is there."""


@dataclass(frozen=True)
class Request:
    """P prompts, read once: their tokens, intent logits `[P, ...]` and what was understood."""

    prompts: tuple[str, ...]
    asked: tuple[str, ...]
    """What was read of them: without remarks beside the request (`model.remarks`), without what is taken back."""
    text: TokenEmbeddings
    intent: IntentLogits
    understood: tuple[Understanding, ...]
    cut: tuple[bool, ...]
    """Whether a prompt was so long that its middle wasn't read."""


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
    surest: np.ndarray
    """float `[P]`: the probability of the pixel that is likeliest to be what the prompt asks for."""


def _pixel(frames: Sequence[Frame], size: int) -> float:
    """How many pixels of the scan make one of the network's."""
    return mean((frame.side / size) ** 2 for frame in frames)


def drop_strays(labels: np.ndarray) -> None:
    """Clear the small parts of each organ in a volume's labels, uint8 `[Z, H, W]`, or of a mask, in place; parts are
    joined by the faces of voxels."""
    for organ, box in enumerate(ndimage.find_objects(labels.view(np.uint8)), 1):
        if box:  # around all of the organ: the rest of a large volume has none
            parts, count = ndimage.label(labels[box] == organ)
            if count > 1:
                sizes = np.bincount(parts.ravel())
                stray = sizes < STRAY * sizes[1:].max()
                stray[0] = False
                labels[box][stray[parts]] = 0


def fastest_device() -> torch.device:
    """The GPU, if there is one and FLANS_ACCELERATOR doesn't say `cpu`; else the CPU."""
    wanted = torch.cuda.is_available() and os.environ.get("FLANS_ACCELERATOR") != "cpu"
    return torch.device("cuda" if wanted else "cpu")


class Segmenter:
    """A trained model with its text encoder.

    Args:
        device: Where pictures are segmented. Sentences are read, and poses found, on the CPU: that takes milliseconds.
        known: Organ ids that its training has labelled; "the largest" is one of these.
    """

    def __init__(
        self,
        model: FLanS,
        encoder: TextEncoder,
        device: torch.device | None = None,
        known: Collection[int] = EVERY_ORGAN,
    ) -> None:
        self.model, self.encoder, self.device = model.eval(), encoder, device or torch.device("cpu")
        self.known = known
        for part in (model.image_encoder, model.organ_head, model.mask_decoder):
            part.to(self.device)

    @classmethod
    def from_pretrained(cls, directory: Path | str) -> Segmenter:
        """Load a checkpoint and the text encoder that it names, for the fastest device.

        Raises:
            InputError: The checkpoint or the encoder is missing, or the encoder's folder holds another than the one
                that the checkpoint was trained with.
        """
        model = FLanS.from_pretrained(directory)
        sources = model.training_record.get("sources", {}).values()
        known = {BY_NAME[name].id for source in sources for name in source["organs"]} or EVERY_ORGAN
        text, trained = model.params.text_encoder, model.training_record.get("text_encoder_sha256")
        encoder = build_text_encoder(text, Path(directory) / CONFIG)
        if trained and folder_sha256(text) != trained:
            found = f"expected the text encoder that {directory} was trained with, found another"
            raise InputError(str(text.weights), found, f"put its files back, or name their folder in {CONFIG}")
        return cls(model, encoder, fastest_device(), known)

    def read(self, prompts: Sequence[str]) -> Request:
        """Read prompts: what each asks for. Typing errors are mended, remarks beside a request left out, and of one
        that is taken back no more is read than what takes it back."""
        texts = [retraction(prompt) or prompt for prompt in prompts]
        whole = self._read(texts)
        asked = without_remarks(texts, whole.understood, lambda parts: self._read(parts).understood)
        found = whole if asked == texts else self._read(asked)
        return replace(found, prompts=tuple(prompts), cut=whole.cut)

    @torch.inference_mode()
    def _read(self, prompts: Sequence[str]) -> Request:
        text = self.encoder.encode(prompts)
        with bfloat16_where_fast():
            intent = self.model.intent_head.by_length(text, READ_AT_ONCE)
        cut = tuple((text.start.diff() >= self.encoder.limit).tolist())
        return Request(tuple(prompts), tuple(prompts), text, intent, tuple(understand(intent)), cut)

    @torch.inference_mode()
    def segment(
        self,
        image: np.ndarray,
        request: Request,
        pose: Pose | None = None,
        advance: Callable[[int], None] = lambda n: None,
        among: Collection[int] = EVERY_ORGAN,
    ) -> Segmentation:
        """Segment a slice or a volume; the slices of a volume share one pose, and "leftmost" speaks of the whole.

        Args:
            image: HU, `[Z, H, W]`, as displayed.
            pose: How the scan lies, if that is known; found by the canonicalizer otherwise (see `pose` for CT volumes).
            advance: Called with the number of slices done since.
            among: Organ ids of which "leftmost" or "the largest" may be one, as far as they are `known`; where answers
                are held against labels, those that are labelled.
        """
        pose = pose or self.pose(image)
        # Turned before it is framed and resized, so that the network sees the same bits however the scan was turned;
        # and rotated at the scan's own resolution, which blurs less.
        upright = act(int(pose.element), torch.from_numpy(image))
        x, frames = self._seen(upright, pose.degrees)
        encodings = self._encodings(x)
        organs = self._resolve(encodings, request, frames, pose, with_unions(set(self.known)) & set(among))
        if self.model.params.resolve == "learned":
            weights = spoken_organs(request.intent)
        else:
            weights = one_hot_organs(torch.tensor([BY_NAME[o].id if o else 0 for o in organs]))
        # Prompts of which the decoder is told the same are answered once.
        told = self._told(request, organs)
        rows, first, place = np.unique(told, return_index=True, return_inverse=True)
        text, intent = self._spoken(request, rows)
        text, intent = text.to(self.device), intent.to(self.device)
        weights, nothing = weights[first].to(self.device), torch.from_numpy(rows == NOTHING)
        masks = torch.zeros((len(told), *image.shape), dtype=torch.bool)
        surest = torch.full((len(rows),), NOWHERE)
        for start, encoding in zip(range(0, len(x), SLICES_AT_ONCE), encodings(), strict=True):
            part = x[start : start + SLICES_AT_ONCE]
            logits = self.model.decode(
                encoding,
                text.expand(len(part)),
                intent[torch.arange(len(rows), device=self.device).repeat(len(part))],
                weights.expand(len(part), -1, -1),
            )
            logits[:, nothing] = NOWHERE
            surest = surest.maximum(logits.amax((0, 2, 3)).cpu())
            for z, framed in enumerate(logits, start):
                parts = framed.split(MASKS_AT_ONCE)
                found = torch.cat([self._to_scan(some, frames[z], pose, upright.shape[1:]) for some in parts])
                masks[:, z] = act(int(pose.back), found)[place]
            advance(len(part))
        if len(x) > 1:
            for mask in masks.numpy():
                drop_strays(mask)
        else:
            named = torch.from_numpy(told < len(organs))
            masks[named & (masks.sum((1, 2, 3)) < SPECK * _pixel(frames, self.model.params.size))] = False
        return Segmentation(masks.numpy(), tuple(organs), request, pose, surest.sigmoid().numpy()[place])

    @torch.inference_mode()
    def pose(
        self,
        image: np.ndarray,
        spacing: tuple[float, float, float] | None = None,
        header: bool = False,
        rules: PixelPose | None = None,
    ) -> Pose:
        """How the slices of one scan lie: what the canonicalizer makes of them, and of a CT volume plain anatomy, too.

        Args:
            image: HU, `[Z, H, W]`, as displayed.
            spacing: (z, y, x) in mm of a CT volume; None for anything else, of which the rules of anatomy say nothing.
            header: Whether a header had its say in how the slices are displayed. The pixels go before it, since headers
                lie; where they leave the pose unsure it is believed, and the pose stays unsure.
            rules: What those rules say, if they were asked already (`judging.judge`).
        """
        if not self._canonicalizer.learns:
            return known_pose(IDENTITY, sure=False)  # nothing has judged it
        prior = by_anatomy(image, spacing, rules) if spacing else None
        if sum(image.shape[1:]) % 2:
            # Padded to a square it would lie half a pixel off, to another side when it is turned.
            image = image.repeat(2, 1).repeat(2, 2)

        def turned(element: int) -> Tensor:
            return to_network(act(element, torch.from_numpy(image)).numpy(), self.model.params)[0]

        pose = self._canonicalizer.volume_pose(turned(IDENTITY), prior, turned)
        return known_pose(IDENTITY, sure=False) if header and not bool(pose.sure) else pose

    @cached_property
    def _canonicalizer(self) -> Canonicalizer:
        """The model's, made quicker: its batch norms are folded into the convolutions, and channels lie last."""
        canonicalizer = deepcopy(self.model.canonicalizer)
        for block in canonicalizer.modules():
            if isinstance(block, nn.Sequential):
                convolution, norm = block[0], block[1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    block[0], block[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
        nn.Module.to(canonicalizer, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return canonicalizer

    def _seen(self, upright: Tensor, degrees: Tensor) -> tuple[Tensor, list[Frame]]:
        """What the network sees of the slices `[Z, H, W]`, rotated by `degrees` `[1]`; and the slices' frames. A few at
        a time: at the scan's resolution all of them would take several times its memory."""
        parts, frames = [], []
        for part in upright.split(SLICES_AT_ONCE):
            square = pad_to_square(part, AIR_HU).float()
            seen, found = to_network(rotate(square, degrees.expand(len(square)), AIR_HU).numpy(), self.model.params)
            parts.append(seen)
            frames += found
        return torch.cat(parts), frames

    def _encodings(self, x: Tensor) -> Callable[[], Iterable[ImageEncoding]]:
        """A way through the encodings of the slices `[Z, 1, S, S]`, a batch at a time. A single batch is encoded once;
        more would fill the memory, and are encoded again each time."""

        def encode(part: Tensor) -> ImageEncoding:
            return self.model.encode_image(part.to(self.device))

        parts = x.split(SLICES_AT_ONCE)
        if len(parts) == 1:
            kept = [encode(parts[0])]
            return lambda: kept
        return lambda: map(encode, parts)

    def _resolve(
        self,
        encodings: Callable[[], Iterable[ImageEncoding]],
        request: Request,
        frames: Sequence[Frame],
        pose: Pose,
        competing: Collection[int],
    ) -> list[str | None]:
        intents = [u.intent for u in request.understood]
        sought = {i for i in intents if by_geometry(i)}
        answers: dict[Intent, str | None] = dict.fromkeys(sought)
        if sought and self.model.params.resolve == "geometric":
            labels: list[Tensor] = []
            sureness: list[Tensor] = []
            for encoding in encodings():
                scores = organ_scores(encoding.organs.logits, encoding.organs.presence, competing)
                sureness.append(surest(scores).amax(0))
                found = predicted_labels(scores).cpu()
                labels += map(label_to_scan, found, frames[len(labels) : len(labels) + len(found)])
            # Features are computed where organs look as trained; "left" is decided in the picture as displayed.
            canonical = torch.stack(labels)
            displayed = self.model.canonicalizer.restore(canonical, pose.expand(len(canonical)))
            if len(displayed) > 1:
                drop_strays(displayed.numpy())  # which its mask won't show: they make nobody a neighbour
            pixel, likeliest = _pixel(frames, self.model.params.size), torch.stack(sureness).amax(0)
            seen = Seen(displayed, pixel, likeliest, competing)
            answers = {intent: resolve(seen, intent) for intent in sought}
        return [answers.get(i, i.organ) for i in intents]

    @cached_property
    def _names(self) -> Request:
        """The organs' names, read; row i is the organ with id i + 1."""
        return self.read([organ.name for organ in ORGANS])

    def _told(self, request: Request, organs: Sequence[str | None]) -> np.ndarray:
        """What the decoder is told of each prompt, a row of `_spoken`: the prompt; or, where geometry has found which
        organ it means, that organ's name, so that an organ's mask is the same whether it is asked for as "leftmost" or
        as "topmost". `NOTHING` where no mask is wanted."""

        def row(p: int, organ: str | None, intent: Intent) -> int:
            if self.model.params.resolve == "learned":
                return NOTHING if intent.kind == "none" else p
            if organ is None:
                return NOTHING
            return len(organs) + BY_NAME[organ].id - 1 if by_geometry(intent) else p

        understood = (each.intent for each in request.understood)
        return np.array([row(p, *each) for p, each in enumerate(zip(organs, understood, strict=True))])

    def _spoken(self, request: Request, rows: np.ndarray) -> tuple[Tokens, IntentLogits]:
        """The prompts, and after them the organs' names, as the decoder takes them."""
        names, chosen = self._names, torch.from_numpy(rows).clamp(min=0)  # any, where no mask is wanted
        intents = zip(vars(request.intent).values(), vars(names.intent).values(), strict=True)
        return request.text.then(names.text)[chosen], IntentLogits(*map(torch.cat, intents))[chosen]

    @staticmethod
    def _to_scan(logits: Tensor, frame: Frame, pose: Pose, shape: tuple[int, ...]) -> Tensor:
        """Logits `[P, S, S]` of a framed slice -> masks `[P, H, W]`, upright."""
        size, back = (frame.side, frame.side), -pose.degrees.to(logits.device)
        resized = F.interpolate(logits.clamp(min=NOWHERE)[None], size, mode="bilinear", align_corners=False)[0]
        whole = frame.put_back(resized, NOWHERE)
        return crop_from_square(rotate(whole, back.expand(len(whole)), NOWHERE), *shape) > 0
