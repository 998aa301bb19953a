"""The offline provider: a chat model without a language model, whose requests and sentences come from grammars.

It reads the same messages as any other provider, so that the whole pipeline runs with no network and no key, and it is
deterministic: its randomness comes from the messages and the seed alone.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from prompts.composer import Request, compose
from prompts.kinds import kinds
from prompts.quoting import quotes
from prompts.sentences import sentences

SOURCES = tuple(
    Path(__file__).with_name(name)
    for name in (
        "grammar.yaml",
        "grammar_organs.yaml",
        "grammar_words.yaml",
        "grammar.py",
        "phrases.py",
        "quoting.py",
        "composer.py",
        "sentences.yaml",
        "sentences.py",
        "offline.py",
    )
)
_PASSAGE = re.compile(r"<passage[^>]*>(.*?)</passage>", re.DOTALL)


@cache
def grammar_version() -> str:
    """A hash of the grammar and of the code that speaks it: provenance, and part of the response store's key."""
    digest = hashlib.sha256()
    for source in SOURCES:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def requests(spec: dict[str, Any], passages: list[str], seed: int) -> Iterator[str]:
    """Endless requests for the cell that `spec` describes (keys kind, target, style), with repetitions.

    Args:
        passages: Report passages; a finding that they name is preferred as a reason, and short phrases are taken up.
    """
    rng = random.Random(seed)
    quoted = quotes(passages, kinds()[spec["kind"]].intents[spec["target"]])
    request = Request(spec["kind"], spec["target"], spec["style"], " ".join(passages).lower(), quoted)
    while True:
        yield compose(request, rng)


class OfflineChatModel(BaseChatModel):
    """Answers with a JSON array of requests, or of sentences for `prompts.synthesis`.

    No language model is used, and none is claimed.
    """

    seed: int = 0

    @property
    def _llm_type(self) -> str:
        return "grammar"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt = "\n".join(str(message.content) for message in messages)
        human = str(messages[-1].content)
        spec, _ = json.JSONDecoder().raw_decode(human, human.index("{"))
        digest = hashlib.sha256(f"{self.seed if seed is None else seed}\n{prompt}".encode()).digest()
        own_seed = int.from_bytes(digest[:8], "big")
        if spec.get("task") == "sentences":
            source = sentences(spec["organ"], spec["style"], own_seed)
        else:
            source = requests(spec, _PASSAGE.findall(human), own_seed)
        answer = list(dict.fromkeys(next(source) for _ in range(spec["count"])))
        message = AIMessage(json.dumps(answer, ensure_ascii=False), response_metadata={"finish_reason": "stop"})
        return ChatResult(generations=[ChatGeneration(message=message)])
