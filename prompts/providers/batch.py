"""Calls through OpenAI's batch endpoint: submit, wait, collect, and go on with it all after a kill at any moment."""

from __future__ import annotations

import fcntl
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import openai
from langchain_core.messages import convert_to_openai_messages
from openai.types import Batch

from corpus.environment import positive_number
from corpus.errors import InputError
from corpus.files import replacing
from prompts.providers.asking import TRIES, Asked, Asker, Call, ledger, mend, noted, worst_usage
from prompts.providers.openai_chat import RESPONSE_FORMAT, OpenAIChat, cured
from prompts.providers.pace import Passing, Refused, pause
from prompts.providers.response_store import Response
from prompts.providers.spending import Usage, characters

LINES = 20_000
"""Calls of one batch. OpenAI takes up to 50,000 and 200 MB; an account may be allowed fewer tokens at once."""
TOO_LARGE = "token_limit_exceeded"
ROUNDS = 3
"""Batches in which a call may fail before it is given up for this run."""
ENDPOINT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")
T = TypeVar("T")
log = logging.getLogger(__name__)


class BatchAsker(Asker):
    """Asks in batches, at half the price and within a day.

    A batch is a file in the folder `batches` beside the response store, written before the batch is created and deleted
    after its answers are stored. It carries the batch's name, by which the server is searched where a kill came between
    creating the batch and noting its id: no batch is lost, and none is created twice.
    """

    chunk = LINES
    ahead = True
    _lines = LINES
    """Calls of a batch that the account takes."""

    def ask(self, calls: Sequence[Call]) -> Asked:
        """Ask what the store doesn't hold, in the order of `calls` as far as the budget goes; may take a day.

        Raises:
            InputError: The server can't be used, or a response can't be stored. What is under way is found again.
        """
        problems: dict[str, Exception] = {}
        with self._alone():
            for job in sorted(self._folder.glob("*.json")):
                self._finish(job)
            self.store.refresh()
            self.ledger = ledger(self.params, self.store)
            fresh = {call.key: call for call in calls if call.key not in self.store}
            for _ in range(ROUNDS):
                waiting = [call for key, call in fresh.items() if key not in self.store]
                while waiting and not self.stopped:
                    sent = list(takewhile(self._fits, waiting[: self._lines]))
                    if not sent:
                        self.stopped = f"the budget is spent: {self.ledger}"
                        break
                    problems |= self._finish(self._job(sent), create=True)
                    for call in sent:
                        self.ledger.settle(worst_usage(call, self.params), self._used(call))
                    if len(sent) <= self._lines:  # else it was too large, and is sent again in parts
                        waiting = waiting[len(sent) :]
        failures = {key: problems[key] for key in fresh if key in problems and key not in self.store}
        for key, error in failures.items():
            self.store.put_failure(key, error, noted(fresh[key]))
        return Asked(sum(key in self.store for key in fresh), failures)

    def _fits(self, call: Call) -> bool:
        return self.ledger.reserve(worst_usage(call, self.params), wait=False)

    def _used(self, call: Call) -> Usage:
        return self.store.get(call.key).usage(characters(call.messages)) if call.key in self.store else Usage()

    # ---- what is kept on disk

    @property
    def _folder(self) -> Path:
        return self.store.path.parent / "batches"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from taking the same files for their own."""
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _job(self, calls: Sequence[Call]) -> Path:
        """Write down a batch before it is created."""
        name = uuid.uuid4().hex
        path = self._folder / f"{name}.json"
        lines = {call.key: {"call": noted(call), "body": self._body(call)} for call in calls}
        _write(path, {"name": name, "batch": None, "lines": lines})
        return path

    def _body(self, call: Call) -> dict[str, Any]:
        return {
            "model": self.params.model,
            "messages": convert_to_openai_messages(list(call.messages)),
            "seed": call.seed,
            "max_completion_tokens": self.params.max_tokens,
            **({} if self.params.temperature is None else {"temperature": self.params.temperature}),
            **({"response_format": RESPONSE_FORMAT} if self._chat.structured else {}),
        }

    # ---- what the server does

    @property
    def _chat(self) -> OpenAIChat:
        return cast(OpenAIChat, self.model)

    @property
    def _client(self) -> openai.OpenAI:
        return cast(openai.OpenAI, self._chat.root_client)

    def _finish(self, path: Path, create: bool = False) -> dict[str, Exception]:
        """Wait for a batch and store its answers. One that was never created is created, or else forgotten.

        Returns:
            Key -> why it has no answer.
        """
        job = json.loads(path.read_text(encoding="utf-8"))
        batch = self._steadily(self._find, job, path, create)
        if batch is None:
            path.unlink()
            return {}
        if job["batch"] is None:
            _write(path, job | {"batch": batch.id})
            log.warning(
                "batch %s, %d calls: under way; a run after this one would find it", batch.id, len(job["lines"])
            )
        while batch.status not in ENDED:
            time.sleep(positive_number("FLANS_POLL", 20))
            batch = self._steadily(self._client.batches.retrieve, batch.id)
        problems = self._collect(job, batch)
        path.unlink()
        if batch.status == "cancelled":
            raise InputError(
                f"the batch {batch.id}",
                f"it was cancelled, with {len(problems)} of its {len(job['lines'])} calls unanswered",
                "run again to have these asked anew; what was answered is kept",
            )
        return problems

    def _find(self, job: dict[str, Any], path: Path, create: bool) -> Batch | None:
        """The batch of a job by its id or, where that was never noted, by its name; otherwise a new one, or None."""
        if job["batch"] is None:
            named = (
                batch for batch in self._client.batches.list() if (batch.metadata or {}).get("flans") == job["name"]
            )
            return next(named, None) or (self._create(job) if create else None)
        try:
            return self._client.batches.retrieve(job["batch"])
        except openai.NotFoundError:
            raise InputError(
                path,
                f"the server doesn't know the batch {job['batch']}",
                "set OPENAI_BASE_URL and the key as they were when it was created, or delete the file to give it up",
            ) from None

    def _create(self, job: dict[str, Any]) -> Batch:
        lines = [
            {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": line["body"]}
            for key, line in job["lines"].items()
        ]
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        uploaded = self._client.files.create(file=(f"{job['name']}.jsonl", content), purpose="batch")
        return self._client.batches.create(
            input_file_id=uploaded.id, endpoint=ENDPOINT, completion_window="24h", metadata={"flans": job["name"]}
        )

    def _collect(self, job: dict[str, Any], batch: Batch) -> dict[str, Exception]:
        errors = batch.errors.data if batch.errors and batch.errors.data else []
        why = "; ".join(str(error.message) for error in errors) or "no answer to this call"
        if any(error.code == TOO_LARGE for error in errors) and len(job["lines"]) > 1:
            self._lines = len(job["lines"]) // 2
        problems: dict[str, Exception] = {key: Passing(f"batch {batch.status}: {why}") for key in job["lines"]}
        for file in filter(None, (batch.output_file_id, batch.error_file_id)):
            for text in self._steadily(self._client.files.content, file).text.split("\n"):
                try:
                    line = json.loads(text)
                    key, answer = line["custom_id"], line.get("response") or {}
                    if key not in problems:
                        continue
                    if answer.get("status_code") != 200:
                        status = answer.get("status_code") or 500
                        self._chat.structured &= status not in (400, 422)
                        kind = Refused if 400 <= status < 500 and status not in (408, 409, 429) else Passing
                        problems[key] = kind(f"{line.get('error') or answer}")
                        continue
                    response = response_of_body(answer["body"])
                except (ValueError, KeyError, TypeError, IndexError):
                    continue
                if key not in self.store:
                    self.store.put(key, response, job["lines"][key]["call"])
                del problems[key]
        return problems

    def _steadily(self, action: Callable[..., T], *args: Any) -> T:
        """Do it again where it fails in passing.

        Raises:
            InputError: It doesn't pass.
        """
        for attempt in count():
            try:
                return action(*args)
            except openai.APIError as error:
                failure = cured(error) if isinstance(error, openai.APIStatusError) else Passing(str(error))
                if not isinstance(failure, Passing) or attempt == TRIES - 1:
                    raise mend(self.params, failure) from None
                time.sleep(max(failure.wait or 0.0, pause(attempt)))
        raise AssertionError


def response_of_body(body: dict[str, Any]) -> Response:
    """What the store keeps of a chat completion.

    Raises:
        KeyError, TypeError, IndexError: It isn't one.
    """
    choice, usage = body["choices"][0], body.get("usage") or {}
    refused = bool(choice["message"].get("refusal"))
    return Response(
        text=choice["message"].get("content") or "",
        finish_reason="refusal" if refused else choice.get("finish_reason"),
        tokens_in=usage.get("prompt_tokens"),
        tokens_out=usage.get("completion_tokens"),
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
