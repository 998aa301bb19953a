"""The layers that learn along begin as the encoder's own, and travel with the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from corpus.anatomy import N_ORGANS
from corpus.errors import InputError
from model.encoders.text import TextEncoderParams, build_text_encoder
from model.encoders.tuned_layers import TunedLayers, TunedShape, load_tuned_layers
from model.flans import FLanS
from tests.model.test_flans import D4, PARAMS, TEXT_DIM, tokens

TEXTS = ["outline the left kidney, please", "liver", "what does the pancreas do, and is it near the stomach?"]
ROWS = torch.arange(len(TEXTS))


def test_they_go_on_where_the_frozen_ones_leave_off() -> None:
    params = TextEncoderParams("sentence", layers=3, tuned=3)
    begun = build_text_encoder(params).encode(TEXTS)[ROWS]
    whole = build_text_encoder(TextEncoderParams("sentence")).encode(TEXTS)[ROWS]
    with torch.no_grad():
        read = load_tuned_layers(params).eval()(begun)
    # Tokens are of up to 8 or so here, kept in float16, and read in bfloat16 where that is fast.
    torch.testing.assert_close(read.embedding, whole.embedding, atol=3e-2, rtol=0)
    assert (begun.embedding - whole.embedding).abs().max() > 0.5
    assert torch.equal(read.mask, whole.mask)
    assert torch.equal(read.cue, whole.cue)
    assert torch.equal(read.ngrams, whole.ngrams)


def test_without_any_tokens_stay_as_they_are() -> None:
    text = tokens(torch.randn(2, 3, 8))
    assert torch.equal(TunedLayers(8, TunedShape())(text).embedding, text.embedding)
    assert load_tuned_layers(TextEncoderParams("sentence", layers=3)).shape == TunedShape()


@pytest.mark.parametrize(
    ("layers", "tuned", "says"), [(4, 3, "at most 6, .* found 4 \\+ 3"), (None, 2, "layers at least 1, found 0")]
)
def test_layers_that_there_are_not_are_named(layers: int | None, tuned: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_tuned_layers(TextEncoderParams("sentence", layers=layers, tuned=tuned))


def test_layers_of_another_make_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import DistilBertConfig, DistilBertModel, MPNetConfig, MPNetModel

    distil = DistilBertModel(DistilBertConfig(dim=8, hidden_dim=16, n_layers=1, n_heads=2))
    small = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    for network in (distil, MPNetModel(MPNetConfig(**small))):
        monkeypatch.setattr("model.encoders.tuned_layers.load_network", lambda params, network=network: (network, None))
        with pytest.raises(InputError, match="only layers like BERT's can learn along"):
            load_tuned_layers(TextEncoderParams("sentence", layers=1, tuned=1))


def test_they_are_part_of_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    names, shape = torch.randn(N_ORGANS, TEXT_DIM), TunedShape(2, 2, 16)
    model = FLanS(PARAMS, D4, names, shape).eval()
    every = sum(p.numel() for p in model.parameters())
    model.intent_head.requires_grad_(False)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["parameters"] == every, (
        "trained, though not by this stage"
    )
    loaded = FLanS.from_pretrained(tmp_path)
    assert loaded.intent_head.tuned.shape == shape
    text = tokens(torch.randn(2, 3, TEXT_DIM))
    with torch.no_grad():
        read = [each.intent_head(text).kind for each in (model, loaded, FLanS(PARAMS, D4, names).eval())]
    assert torch.equal(read[0], read[1])
    assert not torch.equal(read[0], read[2])
