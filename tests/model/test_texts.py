"""Requests are embedded once, and come back as they went in; batches are a pure function of the step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from corpus.errors import InputError
from model.encoders.tuned_layers import TunedLayers, TunedShape
from model.intent_head import IntentHead
from model.texts import DESCRIBED, GRAMMAR, SKIMMED, EvenDraws, TextBatch, TextBatches, embed_texts, load_texts
from model.training.calibration import TEMPERATURES, calibrate
from model.training.objectives import LanguageObjective
from prompts.intent import Intent
from prompts.providers.chat import PROVIDERS
from prompts.wording.cues import CUES, NUMBERS
from tests.model.test_flans import TEXT_DIM, Letters

ASKED = {
    "the liver": ("anatomy", Intent("anatomy", "liver", frame="patient")),
    "spleen, please": ("anatomy", Intent("anatomy", "spleen", frame="patient")),
    "leftmost": ("position", Intent("position", None, "leftmost")),
    "second largest": ("ordinal", Intent("size", None, "largest", rank=2)),
    "thank you": ("none", Intent("none")),
}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rows = [
        {"prompt_id": str(i), "text": text, "kind": kind, "split": split, "provider": "written"} | intent.row
        for split in ("train", "val")
        for i, (text, (kind, intent)) in enumerate(ASKED.items(), start=10 * (split == "val"))
    ]
    pd.DataFrame(rows[:-1]).to_parquet(tmp_path / "texts.parquet")
    pd.DataFrame(rows[-1:]).assign(variant="context").to_parquet(tmp_path / "variants.parquet")
    return tmp_path


def untuned() -> IntentHead:
    return IntentHead(TunedLayers(TEXT_DIM, TunedShape()), TEXT_DIM, 32)


def test_what_is_tested_later_is_not_embedded(dataset: Path) -> None:
    table = pd.read_parquet(dataset / "texts.parquet")
    table.assign(split=["test", "dropped", *table["split"].iloc[2:]]).to_parquet(dataset / "texts.parquet")
    embed_texts(dataset, Letters(), dataset / "tokens")
    assert list(load_texts(dataset / "tokens").table["text"]) == [*list(ASKED)[2:], *ASKED]


def test_embedded_requests_come_back(dataset: Path) -> None:
    embed_texts(dataset, Letters(), dataset / "tokens")
    texts = load_texts(dataset / "tokens")
    assert list(texts.table["text"]) == 2 * list(ASKED)
    expected = Letters().encode(list(ASKED))
    assert torch.equal(texts.embeddings.embedding[: expected.start[-1]], expected.embedding)
    assert torch.equal(texts.embeddings.ngrams[: expected.start[-1]], expected.ngrams)
    assert texts.row["12"] == 7
    assert texts.intents.rank.tolist() == 2 * [0, 0, 0, 1, 0]


def test_batches_are_of_their_own_split_and_of_like_lengths(dataset: Path) -> None:
    embed_texts(dataset, Letters(), dataset / "tokens")
    texts = load_texts(dataset / "tokens")
    batches = [TextBatches(texts, split, 16, 8, seed=3) for split in ("train", "val", "train")]
    assert torch.equal(batches[0][4].text, batches[2][4].text)
    assert not torch.equal(batches[0][3].text, batches[0][4].text)
    assert set(batches[1][0].text.tolist()) <= set(range(5, 10))
    assert len(batches[0][0].skimmed) == 16 * SKIMMED
    assert set(batches[0][0].skimmed.tolist()) == set(range(5))
    assert not torch.equal(batches[0][0].skimmed, batches[0][1].skimmed)
    assert torch.equal(batches[0][1].skimmed, batches[2][1].skimmed)
    drawn = torch.cat([batches[0][step].text for step in range(8)])
    shares = texts.table["kind"].iloc[drawn.numpy()].value_counts(normalize=True)
    assert shares["none"] > shares["anatomy"] > shares["position"] > shares["ordinal"] > 0
    lengths = texts.embeddings.start.diff()
    spread = [int(lengths[batches[0][step].text].max() - lengths[batches[0][step].text].min()) for step in range(8)]
    assert sum(spread) < 8 * (int(lengths.max()) - int(lengths.min())) / 2


def test_descriptions_are_drawn_apart_and_patterns_less_often(dataset: Path) -> None:
    assert not PROVIDERS[GRAMMAR].language_model
    table = pd.read_parquet(dataset / "texts.parquet")
    table.loc[table["text"] == "spleen, please", "provider"] = GRAMMAR
    table.to_parquet(dataset / "texts.parquet")
    embed_texts(dataset, Letters(), dataset / "tokens")
    texts = load_texts(dataset / "tokens")
    liver, spleen = texts.embeddings.start[:2].tolist()
    rows = {name: row.tolist() for name, row in texts.groups("train").items()}
    assert rows == {DESCRIBED: [0, 1], "none": [4], "ordinal": [3], "position": [2]}, "no text has a cue"
    drawn = torch.cat([TextBatches(texts, "train", 16, 32, seed=0)[step].text for step in range(32)])
    often, seldom = (int((drawn == row).sum()) for row in (0, 1))
    assert often / 5 < seldom < often / 3

    texts.embeddings.cue[liver + 4] = NUMBERS["liver"] + len(CUES)  # negated, but named
    texts.embeddings.cue[spleen + 2] = NUMBERS["stomach"]
    rows = {name: row.tolist() for name, row in texts.groups("train").items()}
    assert (rows["anatomy"], rows[DESCRIBED]) == ([0], [1])


def test_every_row_is_drawn_as_often_as_it_should_be() -> None:
    often = np.where(np.arange(100) < 20, 0.25, 1.0)
    draw = EvenDraws(np.arange(100, 200), often, 0.3)
    once = np.concatenate([draw(0, 30), draw(30, 55)]) - 100
    assert len(set(once.tolist())) > 75, "by chance it would be 55 of those 85"
    counts = np.bincount(draw(0, 850) - 100, minlength=100)
    assert counts[20:].min() >= 9
    assert counts[20:].max() <= 11
    assert counts[:20].sum() == pytest.approx(50, abs=2)
    assert 0 < counts[:20].min() <= counts[:20].max() < 5


def test_the_intent_head_learns_by_itself(dataset: Path) -> None:
    embed_texts(dataset, Letters(), dataset / "tokens")
    texts = load_texts(dataset / "tokens")
    torch.manual_seed(0)
    objective = LanguageObjective(untuned(), texts)
    optimizer = torch.optim.AdamW(objective.parameters(), 1e-2)
    batches = TextBatches(texts, "train", 16, 200, seed=0)
    losses: dict[str, list[float]] = {"loss": [], "wording": []}
    for step in range(len(batches)):
        found = objective(batches[step])
        found["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        for name, values in losses.items():
            values.append(found[name].item())
    for name, values in losses.items():
        assert values[-1] < 0.2 * values[0], f"{name}: both opinions learn"
    rows = torch.arange(len(ASKED))
    found = objective.eval()(TextBatch(rows, rows))
    assert found["kind_accuracy"] == found["organ_accuracy"] == 1
    chatter = torch.tensor(texts.table.index[texts.table["kind"] == "none"][:2])
    assert len(chatter) == 2
    assert objective(TextBatch(chatter, chatter))["organ_accuracy"] == 0, "of none that is named, not NaN"


def test_missing_embeddings_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dvc repro embed"):
        load_texts(tmp_path)
    with pytest.raises(InputError, match=r"texts\.parquet"):
        embed_texts(tmp_path, Letters(), tmp_path)


def test_confidence_is_calibrated_on_validation_texts(dataset: Path) -> None:
    embed_texts(dataset, Letters(), dataset / "tokens")
    texts = load_texts(dataset / "tokens")
    torch.manual_seed(0)
    head = untuned()
    for part in ("kind", "organ", "attribute", "frame", "rank"):
        head.reader.classify[part].weight.data.mul_(40.0)  # sure of everything, right in next to nothing
    read: list[int] = []
    head.register_forward_pre_hook(lambda head, arguments: read.append(len(arguments[0].mask)))
    assert calibrate(head, texts) == max(TEMPERATURES) == head.temperature
    assert read == [len(ASKED) - 1], "variants don't count"
    assert calibrate(head, texts) == max(TEMPERATURES), "a second time starts from the same"
