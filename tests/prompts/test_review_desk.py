"""The reviewer's desk: what it writes is what the stage reads, and it goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from corpus.errors import InputError
from prompts.review.decision_files import read_decisions
from prompts.review.desk import Filter, ReviewDesk, file_of, read_items
from prompts.review.sheet import ReviewParams, sample, settle, sheet
from prompts.sheets import write_sheet

COPIED = "please outline the liver as it is seen just below the right dome"
Open = Callable[..., ReviewDesk]


def _row(i: int, kind: str, target: str, failed: str | None = None) -> dict[str, Any]:
    return {
        "prompt_id": f"{i:016x}",
        "text": f"please mark the {target} number {i}",
        "kind": kind,
        "target": target,
        "organ": target if kind == "anatomy" else None,
        "attribute": None if kind == "anatomy" else target,
        "frame": "image",
        "style": "lay",
        "cell": f"{kind}/{target}/lay",
        "provider": "offline",
        "model": "grammar",
        "passage_ids": ["p1"],
        "accepted": failed is None,
        "checks": ["length"],
        "failed_check": failed,
        "reason": "names the spleen" if failed else None,
    }


@pytest.fixture
def bank() -> pd.DataFrame:
    """Three prompts for the liver, a refused one, and one for whatever lies leftmost."""
    rows = [_row(i, "anatomy", "liver", "target" if i == 3 else None) for i in range(4)]
    return pd.DataFrame([*rows, _row(4, "position", "leftmost")])


@pytest.fixture
def desk(tmp_path: Path, bank: pd.DataFrame) -> Open:
    """Opens a reviewer's desk on the sheet of the bank; a second one is as after a restart."""
    pictures = pd.DataFrame([("anatomy", "liver", "s/p/1", "liver", "anatomy-liver.png")])
    pictures.columns = ["kind", "target", "slice_id", "organ", "picture"]
    flagged = {f"{3:016x}": "rejected: target"}
    chosen = sample(bank, ReviewParams(seed=0, per_stratum=5, flagged=5, picture_px=64), flagged)
    write_sheet(sheet(chosen, pictures, {"p1": COPIED}), tmp_path / "review.csv")
    rows = {row["prompt_id"]: row for row in bank.to_dict("records")}

    def open_desk(reviewer: str = "Anna") -> ReviewDesk:
        items = read_items(tmp_path / "review.csv", rows)
        return ReviewDesk(items, rows, {"p1": COPIED}, tmp_path / "decisions", reviewer)

    return open_desk


def _id(i: int) -> str:
    return f"{i:016x}"


def test_the_stage_settles_what_the_desk_wrote(desk: Open, bank: pd.DataFrame, tmp_path: Path) -> None:
    anna = desk()
    assert anna.decide(_id(0), "accept", "please mark the liver number 0", comment=" fine\n by me ") == ""
    assert anna.decide(_id(1), "reject") == ""
    assert anna.decide(_id(2), "edit", "  =could you show me\nthe liver? ") == ""
    read = read_decisions(tmp_path / "decisions")
    assert [(d.file, d.decision, d.edited_text, d.reviewer, d.comment) for d in read] == [
        ("page-anna.csv", "accept", "", "Anna", "fine by me"),
        ("page-anna.csv", "reject", "", "Anna", ""),
        ("page-anna.csv", "edit", "=could you show me the liver?", "Anna", ""),
    ]
    settled = settle(bank, read, {"p1": COPIED})
    assert settled.decisions["outcome"].tolist() == ["applied"] * 3
    assert b"\"'=could" in (tmp_path / "decisions" / "page-anna.csv").read_bytes()


