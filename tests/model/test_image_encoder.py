"""Image encoders: a tiny random network of each architecture in the whole model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from corpus.anatomy import N_ORGANS
from corpus.params import validated
from model.data import Batch
from model.encoders import pretrained
from model.encoders.conv import ConvEncoder
from model.encoders.image import IMAGENET, build_image_encoder
from model.encoders.pretrained import PretrainedEncoder
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
