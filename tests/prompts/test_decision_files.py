"""Decisions reach the prompt that their row shows, or say that they don't."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from corpus.errors import InputError
from prompts.review.decision_files import TO_FILL, Decision, read_decisions
from prompts.review.desk import ReviewDesk, file_of
from prompts.review.sheet import Settled, settle
from prompts.sheets import write_sheet

TEXTS = (
    "please mark the liver in this picture",
    "where is the liver on this slice",
    "=liver, please outline it",
    "wątroba, please outline the liver",
    'the liver "please", I\'d like it outlined',
)
COLUMNS = ("prompt_id", "text", *TO_FILL)


def _id(i: int) -> str:
    return f"{i:016x}"


def _rows(*texts: str, kind: str = "anatomy", target: str = "liver") -> pd.DataFrame:
    table = pd.DataFrame({"prompt_id": [_id(i) for i in range(len(texts))], "text": texts})
    return table.assign(
        kind=kind,
        target=target,
        cell=f"{kind}/{target}/lay",
        passage_ids=[[] for _ in texts],
        accepted=True,
        checks=[["length"] for _ in texts],
        failed_check=None,
        reason=None,
    )


@pytest.fixture
def bank() -> pd.DataFrame:
    return _rows(*TEXTS)


def _write(folder: Path, name: str, *rows: tuple[str, ...]) -> None:
    """Rows of prompt_id, text, decision and edited text, decided by Anna."""
    write_sheet(pd.DataFrame([(*row, "Anna", "") for row in rows], columns=list(COLUMNS)), folder / name)


def _settled(bank: pd.DataFrame, folder: Path) -> Settled:
    return settle(bank, read_decisions(folder), {})


def test_a_decision_beside_another_prompts_text_is_not_applied(tmp_path: Path, bank: pd.DataFrame) -> None:
    """As a sheet is that was sorted without its first column."""
    _write(tmp_path, "a.csv", *((_id(i), TEXTS[(i + 1) % 5], "reject", "") for i in range(5)))
    settled = _settled(bank, tmp_path)
    assert set(settled.decisions["outcome"]) == {"unused"}
    assert TEXTS[1] in settled.decisions["reason"][0]
    assert len(settled.accepted) == 5


def test_a_correction_in_the_wrong_column_is_not_lost_in_silence(tmp_path: Path, bank: pd.DataFrame) -> None:
    _write(tmp_path, "a.csv", (_id(0), "please mark the whole liver in this picture", "accept", ""))
    (decision,) = _settled(bank, tmp_path).decisions.to_dict("records")
    assert decision["outcome"] == "unused"
    assert "put a correction into edited_text" in decision["reason"]
    (tmp_path / "a.csv").rename(file_of(tmp_path, "Anna"))
    with pytest.raises(InputError, match="put a correction into edited_text"):
        ReviewDesk([], {row["prompt_id"]: row for row in bank.to_dict("records")}, {}, tmp_path, "Anna")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_text_that_a_spreadsheet_altered_is_the_same(tmp_path: Path, bank: pd.DataFrame, encoding: str) -> None:
    shown = [*TEXTS[:4], "The liver “please”, I’d like it outlined "]
    _write(tmp_path, "a.csv", *((_id(i), text, "reject", "") for i, text in enumerate(shown)))
    saved = (tmp_path / "a.csv").read_text(encoding="utf-8-sig")
    (tmp_path / "a.csv").write_bytes(saved.encode(encoding, "replace"))
    assert _settled(bank, tmp_path).decisions["outcome"].tolist() == ["applied"] * 5


def test_a_row_without_a_text_is_known_by_its_id(bank: pd.DataFrame) -> None:
    (decision,) = settle(bank, [Decision("a.csv", 2, _id(0), "reject", "", "Anna", "")], {}).decisions["outcome"]
    assert decision == "applied"


def test_a_text_that_asks_for_nothing_is_not_edited_into_a_request() -> None:
    bank = _rows(
        "thank you, that was all", "Cancel the spleen contour.", "How big is a liver?", kind="none", target="none"
    )
    edits = (
        "Please segment the liver in this picture for me",
        "Please cancel the contour of the spleen.",
        "How heavy is a liver, and how big?",
    )
    decisions = [Decision("a.csv", 2, _id(i), "edit", text, "Anna", "") for i, text in enumerate(edits)]
    settled = settle(bank, decisions, {})
    assert settled.decisions["outcome"].tolist() == ["refused", "applied", "applied"]
    assert "asks: 'please segment'" in settled.decisions["reason"][0]
    assert settled.accepted["text"].tolist() == [bank["text"][0], *edits[1:]]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("review.csv", "review (1).csv"),
        ("review (2).csv", "review (10).csv"),
        ("review.csv", "review - Copy.csv"),
        ("review - Copy.csv", "review - Copy (2).csv"),
        ("review (1).csv", "review (1) - Copy.csv"),
        ("review.csv", "Review copy 2.csv"),
        ("anna-9.csv", "anna-10.csv"),
        ("2026-9-30.csv", "2026-10-01.csv"),
        ("copy.csv", "copy (1).csv"),
        ("a.csv", "b.csv"),
    ],
)
def test_the_later_file_of_a_reviewer_holds(tmp_path: Path, bank: pd.DataFrame, first: str, second: str) -> None:
    _write(tmp_path, first, (_id(0), TEXTS[0], "accept", ""))
    _write(tmp_path, second, (_id(0), TEXTS[0], "reject", ""))
    assert _id(0) not in set(_settled(bank, tmp_path).accepted["prompt_id"])


@pytest.mark.parametrize("named", [True, False], ids=["in the cell", "by the file"])
def test_a_name_is_one_however_its_letters_are_composed(tmp_path: Path, bank: pd.DataFrame, named: bool) -> None:
    for form, decision in (("NFC", "accept"), ("NFD", "reject")):
        name = unicodedata.normalize(form, "Jürgen")
        rows = [(_id(0), TEXTS[0], decision, "", name if named else "", "")]
        file = f"{form}.csv" if named else f"{name}.csv"
        (tmp_path / form).mkdir()
        write_sheet(pd.DataFrame(rows, columns=list(COLUMNS)), tmp_path / form / file)
    read = [decision for form in ("NFC", "NFD") for decision in read_decisions(tmp_path / form)]
    assert settle(bank, read, {}).decisions["outcome"].tolist() == ["replaced", "applied"]
    assert (
        ReviewDesk([], {}, {}, tmp_path, unicodedata.normalize("NFD", "Jürgen")).reviewer
        == read[0].reviewer
        == "Jürgen"
    )