def test_what_was_decided_on_the_page_holds_over_a_sheet(desk: Open, bank: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "decisions").mkdir()
    rows = f"prompt_id,decision,edited_text,reviewer,comment\n{_id(0)},accept,,ANNA  Lee,\n{_id(1)},accept,,bob,\n"
    (tmp_path / "decisions" / "review-2026.csv").write_text(rows)
    desk("Anna Lee").decide(_id(0), "reject")
    settled = settle(bank, read_decisions(tmp_path / "decisions"), {"p1": COPIED})
    outcomes = settled.decisions.set_index("file").groupby("file")["outcome"].agg(list).to_dict()
    assert outcomes == {"page-anna-lee.csv": ["applied"], "review-2026.csv": ["replaced", "applied"]}
    assert _id(0) not in set(settled.accepted["prompt_id"])
    assert settled.decisions["reviewer"].nunique() == 2


def test_of_a_reviewers_sheets_the_later_holds_whatever_the_earlier_is_called(
    tmp_path: Path, bank: pd.DataFrame
) -> None:
    for name, decision in (("anna", "accept"), ("anna-march", "edit"), ("zz", "reject")):
        row = f"{_id(0)},{decision},,Anna,"
        (tmp_path / f"{name}.csv").write_text(f"prompt_id,decision,edited_text,reviewer,comment\n{row}\n")
    decisions = settle(bank, read_decisions(tmp_path), {}).decisions.set_index("file")["outcome"]
    assert decisions["zz.csv"] == "applied"
    assert decisions["anna.csv"] == "replaced"


def test_every_decision_is_in_the_file_at_once_and_another_replaces_it(desk: Open, tmp_path: Path) -> None:
    anna = desk()
    for decision in ("accept", "reject", "accept"):
        anna.decide(_id(0), decision)
        (row,) = read_decisions(tmp_path / "decisions")
        assert row.decision == decision
    assert [path.name for path in (tmp_path / "decisions").iterdir()] == ["page-anna.csv"]


def test_a_killed_write_leaves_the_file_that_was_there(
    desk: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = desk()
    anna.decide(_id(0), "accept")

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        anna.decide(_id(1), "reject")
    assert [d.decision for d in read_decisions(tmp_path / "decisions")] == ["accept"]


def test_it_goes_on_where_it_stopped(desk: Open) -> None:
    anna = desk()
    order = list(anna.items)
    assert anna.first(Filter()) == order[0]
    anna.decide(order[0], "reject")
    anna.decide(order[1], "reject")
    assert anna.step(order[1], Filter(), 1, undecided=True) == order[2]
    again = desk("anna")
    assert again.first(Filter()) == order[2]
    assert desk("Ben").first(Filter()) == order[0]


def test_undo_restores_what_was_decided_before(desk: Open) -> None:
    anna = desk()
    anna.decide(_id(0), "accept", comment="yes")
    anna.decide(_id(0), "reject")
    anna.decide(_id(1), "reject")
    assert anna.undo() == _id(1)
    assert set(anna.decisions()) == {_id(0)}
    assert anna.undo() == _id(0)
    assert (anna.decisions()[_id(0)].decision, anna.decisions()[_id(0)].comment) == ("accept", "yes")
    assert anna.undo() == _id(0)
    assert anna.decisions() == {}
    assert anna.undo() is None


def test_filters_and_steps(desk: Open) -> None:
    anna = desk()
    order = list(anna.items)
    assert [i.prompt_id for i in anna.shown(Filter(kind="position"))] == [_id(4)]
    assert [i.prompt_id for i in anna.shown(Filter(target="liver", flagged=True))] == [_id(3)]
    assert anna.shown(Filter(kind="size")) == []
    assert anna.first(Filter(kind="size")) is None
    assert anna.step(order[0], Filter(), -1) == order[0]
    assert anna.step(order[-1], Filter(), 1) == order[-1]
    assert anna.step(order[0], Filter(kind="position"), 1) == _id(4)
    # The last undecided one lies behind: the end goes on at the beginning.
    for i in order[1:]:
        anna.decide(i, "reject")
    assert anna.step(order[-1], Filter(), 1, undecided=True) == order[0]
    assert [i.prompt_id for i in anna.shown(Filter(undecided=True))] == [order[0]]


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("please mark the spleen", "target"),
        ("", "empty"),
        ("please mark the liver number 0", "unchanged"),
        (COPIED, "copied"),
        ("Please mark the liver, number 1!", "duplicate"),
    ],
)
def test_an_edit_that_fails_a_check_is_not_written(desk: Open, text: str, check: str, tmp_path: Path) -> None:
    anna = desk()
    assert anna.verdicts(_id(0), text)[-1].check == check
    assert check.replace("_", " ").capitalize() in anna.decide(_id(0), "edit", text)
    assert read_decisions(tmp_path / "decisions") == []


