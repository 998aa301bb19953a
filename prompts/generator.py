"""Fill the bank: for each cell retrieve passages, ask a chat model, check what it writes, until the cell is full.

Calls go out in rounds, one for each cell that still lacks requests. Every answer is kept by the response store before
it is read, and answers are read in the order of the cells: neither concurrency nor a killed run changes the bank.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage

from corpus.anatomy import ORGANS
from corpus.errors import InputError
from corpus.params import check_least, params_dataclass
from prompts.bank import bank_of, prompt_id
from prompts.checks import Context, run_checks
from prompts.duplicates import Duplicates
from prompts.kinds import Cell, cells, kinds, styles
from prompts.messages import Hit, messages_for
from prompts.providers.askers import asker
from prompts.providers.asking import call_key, mend, seed_of
from prompts.providers.chat import ProviderParams, cost, provider
from prompts.providers.pace import Refused
from prompts.providers.parsing import parse_candidates
from prompts.providers.response_store import Response, ResponseStore
from prompts.written import Written, bare_names, forms, report_sentences, texts_for_nothing

MAX_FAILURES = 2
"""Failed calls after which a cell is left until the next run."""
FRUITLESS = 5
"""Calls of a cell in a row of whose candidates none was accepted, after which it is left as short: each is paid for."""
EMPTY = 12
"""Answers of which none held a candidate, after which no further call is made: such a model never answers."""


@params_dataclass
class GenerateParams(ProviderParams):
    """Section `generate` of params.yaml."""

    per_cell: dict[str, int] = field(default_factory=lambda: {"anatomy": 60, "position": 100, "size": 100})
    """Kind -> requests wanted in each of its cells (target x style)."""
    candidates: int = 12
    """Requests asked for in one call."""
    passages: int = 3
    """Report passages shown in one call, for kinds that take any."""
    sentences: int = 600
    """Report passages and questions that enter the bank as texts that ask for nothing; they name organs, too."""
    forms: int = 0
    """Structures that each way of asking in forms.yaml is filled with; 0 leaves those texts out."""
    max_calls_per_cell: int = 40
    """Calls after which a cell that isn't full is reported as short."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, candidates=1, max_calls_per_cell=1, passages=0, sentences=0, forms=0)


class Passages(Protocol):
    """What is searched for passages, as `corpus.reports.index.PassageIndex` is."""

    passages: pd.DataFrame

    def search(
        self, queries: Sequence[str], k: int, *, tags: Collection[str] | None, organs: Collection[str] | None
    ) -> Sequence[Sequence[Hit]]:
        """The k nearest passages of each query, best first."""
        ...


@dataclass(frozen=True)
class Call:
    """One question to the model."""

    cell: Cell
    number: int
    seed: int
    messages: tuple[BaseMessage, ...]
    passages: tuple[Hit, ...]
    key: str
    described: Mapping[str, Any]


@dataclass
class Progress:
    """How far a cell has come."""

    wanted: int
    accepted: int = 0
    calls: int = 0
    failures: int = 0
    fruitless: int = 0
    """The last calls, in a row, that brought nothing."""


@dataclass(frozen=True)
class Generated:
    """The bank, its summary (a function of the bank's inputs alone), and what this run did to get it."""

    bank: pd.DataFrame
    summary: dict[str, Any]
    asked: int
    """Calls that the provider answered in this run; all others came from the store."""
    failed: int
    """Calls that failed in this run. They are asked again in the next."""
    stopped: str | None
    """Why cells were left that could have been filled: the budget."""


NO_RESPONSE: dict[str, Any] = {
    "model": "",
    "parameters": "{}",
    "seed": 0,
    "passage_scores": [],
    "response_key": "",
    "cost": 0.0,
}
"""What a response's columns hold in the row of a text that nobody was asked for."""


