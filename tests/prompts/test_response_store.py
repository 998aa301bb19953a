"""The response store among several writers, torn lines, and readers that may not write."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from langchain_core.messages import HumanMessage

from prompts.providers.asking import Asker
from prompts.providers.chat import ProviderParams
from prompts.providers.response_store import Response, ResponseStore
from prompts.providers.spending import Budget, Usage
from tests.prompts.scripted import Scripted


def test_processes_may_write_the_same_store(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ResponseStore(path) as one, ResponseStore(path) as other:
        for i in range(20):
            (one, other)[i % 2].put(f"{i}", Response(f"text {i}", None, i, 1), {"provider": "p", "model": "m"})
        assert all(one.get(f"{i}").text == other.get(f"{i}").text == f"text {i}" for i in range(0, 20, 2))
        one.refresh()
        assert len(one) == len(other) == 20
        assert one.usage("p", "m") == Usage(sum(range(20)), 20)


def test_a_line_that_another_process_tore_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ResponseStore(path) as store:
        store.put("a", Response("first"), {})
        with path.open("ab") as torn:
            torn.write(b'{"key": "b", "response": {"te')
        store.put("c", Response("third"), {})
        assert store.get("c") == Response("third")
    with ResponseStore(path) as store:
        assert [key in store for key in "abc"] == [True, False, True]


def test_reading_a_store_creates_nothing(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "new" / "r.jsonl", writable=False) as store:
        assert "a" not in store
    assert list(tmp_path.iterdir()) == []


def test_two_processes_keep_to_one_budget(tmp_path: Path) -> None:
    """A call of the scripted model takes 130 tokens, and is feared to take 65 + 100."""
    params = ProviderParams(provider="openai", model="m", budget=Budget(tokens=400), max_tokens=100)
    noted = {"provider": "openai", "model": "m"}
    calls: list[Any] = [
        SimpleNamespace(key=f"{i}", seed=i, messages=(HumanMessage("{}"),), described=noted) for i in range(6)
    ]
    path = tmp_path / "r.jsonl"
    with ResponseStore(path) as one, ResponseStore(path) as other:
        askers = [Asker(params, Scripted(reply=lambda spec: "yes"), store, 1) for store in (one, other)]
        for i, call in enumerate(calls):
            askers[i % 2].ask([call])
        one.refresh()
        assert one.usage("openai", "m") == Usage(200, 60)


def test_half_a_character_costs_no_paid_answer(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with ResponseStore(path) as store:
        store.put("a", Response("liver \ud83d", None, 5, 1), {"provider": "p", "model": "m"})
        assert store.get("a").text == "liver ?"
    with ResponseStore(path) as store:
        assert store.get("a") == Response("liver ?", None, 5, 1)
