"""Who writes the requests: chat models by name, behind LangChain's interface.

Address, key, concurrency and timeout come from the environment; they change no result and are written nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from corpus.environment import positive_number, whole_number
from corpus.errors import InputError
from corpus.params import check_least, params_dataclass
from prompts.providers import llama
from prompts.providers.spending import Budget, Prices, Usage

OFFLINE_MODEL, LOCAL_MODEL = "grammar-1", llama.MODEL
"""The one model of each provider that needs no server."""


@params_dataclass
class ProviderParams:
    """Whom to ask, and how."""

    provider: str = "offline"
    """A name of `PROVIDERS`."""
    model: str = OFFLINE_MODEL
    """The model's name, as the provider knows it."""
    seed: int = 0
    temperature: float | None = 0.9
    """None for models that take no temperature."""
    max_tokens: int = 2048
    """The longest answer to one call; what is cut off there loses its last request."""
    prices: Prices | None = None
    """None: unknown, and so is the cost."""
    budget: Budget = Budget()
    """Asking stops before it is passed."""

    def __post_init__(self) -> None:
        check_least(self, temperature=0)
        if self.budget.cost is not None and self.prices is None:
            raise ValueError("budget.cost needs prices: {input: ..., output: ...}, of a million tokens")


@dataclass(frozen=True)
class Provider:
    """One way to reach a chat model."""

    build: Callable[[ProviderParams], BaseChatModel]
    parameters: Callable[[ProviderParams], dict[str, Any]]
    """What decides a response beside the messages and the seed: kept with every prompt, and part of the store's key."""
    family: str
    """Part of the store's key. Providers of one family answer alike: what one has answered, no other is asked."""
    remedy: str
    """What to do where it can't be asked, to complete "... and run again"."""
    language_model: bool = True
    billed: bool = True
    """Whether its tokens cost money."""
    concurrency: int = 1
    """The most calls under way at the same time, unless FLANS_CONCURRENCY says otherwise."""
    batch: bool = False
    """Whether it answers through the batch endpoint."""


def _only(model: str, params: ProviderParams) -> None:
    if params.model != model:
        raise InputError(
            "params.yaml generate.model",
            f"the provider {params.provider} has one model, {model}, but found {params.model!r}",
            f"write `model: {model}`, or choose another provider",
        )


def _offline(params: ProviderParams) -> BaseChatModel:
    from prompts.offline import OfflineChatModel

    _only(OFFLINE_MODEL, params)
    return OfflineChatModel(seed=params.seed)


def _offline_parameters(params: ProviderParams) -> dict[str, Any]:
    from prompts.offline import grammar_version

    return {"grammar": grammar_version(), "language_model": False}


def _openai(params: ProviderParams) -> BaseChatModel:
    """Any server that speaks OpenAI's chat completions."""
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise InputError(
            "the environment variable OPENAI_API_KEY",
            "is not set, and the provider `openai` needs it",
            "export OPENAI_API_KEY=... (any text if the server needs none); OPENAI_BASE_URL is the server's address",
        )
    from pydantic import SecretStr

    from prompts.providers.openai_chat import OpenAIChat

    return OpenAIChat(
        model=params.model,
        temperature=params.temperature,
        max_completion_tokens=params.max_tokens,
        base_url=os.environ.get("OPENAI_BASE_URL") or None,
        api_key=SecretStr(key),
        timeout=positive_number("FLANS_TIMEOUT", 120),
        max_retries=0,  # prompts/providers/asking.py tries again, and retries multiply
        use_responses_api=False,
    )


def _openai_parameters(params: ProviderParams) -> dict[str, Any]:
    return {"temperature": params.temperature, "max_tokens": params.max_tokens}


def _local(params: ProviderParams) -> BaseChatModel:
    _only(LOCAL_MODEL, params)
    from prompts.providers.local import LocalChatModel

    llama.model_file()  # what is missing is said before the first call
    return LocalChatModel(temperature=1.0 if params.temperature is None else params.temperature)


def _local_parameters(params: ProviderParams) -> dict[str, Any]:
    from prompts.providers.local import writer_version

    return {"temperature": params.temperature, "writer": writer_version()}


_ANOTHER = "choose another provider in generate.provider"
_FREE_MEMORY = "free memory, lower FLANS_CONCURRENCY (each call under way loads a model of its own)"
_SERVER = "correct the address (OPENAI_BASE_URL), the key or the model's name"
PROVIDERS: dict[str, Provider] = {
    "offline": Provider(
        _offline, _offline_parameters, "offline", f"mend the grammar or {_ANOTHER}", language_model=False, billed=False
    ),
    "local": Provider(_local, _local_parameters, "local", f"{_FREE_MEMORY} or {_ANOTHER}", billed=False),
    "openai": Provider(_openai, _openai_parameters, "openai", _SERVER, concurrency=8),
    "openai-batch": Provider(_openai, _openai_parameters, "openai", _SERVER, batch=True),
}


def provider(params: ProviderParams) -> Provider:
    """The provider that `params` name.

    Raises:
        InputError: There is none of this name.
    """
    if params.provider not in PROVIDERS:
        raise InputError(
            "params.yaml generate.provider",
            f"must be one of {', '.join(PROVIDERS)}, but found {params.provider!r}",
            "correct it",
        )
    return PROVIDERS[params.provider]


def chat_model(params: ProviderParams) -> BaseChatModel:
    """The chat model that `params` name; it takes `seed=` with every call.

    Raises:
        InputError: An unknown provider or model, or a missing key.
    """
    return provider(params).build(params)


def concurrency(params: ProviderParams) -> int:
    """How many calls may be under way at the same time."""
    return whole_number("FLANS_CONCURRENCY", provider(params).concurrency)


def cost(params: ProviderParams, tokens_in: int | None, tokens_out: int | None) -> float | None:
    """The price of a response; None where a price or a token count is unknown. What runs on this machine costs 0."""
    if not provider(params).billed:
        return 0.0
    if params.prices is None or tokens_in is None or tokens_out is None:
        return None
    return Usage(tokens_in, tokens_out).cost(params.prices)
