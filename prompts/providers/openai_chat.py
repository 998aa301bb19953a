"""Any server that speaks OpenAI's chat completions: structured output where there is any; failures sorted by cure."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import openai
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI

from prompts.providers.pace import Busy, Fatal, Passing, Refused

RESPONSE_FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "requests",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"requests": {"type": "array", "items": {"type": "string"}}},
            "required": ["requests"],
            "additionalProperties": False,
        },
    },
}
"""An array of strings. OpenAI wants an object around it; `prompts.providers.parsing` reads either."""
LONGEST_WAIT = 600.0
"""Seconds. A server that wants to be left alone for longer ends the run."""


class OpenAIChat(ChatOpenAI):
    """Asks for structured output until the server refuses it once, and from then on for plain text.

    Raises:
        Passing, Busy, Refused, Fatal: See `prompts.providers.pace`.
    """

    structured: bool = True

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.structured:
            # A field of the body and not the client's `response_format`, which throws away answers that were cut off.
            body = {"response_format": RESPONSE_FORMAT}
            try:
                return self._once(messages, stop, run_manager, extra_body=body, **kwargs)
            except Refused:  # refuses the format, or the call itself, which then fails again
                result = self._once(messages, stop, run_manager, **kwargs)
            self.structured = False
            return result
        return self._once(messages, stop, run_manager, **kwargs)

    def _once(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            result = super()._generate(*args, **kwargs)
        except openai.APIStatusError as error:
            raise cured(error) from None
        except openai.APIError as error:
            raise Passing(_told(error)) from None
        except (ValueError, KeyError, TypeError) as error:
            raise Passing(f"an answer that isn't one: {type(error).__name__}: {error}") from None
        if not result.generations:
            raise Passing("an answer without choices")
        return result


def cured(error: openai.APIStatusError) -> Exception:
    """The error as what can be done about it."""
    status, problem = error.status_code, _told(error)
    wait = retry_after(error.response.headers)
    if status in (401, 404) or error.code == "insufficient_quota":
        return Fatal(problem)
    if wait is not None and wait > LONGEST_WAIT:
        return Fatal(f"{problem}; the server wants to be asked again in {wait:.0f} seconds")
    if status in (429, 503, 529):
        return Busy(problem, wait)
    return Passing(problem, wait) if status in (408, 409) or status >= 500 else Refused(problem)


def _told(error: openai.APIError) -> str:
    """What an error says, without the key, which some servers repeat: it is written to the store of responses."""
    said = f"{type(error).__name__}: {error.message}"
    key = os.environ.get("OPENAI_API_KEY")
    return said.replace(key, "(the key)") if key else said


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks for: a number or, as HTTP allows too, a date."""
    text = headers.get("retry-after")
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
