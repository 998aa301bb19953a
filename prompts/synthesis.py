"""Synthetic sentences (S3): clinical sentences about every structure, from the chat model that writes the requests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.prompts import ChatPromptTemplate

from corpus.anatomy import ORGANS, Organ, named_organs
from corpus.params import check_least, params_dataclass
from corpus.reports.passages import passages_of
from corpus.reports.passages import sentences as sentences_of
from corpus.reports.readers import SYNTHETIC, Report
from prompts.kinds import styles
from prompts.providers.askers import asker
from prompts.providers.asking import call_key, mend, seed_of
from prompts.providers.chat import ProviderParams
from prompts.providers.parsing import parse_candidates
from prompts.providers.response_store import ResponseStore

STYLES = ("expert", "lay")
MIN_WORDS, MAX_WORDS = 5, 40


@params_dataclass
class SynthesisParams:
    """Section `synthesize` of params.yaml."""

    per_organ: int = 8
    """Sentences for each organ and style; 0 for none."""

    def __post_init__(self) -> None:
        check_least(self, per_organ=0)


@dataclass(frozen=True)
class Question:
    """One call: sentences about one organ in one style."""

    organ: Organ
    style: str
    seed: int
    messages: tuple[BaseMessage, ...]
    key: str
    described: Mapping[str, object]

    @property
    def report_id(self) -> str:
        return f"s3-{self.organ.name.replace(' ', '-')}-{self.style}"


@dataclass(frozen=True)
class Synthesis:
    """The passages, what was left out and why, and what this run did to get them."""

    passages: pd.DataFrame
    left_out: Counter[str]
    asked: int
    """Calls that the provider answered in this run; all others came from the store."""
    failed: int
    """Calls that failed in this run. They are asked again in the next."""
    stopped: str | None
    """Why some weren't asked: the budget."""


_TEMPLATE = ChatPromptTemplate.from_messages(
    [
        (
            "system",
            "You write sentences as they stand in radiology reports, or as patients write them to their doctors.\n\n"
            "Task: short clinical sentences about one abdominal structure. Take turns: a finding in it, an indication "
            "to examine it, how it is seen on CT.\n\n"
            "The people: {voice}.\nEvery item is one sentence of {low} to {high} English words, names the structure, "
            "and is worded unlike the others. No names of people, no dates, no numbers of records.\n\n"
            "Answer with a JSON array of strings and with nothing else.",
        ),
        ("human", "{spec}"),
    ]
)


def _question(params: ProviderParams, organ: Organ, style: str, count: int) -> Question:
    known = ("synonyms", "adjectives", "lay", "functions", "landmarks", "contexts")
    spec = {
        "task": "sentences",
        "organ": organ.name,
        **{name: list(texts) for name in known if (texts := getattr(organ, name))},
        "style": style,
        "count": count,
    }
    messages = _TEMPLATE.format_messages(
        voice=styles()[style].voice, low=MIN_WORDS, high=MAX_WORDS, spec=json.dumps(spec, ensure_ascii=False, indent=1)
    )
    cell = f"sentences/{organ.name}/{style}"
    seed = seed_of(params.seed, cell)
    key = call_key(params, seed, messages)
    described = {"provider": params.provider, "model": params.model, "cell": cell, "seed": seed}
    return Question(organ, style, seed, tuple(messages), key, described)


def plan(synthesis: SynthesisParams, params: ProviderParams) -> list[Question]:
    """The calls, in the order organ, style."""
    count = synthesis.per_organ
    return [_question(params, organ, style, count) for organ in ORGANS for style in STYLES] if count else []


def _problem(text: str, organ: Organ) -> str | None:
    """Why a candidate can't be used, or None."""
    if not MIN_WORDS <= len(text.split()) <= MAX_WORDS:
        return "length"
    if len(list(sentences_of(text))) != 1:
        return "not one sentence"
    return None if organ.name in named_organs(text) else "organ not named"


def synthesize(
    synthesis: SynthesisParams, params: ProviderParams, model: BaseChatModel, store: ResponseStore, concurrency: int = 1
) -> Synthesis:
    """Synthetic passages (tag S3), one sentence each, in the order organ, style.

    Args:
        params: Whom `model` is, as in section `generate`.

    Raises:
        InputError: Calls failed and none was ever answered, or a response can't be stored.
    """
    count = synthesis.per_organ
    questions = plan(synthesis, params)
    asking = asker(params, model, store, concurrency)
    asked = asking.ask(questions)
    answered = [question for question in questions if question.key in store]
    if asked.failures and not answered:
        *_, last = asked.failures.values()
        raise mend(params, f"answered none of {len(asked.failures)} calls; the last error: {last}")
    left_out: Counter[str] = Counter()

    def reports() -> Iterator[Report]:
        for question in answered:
            response = store.get(question.key)
            for text in parse_candidates(response.text, response.finish_reason == "length")[:count]:
                if problem := _problem(text, question.organ):
                    left_out[problem] += 1
                else:
                    yield Report(question.report_id, text, SYNTHETIC, "S3", question.style)

    passages, dropped = passages_of(reports())
    # "Impression: ..." in a lone sentence is a manner of speaking, not a section of a report.
    left_out += dropped
    return Synthesis(passages.assign(section=""), left_out, asked.answered, len(asked.failures), asking.stopped)
