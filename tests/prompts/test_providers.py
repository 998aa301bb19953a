"""Providers, `openai` against a real HTTP server that speaks its protocol and misbehaves on demand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import InputError
from prompts.generator import Generated, GenerateParams, Generator
from prompts.providers import asking, pace
from prompts.providers.chat import PROVIDERS, ProviderParams, chat_model, concurrency, cost
from prompts.providers.openai_chat import retry_after
from prompts.providers.pace import Busy, Halted, Pace
from prompts.providers.response_store import ResponseStore
from prompts.providers.spending import Budget, Ledger, Prices, Usage
from tests.prompts.fake_server import ODD, FakeServer, serving

NEGATIVES = '- {style: lay, text: "Where can I park?"}\n'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with serving(FakeServer()) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        monkeypatch.setenv("FLANS_POLL", "0.01")
        monkeypatch.setattr(pace, "BACKOFF", 0.01)
        yield server


def asks(**changed: Any) -> GenerateParams:
    """Six cells that need one call each or, in all, 18 calls of 12 requests."""
    few: dict[str, Any] = {"provider": "openai", "model": "tiny", "per_cell": {"size": 6, "position": 6}}
    return GenerateParams(**(few | changed))


def generate(folder: Path, params: GenerateParams) -> Generated:
    folder.mkdir(exist_ok=True)
    (folder / "negatives.yaml").write_text(NEGATIVES)
    with ResponseStore(folder / "responses.jsonl") as store:
        return Generator(params, chat_model(params), store, None, concurrency(params)).run(folder / "negatives.yaml")


def test_openai_survives_a_bad_server_and_asks_nothing_twice(tmp_path: Path, server: FakeServer) -> None:
    server.troubles = ["429 0", "500", "torn", "hangs up", "503", "html", "null choices", "no choices", "error in 200"]
    params = asks(prices=Prices(1.0, 4.0))
    first = generate(tmp_path, params)
    assert server.troubles == []
    assert first.failed == 0, "all of it passes when asked again"
    assert first.summary["shortfalls"] == []
    assert first.asked == first.summary["calls"]
    assert first.summary["tokens_in"] == 200 * first.asked
    assert first.summary["cost"] == pytest.approx((200 + 50 * 4) * first.asked / 1e6)
    sent = server.requests[0]
    assert sent["path"] == "/v1/chat/completions"
    assert (sent["model"], sent["temperature"], sent["max_completion_tokens"]) == ("tiny", 0.9, 2048)
    assert sent["response_format"]["type"] == "json_schema"
    assert sent["authorization"] == "Bearer sk-secret"
    assert len({request["seed"] for request in server.requests}) == first.asked

    requests = len(server.requests)
    second = generate(tmp_path, params)
    assert len(server.requests) == requests
    assert second.asked == second.failed == 0
    assert second.bank.equals(first.bank)
    assert second.summary == first.summary
    assert "sk-secret" not in (tmp_path / "responses.jsonl").read_text()
    assert "127.0.0.1" not in first.bank.to_json()


@pytest.mark.parametrize("odd", ["refusal", "cut", "one item", "prose", "filtered", "no usage"])
def test_odd_answers_are_paid_for_once_and_the_next_call_makes_up_for_them(
    tmp_path: Path, server: FakeServer, odd: str
) -> None:
    server.troubles = [odd] * 3
    params = asks(prices=Prices(1.0, 1.0), per_cell={"size": 14})
    generated = generate(tmp_path, params)
    assert generated.failed == 0
    assert generated.summary["shortfalls"] == []
    assert len(server.requests) == generated.asked
    assert generated.summary["calls_truncated"] == (3 if odd == "cut" else 0)
    assert generated.summary["calls_without_candidates"] == (3 if odd in ("refusal", "filtered") else 0)
    assert (generated.summary["cost"] is None) == (odd == "no usage"), "an unknown cost isn't made up"
    assert generate(tmp_path, params).asked == 0


def test_a_server_without_response_format_is_asked_for_plain_text_and_remembered(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANS_CONCURRENCY", "1")
    server.structured = False
    generated = generate(tmp_path, asks())
    refused = sum("response_format" in request for request in server.requests)
    assert refused == 1
    assert len(server.requests) == generated.asked + 1
    assert generated.summary["shortfalls"] == []


def test_a_call_that_is_refused_either_way_fails_alone(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANS_CONCURRENCY", "1")
    server.troubles = ["400"] * 16
    generated = generate(tmp_path, asks())
    assert generated.failed == 8
    assert generated.summary["calls"] > 0
    assert sum("response_format" in request for request in server.requests) > 8, "the format isn't given up for it"
    assert '"error": "Refused: OpenAIInvalidRequestError' in (tmp_path / "responses.jsonl").read_text()
    again = generate(tmp_path, asks())
    assert again.summary["shortfalls"] == []
    assert again.failed == 0


def test_a_call_that_moderation_forbids_fails_alone(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANS_CONCURRENCY", "1")
    server.troubles = ["403", "403"]
    generated = generate(tmp_path, asks())
    assert generated.failed == 1
    assert generated.summary["shortfalls"] == []
    server.troubles = ["403"] * 100
    with pytest.raises(InputError, match="12 calls in a row failed"):
        generate(tmp_path / "other", asks(per_cell={"anatomy": 6}))


def test_a_slow_answer_is_given_up_and_asked_for_again(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANS_TIMEOUT", "0.4")
    server.troubles = ["slow"]
    generated = generate(tmp_path, asks(per_cell={"size": 1}))
    assert generated.failed == 0
    assert len(server.requests) == generated.asked + 1


@pytest.mark.parametrize("trouble", ["401", "404", "429 0 insufficient_quota", "429 86400"])
def test_what_no_call_can_survive_ends_the_run_at_once_and_keeps_the_answers(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setenv("FLANS_CONCURRENCY", "1")
    server.troubles = ["", "", trouble]
    with pytest.raises(InputError, match="not now"):
        generate(tmp_path, asks())
    assert len(server.requests) == 3
    assert "sk-secret" not in (tmp_path / "responses.jsonl").read_text(), "the server repeats the key"
    with ResponseStore(tmp_path / "responses.jsonl") as store:
        assert len(store) == 2
    generate(tmp_path, asks())
    assert max(server.answered.values()) == 1


def test_a_server_that_is_not_there_is_one_clear_error(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setattr(pace, "BACKOFF", 1e-4)
    with pytest.raises(InputError, match=r"answered none of 6 calls.*(?s:.)*OPENAI_BASE_URL"):
        generate(tmp_path / "few", asks(per_cell={"size": 4}))
    with pytest.raises(InputError, match=rf"{asking.HOPELESS} calls in a row failed"):
        generate(tmp_path / "many", asks(per_cell={"anatomy": 4}))


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_to_do_about_a_provider_fits_it(name: str) -> None:
    said = str(asking.mend(ProviderParams(provider=name), "it broke"))
    assert ("OPENAI_BASE_URL" in said) == name.startswith("openai")
    assert "run again; answers so far are kept" in said


def test_as_much_at_once_as_the_server_bears(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANS_CONCURRENCY", "12")
    server.bears, server.delay = 3, 0.02
    generated = generate(tmp_path, asks(per_cell={"anatomy": 2, "size": 6}))
    refused = len(server.requests) - generated.asked
    assert (generated.failed, generated.summary["shortfalls"]) == (0, [])
    assert server.most <= 12
    assert 0 < refused < generated.asked / 2


def test_nothing_goes_out_before_the_server_wants_it(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLANS_CONCURRENCY", "1")
    server.troubles = ["", "429 0.5"]
    generate(tmp_path, asks(per_cell={"size": 2}))
    times = [request["at"] for request in server.requests]
    assert times[2] - times[1] >= 0.5


def test_the_limit_halves_once_for_calls_under_way_together_and_grows_back_slowly() -> None:
    limit = Pace(8)
    together = threading.Barrier(4)

    def refused() -> None:
        with pytest.raises(Busy), limit.slot():
            raise Busy("no" if together.wait() >= 0 else "", wait=0.0)

    threads = [threading.Thread(target=refused) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit.limit == 4
    for _ in range(4):
        with limit.slot():
            pass
    assert 4.8 < limit.limit < 5
    for _ in range(200):
        with limit.slot():
            pass
    assert limit.limit == 8
    for _ in range(9):
        with pytest.raises(Busy), limit.slot():
            raise Busy("no", wait=0.0)
    assert limit.limit == 1


def test_nobody_waits_for_a_busy_server_once_all_is_halted() -> None:
    limit = Pace(1)
    with pytest.raises(Busy), limit.slot():
        raise Busy("no", wait=600.0)
    threading.Timer(0.05, limit.halt.set).start()
    with pytest.raises(Halted), limit.slot():
        pass


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_waiting_times_are_read_in_both_of_their_forms(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds


def test_the_order_of_answers_changes_nothing(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    banks = []
    for name, jobs in (("one", "1"), ("many", "7")):
        monkeypatch.setenv("FLANS_CONCURRENCY", jobs)
        server.troubles = ["slow", "429 0", "", "500"] if jobs == "7" else []
        banks.append(generate(tmp_path / name, asks(per_cell={"size": 20, "position": 4})))
    assert banks[0].bank.equals(banks[1].bank)
    assert banks[0].summary == banks[1].summary


@pytest.mark.parametrize("budget", [Budget(tokens=9000), Budget(cost=0.014)])
@pytest.mark.parametrize("jobs", ["1", "8"])
def test_a_budget_is_never_passed_and_what_was_paid_for_is_used(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch, budget: Budget, jobs: str
) -> None:
    monkeypatch.setenv("FLANS_CONCURRENCY", jobs)
    params = asks(per_cell={"anatomy": 2}, budget=budget, prices=Prices(1.0, 4.0), max_tokens=100)
    generated = generate(tmp_path, params)
    assert generated.summary["tokens_in"] + generated.summary["tokens_out"] <= (budget.tokens or 1e9)
    assert generated.summary["cost"] <= (budget.cost or 1e9)
    assert generated.stopped
    assert "the budget is spent" in generated.summary["stopped"]
    assert generated.asked == len(server.requests) > 10
    assert len(generated.summary["shortfalls"]) == 72 - generated.asked
    assert {short["failed_calls"] for short in generated.summary["shortfalls"]} == {0}
    assert generate(tmp_path, params).bank.equals(generated.bank)
    assert generated.asked == len(server.requests), "the store remembers what was spent"
    other = generate(tmp_path / "other", params)
    assert other.bank.equals(generated.bank), "where it stops doesn't depend on the order of answers"
    whole = generate(tmp_path, asks(per_cell={"anatomy": 2}, prices=Prices(1.0, 4.0), max_tokens=100))
    assert whole.asked + generated.asked == 72


def test_a_ledger_waits_for_calls_whose_worst_leaves_no_room() -> None:
    ledger = Ledger(Budget(tokens=100), None, Usage(20, 0))
    worst = Usage(30, 20)
    assert ledger.reserve(worst)
    assert not ledger.reserve(worst, wait=False)
    threading.Timer(0.05, ledger.settle, (worst, Usage(5, 5))).start()
    begun = time.monotonic()
    assert ledger.reserve(worst)
    assert time.monotonic() - begun >= 0.04
    ledger.settle(worst, worst)
    assert ledger.spent == Usage(55, 25)
    assert not ledger.reserve(worst)


def test_a_budget_in_money_needs_prices() -> None:
    with pytest.raises(ValueError, match=r"needs prices"):
        ProviderParams(budget=Budget(cost=1.0))


def test_a_missing_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY") as error:
        chat_model(ProviderParams(provider="openai", model="tiny"))
    assert "export" in error.value.fix


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        (ProviderParams(provider="oracle"), "must be one of offline, local, openai, openai-batch"),
        (ProviderParams(provider="offline", model="gpt"), "has one model"),
        (ProviderParams(provider="local", model="gpt"), "has one model"),
    ],
)
def test_unknown_providers_and_models_are_named(params: ProviderParams, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        chat_model(params)


def test_concurrency_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLANS_CONCURRENCY", raising=False)
    assert concurrency(ProviderParams()) == 1
    assert concurrency(ProviderParams(provider="openai")) == 8
    monkeypatch.setenv("FLANS_CONCURRENCY", "3")
    assert concurrency(ProviderParams(provider="openai")) == 3
    monkeypatch.setenv("FLANS_CONCURRENCY", "many")
    with pytest.raises(InputError, match="FLANS_CONCURRENCY"):
        concurrency(ProviderParams())


def test_costs_are_known_or_unknown_but_never_invented() -> None:
    priced = ProviderParams(provider="openai", prices=Prices(2.0, 8.0))
    assert cost(priced, 500_000, 250_000) == 3.0
    assert cost(priced, None, 5) is None
    assert cost(ProviderParams(provider="openai"), 10, 10) is None
    assert cost(ProviderParams(), None, None) == 0.0


# ---- the batch endpoint


def test_every_odd_answer_is_tried() -> None:
    tried = {"refusal", "cut", "one item", "prose", "filtered", "no usage", "no choices", "null choices"}
    assert tried | {"error in 200"} == set(ODD)
