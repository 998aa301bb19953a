"""A server on loopback that speaks OpenAI's chat completions and batches, and misbehaves on demand."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prompts.composer import Request, compose
from prompts.sentences import sentences

Body = dict[str, Any]


def completion(asked: Body) -> Body:
    """What a well-behaved server answers: requests of the grammar for the cell that the messages describe."""
    human = asked["messages"][-1]["content"]
    spec, _ = json.JSONDecoder().raw_decode(human, human.index("{"))
    rng = random.Random(asked["seed"])
    if spec.get("task") == "sentences":
        source = sentences(spec["organ"], spec["style"], asked["seed"])
        texts = [next(source) for _ in range(spec["count"])]
    else:
        texts = [compose(Request(spec["kind"], spec["target"], spec["style"]), rng) for _ in range(spec["count"])]
    content = {"requests": texts} if "response_format" in asked else texts
    message = {"role": "assistant", "content": json.dumps(content)}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": asked["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 50, "total_tokens": 250},
    }


def _message(body: Body, **changed: Any) -> Body:
    body["choices"][0]["message"] |= changed
    return body


def _choice(body: Body, **changed: Any) -> Body:
    body["choices"][0] |= changed
    return body


def _cut(body: Body) -> Body:
    text = body["choices"][0]["message"]["content"]
    return _choice(_message(body, content=text[: len(text) * 2 // 3]), finish_reason="length")


ODD: dict[str, Callable[[Body], Body]] = {
    "refusal": lambda body: _message(body, content=None, refusal="I can't help with that."),
    "no choices": lambda body: body | {"choices": []},
    "null choices": lambda body: body | {"choices": None},
    "error in 200": lambda body: {"error": {"message": "overloaded"}},
    "no usage": lambda body: {key: value for key, value in body.items() if key != "usage"},
    "cut": _cut,
    "one item": lambda body: _message(body, content='["Segment the single largest structure."]'),
    "prose": lambda body: _message(body, content="Sure! Here they are:\n1. Outline the very biggest structure here."),
    "filtered": lambda body: _choice(_message(body, content=""), finish_reason="content_filter"),
}
"""Answers that aren't what was asked for, by name."""


