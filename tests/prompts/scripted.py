"""A chat model that answers as a test tells it to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field


class Scripted(BaseChatModel):
    """Answers with what `reply` returns for the cell's specification; an exception fails the call."""

    reply: Callable[[dict[str, Any]], Any]
    asked: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        human = str(messages[-1].content)
        spec, _ = json.JSONDecoder().raw_decode(human, human.index("{"))
        self.asked.append(spec | kwargs)
        reply = self.reply(spec)
        text, finish = reply if isinstance(reply, tuple) else (reply, "stop")
        message = AIMessage(
            text,
            response_metadata={"finish_reason": finish},
            usage_metadata={"input_tokens": 100, "output_tokens": 30, "total_tokens": 130},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])
