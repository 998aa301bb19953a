"""Checkpoints: the same model comes back, the same bytes go out, and the card says what is known and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from corpus.anatomy import N_ORGANS, ORGANS
from corpus.errors import InputError
from corpus.params import plain
from model.canonicalizer import build_canonicalizer
from model.checkpoint import CARD, CONFIG, WEIGHTS, save_checkpoint
from model.encoders.text import TextEncoderParams, folder_sha256
from model.flans import FLanS
from model.inference import Segmenter
from tests.model.test_flans import D4, PARAMS, TEXT_DIM

TRAINING: dict[str, Any] = {
    "stage": "joint",
    "parameters": {"steps": 7, "ema": 0.5},
    "patients": {"train": 8, "val": 1, "test": 2},
    "slices": {"train": 30, "val": 4, "test": 8},
    "sources": {
        "ours": {"slices": 22, "volumes": 9, "modality": ["CT"], "organs": ["liver", "spleen"]},
        "theirs": {"slices": 8, "volumes": 2, "modality": ["CT", "MR"], "organs": ["liver"]},
    },
    "dataset_sha256": {"samples.parquet": "0123abcd"},
    "validation": {"loss": 1.25, "dice": 0.75},
}


@pytest.fixture
def model() -> FLanS:
    torch.manual_seed(0)
    return FLanS(PARAMS, D4, torch.randn(N_ORGANS, TEXT_DIM)).eval()


def front_matter(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    assert card.startswith("---\n")
    return yaml.safe_load(head)


def test_the_model_comes_back_and_the_bytes_are_the_same(model: FLanS, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "a", TRAINING)
    again = FLanS.from_pretrained(tmp_path / "a")
    assert not again.training
    weights, others = model.state_dict(), again.state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    again.save_pretrained(tmp_path / "b")
    for name in (WEIGHTS, CONFIG, CARD):
        assert (tmp_path / "a" / name).stat().st_mode == (tmp_path / "a" / CONFIG).stat().st_mode
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("written", ["json.dumps", "model_card", "save_file"])
def test_a_checkpoint_that_fails_to_be_written_leaves_the_one_before(
    written: str, model: FLanS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.save_pretrained(tmp_path, TRAINING)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == {WEIGHTS, CONFIG, CARD}

    def full(*_: object, **__: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(f"model.checkpoint.{written}", full)
    with pytest.raises(OSError, match="disk full"):
        FLanS(PARAMS, D4, torch.randn(N_ORGANS, TEXT_DIM)).save_pretrained(tmp_path, TRAINING | {"stage": "later"})
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_folder_may_be_named_by_a_string(model: FLanS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model.save_pretrained(str(tmp_path), TRAINING)
    assert FLanS.from_pretrained(str(tmp_path)).params == PARAMS
    encoders = []
    monkeypatch.setattr("model.inference.build_text_encoder", lambda params, file: encoders.append(file))
    Segmenter.from_pretrained(str(tmp_path))
    assert encoders == [tmp_path / CONFIG]


def test_another_text_encoder_in_the_place_of_its_own_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests would be misread, and nothing would say why."""
    monkeypatch.setattr("model.inference.build_text_encoder", lambda params, file: None)
    encoder, checkpoint = tmp_path / "encoder", tmp_path / "checkpoint"
    encoder.mkdir()
    (encoder / "model.safetensors").write_bytes(b"weights")
    (encoder / "vocab.txt").write_text("liver")
    params = replace(PARAMS, text_encoder=TextEncoderParams("sentence", str(encoder)))
    known = folder_sha256(params.text_encoder)
    assert known
    model = FLanS(params, D4, torch.randn(N_ORGANS, TEXT_DIM))
    model.save_pretrained(checkpoint, TRAINING | {"text_encoder_sha256": known})
    (encoder / "README.md").write_text("nothing that is read")
    Segmenter.from_pretrained(checkpoint)
    for name, content in (("vocab.txt", "hepar"), ("model.safetensors", "others")):
        before = (encoder / name).read_bytes()
        (encoder / name).write_text(content)
        with pytest.raises(InputError, match="was trained with, found another") as error:
            Segmenter.from_pretrained(checkpoint)
        assert error.value.where == str(encoder)
        (encoder / name).write_bytes(before)
    assert folder_sha256(PARAMS.text_encoder) is None, "the built-in one is known already"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(model: FLanS, tmp_path: Path, value: float) -> None:
    """With them every mask is empty, and nothing says why."""
    with torch.no_grad():
        model.mask_decoder.project.weight[0, 0] = value
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"found NaN or infinity in mask_decoder\.project\.weight") as error:
        FLanS.from_pretrained(tmp_path)
    assert error.value.where == str(tmp_path / WEIGHTS)


