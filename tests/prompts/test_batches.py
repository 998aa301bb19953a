"""Provider `openai-batch`, against a server that speaks the protocol of batches and misbehaves on demand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpus.errors import InputError
from prompts.providers.spending import Budget
from tests.prompts.fake_server import FakeServer
from tests.prompts.test_providers import asks, generate, server

__all__ = ["server"]


def test_a_batch_gives_the_bank_that_single_calls_give(tmp_path: Path, server: FakeServer) -> None:
    single = generate(tmp_path / "single", asks())
    server.requests.clear()
    batched = generate(tmp_path / "batch", asks(provider="openai-batch"))
    assert server.requests == []
    assert batched.asked == single.asked
    assert list(batched.bank["text"]) == list(single.bank["text"])
    assert list(batched.bank["response_key"]) == list(single.bank["response_key"])
    assert generate(tmp_path / "single", asks(provider="openai-batch")).asked == 0, "one family, one price"
    assert list((tmp_path / "batch" / "batches").glob("*.json")) == []


def test_failed_lines_of_a_batch_are_asked_again_and_never_kept(tmp_path: Path, server: FakeServer) -> None:
    server.troubles = ["500", "torn", "refusal", "no choices", "429"]
    generated = generate(tmp_path, asks(provider="openai-batch"))
    assert len(server.batches) == 2 + (generated.summary["calls_without_candidates"] > 0)
    assert generated.failed == 0
    assert generated.summary["shortfalls"] == []
    stored = [json.loads(line) for line in (tmp_path / "responses.jsonl").read_text().splitlines()]
    assert len(stored) == len({line["key"] for line in stored}) == generated.asked


def test_a_batch_server_without_response_format_is_asked_for_plain_text(tmp_path: Path, server: FakeServer) -> None:
    server.structured = False
    generated = generate(tmp_path, asks(provider="openai-batch"))
    assert len(server.batches) == 2
    assert generated.summary["shortfalls"] == []


def test_a_batch_whose_creation_was_never_heard_of_is_found_by_its_name(tmp_path: Path, server: FakeServer) -> None:
    server.troubles = ["lost"]
    generate(tmp_path, asks(provider="openai-batch"))
    assert len(server.batches) == 1


def test_a_batch_keeps_to_the_budget(tmp_path: Path, server: FakeServer) -> None:
    params = asks(provider="openai-batch", per_cell={"anatomy": 2}, budget=Budget(tokens=9000), max_tokens=100)
    generated = generate(tmp_path, params)
    assert generated.stopped
    assert 10 < generated.asked <= 9000 / 250
    assert generate(tmp_path, params).asked == 0


def test_a_batch_that_the_account_may_not_send_at_once_goes_in_parts(tmp_path: Path, server: FakeServer) -> None:
    server.most_lines = 2
    whole = generate(tmp_path, asks(provider="openai-batch"))
    assert whole.failed == 0
    assert whole.summary["shortfalls"] == []
    sizes = [len(server.files[batch["input_file_id"]].splitlines()) for batch in server.batches.values()]
    assert sizes[:3] == [18, 9, 4]
    assert set(sizes[3:]) <= {1, 2}


def test_a_cancelled_batch_is_not_created_anew_at_once(tmp_path: Path, server: FakeServer) -> None:
    server.troubles = ["cancelled"]
    with pytest.raises(InputError, match="was cancelled, with 18 of its 18 calls unanswered"):
        generate(tmp_path, asks(provider="openai-batch"))
    assert len(server.batches) == 1
    assert generate(tmp_path, asks(provider="openai-batch")).summary["shortfalls"] == []


def test_a_batch_of_another_address_says_so(tmp_path: Path, server: FakeServer) -> None:
    (tmp_path / "batches").mkdir()
    job = {"name": "x", "batch": "gone", "lines": {}}
    (tmp_path / "batches" / "x.json").write_text(json.dumps(job))
    with pytest.raises(InputError, match="doesn't know the batch gone"):
        generate(tmp_path, asks(provider="openai-batch"))