class Generator:
    """Fills the bank's cells. All state of one run is here; `run` is called once."""

    def __init__(
        self,
        params: GenerateParams,
        model: BaseChatModel,
        store: ResponseStore,
        passages: Passages | None,
        concurrency: int = 1,
    ) -> None:
        self.params, self.store, self.passages = params, store, passages
        self.asker = asker(params, model, store, concurrency)
        self.cells = {cell: Progress(wanted) for cell, wanted in cells(params.per_cell).items()}
        self.duplicates = Duplicates()
        self.parameters = provider(params).parameters(params)
        self._rows: list[dict[str, Any]] = []
        self._seen: set[str] = set()
        self._found: dict[Cell, Sequence[Hit]] = {}
        self._counts: Counter[str] = Counter()
        self._costs: list[float | None] = []
        self._asked = self._failed = 0
        self._error: BaseException | None = None

    def run(self, negatives: Path, advance: Callable[[int], object] = lambda n: None) -> Generated:
        """Fill every cell, or try as often as the parameters allow.

        Args:
            negatives: YAML list of {style, text} that ask for no segmentation; they enter the bank as kind "none".
            advance: Told how many requests were accepted since it was last called.

        Raises:
            InputError: The negatives can't be used, no call at all was answered, answers hold no candidates, or a
                response can't be stored.
        """
        self._take_written(texts_for_nothing(negatives))
        self._take_written(bare_names())
        self._take_written(forms(self.params.forms, self.params.seed))
        if self.passages is not None:
            self._take_written(report_sentences(self.passages.passages, self.params.sentences, self.params.seed))
        while unfilled := [cell for cell, progress in self.cells.items() if self._goes_on(progress)]:
            calls, done = [call for cell in unfilled for call in self._calls(cell)], self._done
            for start in range(0, len(calls), self.asker.chunk):
                chunk = calls[start : start + self.asker.chunk]
                before = self._accepted
                for call, response in zip(chunk, self._ask(chunk), strict=True):
                    self._take(call, response)
                advance(self._accepted - before)
            if self._done == done or self.asker.stopped:
                break
        if self._failed and not self._counts["calls"]:
            raise mend(self.params, f"answered none of {self._failed} calls; the last error: {self._error}")
        return Generated(bank_of(self._rows), self._summary(), self._asked, self._failed, self.asker.stopped)

    @property
    def _accepted(self) -> int:
        return sum(progress.accepted for progress in self.cells.values())

    @property
    def _done(self) -> int:
        """Calls that are over: answered, or refused for good."""
        return sum(progress.calls for progress in self.cells.values())

    def _goes_on(self, progress: Progress) -> bool:
        return (
            progress.accepted < progress.wanted
            and progress.calls < self.params.max_calls_per_cell
            and progress.failures < MAX_FAILURES
            and progress.fruitless < FRUITLESS
        )

    # ---- asking

    def plan(self) -> list[Call]:
        """The calls that fill the bank if every candidate is accepted."""
        return [call for cell in self.cells for call in self._calls(cell, ahead=True)]

    def _calls(self, cell: Cell, ahead: bool | None = None) -> list[Call]:
        """The next call of a cell or, `ahead`, as many as fill it at best."""
        progress = self.cells[cell]
        missing = ceil((progress.wanted - progress.accepted) / self.params.candidates)
        room = self.params.max_calls_per_cell - progress.calls
        count = min(missing, room) if (self.asker.ahead if ahead is None else ahead) else 1
        return [self._call(cell, progress.calls + i) for i in range(count)]

    def _call(self, cell: Cell, number: int) -> Call:
        """A cell's `number`th call. Its seed and its passages are its own, so that calls differ."""
        params = self.params
        seed = seed_of(params.seed, cell.name, number)
        passages = self._passages(cell, number)
        messages = messages_for(cell, number, params.candidates, passages)
        key = call_key(params, seed, messages)
        described = {"provider": params.provider, "model": params.model, "cell": cell.name, "seed": seed}
        return Call(cell, number, seed, tuple(messages), passages, key, described)

    def _passages(self, cell: Cell, number: int) -> tuple[Hit, ...]:
        """Passages for a cell's `number`th call: the best for the first, then the next best, and round again."""
        k = self.params.passages
        if self.passages is None or k == 0 or not kinds()[cell.kind].passages:
            return ()
        if cell not in self._found:
            named = str(cell.intent.organ)
            organs = [named, *(organ.name for organ in ORGANS if named in organ.parts)]
            query = f"{cell.target}, {cell.style} style"
            (hits,) = self.passages.search([query], 8 * k, tags=styles()[cell.style].tags, organs=organs)
            # Synthetic sentences are written for one kind of reader; experts and trainees share theirs.
            voice = "lay" if cell.style == "lay" else "expert"
            fitting = [hit for hit in hits if hit.passage["tag"] != "S3" or hit.passage["style"] == voice]
            self._found[cell] = fitting[: 6 * k]
        found = self._found[cell]
        windows = max(1, len(found) // k)
        return tuple(found[(number % windows) * k :][:k])

    def _ask(self, calls: Sequence[Call]) -> Iterator[Response | None]:
        """The response to each call, from the store where it is there; None where the call failed."""
        asked = self.asker.ask(calls)
        self._asked += asked.answered
        self._failed += len(asked.failures)
        for call in calls:
            if failure := asked.failures.get(call.key):
                self._error, progress = failure, self.cells[call.cell]
                if isinstance(failure, Refused):  # the cell goes on with its next call
                    progress.calls = max(progress.calls, call.number + 1)
                    progress.fruitless += 1
                else:
                    progress.failures += 1
        return (self.store.get(call.key) if call.key in self.store else None for call in calls)

    # ---- reading

    def _take(self, call: Call, response: Response | None) -> None:
        """Check an answer's candidates, and keep them all with what became of them."""
        progress = self.cells[call.cell]
        if response is None:
            return
        progress.calls = max(progress.calls, call.number + 1)  # of a batch an earlier call may have failed
        truncated = response.finish_reason == "length"
        candidates = parse_candidates(response.text, truncated)
        price = cost(self.params, response.tokens_in, response.tokens_out)
        self._costs.append(price)
        self._counts.update(
            calls=1,
            truncated=int(truncated),
            empty=int(not candidates),
            tokens_in=response.tokens_in or 0,
            tokens_out=response.tokens_out or 0,
        )
        shared = {
            "provider": self.params.provider,
            "model": self.params.model,
            "parameters": json.dumps(self.parameters, sort_keys=True),
            "seed": call.seed,
            "passage_ids": [hit.passage["passage_id"] for hit in call.passages],
            "passage_scores": [round(hit.score, 4) for hit in call.passages],
            "response_key": call.key,
            **{
                name: None if total is None else total / len(candidates)
                for name, total in (
                    ("tokens_in", response.tokens_in),
                    ("tokens_out", response.tokens_out),
                    ("cost", price),
                )
                if candidates
            },
        }
        context = Context(tuple(hit.passage["text"] for hit in call.passages), self.duplicates)
        before = progress.accepted
        for text in candidates:
            if progress.accepted < progress.wanted:
                progress.accepted += self._keep(text, call.cell, context, shared)
        progress.fruitless = 0 if progress.accepted > before else progress.fruitless + 1
        if self._counts["empty"] == self._counts["calls"] == EMPTY:
            cut = f"it was cut off after generate.max_tokens, {self.params.max_tokens}" if truncated else "it was whole"
            raise InputError(
                f"the provider {self.params.provider}, model {self.params.model}",
                f"none of the first {EMPTY} answers held a request; of the last ({len(response.text)} letters), {cut}",
                "raise generate.max_tokens, which a model's thinking counts against, or choose another model; "
                "answers so far are kept",
            )

    def _take_written(self, texts: Iterable[Written]) -> None:
        """Put texts that nobody was asked for into the bank."""
        context = Context(duplicates=self.duplicates)
        for each in texts:
            origin = {"provider": each.provider, "passage_ids": list(each.passage_ids)}
            self._keep(each.text, each.cell, context, NO_RESPONSE | origin, each.checks)

    def _keep(
        self,
        text: str,
        cell: Cell,
        context: Context,
        shared: dict[str, Any],
        checks: Sequence[str] | None = None,
    ) -> bool:
        """Check a candidate and add its row; whether it was accepted. A text seen with this intent gets no row."""
        identity = prompt_id(cell, text)
        if identity in self._seen:
            self._counts["repeated"] += 1
            return False
        self._seen.add(identity)
        verdicts = run_checks(text, cell, context, checks)
        failure = None if verdicts[-1].passed else verdicts[-1]
        if not failure:
            self.duplicates.add(text, cell.target)
        self._rows.append(
            {
                "prompt_id": identity,
                "text": text,
                "kind": cell.kind,
                **cell.intent.row,
                "style": cell.style,
                "cell": cell.name,
                **shared,
                "accepted": failure is None,
                "checks": [verdict.check for verdict in verdicts if verdict.passed],
                "failed_check": failure.check if failure else None,
                "reason": failure.reason if failure else None,
            }
        )
        return failure is None

    def _summary(self) -> dict[str, Any]:
        """Counts of the bank: the same for the same bank, however many runs it took."""
        accepted = [row for row in self._rows if row["accepted"]]
        passed = Counter(name for row in self._rows for name in row["checks"])
        failed = Counter(row["failed_check"] for row in self._rows if not row["accepted"])
        known = [price for price in self._costs if price is not None]
        chosen = provider(self.params)
        return {
            "provider": self.params.provider,
            "model": self.params.model,
            "language_model_used": chosen.language_model,
            "candidates": len(self._rows),
            "accepted": len(accepted),
            "accepted_by_kind": dict(sorted(Counter(row["kind"] for row in accepted).items())),
            "accepted_by_style": dict(sorted(Counter(row["style"] for row in accepted).items())),
            "by_check": {
                name: {"passed": passed[name], "failed": failed[name]} for name in sorted(passed.keys() | failed.keys())
            },
            "repeated": self._counts["repeated"],
            "calls": self._counts["calls"],
            "calls_truncated": self._counts["truncated"],
            "calls_without_candidates": self._counts["empty"],
            "tokens_in": self._counts["tokens_in"] if chosen.language_model else None,
            "tokens_out": self._counts["tokens_out"] if chosen.language_model else None,
            "cost": round(sum(known), 6) if len(known) == len(self._costs) else None,
            "shortfalls": [
                {
                    "cell": cell.name,
                    "wanted": p.wanted,
                    "accepted": p.accepted,
                    "calls": p.calls,
                    "failed_calls": p.failures,
                }
                for cell, p in self.cells.items()
                if p.accepted < p.wanted
            ],
            **({"stopped": self.asker.stopped} if self.asker.stopped else {}),
        }
