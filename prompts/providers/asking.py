"""Calls to a chat model: what was answered before comes from the store; every answer is stored before it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

from corpus.errors import InputError
from prompts.providers.chat import ProviderParams, provider
from prompts.providers.pace import Fatal, Halted, Pace, Passing, pause
from prompts.providers.response_store import Response, ResponseStore, response_key
from prompts.providers.spending import Budget, Ledger, Usage, characters, most_tokens

TRIES = 8
"""Tries of one call, with about a minute of pauses between them."""
HOPELESS = 12
"""Calls given up one after the other, after which no further one is tried."""


class Call(Protocol):
    """One request to a chat model."""

    @property
    def key(self) -> str:
        """Of its response in the store."""
        ...

    @property
    def seed(self) -> int: ...

    @property
    def messages(self) -> tuple[BaseMessage, ...]: ...

    @property
    def described(self) -> Mapping[str, Any]:
        """What the store notes beside the response."""
        ...


def seed_of(*parts: object) -> int:
    """31 bits that all of `parts` decide."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def call_key(params: ProviderParams, seed: int, messages: Sequence[BaseMessage]) -> str:
    """What stands for a call in the store of responses: all that decides the answer."""
    asked = provider(params)
    texts = [(message.type, str(message.content)) for message in messages]
    return response_key(asked.family, params.model, asked.parameters(params) | {"seed": seed}, texts)


@dataclass
class Asked:
    """What came of some calls. Those that are neither in the store nor among `failures` weren't asked."""

    answered: int = 0
    """Calls that the provider answered now."""
    failures: dict[str, Exception] = field(default_factory=dict)
    """Key -> what the call failed with in the end."""


def ledger(params: ProviderParams, store: ResponseStore) -> Ledger:
    """The budget of `params`, less what the store says was spent; without limit where nothing is billed."""
    budget = params.budget if provider(params).billed else Budget()
    return Ledger(budget, params.prices, store.usage(params.provider, params.model))


def worst_usage(call: Call, params: ProviderParams) -> Usage:
    """More tokens than a call can take."""
    return Usage(most_tokens(characters(call.messages)), params.max_tokens)


def noted(call: Call) -> dict[str, Any]:
    """What the store keeps beside a call's response: its length stands in for token counts that a server leaves out."""
    return {**call.described, "characters": characters(call.messages)}


def mend(params: ProviderParams, problem: object) -> InputError:
    """Nothing can be asked: what to look at."""
    return InputError(
        f"the provider {params.provider}, model {params.model}",
        f"{problem}",
        f"{provider(params).remedy}, and run again; answers so far are kept",
    )


class Asker:
    """Asks one chat model, as much at once as it bears, within a budget.

    A call that fails in passing is tried again here, with jitter and no sooner than the server wants; nothing below
    retries. A call that fails for good is noted in the store, and never as a response.
    """

    chunk = 64
    """Calls worth handing over together: between chunks the progress moves on."""
    ahead = False
    """Whether all calls that a cell is likely to need are best asked at once."""

    def __init__(self, params: ProviderParams, model: BaseChatModel, store: ResponseStore, concurrency: int) -> None:
        self.params, self.model, self.store = params, model, store
        self.ledger = ledger(params, store)
        self.pace = Pace(concurrency)
        self.stopped: str | None = None
        """Why nothing more is asked, though there was more to ask."""
        self._in_a_row = 0

    def ask(self, calls: Sequence[Call]) -> Asked:
        """Ask what the store doesn't hold, in the order of `calls` as far as the budget goes.

        Raises:
            InputError: No call can succeed, or a response can't be stored. What was answered until then is stored.
        """
        self.store.refresh()
        self.ledger.spent = self.store.usage(self.params.provider, self.params.model)  # by other processes, too
        fresh = {call.key: call for call in calls if call.key not in self.store}
        asked = Asked()
        if not fresh or self.stopped:
            return asked
        with ThreadPoolExecutor(self.pace.most) as pool:
            try:
                under_way: dict[str, Future[bool]] = {}
                for key, call in fresh.items():
                    worst = worst_usage(call, self.params)
                    if self.pace.halt.is_set():
                        break
                    if not self.ledger.reserve(worst):
                        self.stopped = f"the budget is spent: {self.ledger}"
                        break
                    under_way[key] = pool.submit(self._answer, call, worst)
                for key, future in under_way.items():
                    try:
                        asked.answered += future.result()
                    except Exception as error:
                        asked.failures[key] = error
            except BaseException:
                self.pace.halt.set()
                raise
        for key, failure in asked.failures.items():
            if isinstance(failure, InputError):
                raise failure
            self.store.put_failure(key, failure, noted(fresh[key]))
        if self.pace.halt.is_set():
            failures = list(asked.failures.values())
            fatal = next((failure for failure in failures if isinstance(failure, Fatal)), None)
            raise mend(self.params, fatal or f"{HOPELESS} calls in a row failed, one of them with: {failures[-1]!r}")
        return asked

    def _answer(self, call: Call, worst: Usage) -> bool:
        """Ask until there is an answer, and store it; False where asking has been halted meanwhile."""
        used = Usage()
        try:
            message = self._invoke(call)
            if message is None:
                return False
            response = response_of(message)
            self.store.put(call.key, response, noted(call))
            used = response.usage(characters(call.messages))
            self._in_a_row = 0
            return True
        except Exception as error:
            self._in_a_row += 1
            if isinstance(error, Fatal | InputError) or self._in_a_row >= HOPELESS:
                self.pace.halt.set()
            raise
        finally:
            self.ledger.settle(worst, used)

    def _invoke(self, call: Call) -> AIMessage | None:
        for attempt in count(1):
            try:
                with self.pace.slot(attempt - 1):
                    return self.model.invoke(list(call.messages), seed=call.seed)
            except Halted:
                break
            except Passing as error:
                if attempt == TRIES:
                    raise
                self.pace.halt.wait(max(error.wait or 0.0, pause(attempt - 1)))
        return None


def response_of(message: AIMessage) -> Response:
    """What the store keeps of an answer. A refusal is one, too: asked again it would be paid for again."""
    usage = message.usage_metadata
    refused = bool(message.additional_kwargs.get("refusal"))
    return Response(
        text=str(message.text),
        finish_reason="refusal" if refused else message.response_metadata.get("finish_reason"),
        tokens_in=usage["input_tokens"] if usage else None,
        tokens_out=usage["output_tokens"] if usage else None,
    )
