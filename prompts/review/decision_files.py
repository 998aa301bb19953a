"""People's decisions on prompts, as files: one row a decision; none stops the run and none is lost."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import shorten

import pandas as pd

from corpus.errors import InputError
from prompts.duplicates import normalised
from prompts.sheets import read_sheet, write_sheet

OUTCOMES = ("applied", "overruled", "replaced", "refused", "unused", "undecided")
"""What may become of a decision."""
PRIORITY = ("accept", "edit", "reject")
"""Decisions, the strongest last: where reviewers disagree, it holds."""
TO_FILL = ("decision", "edited_text", "reviewer", "comment")
PAGE = "page-"
"""How the names of the review page's files begin."""
COLUMNS = ("prompt_id", *TO_FILL)
"""What a file of decisions must have; whatever else it has is for people."""

_ID = re.compile(r"[0-9a-f]{16}")
_COPY = re.compile(r"(?i)(?:\s*(?:\(\d+\)|\((?:another )?copy\)|[-–]?\s+(?:copy|kopie)(?: \d+)?))+$")
"""What browsers and systems add to the name of a file that is there already: "review (1)", "review - Copy"."""
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Decision:
    """One row of a filled sheet.

    `outcome`: one of `OUTCOMES`, "" while it's open; `reason` says why.
    """

    file: str
    row: int
    prompt_id: str
    decision: str
    edited_text: str
    reviewer: str
    comment: str
    outcome: str = ""
    reason: str = ""
    text: str = ""
    """The prompt's text as the row shows it; empty where it shows none."""

    def ended(self, outcome: str, reason: str = "") -> Decision:
        return replace(self, outcome=outcome, reason=reason)


def read_decisions(folder: Path) -> list[Decision]:
    """Every row of every CSV in a folder, files in order of name (`_order`); rows of no use have their outcome already.

    A reviewer is known by name whatever its case, and is called as first spelt; a row without one, in a file of a
    reviewer's name (`file_stem`), is that reviewer's. What was decided on the review page (`PAGE`) comes after all
    sheets, whatever they are called: the page shows no other file's decisions.

    Raises:
        InputError: A file that isn't a CSV, can't be read, or lacks a column.
    """
    decisions: list[Decision] = []
    for path in sorted(folder.iterdir(), key=_order) if folder.is_dir() else []:
        if path.name == "README.md" or path.name.startswith((".", "~$")):
            continue
        if path.suffix.lower() != ".csv":
            raise InputError(
                path, "expected a .csv file", "save the sheet as 'CSV UTF-8 (comma delimited)', or move the file away"
            )
        decisions += read_file(path)
    spelt: dict[str, str] = {}
    for decision in decisions:
        spelt.setdefault(decision.reviewer.casefold(), decision.reviewer)
    named = {file_stem(name): name for name in spelt.values() if name != file_stem(name)}
    for place, decision in enumerate(decisions):
        of_file = named.get(decision.reviewer) if decision.reviewer == _whose(Path(decision.file)) else None
        decisions[place] = replace(decision, reviewer=of_file or spelt[decision.reviewer.casefold()])
    return sorted(decisions, key=lambda d: d.file == page_file(d.reviewer))


def _order(path: Path) -> tuple[list[str | int], list[str | int], str]:
    """Files in the order in which people name them: 10 after 9, and a copy after its original."""
    name = path.stem.casefold()
    copy = match.group() if (match := _COPY.search(name)) else ""
    return _natural(name.removesuffix(copy)), _natural(copy), path.name


def _natural(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in _NUMBER.split(name)]


def _whose(path: Path) -> str:
    """The name that a file bears."""
    return tidied(path.stem).removeprefix(PAGE)


def tidied(cell: str) -> str:
    """A cell without needless spaces, its letters composed: some systems write "ü" as a "u" and a mark."""
    return " ".join(unicodedata.normalize("NFC", cell).split())


def page_file(reviewer: str) -> str:
    """What the review page's file of a reviewer is called."""
    return f"{PAGE}{file_stem(reviewer)}.csv"


def file_stem(reviewer: str) -> str:
    """A reviewer's name in a file's: its letters and digits, with the marks that belong to them; empty where it has
    none."""
    letters = unicodedata.normalize("NFC", reviewer.casefold())
    kept = (c if c.isalnum() or unicodedata.category(c).startswith("M") else "-" for c in letters)
    return re.sub("-+", "-", "".join(kept)).strip("-")


def read_file(path: Path) -> list[Decision]:
    """Every row of one CSV.

    Raises:
        InputError: The file can't be read, or lacks a column.
    """
    decisions = []
    for number, cells in read_sheet(path, COLUMNS):
        clean = {name: tidied(cells.get(name, "")) for name in (*COLUMNS, "text")}
        clean["decision"] = clean["decision"].lower()
        # Two people who both leave their name out are still two people, if they filled two files.
        clean["reviewer"] = clean["reviewer"] or _whose(path)
        decision = Decision(unicodedata.normalize("NFC", path.name), number, **clean)
        decisions.append(decision.ended(*_unusable(decision, cells[""])))
    return decisions


def write_file(path: Path, decisions: Iterable[Decision], texts: Mapping[str, str]) -> None:
    """Write decisions as `read_file` reads them, with each prompt's text beside its id for people.

    Args:
        texts: Prompt id -> text.
    """
    table = pd.DataFrame([asdict(d) for d in decisions], columns=list(Decision.__dataclass_fields__))
    shown = zip(table["prompt_id"], table["text"], strict=True)
    table["text"] = [text or texts.get(prompt_id, "") for prompt_id, text in shown]
    write_sheet(table[["prompt_id", "text", *TO_FILL]], path)


def unknown(prompt_id: str) -> str:
    """Why a prompt_id that isn't the bank's is of no use."""
    if _ID.fullmatch(prompt_id):
        return "no prompt of the bank has this prompt_id: the bank has changed since the sheet was made"
    shown = shorten(prompt_id, 40) or "an empty cell"
    return f"expected a prompt_id of 16 hexadecimal digits, found {shown}: copy it from data/review/review.csv"


def another_text(decision: Decision, text: str) -> str:
    """Why a row that shows another text than its prompt's is of no use, "" where it shows the prompt's or none.

    Its ids and its texts were sorted apart, and nobody knows which of the two was meant; or a correction was typed over
    the text, and an accept would lose it. Signs and letters that a spreadsheet alters or can't save are no difference.
    """
    saved = text.encode("cp1252", "replace").decode("cp1252")
    if not decision.text or _plain(decision.text) in (_plain(text), _plain(saved)):
        return ""
    return (
        f"the row shows {shorten(decision.text, 60)!r}, another text than the prompt of its prompt_id: sort whole "
        "rows, and put a correction into edited_text"
    )


def _plain(text: str) -> str:
    return normalised(unicodedata.normalize("NFC", text))


def _unusable(decision: Decision, beyond: str) -> tuple[str, str]:
    """(outcome, reason) of a row that says nothing usable, else a pair of empty strings."""
    if beyond:
        return "unused", f"the row has text outside the named columns: {shorten(beyond, 60)!r}"
    if not decision.decision:
        return "undecided", "an edited text without a decision" if decision.edited_text else ""
    if decision.decision not in PRIORITY:
        return "unused", f"the decision must be accept, reject or edit, but is {shorten(decision.decision, 60)!r}"
    if decision.decision == "edit" and not decision.edited_text:
        return "unused", "an edit needs its edited_text"
    if decision.decision == "accept" and decision.edited_text:
        return "unused", "an edited text goes with the decision edit, but the decision is accept"
    return "", ""
