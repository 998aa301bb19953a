"""Providers, `openai` against a real HTTP server that speaks its protocol and misbehaves on demand."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import InputError
from prompts.composer import Request, compose
from prompts.generator import Generated, GenerateParams, Generator
from prompts.providers import ModelParams, chat_model, concurrency, cost
from prompts.response_store import ResponseStore


class Server(ThreadingHTTPServer):
    """/v1/chat/completions on loopback. `troubles` are dealt out once each, to the first requests that come."""

    daemon_threads = True

    def __init__(self, troubles: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.troubles, self.lock = troubles, threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.answered: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(asked | {"path": self.path, "authorization": self.headers["Authorization"]})
            trouble = self.server.troubles.pop(0) if self.server.troubles else None
        if trouble in ("429", "500"):
            self.reply(int(trouble), b'{"error": {"message": "not now"}}', {"Retry-After": "0"})
        elif trouble == "invalid":
            self.reply(200, b'{"choices": [{"mess')
        else:
            self.server.answered[json.dumps(asked["messages"])] += 1
            self.reply(200, json.dumps(self.completion(asked)).encode())

    def completion(self, asked: dict[str, Any]) -> dict[str, Any]:
        human = asked["messages"][-1]["content"]
        spec, _ = json.JSONDecoder().raw_decode(human, human.index("{"))
        rng = random.Random(asked["seed"])
        texts = [compose(Request(spec["kind"], spec["target"], spec["style"]), rng) for _ in range(spec["count"])]
        return {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": asked["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": json.dumps(texts)},
                }
            ],
            "usage": {"prompt_tokens": 200, "completion_tokens": 50, "total_tokens": 250},
        }

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the requests are in `Server.requests`."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(["429", "500", "invalid"])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def generate(tmp_path: Path, params: GenerateParams) -> Generated:
    (tmp_path / "negatives.yaml").write_text('- {style: lay, text: "Where can I park?"}\n')
    with ResponseStore(tmp_path / "responses.jsonl") as store:
        generator = Generator(params, chat_model(params), store, None, concurrency(params))
        return generator.run(tmp_path / "negatives.yaml")


def test_openai_survives_a_bad_server_and_asks_nothing_twice(tmp_path: Path, server: Server) -> None:
    params = GenerateParams(
        provider="openai",
        model="tiny",
        per_cell={"size": 12, "position": 12},
        price_in=1.0,
        price_out=4.0,
        max_calls_per_cell=8,
    )
    first = generate(tmp_path, params)
    assert server.troubles == []
    assert first.failed == 1  # the invalid JSON; the client itself tried again after 429 and 500
    assert first.summary["shortfalls"] == []
    assert set(server.answered.values()) == {1}
    assert first.asked == server.answered.total() == first.summary["calls"]
    assert first.summary["tokens_in"] == 200 * first.asked
    assert first.summary["cost"] == pytest.approx((200 + 50 * 4) * first.asked / 1e6)
    sent = server.requests[0]
    assert sent["path"] == "/v1/chat/completions"
    assert (sent["model"], sent["temperature"]) == ("tiny", 0.9)
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


def test_a_server_that_is_not_there_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.001)
    with pytest.raises(InputError, match=r"answered none of 6 calls.*(?s:.)*OPENAI_BASE_URL"):
        generate(tmp_path, GenerateParams(provider="openai", model="tiny", per_cell={"size": 4}))


def test_a_missing_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY") as error:
        chat_model(ModelParams(provider="openai", model="tiny"))
    assert "export" in error.value.fix


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        (ModelParams(provider="oracle"), "must be one of offline, openai"),
        (ModelParams(provider="offline", model="gpt"), "has one model"),
    ],
)
def test_unknown_providers_and_models_are_named(params: ModelParams, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        chat_model(params)


def test_concurrency_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLANS_CONCURRENCY", raising=False)
    assert concurrency(ModelParams()) == 1
    assert concurrency(ModelParams(provider="openai")) == 8
    monkeypatch.setenv("FLANS_CONCURRENCY", "3")
    assert concurrency(ModelParams()) == 3
    monkeypatch.setenv("FLANS_CONCURRENCY", "many")
    with pytest.raises(InputError, match="FLANS_CONCURRENCY"):
        concurrency(ModelParams())


def test_costs_are_known_or_unknown_but_never_invented() -> None:
    priced = ModelParams(provider="openai", price_in=2.0, price_out=8.0)
    assert cost(priced, 500_000, 250_000) == 3.0
    assert cost(priced, None, 5) is None
    assert cost(ModelParams(provider="openai"), 10, 10) is None
    assert cost(ModelParams(), None, None) == 0.0