class FakeServer(ThreadingHTTPServer):
    """`troubles` are dealt out once each, to the first calls that come; attributes below change all calls."""

    daemon_threads = True

    def __init__(self, troubles: list[str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.troubles = troubles or []
        self.lock = threading.Lock()
        self.requests: list[Body] = []
        """Bodies of the calls, with `path`, `authorization`, and the time of arrival `at` in seconds."""
        self.answered: Counter[str] = Counter()
        """Messages -> how often they were answered."""
        self.most = 0
        """The most calls that were ever under way at once."""
        self.under_way = 0
        self.bears = 1_000
        """Calls at once, above which it answers 429."""
        self.structured = True
        """Whether it knows `response_format`."""
        self.delay = 0.0
        """Seconds an answer takes."""
        self.files: dict[str, str] = {}
        self.batches: dict[str, Body] = {}
        self.polls = 1
        """Looks at a batch before it is done."""
        self.most_lines = 1_000_000
        """Calls of a batch, above which it fails."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/files"):
            return self._take_file(content.decode())
        asked = json.loads(content)
        if self.path.endswith("/batches"):
            return self._create_batch(asked)
        return self._chat(asked)

    def do_GET(self) -> None:
        if match := re.search(r"/files/(\w+)/content", self.path):
            return self._send(200, self.server.files[match[1]].encode())
        if match := re.search(r"/batches/(\w+)", self.path):
            if match[1] not in self.server.batches:
                return self._reply(404, {"error": {"message": "no such batch"}})
            return self._reply(200, self._looked_at(match[1]))
        return self._reply(200, {"object": "list", "data": list(self.server.batches.values()), "has_more": False})

    # ---- chat completions

    def _chat(self, asked: Body) -> None:
        server = self.server
        with server.lock:
            server.requests.append(
                asked | {"path": self.path, "authorization": self.headers["Authorization"], "at": time.monotonic()}
            )
            trouble = server.troubles.pop(0) if server.troubles else None
            server.under_way += 1
            server.most = max(server.most, server.under_way)
            if server.under_way > server.bears:
                trouble = "429 0"
        try:
            time.sleep(server.delay)
            self._answer(asked, trouble)
        finally:
            with server.lock:
                server.under_way -= 1

    def _answer(self, asked: Body, trouble: str | None) -> None:
        if trouble and (match := re.fullmatch(r"(\d{3})(?: ([\d.]+))?(?: (\w+))?", trouble)):
            headers = {"Retry-After": match[2]} if match[2] else {}
            said = f"not now, {self.headers['Authorization'].removeprefix('Bearer ')}"
            return self._reply(int(match[1]), {"error": {"message": said, "code": match[3]}}, headers)
        if trouble == "torn":
            return self._send(200, b'{"choices": [{"mess')
        if trouble == "html":
            return self._send(200, b"<html>Gateway</html>", {"Content-Type": "text/html"})
        if trouble == "hangs up":
            return self.connection.close()
        if trouble == "slow":
            time.sleep(1.0)
        if "response_format" in asked and not self.server.structured:
            return self._reply(400, {"error": {"message": "response_format is not supported"}})
        return self._reply(200, self._completed(asked, trouble))

    def _completed(self, asked: Body, trouble: str | None = None) -> Body:
        with self.server.lock:
            self.server.answered[json.dumps(asked["messages"])] += 1
        return ODD[trouble](completion(asked)) if trouble in ODD else completion(asked)

    # ---- batches

    def _take_file(self, form: str) -> None:
        name = f"file{len(self.server.files)}"
        self.server.files[name] = "\n".join(line for line in form.splitlines() if line.startswith("{"))
        fields = {"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": "x", "purpose": "batch"}
        self._reply(200, fields | {"status": "processed"})

    def _create_batch(self, asked: Body) -> None:
        with self.server.lock:
            name = f"batch{len(self.server.batches)}"
            self.server.batches[name] = {
                "id": name,
                "object": "batch",
                "created_at": 0,
                "status": "in_progress",
                "looks": 0,
                **asked,
            }
        if self.server.troubles[:1] == ["lost"]:  # created, but the caller never hears of it
            self.server.troubles.pop(0)
            return self.connection.close()
        return self._reply(200, self.server.batches[name])

    def _looked_at(self, name: str) -> Body:
        batch = self.server.batches[name]
        batch["looks"] += 1
        if batch["looks"] > self.server.polls and batch["status"] == "in_progress":
            lines = [json.loads(line) for line in self.server.files[batch["input_file_id"]].splitlines()]
            if len(lines) > self.server.most_lines:
                error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}
                return batch | {"status": "failed", "errors": {"object": "list", "data": [error]}}
            if self.server.troubles[:1] == ["cancelled"]:
                self.server.troubles.pop(0)
                batch["status"] = "cancelled"
                return batch
            good, bad = [], []
            for line in lines:
                trouble = self.server.troubles.pop(0) if self.server.troubles else None
                refused = "response_format" in line["body"] and not self.server.structured
                if trouble == "torn":
                    good.append('{"custom_id": "' + line["custom_id"])
                elif refused or (trouble and trouble.isdigit()):
                    status = 400 if refused else int(trouble or 0)
                    bad.append(json.dumps({"custom_id": line["custom_id"], "response": {"status_code": status}}))
                else:
                    answer = {"status_code": 200, "body": self._completed(line["body"], trouble)}
                    whole = {"custom_id": line["custom_id"], "response": answer, "note": "ends no line:\u2028\x85"}
                    good.append(json.dumps(whole, ensure_ascii=False))
            for field, content in (("output_file_id", good), ("error_file_id", bad)):
                if content:
                    batch[field] = f"file{len(self.server.files)}"
                    self.server.files[batch[field]] = "\n".join(content)
            batch["status"] = "completed"
        return batch

    # ---- HTTP

    def _reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # the caller was killed, or lost patience

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the requests are in `FakeServer.requests`."""


@contextmanager
def serving(server: FakeServer) -> Iterator[FakeServer]:
    """Run a server in a thread of this process."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
