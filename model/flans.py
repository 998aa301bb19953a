"""FLanS: an image, a sentence, a mask; all parts assembled in one place.

    image -> canonicalizer -> image encoder -> organ head \
                                                            mask decoder -> mask
    text -> text encoder -> intent head ------------------- /
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from corpus.anatomy import N_ORGANS, ORGANS
from corpus.errors import InputError
from corpus.params import check_least, params_dataclass, plain, validated
from model.attention import position_encoding
from model.canonicalizer import CanonicalizerParams, build_canonicalizer
from model.checkpoint import AGAIN, CONFIG, load_weights, read_config, save_checkpoint
from model.encoders.image import ImageEncoderParams, build_image_encoder
from model.encoders.text import TextEncoderParams, Tokens
from model.encoders.tuned_layers import TunedLayers, TunedShape
from model.intent_head import IntentHead, IntentLogits
from model.mask_decoder import MaskDecoder
from model.organ_head import OrganHead, OrganMaps
from prompts.intent import KINDS

_DIM_STEP = 8
"""Four heads share half of `dim`, see `model.attention`."""
_VOCABULARY = [organ.name for organ in ORGANS]


def kind_alone(value: Any) -> Any:
    """`image_encoder: conv` in params.yaml is short for `image_encoder: {kind: conv}`."""
    return {"kind": value} if isinstance(value, str) else value


@params_dataclass
class ModelParams:
    """Section `model` of params.yaml."""

    size: int
    """Side of the square image that the network sees, in pixels."""
    level_hu: float
    width_hu: float
    image_encoder: Annotated[ImageEncoderParams, Field(discriminator="kind"), BeforeValidator(kind_alone)]
    text_encoder: Annotated[TextEncoderParams, BeforeValidator(kind_alone)]
    widths: tuple[int, ...]
    """Channels at 1/2, 1/4, 1/8, ... of the resolution."""
    dim: int
    fine_dim: int
    decoder_depth: int
    resolve: Literal["geometric", "learned"]
    """geometric: position and size are resolved on predicted maps; learned: the decoder works them out itself, in the
    upright picture: of how a scan was turned it isn't told, and "leftmost" is wrong where the display isn't upright."""
    frame: Literal["body", "whole"]
    """What of a slice the network sees: the square around the body (`model.framing`), or all of it."""

    def __post_init__(self) -> None:
        if self.size % 2 ** len(self.widths):
            raise ValueError(f"model.size must be a multiple of {2 ** len(self.widths)}, found {self.size}")
        check_least(self, decoder_depth=1, fine_dim=1, size=1)
        if min(self.widths, default=0) < 1 or self.width_hu <= 0:
            raise ValueError(f"widths and width_hu must be above 0, but found {self.widths} and {self.width_hu}")
        if len(self.widths) < 3:
            raise ValueError("model.widths needs at least three levels")
        if self.dim < 1 or self.dim % _DIM_STEP:
            raise ValueError(f"model.dim must be a multiple of {_DIM_STEP}, found {self.dim}")


def _in_vocabulary(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := sorted(set(names) - set(_VOCABULARY)):
        raise ValueError(f"expected names of corpus/organs.yaml, found {', '.join(unknown)}")
    return names


@pydantic_dataclass(frozen=True)
class _Source:
    """What the record of a training says of a source, as far as answers rest on it; the rest is for people."""

    modality: tuple[str, ...]
    organs: Annotated[tuple[str, ...], AfterValidator(_in_vocabulary)]


@pydantic_dataclass(frozen=True)
class _Record:
    sources: dict[str, _Source] = field(default_factory=dict)


@params_dataclass
class _Config:
    """Content of a checkpoint's config.json."""

    model: ModelParams
    canonicalizer: CanonicalizerParams
    text_dim: PositiveInt
    tuned: TunedShape
    organs: tuple[str, ...]
    parameters: int
    training: _Record


@dataclass(frozen=True)
class ImageEncoding:
    """What is computed once an image and serves all its prompts."""

    fine: Tensor
    """`[B, C, S, S]`"""
    coarse: Tensor
    """`[B, N, D]`, N positions of the coarse grid"""
    position: Tensor
    """`[N, D]`"""
    organs: OrganMaps


