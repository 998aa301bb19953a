"""Calls to a chat model: what was answered before comes from the store; every answer is stored before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda

from corpus.errors import InputError
from prompts.response_store import Response, ResponseStore


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


def ask(
    calls: Sequence[Call], model: BaseChatModel, store: ResponseStore, concurrency: int
) -> tuple[int, list[Exception]]:
    """Ask what the store doesn't hold; a failed call is noted in the store, and never as a response.

    Returns:
        How many calls were answered now, and what the failed ones failed with.

    Raises:
        InputError: A response can't be stored.
    """

    def invoke(call: Call) -> None:
        message = model.invoke(list(call.messages), seed=call.seed)
        usage = getattr(message, "usage_metadata", None) or {}
        response = Response(
            text=str(message.text),
            finish_reason=message.response_metadata.get("finish_reason"),
            tokens_in=usage.get("input_tokens"),
            tokens_out=usage.get("output_tokens"),
        )
        store.put(call.key, response, dict(call.described))

    fresh = [call for call in calls if call.key not in store]
    config: RunnableConfig = {"max_concurrency": concurrency}
    outcomes = RunnableLambda(invoke).batch(fresh, config=config, return_exceptions=True) if fresh else []
    failures: list[Exception] = []
    for call, outcome in zip(fresh, outcomes, strict=True):
        if isinstance(outcome, InputError):
            raise outcome
        if isinstance(outcome, Exception):
            store.put_failure(call.key, outcome, dict(call.described))
            failures.append(outcome)
    return len(fresh) - len(failures), failures
