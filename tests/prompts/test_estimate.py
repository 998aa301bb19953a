"""Estimates before anything is asked, and how fast a bank fills."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from corpus.params import load_params
from pipelines import generate, synthesize
from pipelines.bench_generate import bench_generate
from prompts.generator import Call, GenerateParams, Generator
from prompts.kinds import cells
from prompts.offline import OfflineChatModel
from prompts.providers.chat import chat_model
from prompts.providers.estimate import estimate
from prompts.providers.response_store import ResponseStore
from prompts.providers.spending import Budget, Prices, Usage
from tests.prompts.fake_server import FakeServer, serving

PARAMS = GenerateParams(
    provider="openai",
    model="tiny",
    per_cell={"size": 30},
    prices=Prices(1.0, 2.0),
    budget=Budget(cost=3.0),
)


def planned(store: ResponseStore) -> list[Call]:
    return Generator(PARAMS, OfflineChatModel(), store, None).plan()


def test_an_estimate_counts_what_is_still_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "negatives.yaml").write_text("[]")
    with serving(FakeServer()) as server, ResponseStore(tmp_path / "r.jsonl") as store:
        before = estimate(planned(store), 12, PARAMS, store)
        assert (before.calls, before.stored) == (6 * 3, 0)
        assert before.usage.tokens_out == 18 * 12 * 18
        assert before.usage.tokens_in == pytest.approx(18 * 257, rel=0.1)
        assert "cost: about 0.01, spent before 0.00\nbudget, all runs together: tokens None, cost 3.0" in str(before)

        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        made = Generator(PARAMS, chat_model(PARAMS), store, None).run(tmp_path / "negatives.yaml")
        assert made.asked >= before.calls
        after = estimate(planned(store), 12, PARAMS, store)
        assert (after.calls, after.stored, after.usage) == (0, 18, Usage())
        assert after.spent == Usage(200 * made.asked, 50 * made.asked)


def test_a_dry_run_needs_no_key_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    text = text.replace("provider: offline ", "provider: openai ").replace("model: grammar-1", "model: tiny")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(generate, "load_index", lambda path: None)
    synthesize.main(dry_run=True)
    generate.main(dry_run=True)
    printed = capsys.readouterr().out
    assert "48 calls to make, 0 answered before" in printed
    params = load_params("generate", GenerateParams)
    calls = sum(math.ceil(wanted / params.candidates) for wanted in cells(params.per_cell).values())
    assert f"{calls} calls to make, 0 answered before" in printed
    assert "cost: unknown without generate.prices" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_the_offline_provider_is_quick() -> None:
    speed = bench_generate(GenerateParams(per_cell={"position": 24, "anatomy": 6}))
    assert speed.accepted == 12 * 24 + 72 * 6
    assert speed.accepted >= 0.97 * speed.candidates
    assert speed.accepted / speed.cpu_seconds > 300, "of 1,000 and more on a quiet core"