class FLanS(nn.Module):
    """The whole model. Its text encoder is frozen and lives outside: prompts come in as token embeddings.

    Args:
        name_embeddings: `[24, text_dim]` pooled text embeddings of the organs' names.
        tuned: The layers of the text encoder that are the intent head's own; none by default.
    """

    def __init__(
        self,
        params: ModelParams,
        canonicalizer: CanonicalizerParams,
        name_embeddings: Tensor,
        tuned: TunedShape | None = None,
    ) -> None:
        super().__init__()
        self.params = params
        self.training_record: dict[str, Any] = {}
        text_dim = name_embeddings.shape[1]
        self.canonicalizer = build_canonicalizer(canonicalizer)
        self.image_encoder = build_image_encoder(params.image_encoder, params.widths, params.fine_dim, params.dim)
        self.organ_head = OrganHead(name_embeddings, params.dim, params.fine_dim)
        self.intent_head = IntentHead(TunedLayers(text_dim, tuned or TunedShape()), text_dim, params.dim)
        self.mask_decoder = MaskDecoder(text_dim, params.dim, params.fine_dim, params.decoder_depth)

    def encode_image(self, x: Tensor) -> ImageEncoding:
        """Encode canonical images, `[B, 1, S, S]` in [0, 1]."""
        features = self.image_encoder(x)
        coarse = features.coarse.flatten(2).transpose(1, 2)
        position = position_encoding(self.params.dim, features.coarse.shape[-1]).to(coarse)
        return ImageEncoding(features.fine, coarse, position, self.organ_head(features.fine, coarse, position))

    def decode(self, image: ImageEncoding, text: Tokens, intent: IntentLogits, organs: Tensor) -> Tensor:
        """Masks of P prompts on each of B images, in the canonical frame.

        Args:
            text: Tokens `[B, P, L, text_dim]`.
            intent: Of the same prompts, `[B * P, ...]`.
            organs: `[B, P, 25]`, how much each prompt speaks of no organ (index 0) and of each organ (its id).

        Returns:
            Mask logits `[B, P, S, S]`.
        """
        weights = organs[..., 1:]
        query, vector = weights @ image.organs.queries, weights @ image.organs.vectors
        embedding = intent.embedding.unflatten(0, text.mask.shape[:2])
        return self.mask_decoder(
            text.embedding, text.mask, embedding, query, vector, image.coarse, image.fine, image.position
        )

    @property
    def trained_parameters(self) -> int:
        """How many parameters some stage trains: all but a frozen image encoder's, also where a stage leaves a part as
        it is."""
        named = self.named_parameters()
        return sum(p.numel() for name, p in named if p.requires_grad or not name.startswith("image_encoder."))

    def save_pretrained(self, directory: Path | str, training: dict[str, Any] | None = None) -> None:
        """Write a checkpoint: weights, how to build the model, and a card that says what `training` says (by default
        what the checkpoint said that the model is from)."""
        config = {
            "model": plain(self.params),
            "canonicalizer": plain(self.canonicalizer.params),
            "text_dim": self.mask_decoder.project.in_features,
            "tuned": plain(self.intent_head.tuned.shape),
            "organs": _VOCABULARY,
            "parameters": self.trained_parameters,
            "training": training or self.training_record,
        }
        save_checkpoint(self, config, Path(directory))

    @classmethod
    def from_pretrained(cls, directory: Path | str) -> Self:
        """The model of a checkpoint, in evaluation mode, on the CPU.

        Raises:
            InputError: A file is missing or damaged, or the checkpoint was made with another vocabulary or version.
        """
        directory = Path(directory)
        content = read_config(directory)
        if "organs" not in content:
            raise InputError(directory / CONFIG, "expected the whole model, found a part of it", "name models/flans")
        if content["organs"] != _VOCABULARY:
            found = "the checkpoint's organs are not those of corpus/organs.yaml"
            raise InputError(directory / CONFIG, found, "train it again: dvc repro")
        try:
            config = validated(content, _Config, directory / CONFIG)
        except InputError as error:
            found = f"{error.problem}: another version of FLanS wrote it, or it was edited since"
            raise InputError(error.where, found, f"use the version that wrote it, or {AGAIN}") from None
        model = cls(config.model, config.canonicalizer, torch.zeros(N_ORGANS, config.text_dim), config.tuned)
        load_weights(model, directory)
        model.training_record = content["training"]
        return model.eval()


def spoken_organs(intent: IntentLogits) -> Tensor:
    """What the decoder is told of prompts that it resolves itself: of which organ each speaks, `[..., 25]`; none (index
    0) as far as its kind names none, for which the organ's probabilities say nothing."""
    named = intent.kind.softmax(-1)[..., [KINDS.index("anatomy"), KINDS.index("relation")]].sum(-1, keepdim=True)
    organs = intent.organ.softmax(-1)[..., 1:] * named
    return torch.cat([1 - organs.sum(-1, keepdim=True), organs], -1)


def one_hot_organs(ids: Tensor) -> Tensor:
    """Organ ids (0: none) int64 `[...]` -> float `[..., 25]`."""
    return nn.functional.one_hot(ids, N_ORGANS + 1).float()
