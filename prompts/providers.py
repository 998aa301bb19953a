"""Who writes the requests: chat models by name, behind LangChain's interface.

Address, key, concurrency and timeout come from the environment; they change no result and are written nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from corpus.errors import InputError
from corpus.params import params_dataclass


@params_dataclass
class ModelParams:
    """Whom to ask, and how."""

    provider: str = "offline"
    """A name of `PROVIDERS`."""
    model: str = "grammar-1"
    """The model's name, as the provider knows it."""
    seed: int = 0
    temperature: float | None = 0.9
    """None for models that take no temperature."""
    price_in: float | None = None
    """Price of a million tokens read, in any currency; None: unknown, and so is the cost."""
    price_out: float | None = None
    """Price of a million tokens written."""


@dataclass(frozen=True)
class Provider:
    """One way to reach a chat model."""

    build: Callable[[ModelParams], BaseChatModel]
    parameters: Callable[[ModelParams], dict[str, Any]]
    """What decides a response beside the messages and the seed: kept with every prompt, and part of the store's key."""
    language_model: bool
    concurrency: int
    """Calls under way at the same time, unless FLANS_CONCURRENCY says otherwise."""


def _number(variable: str, default: float) -> float:
    """A positive number from the environment."""
    text = os.environ.get(variable, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = 0.0
    if number <= 0:
        raise InputError(
            f"the environment variable {variable}",
            f"must be a positive number, but found {text!r}",
            "correct or unset it",
        )
    return number


def _offline(params: ModelParams) -> BaseChatModel:
    from prompts.offline import OfflineChatModel

    if params.model != "grammar-1":
        raise InputError(
            "params.yaml generate.model",
            f"the offline provider has one model, grammar-1, but found {params.model!r}",
            "write `model: grammar-1`, or choose another provider",
        )
    return OfflineChatModel(seed=params.seed)


def _offline_parameters(params: ModelParams) -> dict[str, Any]:
    from prompts.offline import grammar_version

    return {"grammar": grammar_version(), "language_model": False}


def _openai(params: ModelParams) -> BaseChatModel:
    """Any server that speaks OpenAI's chat completions."""
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        raise InputError(
            "the environment variable OPENAI_API_KEY",
            "is not set, and the provider `openai` needs it",
            "export OPENAI_API_KEY=... (any text if the server needs none); OPENAI_BASE_URL is the server's address",
        )
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    return ChatOpenAI(
        model=params.model,
        temperature=params.temperature,
        base_url=os.environ.get("OPENAI_BASE_URL") or None,
        api_key=SecretStr(key),
        timeout=_number("FLANS_TIMEOUT", 120),
        max_retries=5,  # the client's own, with backoff and jitter; nothing above it retries a call within a round
    )


def _openai_parameters(params: ModelParams) -> dict[str, Any]:
    return {"temperature": params.temperature}


PROVIDERS: dict[str, Provider] = {
    "offline": Provider(_offline, _offline_parameters, language_model=False, concurrency=1),
    "openai": Provider(_openai, _openai_parameters, language_model=True, concurrency=8),
}


def provider(params: ModelParams) -> Provider:
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


def chat_model(params: ModelParams) -> BaseChatModel:
    """The chat model that `params` name; it takes `seed=` with every call.

    Raises:
        InputError: An unknown provider or model, or a missing key.
    """
    return provider(params).build(params)


def concurrency(params: ModelParams) -> int:
    """How many calls may be under way at the same time."""
    return max(1, int(_number("FLANS_CONCURRENCY", provider(params).concurrency)))


def cost(params: ModelParams, tokens_in: int | None, tokens_out: int | None) -> float | None:
    """The price of a response; None where a price or a token count is unknown. Without a language model it is 0."""
    if not provider(params).language_model:
        return 0.0
    if params.price_in is None or params.price_out is None or tokens_in is None or tokens_out is None:
        return None
    return round((tokens_in * params.price_in + tokens_out * params.price_out) / 1e6, 9)
