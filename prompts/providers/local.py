"""The local provider: a small language model in this process, whose every text is held to a grammar of its cell.

Left free, a model of 135 million parameters writes a usable request in one try of five. Here it is given how a text
begins and what it asks for, and a GBNF grammar bounds the words with which it goes on. Texts with words that neither
English nor the vocabulary knows, or that repeat themselves or break off, are thrown away (and counted as tokens
written).
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
from pydantic import PrivateAttr, TypeAdapter

from corpus.errors import InputError
from corpus.params import params_dataclass, read_yaml
from prompts.composer import Request, noun_phrase
from prompts.grammar import pick
from prompts.intent import Intent
from prompts.kinds import kinds
from prompts.offline import grammar_version
from prompts.phrases import organ_phrases
from prompts.providers.llama import MODEL, SHA256, Llama, Written
from prompts.wording.lexicon import known_words

MANNERS = Path(__file__).with_name("local.yaml")
TRIES = 3
"""Texts written for each one that is wanted, before a call ends with fewer."""
_BREAKS_OFF = re.compile(
    r"\b(?:an?|the|my|your|his|their|our|this|these|those|of|in|on|at|to|for|from|by|with|without|about|and|or|but|if|as|than|i|"
    r"was|were|be|been|am|has|have|had|can|could|will|would|may|might|very|so|because|since|before|who|which|when|why|"
    r"how|do|does|did|not|no|most|between|under|into|i'm|we|they|he|she|upper|lower|right|left)[.?]$"
)
_QUESTION = re.compile(r"(?:can|could|would) ", re.IGNORECASE)


@params_dataclass
class Manner:
    """How texts of one kind are written in one style; local.yaml says what each field means."""

    introduction: str
    examples: tuple[str, ...]
    openings: tuple[tuple[str, ...], ...]
    bridges: tuple[str, ...]
    words: tuple[int, int]
    reasons: tuple[str, ...]

    @property
    def prefix(self) -> str:
        """What the model reads before every text: the same for all texts of this manner."""
        return "\n".join((self.introduction, *self.examples, ""))


@cache
def _manners() -> dict[str, dict[str, Manner]]:
    return TypeAdapter(dict[str, dict[str, Manner]]).validate_python(read_yaml(MANNERS))


@cache
def writer_version() -> str:
    """A hash of the model, its grammars and this code: provenance, and part of the response store's key. How targets
    are called, it has from the offline grammar."""
    sources = (MANNERS, Path(__file__), Path(__file__).with_name("llama.py"))
    versions = (SHA256 + grammar_version()).encode()
    return hashlib.sha256(versions + b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower())


class Cell:
    """What one call is about: how its target is called, and why one might ask for it."""

    def __init__(self, spec: dict[str, Any]) -> None:
        """Raises: InputError: local.yaml or the grammar doesn't know the kind or the style."""
        self.kind: str | None = spec.get("kind")
        self.target: str = spec.get("target") or spec["organ"]
        self.style: str = spec["style"]
        intent = (
            kinds()[self.kind].intents[self.target] if self.kind else Intent("anatomy", self.target, None, "patient")
        )
        self.named = intent.kind == "anatomy"
        self.organ = organ_phrases(str(intent.organ)) if self.named else None
        try:
            self.manner = _manners()["sentences" if self.kind is None else "organs" if self.named else "pictures"][
                self.style
            ]
        except KeyError as error:
            raise InputError(
                MANNERS,
                f"the local provider can't write {self.kind or 'sentences'}/{self.target}/{self.style}: no {error}",
                "add it there, take the kind out of generate.per_cell, or choose another provider",
            ) from None

    def phrase(self, rng: random.Random) -> str:
        """One way to call the target."""
        if self.kind is None:
            return self.target
        return noun_phrase(Request(self.kind, self.target, self.style), rng)

    def reason(self, rng: random.Random) -> str:
        """One reason to ask."""
        own: tuple[str, ...] = ()
        if self.organ:
            lay = self.style == "lay"
            own = self.organ.findings if self.kind is None else self.organ.reasons + self.organ.purposes
            own = self.organ.clauses if lay else own
        return pick(own if own and rng.random() < 0.7 else self.manner.reasons, rng)


def beginning(manner: Manner, phrase: str, rng: random.Random) -> str:
    """How a text begins, up to and with its target. Given to the model rather than forced upon it word by word, which
    would take as long and choose worse."""
    return f"{pick(pick(manner.openings, rng), rng)} {phrase}"


def gbnf(manner: Manner, begins: str) -> str:
    """A grammar of what may follow such a beginning: a bridge, and a few words of the model's."""
    low, high = manner.words
    mark = "?" if _QUESTION.match(begins) else "."
    return "\n".join(
        (
            f'root ::= " " bridge (" " word){{{low},{high}}} "{mark}"',
            "bridge ::= " + " | ".join(json.dumps(text) for text in manner.bridges),
            'word ::= "I" | [a-z] [a-z\'-]{0,14}',
        )
    )


def reads_well(text: str, phrase: str) -> bool:
    """Whether the words after the target's `phrase` are words, say nothing twice, and come to an end. The phrase itself
    may: "just right of the right kidney"."""
    own = _words(text.partition(phrase)[2])
    said, added = (_stems(words) for words in (_words(phrase), own))
    return (
        known_words() >= set(own)
        and len(set(added)) == len(added)
        and not set(said) & set(added)
        and not _BREAKS_OFF.search(text)
    )


def _stems(words: list[str]) -> list[str]:
    """The beginnings of the longer words, by which they are told apart."""
    return [word[:6] for word in words if len(word) > 4]


class LocalChatModel(BaseChatModel):
    """Answers with a JSON array of requests, or of sentences for `prompts.synthesis`.

    Of the messages it reads the cell alone, since rules and passages confuse a model of this size. Calls under way at
    the same time each load a model of their own, which runs on one core.
    """

    temperature: float = 0.9
    _idle: list[Llama] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return MODEL

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        seed: int = 0,
        **kwargs: Any,
    ) -> ChatResult:
        human = str(messages[-1].content)
        spec, _ = json.JSONDecoder().raw_decode(human, human.index("{"))
        try:
            llama = self._idle.pop()
        except IndexError:
            llama = Llama()
        texts: dict[str, None] = {}
        read = written = 0
        try:
            for draft, good in self._drafts(llama, Cell(spec), spec["count"] * TRIES, random.Random(seed)):
                read, written = read + draft.tokens_in, written + draft.tokens_out
                if good:
                    texts[draft.text] = None
                if len(texts) == spec["count"]:
                    break
        finally:
            self._idle.append(llama)
        message = AIMessage(
            json.dumps(list(texts), ensure_ascii=False),
            response_metadata={"finish_reason": "stop"},
            usage_metadata={"input_tokens": read, "output_tokens": written, "total_tokens": read + written},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _drafts(self, llama: Llama, cell: Cell, most: int, rng: random.Random) -> Iterator[tuple[Written, bool]]:
        """Up to `most` texts, and whether each can be used."""
        for _ in range(most):
            phrase, reason = cell.phrase(rng), cell.reason(rng)
            begins, seed = beginning(cell.manner, phrase, rng), int(rng.random() * 2**31)
            grammar, prompt = gbnf(cell.manner, begins), f"{reason} => {begins}"
            draft = llama.complete(cell.manner.prefix, prompt, grammar, self.temperature, seed)
            text = f"{begins}{draft.text}"
            yield Written(text, draft.tokens_in, draft.tokens_out), reads_well(text, phrase)