def test_edits_know_each_other(desk: Open) -> None:
    anna = desk()
    assert anna.decide(_id(0), "edit", "could you show me the liver?") == ""
    assert "Duplicate" in anna.decide(_id(1), "edit", "Could you show me the liver")
    # An edit may come near the text that it replaces, and take over one that is rejected.
    assert anna.decide(_id(0), "edit", "Could you show me the liver") == ""
    assert "Duplicate" in anna.decide(_id(2), "edit", "please mark the liver, number 1")
    anna.decide(_id(1), "reject")
    assert anna.decide(_id(2), "edit", "please mark the liver, number 1") == ""
    anna.undo()
    anna.undo()
    assert "Duplicate" in desk().decide(_id(2), "edit", "please mark the liver, number 1")


def test_a_refused_candidate_is_brought_in_by_an_edit_alone(desk: Open, bank: pd.DataFrame, tmp_path: Path) -> None:
    anna = desk()
    assert anna.items[_id(3)].failed is not None
    assert "target" in anna.decide(_id(3), "accept")
    assert anna.decisions() == {}
    assert anna.decide(_id(3), "edit", "could you show me the liver?") == ""
    settled = settle(bank, read_decisions(tmp_path / "decisions"), {})
    assert _id(3) in set(settled.accepted["prompt_id"])


def test_rows_of_another_bank_stay_in_the_file(desk: Open, tmp_path: Path) -> None:
    (tmp_path / "decisions").mkdir()
    header = "prompt_id;decision;edited_text;reviewer;comment\n"
    (tmp_path / "decisions" / "page-anna.csv").write_text(
        f"{header}{'f' * 16};reject;;Anna;\n{_id(0)};;;;later\n", "utf-8"
    )
    anna = desk()
    assert anna.decisions() == {}
    anna.decide(_id(1), "accept")
    read = read_decisions(tmp_path / "decisions")
    assert [(d.prompt_id, d.decision, d.comment) for d in read] == [
        ("f" * 16, "reject", ""),
        (_id(0), "", "later"),
        (_id(1), "accept", ""),
    ]


@pytest.mark.parametrize(
    ("row", "said"), [(f"{_id(0)},accept,,Ben,", "decision of 'Ben'"), (f"{_id(0)},maybe,,Anna,", "row 2.*maybe")]
)
def test_a_file_that_would_be_spoilt_is_not_opened(desk: Open, row: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "decisions").mkdir()
    path = tmp_path / "decisions" / "page-anna.csv"
    path.write_text(f"prompt_id,decision,edited_text,reviewer,comment\n{row}\n", encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(InputError, match=said):
        desk()
    assert path.read_bytes() == before


def test_a_name_makes_a_safe_file() -> None:
    assert file_of(Path("d"), "../Dr. Ánna  Müller_2") == Path("d/page-dr-ánna-müller-2.csv")
    with pytest.raises(InputError, match="expected a name"):
        file_of(Path("d"), " ./.. ")


def test_a_sheet_of_another_bank_is_told(desk: Open, tmp_path: Path) -> None:
    desk()
    with pytest.raises(InputError, match="no such prompt_id"):
        read_items(tmp_path / "review.csv", {})
    with pytest.raises(InputError, match="found none"):
        read_items(tmp_path / "none.csv", {})
