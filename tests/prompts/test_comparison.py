"""Banks side by side: as many prompts of each, what people wrote left out, and a sample that nobody chose."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from corpus.errors import InputError
from pipelines.bench_prompts import markdown
from pipelines.cli import app
from prompts.bank import write_bank
from prompts.comparison import compare
from prompts.generator import GenerateParams, Generator
from prompts.providers.chat import chat_model
from prompts.providers.response_store import ResponseStore


def bank_of(folder: Path, per_cell: dict[str, int]) -> pd.DataFrame:
    params = GenerateParams(per_cell=per_cell)
    (folder / "negatives.yaml").write_text("- {style: lay, text: thank you very much for your help}")
    with ResponseStore(folder / "responses.jsonl") as store:
        return Generator(params, chat_model(params), store, None).run(folder / "negatives.yaml").bank


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> list[pd.DataFrame]:
    return [
        bank_of(tmp_path_factory.mktemp(name), per_cell) for name, per_cell in (("a", {"size": 9}), ("b", {"size": 3}))
    ]


def test_figures_are_of_what_the_provider_wrote_over_as_many_prompts_of_each(banks: list[pd.DataFrame]) -> None:
    large, small = compare(banks, sample=4)
    own = banks[0][banks[0]["provider"] == "offline"]
    assert large.figures["candidates"] == len(own) < len(banks[0])
    assert small.figures["prompts"] == large.figures["compared over"] < large.figures["prompts"]
    assert large.figures["exact duplicates"] == 0
    assert large.figures["cells filled"] == small.figures["cells filled"] > 0
    (alone,) = compare(banks[:1], sample=4)
    assert alone.figures["distinct-2"] < large.figures["distinct-2"], "it falls as a set grows"


def test_the_sample_is_drawn_by_hash_and_shown_as_it_was_written(banks: list[pd.DataFrame]) -> None:
    large, small = compare(banks, sample=4)
    assert len(large.sample) == len(small.sample) == 4
    everything = compare(banks[:1], sample=10**6)[0].sample
    assert everything["text"].tolist()[:4] == large.sample["text"].tolist()
    assert set(everything["text"]) <= set(banks[0]["text"])
    text = markdown([large, small])
    assert text.splitlines()[0] == "| of what each wrote | offline (grammar-1) | offline (grammar-1) |"
    assert all(f"- {prompt} " in text for side in (large, small) for prompt in side.sample["text"])


def test_the_command_takes_files_and_folders(tmp_path: Path, banks: list[pd.DataFrame]) -> None:
    write_bank(banks[0], tmp_path / "bank.parquet")
    arguments = ["bench", "prompts", str(tmp_path), str(tmp_path / "bank.parquet"), "--sample", "1", "--markdown"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.count("`offline (grammar-1)`:") == 2
    missing = CliRunner().invoke(app, ["bench", "prompts", str(tmp_path / "none")])
    assert missing.exit_code == 1


def test_a_bank_without_prompts_of_a_provider_is_named(banks: list[pd.DataFrame]) -> None:
    with pytest.raises(InputError, match="bank 2"):
        compare([banks[0], banks[1][banks[1]["provider"] == "written"]], sample=1)
