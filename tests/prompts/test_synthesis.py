"""Synthetic sentences: every organ, the same bytes twice, nothing asked twice, and what is left out."""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from langchain_core.language_models.chat_models import BaseChatModel

from corpus.anatomy import ORGANS, named_organs
from corpus.errors import InputError
from corpus.reports.passages import SCHEMA, read_passages, write_passages
from corpus.reports.readers import ReportParams, ReportSource
from pipelines import index, synthesize
from prompts.providers.chat import ProviderParams, chat_model
from prompts.providers.response_store import ResponseStore
from prompts.sentences import sentences
from prompts.synthesis import MAX_WORDS, MIN_WORDS, STYLES, Synthesis, SynthesisParams
from prompts.synthesis import synthesize as synthesize_passages
from tests.prompts.scripted import Scripted


def made(store: Path, per_organ: int = 4, model: BaseChatModel | None = None) -> Synthesis:
    params = ProviderParams()
    with ResponseStore(store) as responses:
        return synthesize_passages(SynthesisParams(per_organ=per_organ), params, model or chat_model(params), responses)


def fails(spec: dict[str, Any]) -> str:
    raise TimeoutError


def test_every_organ_and_style_has_its_sentences(tmp_path: Path) -> None:
    passages = made(tmp_path / "r.jsonl", 8).passages
    SCHEMA.validate(passages)
    assert passages["report_id"].nunique() == len(ORGANS) * len(STYLES)
    assert passages.groupby("report_id").size().min() >= 7
    assert {organ.name for organ in ORGANS} <= set(passages["organs"].explode())
    assert set(passages["source"]) == {"synthetic"}
    assert set(passages["tag"]) == {"S3"}
    assert set(passages["section"]) == {""}
    assert set(passages["style"]) == set(STYLES)


def test_the_same_bytes_twice_and_nothing_asked_twice(tmp_path: Path) -> None:
    first, fresh, again = made(tmp_path / "a.jsonl"), made(tmp_path / "b.jsonl"), made(tmp_path / "a.jsonl")
    for name, result in (("1", first), ("2", fresh), ("3", again)):
        write_passages(result.passages, tmp_path / name)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes() == (tmp_path / "3").read_bytes()
    assert [first.asked, fresh.asked, again.asked] == [48, 48, 0]


def test_what_cant_be_used_is_left_out_and_counted(tmp_path: Path) -> None:
    def reply(spec: dict[str, Any]) -> str:
        good = f"Impression: the {spec['organ']} looked fine to a reader of {spec['style']} style."
        return json.dumps([good, good, "Too short.", "This one is about nothing at all.", f"{good} {good}"])

    result = made(tmp_path / "r.jsonl", 5, Scripted(reply=reply))
    assert dict(result.left_out) == {"duplicate": 48, "length": 48, "organ not named": 48, "not one sentence": 48}
    assert len(result.passages) == 48
    assert set(result.passages["section"]) == {""}


def test_a_failed_call_is_asked_again(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"12 calls in a row failed.*TimeoutError"):
        made(tmp_path / "r.jsonl", 4, Scripted(reply=fails))

    def reply(spec: dict[str, Any]) -> str:
        return fails(spec) if spec["organ"] == "liver" else json.dumps([f"CT shows the {spec['organ']} well."])

    partial = made(tmp_path / "r.jsonl", 4, Scripted(reply=reply))
    assert (partial.asked, partial.failed) == (46, 2)
    assert made(tmp_path / "r.jsonl", 4).asked == 2


@pytest.mark.parametrize("style", STYLES)
def test_the_grammar_is_rich_and_names_the_organ(style: str) -> None:
    for organ in ORGANS:
        texts = set(islice(sentences(organ.name, style, 1), 60))
        assert len(texts) > 40, organ.name
        for text in texts:
            assert organ.name in named_organs(text), text
            assert MIN_WORDS <= len(text.split()) <= MAX_WORDS, text
            assert not set("{}[]()|") & set(text), text


def test_without_sentences_the_table_is_empty_and_the_index_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    builtin = Path("corpus/reports/builtin").resolve()
    text = re.sub(r"per_organ: \d+", "per_organ: 0", text).replace("corpus/reports/builtin", str(builtin))
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    source = made(tmp_path / "r.jsonl", 1).passages.head(12).assign(tag="S1", source="builtin")
    (folder := tmp_path / "data/passages/phantom").mkdir(parents=True)
    (folder / "builtin").mkdir()
    write_passages(source, folder / "builtin/passages.parquet")
    monkeypatch.chdir(tmp_path)
    synthesize.main()
    empty = read_passages(folder / "synthetic/passages.parquet")
    assert len(empty) == 0
    assert list(empty.columns) == list(SCHEMA.columns)
    index.main()
    assert len(pd.read_parquet("data/index/passages.parquet")) == len(source)


def test_no_source_may_take_its_name() -> None:
    with pytest.raises(InputError, match="synthesize"):
        ReportParams(sources={"synthetic": ReportSource(reader="builtin", path="x")})
