"""LiteMedSAM whole: a box around a structure in, its mask out; the upper line among the baselines.

The image encoder is ours (`model.encoders.tiny_vit`). SAM's prompt encoder and mask decoder are those of
`transformers`, whose modules bear other names than the published file: `NAMES` translates.
"""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.errors import InputError
from corpus.scans.windowing import window
from model.encoders.image import LITE_MEDSAM, LITE_MEDSAM_SHA256
from model.encoders.tiny_vit import CHANNELS, TinyViT, TinyViTParams
from model.encoders.weights import load_verified, packaged_file
from model.framing import resize
from model.groups import crop_from_square, pad_to_square

WINDOW = (40.0, 400.0)
"""Level and width in HU: the soft-tissue window that MedSAM's CT scans were prepared with."""
NAMES = (
    (
        r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix",
        "prompts.shared_embedding.positional_embedding",
    ),
    (r"^prompt_encoder\.point_embeddings", "prompts.point_embed"),
    (r"^prompt_encoder\.mask_downscaling\.0", "prompts.mask_embed.conv1"),
    (r"^prompt_encoder\.mask_downscaling\.1", "prompts.mask_embed.layer_norm1"),
    (r"^prompt_encoder\.mask_downscaling\.3", "prompts.mask_embed.conv2"),
    (r"^prompt_encoder\.mask_downscaling\.4", "prompts.mask_embed.layer_norm2"),
    (r"^prompt_encoder\.mask_downscaling\.6", "prompts.mask_embed.conv3"),
    (r"^prompt_encoder", "prompts"),
    (r"^mask_decoder\.output_upscaling\.0", "decoder.upscale_conv1"),
    (r"^mask_decoder\.output_upscaling\.1", "decoder.upscale_layer_norm"),
    (r"^mask_decoder\.output_upscaling\.3", "decoder.upscale_conv2"),
    (r"^mask_decoder(.*(?:mlps\.\d|head))\.layers\.0", r"decoder\1.proj_in"),
    (r"^mask_decoder(.*(?:mlps\.\d|head))\.layers\.1", r"decoder\1.layers.0"),
    (r"^mask_decoder(.*(?:mlps\.\d|head))\.layers\.2", r"decoder\1.proj_out"),
    (r"^mask_decoder", "decoder"),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
)
"""A pattern of names in the file, and what stands in its place here; the first that fits, and the last besides."""


class LiteMedSAM(nn.Module):
    """The network, its weights random; `load_lite_medsam` gives the published one."""

    def __init__(self, params: TinyViTParams) -> None:
        super().__init__()
        from transformers import SamConfig, SamMaskDecoderConfig, SamPromptEncoderConfig
        from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder

        self.side = params.side
        self.image_encoder = TinyViT(params)
        patch = 2 ** (len(params.dims) - 2)
        prompts = SamPromptEncoderConfig(hidden_size=CHANNELS, image_size=params.side, patch_size=patch)
        decoder = SamMaskDecoderConfig(hidden_size=CHANNELS, layer_norm_eps=1e-5, iou_head_hidden_dim=CHANNELS)
        self.prompts = SamPromptEncoder(SamConfig(prompt_encoder_config=prompts, mask_decoder_config=decoder))
        decoder._attn_implementation = "sdpa"  # none is chosen for a part that is used by itself
        self.decoder = SamMaskDecoder(decoder)

    def forward(self, image: Tensor, boxes: Tensor) -> Tensor:
        """image `[1, 3, side, side]` in [0, 1], boxes `[P, 4]` as (x0, y0, x1, y1) in its pixels -> logits
        `[P, side, side]`."""
        embedding = self.image_encoder(image)
        sparse, dense = self.prompts(None, None, boxes[None], None)
        steps = (torch.arange(embedding.shape[-1]) + 0.5) / embedding.shape[-1]
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
        position = self.prompts.shared_embedding(grid).permute(2, 0, 1)[None]
        masks, _ = self.decoder(embedding, position, sparse, dense, multimask_output=False)
        return F.interpolate(masks[0], (self.side, self.side), mode="bilinear", align_corners=False)[:, 0]

    @torch.inference_mode()
    def segment(self, image: np.ndarray, truths: np.ndarray) -> np.ndarray:
        """Segment what true masks frame.

        Args:
            image: HU `[H, W]`.
            truths: bool `[P, H, W]`; only their boxes are used.

        Returns:
            bool `[P, H, W]`; empty where the true mask is.
        """
        masks = np.zeros(truths.shape, bool)
        if not (shown := np.flatnonzero(truths.any((1, 2)))).size:
            return masks
        square = pad_to_square(torch.from_numpy(window(image, *WINDOW)))
        boxes = torch.stack([_box(mask) for mask in pad_to_square(torch.from_numpy(truths[shown]))])
        logits = self(resize(square[None, None], self.side).expand(-1, 3, -1, -1), boxes * self.side / len(square))
        whole = F.interpolate(logits[:, None], square.shape, mode="bilinear", align_corners=False)[:, 0]
        masks[shown] = (crop_from_square(whole, *image.shape) > 0).numpy()
        return masks


def _box(mask: Tensor) -> Tensor:
    """(x0, y0, x1, y1) of a mask `[S, S]`, the last pixels included."""
    rows, columns = (mask.any(axis).nonzero()[:, 0] for axis in (1, 0))
    return torch.stack([columns[0], rows[0], columns[-1], rows[-1]]).float()


def renamed(name: str) -> str:
    """The name here of a tensor of the published file."""
    for pattern, instead in NAMES[:-1]:
        name, count = re.subn(pattern, instead, name)
        if count:
            break
    return re.sub(*NAMES[-1], name)


def load_lite_medsam() -> LiteMedSAM:
    """The published network, in evaluation mode.

    Raises:
        InputError: Its package isn't installed, or its file is another.
    """
    path = packaged_file(*LITE_MEDSAM, "leave this baseline out")
    tensors = {renamed(name): tensor for name, tensor in load_verified(path, LITE_MEDSAM_SHA256).items()}
    network = LiteMedSAM(TinyViTParams())
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(path, f"expected LiteMedSAM's tensors, but {error}", "install it again") from None
    return network.eval()
