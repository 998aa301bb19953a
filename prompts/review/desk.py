"""One reviewer at work on the review sheet: what there is to see, what the checks say of an edit, and the file.

The file is the state: it is read before and written after every decision, so that a killed page loses nothing, a second
window and a spreadsheet may work on it in turn, and the stage `review` reads what the page wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from corpus.errors import InputError
from prompts.checks import Verdict
from prompts.review.decision_files import Decision, another_text, file_stem, page_file, read_file, tidied, write_file
from prompts.review.sheet import TextsInUse
from prompts.sheets import read_sheet

_SHOWN = ("prompt_id", "text", "kind", "target", "style", "flag", "passages", "mask_organ", "picture")
_AGAIN = "run `dvc repro review`"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """One prompt of the sheet. `target`: what it asks for, as `Intent.target`, "none" for nothing. `picture`: of such a
    mask, relative to the sheet, "" where the cohort has none. `checks`: those that it passed."""

    prompt_id: str
    text: str
    kind: str
    target: str
    style: str
    flag: str
    passages: str
    mask_organ: str
    picture: str
    checks: tuple[str, ...]
    failed: Verdict | None
    """The check that refused this candidate, if one did."""


@dataclass(frozen=True)
class Filter:
    """Which prompts are gone through; an empty value leaves nothing out."""

    kind: str = ""
    target: str = ""
    flagged: bool = False
    undecided: bool = False


def read_items(sheet: Path, rows: Mapping[str, Row]) -> list[Item]:
    """The prompts of the review sheet, in its order.

    Args:
        rows: Prompt id -> its row of the bank.

    Raises:
        InputError: The sheet is missing or unreadable, or of another bank.
    """
    if not sheet.is_file():
        raise InputError(sheet, "expected the review sheet, found none", _AGAIN)
    items = []
    for number, cells in read_sheet(sheet, _SHOWN):
        row = rows.get(cells["prompt_id"])
        if row is None:
            raise InputError(f"{sheet}, row {number}", "the bank of prompts has no such prompt_id", _AGAIN)
        shown = {name: cells[name] for name in _SHOWN}
        failed = None if row["accepted"] else Verdict(row["failed_check"], row["reason"])
        items.append(Item(**shown, checks=tuple(row["checks"]), failed=failed))
    return items


def file_of(folder: Path, reviewer: str) -> Path:
    """Where a reviewer's decisions are kept.

    Raises:
        InputError: No letter or digit is in the name.
    """
    if not file_stem(reviewer):
        raise InputError("the reviewer's name", f"expected a name or initials, found {reviewer!r}", "give a name")
    return folder / page_file(reviewer)


class ReviewDesk:
    """One reviewer's decisions on the items of a sheet. Threads may share it."""

    def __init__(
        self, items: Sequence[Item], rows: Mapping[str, Row], passages: Mapping[str, str], folder: Path, reviewer: str
    ) -> None:
        """Open the reviewer's file, or the place for one.

        Args:
            rows: Prompt id -> its row of the bank.
            passages: Passage id -> text.
            folder: The folder of decisions.

        Raises:
            InputError: The name is empty, or the file is unreadable, faulty or another person's.
        """
        self.reviewer = tidied(reviewer)
        self.items = {item.prompt_id: item for item in items}
        self._file = file_of(folder, self.reviewer)
        self._rows = rows
        self._lock = RLock()
        self._undo: list[tuple[str, Decision | None]] = []
        for decision in self._read():
            if not self._is_mine(decision):
                found = f"row {decision.row} is a decision of {decision.reviewer!r}"
                raise InputError(self._file, found, "review under another name")
            row = rows.get(decision.prompt_id)
            unused = decision.reason if decision.outcome == "unused" else ""
            if reason := unused or (row and another_text(decision, row["text"])):
                raise InputError(self._file, f"row {decision.row}: {reason}", "correct or remove the row")
        # The texts in use as they'd be with this reviewer's decisions alone; the stage knows all and has the last word.
        self._texts = TextsInUse((), passages)
        self._current: dict[str, str | None] = {}
        mine = self.decisions()
        for prompt_id in rows:
            self._use(prompt_id, mine.get(prompt_id))

    def _read(self) -> list[Decision]:
        return read_file(self._file) if self._file.is_file() else []

    def _is_mine(self, decision: Decision) -> bool:
        return decision.reviewer.casefold() in (self.reviewer.casefold(), file_stem(self.reviewer))

    def decisions(self) -> dict[str, Decision]:
        """Prompt id -> the decision that holds: this reviewer's last that is of use."""
        with self._lock:
            mine = (d for d in self._read() if self._is_mine(d))
            return {d.prompt_id: d for d in mine if not d.outcome and d.prompt_id in self._rows}

    def shown(self, chosen: Filter) -> list[Item]:
        """The items that a filter leaves, in the sheet's order."""
        decided = self.decisions() if chosen.undecided else {}
        return [
            item
            for item in self.items.values()
            if chosen.kind in ("", item.kind)
            and chosen.target in ("", item.target)
            and (item.flag or not chosen.flagged)
            and item.prompt_id not in decided
        ]

    def first(self, chosen: Filter) -> str | None:
        """The first item that is undecided, else the first of all: where a reviewer goes on."""
        decided = self.decisions()
        ids = [item.prompt_id for item in self.shown(chosen)]
        return next((i for i in ids if i not in decided), ids[0] if ids else None)

    def step(self, prompt_id: str | None, chosen: Filter, by: int, undecided: bool = False) -> str | None:
        """The item before (by = -1) or after (1) another in the sheet's order, within a filter; at an end, the same.

        Args:
            undecided: Pass over what is decided, and from the end go on at the beginning; where all is, one step.
        """
        ids = list(self.items)
        if prompt_id not in self.items:
            return self.first(chosen)
        here = ids.index(prompt_id)
        fitting = {item.prompt_id for item in self.shown(chosen)}
        onward = [i for i in (ids[here + 1 :] if by > 0 else ids[:here][::-1]) if i in fitting]
        if undecided:
            decided = self.decisions()
            wrapped = [*onward, *(i for i in ids[:here] if i in fitting)]
            if found := next((i for i in wrapped if i not in decided), None):
                return found
        stay = prompt_id if prompt_id in fitting else None
        return onward[0] if onward else stay or self.first(chosen)

    def verdicts(self, prompt_id: str, text: str) -> list[Verdict]:
        """What the checks say of an edited text, up to the first that fails."""
        row, clean = self._rows[prompt_id], tidied(text)
        if not clean:
            return [Verdict("empty", "an edit needs a text")]
        if clean == row["text"]:
            return [Verdict("unchanged", "this is the text as it was")]
        with self._lock:
            current = self._current[prompt_id]
            self._set_text(prompt_id, None)
            found = self._texts.verdicts(row, clean)
            self._set_text(prompt_id, current)
        return found

    def decide(self, prompt_id: str, decision: str, edited_text: str = "", comment: str = "") -> str:
        """Write one decision; it is on disk when this returns.

        Returns:
            Why it was not taken, "" where it was: an edit that fails a check, or the acceptance of a candidate that one
            has refused.
        """
        item = self.items[prompt_id]
        if decision == "accept" and item.failed:
            return f"The check “{item.failed.check}” refused this candidate. Reject it, or edit it so that it passes."
        with self._lock:
            clean = tidied(edited_text) if decision == "edit" else ""
            if decision == "edit" and (failed := next((v for v in self.verdicts(prompt_id, clean) if v.reason), None)):
                return f"Not saved. {failed.check.replace('_', ' ').capitalize()}: {failed.reason}."
            note = tidied(comment)
            mine = Decision(self._file.name, 0, prompt_id, decision, clean, self.reviewer, note)
            self._undo.append((prompt_id, self.decisions().get(prompt_id)))
            self._put(prompt_id, mine)
        return ""

    def undo(self) -> str | None:
        """Take the last decision of this sitting back; returns its prompt's id, or None where there is none."""
        with self._lock:
            if not self._undo:
                return None
            prompt_id, before = self._undo.pop()
            self._put(prompt_id, before)
            return prompt_id

    def _put(self, prompt_id: str, decision: Decision | None) -> None:
        """Let the file hold this decision on a prompt, or none."""
        kept = [d for d in self._read() if d.prompt_id != prompt_id or not self._is_mine(d)]
        texts = {i: row["text"] for i, row in self._rows.items()}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_file(self._file, [*kept, *([decision] if decision else [])], texts)
        self._use(prompt_id, decision)

    def _use(self, prompt_id: str, decision: Decision | None) -> None:
        """Bring a prompt's text in use in line with the decision on it."""
        row = self._rows[prompt_id]
        if decision is None or decision.decision == "accept":
            self._set_text(prompt_id, row["text"] if row["accepted"] else None)
        else:
            self._set_text(prompt_id, decision.edited_text if decision.decision == "edit" else None)

    def _set_text(self, prompt_id: str, text: str | None) -> None:
        row = self._rows[prompt_id]
        if before := self._current.get(prompt_id):
            self._texts.add(row, before, -1)
        if text:
            self._texts.add(row, text)
        self._current[prompt_id] = text
