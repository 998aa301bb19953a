"""Which way a provider is asked: call by call, or in batches."""

from __future__ import annotations

from langchain_core.language_models.chat_models import BaseChatModel

from prompts.providers.asking import Asker
from prompts.providers.chat import ProviderParams, provider
from prompts.providers.response_store import ResponseStore


def asker(params: ProviderParams, model: BaseChatModel, store: ResponseStore, concurrency: int) -> Asker:
    """The way to ask the provider that `params` name."""
    if provider(params).batch:
        # It brings the openai package, which no other provider has to wait for.
        from prompts.providers.batch import BatchAsker

        return BatchAsker(params, model, store, concurrency)
    return Asker(params, model, store, concurrency)