def test_the_card_says_data_figures_and_limits(model: FLanS, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, TRAINING)
    card = (tmp_path / CARD).read_text(encoding="utf-8")
    head = front_matter(card)
    assert head["license"] == "apache-2.0"
    assert head["pipeline_tag"] == "image-segmentation"
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "loss", "value": 1.25}, {"type": "dice", "value": 0.75}]
    assert result["dataset"]["split"] == "validation"
    for row in (
        "| patients | 8 | 1 | 2 |",
        "| slices | 30 | 4 | 8 |",
        "| ours | 22 | 9 | CT | liver, spleen |",
        "| theirs | 8 | 2 | CT, MR | liver |",
        "| steps | 7 |",
        "| dice | 0.75 |",
    ):
        assert f"\n{row}\n" in card
    for word in ("0123abcd", "## Limits", "not a medical device", "synthetic", *(organ.name for organ in ORGANS)):
        assert word in card
    assert "models/flans" not in card, "it may lie anywhere"


def test_a_card_without_a_history_claims_none(model: FLanS, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    card = (tmp_path / CARD).read_text(encoding="utf-8")
    assert "model-index" not in front_matter(card)
    assert "the weights may be untrained" in card
    assert "None" not in card


def test_a_canonicalizer_has_a_card_too(tmp_path: Path) -> None:
    save_checkpoint(build_canonicalizer(D4), {"canonicalizer": plain(D4), "training": TRAINING}, tmp_path)
    card = (tmp_path / CARD).read_text(encoding="utf-8")
    assert front_matter(card)["pipeline_tag"] == "image-classification"
    assert "# FLanS canonicalizer" in card
    assert "Text encoder" not in card


def test_an_intent_head_has_one_of_the_requests_that_it_read(tmp_path: Path) -> None:
    counts = {"anatomy": {"train": 40, "val": 4}, "none": {"train": 9, "val": 0}}
    training = {"stage": "language alone", "requests": counts, "validation": {"organ_accuracy": 0.5}}
    save_checkpoint(torch.nn.Linear(2, 2), {"training": training}, tmp_path)
    card = (tmp_path / CARD).read_text(encoding="utf-8")
    head = front_matter(card)
    assert head["pipeline_tag"] == head["model-index"][0]["results"][0]["task"]["type"] == "text-classification"
    assert "\n| anatomy | 40 | 4 |\n| none | 9 | 0 |\n" in card
    assert "On validation requests" in card
    assert "scanners" not in card
    assert "None" not in card


def test_a_part_of_the_model_is_no_checkpoint_of_the_model(tmp_path: Path) -> None:
    save_checkpoint(build_canonicalizer(D4), {"canonicalizer": plain(D4), "training": TRAINING}, tmp_path)
    with pytest.raises(InputError, match="expected the whole model"):
        FLanS.from_pretrained(tmp_path)


def test_another_vocabulary_is_refused(model: FLanS, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    config = (tmp_path / CONFIG).read_text(encoding="utf-8")
    (tmp_path / CONFIG).write_text(config.replace('"liver"', '"hepar"'), encoding="utf-8")
    with pytest.raises(InputError, match="the checkpoint's organs are not those"):
        FLanS.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda config: config.pop("tuned"), "`tuned`: the key is missing"),
        (lambda config: config.update(format=2), "`format`: no parameter has this name"),
        (lambda config: config["model"].update(new=1), "`model.new`: no parameter has this name"),
        (lambda config: config["model"].update(image_encoder={"kind": "dino"}), "`model.image_encoder`: .*'dino'"),
        (lambda config: config.update(text_dim=None), "`text_dim`: .* found None"),
        (lambda config: config.update(training=None), "`training`: expected keys with values, found None"),
        (lambda config: config["training"]["sources"]["ours"].pop("organs"), "`training.sources.ours.organs`: the key"),
        (lambda config: config["training"]["sources"]["ours"].update(organs=["uterus"]), "organs`: .*, found uterus"),
    ],
)
def test_a_configuration_of_another_version_is_told(
    model: FLanS, tmp_path: Path, edit: Callable[[dict[str, Any]], object], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("m", TRAINING)
    config = json.loads(Path("m", CONFIG).read_text())
    edit(config)
    Path("m", CONFIG).write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"{found}.*: another version of FLanS wrote it, or it was edited") as error:
        FLanS.from_pretrained("m")
    assert error.value.where == str(Path("m", CONFIG))
    assert error.value.fix.startswith("use the version that wrote it, or run `make repro`")


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda folder: (folder / WEIGHTS).write_bytes(b"torn"), "expected safetensors"),
        (lambda folder: save_file({"other": torch.zeros(1)}, folder / WEIGHTS), "Missing key"),
        (lambda folder: (folder / CONFIG).write_text("{"), "expected JSON"),
        (lambda folder: (folder / CONFIG).write_text("null"), "expected keys with values, found None"),
        (lambda folder: (folder / CONFIG).write_text("7"), "expected keys with values, found 7"),
    ],
)
def test_what_is_damaged_or_of_another_version_is_named(
    model: FLanS, tmp_path: Path, spoil: Callable[[Path], object], found: str
) -> None:
    model.save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError, match=found) as error:
        FLanS.from_pretrained(tmp_path)
    assert str(tmp_path) in error.value.where
    assert len(error.value.problem) < 400
