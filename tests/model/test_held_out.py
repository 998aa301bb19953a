"""Requests that travel with a checkpoint, or come in a table of somebody's own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from corpus.errors import InputError
from corpus.files import file_sha256
from model.testing.held_out import REQUESTS, held_out_requests, read_requests, save_held_out
from prompts.bank import REPORTS, prompt_id
from prompts.intent import Intent
from prompts.kinds import Cell

OF_A_REPORT = "The spleen is of normal size."


@pytest.fixture
def texts() -> pd.DataFrame:
    asked = [
        ("NA, the liver", Cell("anatomy", "liver", "lay"), "test"),
        ("the liver", Cell("anatomy", "liver", "lay"), "train"),
        ("far left", Cell("position", "leftmost", "expert"), "test"),
        ("not the left one", Cell("negated", "right kidney", "lay"), "test"),
        ("thank you", Cell("none", "none", "lay"), "test"),
        (OF_A_REPORT, Cell("none", "none", "expert"), "test"),
    ]
    return pd.DataFrame(
        {
            "prompt_id": prompt_id(cell, text),
            "text": text,
            "kind": cell.kind,
            "style": cell.style,
            "provider": REPORTS if text == OF_A_REPORT else "offline",
            "split": split,
        }
        | cell.intent.row
        for text, cell, split in asked
    )


def checkpoint(folder: Path, texts_hash: str = "") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"training": {"dataset_sha256": {"texts.parquet": texts_hash}}}))
    return folder


def test_a_checkpoint_brings_what_its_training_never_saw(tmp_path: Path, texts: pd.DataFrame) -> None:
    save_held_out(texts, checkpoint(tmp_path / "model"))
    found, origin = held_out_requests(tmp_path / "model", tmp_path / "none")
    assert origin == tmp_path / "model" / REQUESTS
    held_out = texts[(texts["split"] == "test") & (texts["provider"] != REPORTS)]
    assert found["text"].tolist() == ["NA, the liver", "far left", "not the left one", "thank you"]
    assert found["prompt_id"].tolist() == held_out["prompt_id"].tolist()
    assert found["organ"].isna().tolist() == [False, True, False, True]
    assert set(found["split"]) == {"test"}
    intents = [[Intent.of_row(row) for row in table.to_dict("records")] for table in (found, held_out)]
    assert intents[0] == intents[1]


def test_the_data_set_serves_only_if_the_checkpoint_was_trained_on_it(tmp_path: Path, texts: pd.DataFrame) -> None:
    (tmp_path / "dataset").mkdir()
    texts.to_parquet(tmp_path / "dataset/texts.parquet")
    ours = checkpoint(tmp_path / "ours", file_sha256(tmp_path / "dataset/texts.parquet"))
    assert len(held_out_requests(ours, tmp_path / "dataset")[0]) == 5
    for other, dataset in ((checkpoint(tmp_path / "other", "0" * 64), "dataset"), (ours, "none")):
        with pytest.raises(InputError, match=r"--prompts FILE"):
            held_out_requests(other, tmp_path / dataset)


def test_a_table_needs_no_more_than_text_kind_and_target(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("\ufefftext,kind,target\nthe liver,anatomy,liver\nthe liver,anatomy,liver\n", encoding="utf-8")
    (row,) = read_requests(path).to_dict("records")
    assert (row["text"], row["organ"], row["style"]) == ("the liver", "liver", "own")


def test_organ_or_attribute_serve_where_there_is_no_target(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("text,kind,organ,attribute\nthe liver,anatomy,liver,\nfar left,position,,leftmost\n")
    assert read_requests(path)["target"].tolist() == ["liver", "leftmost"]


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nope\.csv: expected a table of requests, found none") as found:
        read_requests(tmp_path / "nope.csv")
    assert found.value.fix == "correct its name"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("text,organ\nthe liver,liver\n", "columns missing: kind"),
        ("text,kind,target\nthe liver,anatomy,livre\n", r"line 2: target: must be one of .* found 'livre'"),
        ("text,kind,organ\nthe liver,anatomy,livre\n", r"line 2: target: must be one of .* found 'livre'"),
        ("text,kind,target\nfine,anatomy,liver\nleft,position,liver\n", r"line 3: target: must be .* kind position"),
        ("text,kind,target\nthe liver,organs,liver\n", r"line 2: kind: must be one of .* found 'organs'"),
        ("text,kind,target\nthe liver,anatomy,\n", r"line 2: target: must be one of .* found none"),
        ("text,kind,organ\n,anatomy,liver\n", "line 2: expected a request's text"),
        ("text,kind,target\nthe liver, please,anatomy,liver\n", "no more cells than columns"),
        ("text,kind\nthank you,none\n", "expected requests that ask for something"),
        ("", "expected a table of requests"),
    ],
)
def test_a_wrong_table_is_refused_at_its_line(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "own.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        read_requests(path)
