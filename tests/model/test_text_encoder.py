"""Text encoders: the built-in one, and a tiny random CLIP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from corpus.errors import InputError
from model.encoders.text import MAX_TOKENS, TextEncoderParams, bfloat16_where_fast, build_text_encoder
from prompts.wording.cues import CUES


def test_sentence_embeddings_do_not_depend_on_their_neighbours() -> None:
    encoder = build_text_encoder(TextEncoderParams("sentence"))
    texts = ["the liver", "could you please outline the left kidney for me", "spleen"]
    together = encoder.encode(texts)[torch.arange(3)]
    assert together.embedding.shape[::2] == (3, encoder.dim)
    for i, text in enumerate(texts):
        alone = encoder.encode([text])[torch.tensor([0])]
        length = int(alone.mask.sum())
        assert int(together.mask[i].sum()) == length
        assert torch.equal(together.embedding[i, :length], alone.embedding[0])
        assert not together.embedding[i, length:].any()


def test_long_text_is_cut_and_rows_can_be_chosen() -> None:
    encoder = build_text_encoder(TextEncoderParams("sentence"))
    read = encoder.encode(["liver " * 200, "the liver"])
    assert read[torch.arange(2)].mask.sum(1).tolist() == [MAX_TOKENS, 4]
    chosen = read[torch.tensor([[1], [1]])]
    assert chosen.embedding.shape == (2, 1, 4, encoder.dim)


def test_of_long_text_the_middle_is_cut() -> None:
    encoder = build_text_encoder(TextEncoderParams("sentence"))
    case = "The patient was seen in clinic and sent home again without any complaint. " * 20
    pieces = encoder.encode([f"Outline the spleen. {case}", f"{case} Outline the spleen.", "Outline the spleen."])
    first, last = pieces.ngrams[pieces.start[0] : pieces.start[1]], pieces.ngrams[pieces.start[1] : pieces.start[2]]
    alone = pieces.ngrams[pieces.start[2] :]
    assert len(first) == len(last) == MAX_TOKENS
    assert torch.equal(first[: len(alone) - 1], alone[:-1])
    assert torch.equal(last[1 - len(alone) :, 0], alone[1:, 0])
    spleen = CUES.index("spleen") + 1
    assert spleen in pieces.cue[pieces.start[0] : pieces.start[1]]
    assert spleen in pieces.cue[pieces.start[1] : pieces.start[2]]


def test_tokens_carry_what_the_vocabulary_knows_of_them() -> None:
    texts = ["not the gallbladder, the LK", "the leftmost one", "thank you"]
    read = build_text_encoder(TextEncoderParams("sentence")).encode(texts)[torch.arange(3)]
    pointed = [{CUES[(code - 1) % len(CUES)] + " not" * (code > len(CUES)) for code in row if code} for row in read.cue]
    assert pointed == [{"gallbladder not", "left kidney"}, {"leftmost"}, set()]


def test_a_structure_reads_the_same_under_any_of_its_names() -> None:
    encoder = build_text_encoder(TextEncoderParams("sentence"))
    spoken, named = (encoder.encode([f"outline the {name}"]) for name in ("food pipe", "esophagus"))
    assert torch.equal(spoken.embedding, named.embedding)
    assert torch.equal(spoken.cue, named.cue)
    assert torch.equal(spoken.ngrams, named.ngrams)


def test_the_wording_of_some_texts_is_theirs_and_may_hide_the_structure() -> None:
    texts = ["the liver", "could you please outline the left kidney for me", "the stomach"]
    read = build_text_encoder(TextEncoderParams("sentence")).encode(texts)
    rows = torch.tensor([2, 0])
    wording = read.wording(rows)
    assert wording.lengths.tolist() == [4, 4]
    assert torch.equal(wording.ngrams, torch.cat([read[rows[i : i + 1]].ngrams[0] for i in range(2)]))
    assert all(map(torch.equal, wording, read[rows].wording))
    for some, those in ((read.take(rows), rows), (read.take(rows).then(read), torch.tensor([2, 0, 0, 1, 2]))):
        assert all(map(torch.equal, vars(some[torch.arange(len(some))]).values(), vars(read[those]).values()))
    same = (wording.ngrams[:4] == wording.ngrams[4:]).view(4, 2, -1).all(-1)
    assert same.tolist() == [[True, True], [True, True], [False, True], [False, True]]


def test_a_clip_of_a_local_folder(tmp_path: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{c}</w>" for c in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {token: i for i, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")).save_pretrained(tmp_path)
    config = CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    CLIPTextModel(config).save_pretrained(tmp_path)
    read = build_text_encoder(TextEncoderParams("clip", str(tmp_path))).encode(["liver", "the spleen"])[torch.arange(2)]
    assert read.embedding.shape[::2] == (2, 8)
    assert read.mask.sum(1).tolist() == [7, 11]
    same = build_text_encoder(TextEncoderParams("clip", str(tmp_path), layers=1)).encode(["liver"])
    assert torch.allclose(same.embedding.float(), read.embedding[0, :7], atol=2e-3), "but for rounding to float16"


def test_a_sentence_encoder_of_a_local_folder(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "liver"]
    BertTokenizer({word: i for i, word in enumerate(words)}).save_pretrained(tmp_path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    encoder = build_text_encoder(TextEncoderParams("sentence", str(tmp_path)))
    assert encoder.dim == 8
    assert encoder.encode(["the liver"])[torch.arange(1)].mask.sum() == 4


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_no_more_is_read_than_a_network_has_positions_for(kind: str, tmp_path: Path) -> None:
    """Where the tokenizer doesn't say how much that is."""
    from transformers import AutoConfig, AutoModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "liver"]
    BertTokenizer({word: i for i, word in enumerate(words)}).save_pretrained(tmp_path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = AutoConfig.for_model(kind, vocab_size=len(words), max_position_embeddings=12, pad_token_id=0, **sizes)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    said = json.loads(settings.read_text())
    said.pop("model_max_length", None)
    settings.write_text(json.dumps(said))
    encoder = build_text_encoder(TextEncoderParams("sentence", str(tmp_path)))
    assert encoder.limit == (11 if kind == "roberta" else 12), "there the padding has a position of its own"
    assert len(encoder.encode(["the liver " * 9]).embedding) == encoder.limit


COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    ("params", "fetch"),
    [
        (TextEncoderParams("clip"), "hf download openai/clip-vit-base-patch16 --revision 57c21647"),
        (TextEncoderParams("sentence", "some/bert", COMMIT), f"hf download some/bert --revision {COMMIT}"),
    ],
)
def test_offline_it_says_what_to_fetch_and_where_to_put_it(
    params: TextEncoderParams, fetch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=fetch) as caught:
        build_text_encoder(params)
    assert f"set model.text_encoder: {{kind: {params.kind}, weights: DIR}}" in caught.value.fix


@pytest.mark.parametrize("kind", ["sentence", "clip"])
def test_weights_without_their_tokenizer_are_refused(kind: Literal["sentence", "clip"], tmp_path: Path) -> None:
    """`transformers` makes one up, to which every word is unknown."""
    from transformers import BertConfig, BertModel, CLIPTextConfig, CLIPTextModel

    small = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = BertModel(BertConfig(**small)) if kind == "sentence" else CLIPTextModel(CLIPTextConfig(**small))
    network.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"expected the tokenizer of .*, of \d{5} words") as caught:
        build_text_encoder(TextEncoderParams(kind, str(tmp_path)))
    assert "tokenizer.json" in caught.value.fix


def test_weights_without_a_pooler_are_taken(tmp_path: Path) -> None:
    """As of a masked language model: nothing here looks at it."""
    built_in = build_text_encoder(TextEncoderParams("sentence"))
    built_in.tokenizer.save_pretrained(tmp_path)
    built_in.network.save_pretrained(tmp_path)
    kept = {k: v for k, v in load_file(tmp_path / "model.safetensors").items() if not k.startswith("pooler.")}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    text = ["outline the left kidney"]
    read = build_text_encoder(TextEncoderParams("sentence", str(tmp_path))).encode(text)
    assert torch.equal(read.embedding, built_in.encode(text).embedding)
    save_file({k: v for k, v in kept.items() if "layer.5" not in k}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"found a file without encoder\.layer\.5"):
        build_text_encoder(TextEncoderParams("sentence", str(tmp_path)))


def test_a_text_goes_through_the_first_layers_alone() -> None:
    text = ["outline the left kidney"]
    whole = build_text_encoder(TextEncoderParams("sentence"))
    with torch.no_grad(), bfloat16_where_fast():
        states = whole.network(**whole.tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
    for layers in (1, 3, 6):
        encoder = build_text_encoder(TextEncoderParams("sentence", layers=layers))
        assert len(encoder.network.encoder.layer) == layers, "no more is computed"
        read = encoder.encode(text)
        assert torch.allclose(read.embedding.float(), states[layers][0], rtol=2e-3, atol=2e-3)
    assert torch.equal(whole.encode(text).embedding, read.embedding), "the built-in network itself is left whole"
    with pytest.raises(InputError, match="must be from 1 to 6, found 7"):
        build_text_encoder(TextEncoderParams("sentence", layers=7))


def test_a_name_on_the_hub_must_be_pinned() -> None:
    with pytest.raises(InputError, match="or pin the name"):
        build_text_encoder(TextEncoderParams("clip", "/no/such/folder"))
    with pytest.raises(ValueError, match="a commit of 40 hexadecimal digits"):
        TextEncoderParams("clip", "openai/clip-vit-base-patch16", "main")
