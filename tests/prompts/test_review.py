"""The review sheet and people's decisions."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import InputError
from prompts.quality import flags
from prompts.review.decision_files import TO_FILL, Decision, read_decisions
from prompts.review.sheet import SHEET, ReviewParams, Settled, sample, settle, sheet
from prompts.sheets import guarded, read_sheet, unguarded, write_sheet

HEADER = ("prompt_id", *TO_FILL)
PARAMS = ReviewParams(seed=0, per_stratum=2, flagged=5, picture_px=128)


def _id(i: int) -> str:
    return f"{i:016x}"


@pytest.fixture
def bank() -> pd.DataFrame:
    """Eight candidates for the liver, of which 6 and 7 were rejected, and four for whatever lies leftmost."""
    n = 12
    table = pd.DataFrame(
        {"prompt_id": [_id(i) for i in range(n)], "text": [f"mark structure number {i}" for i in range(n)]}
    )
    return table.assign(
        kind=["anatomy"] * 8 + ["position"] * 4,
        target=["liver"] * 8 + ["leftmost"] * 4,
        organ=["liver"] * 8 + [None] * 4,
        attribute=[None] * 8 + ["leftmost"] * 4,
        frame="image",
        style=["lay", "expert"] * 6,
        cell=["anatomy/liver/lay", "anatomy/liver/expert"] * 4
        + ["position/leftmost/lay", "position/leftmost/expert"] * 2,
        provider="offline",
        model="grammar",
        passage_ids=[["p1", "p2"]] * n,
        accepted=[i not in (6, 7) for i in range(n)],
        checks=[["length", "target"]] * 6 + [[], ["length"]] + [["length", "target"]] * 4,
        failed_check=[None] * 6 + ["length", "target"] + [None] * 4,
        reason=[None] * 6 + ["too short", "names the spleen"] + [None] * 4,
    )


def _write(folder: Path, name: str, rows: list[tuple[str, ...]]) -> None:
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


@pytest.mark.parametrize("text", ["=1+1", "+49", "-5", "@cmd", "\tx", "\rx", "＝1", "'=x", "1234567890123456", "12e5"])
def test_what_a_spreadsheet_would_run_or_spoil_is_guarded(text: str) -> None:
    assert guarded(text) == "'" + text
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", ["mark the liver", "'quoted' words", "3 cm", "00ab34cd56ef7890", ""])
def test_other_text_is_left_alone(text: str) -> None:
    assert guarded(text) == unguarded(text) == text


@given(st.text("'=+-@＝＋－＠\t\r1e ab;,\"\n", max_size=20))
def test_guarding_is_undone(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(tuple("=+-@＝＋－＠\t\r\n"))


def test_a_sheet_comes_back_as_it_was(tmp_path: Path) -> None:
    texts = [
        'say "liver", please; now',
        "=HYPERLINK(1)",
        "ösophagus\u00a0– 5 µm",
        "1234567890123456",
        "two\nlines",
        "'=x",
    ]
    write_sheet(pd.DataFrame({"text": texts, "empty": [None] * 6, "n": range(6)}), tmp_path / "s.csv")
    content = (tmp_path / "s.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\r\n") == 7
    assert [cells["text"] for _, cells in read_sheet(tmp_path / "s.csv", ["text", "empty"])] == texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_reads_what_spreadsheets_save(tmp_path: Path, encoding: str, delimiter: str, ending: str) -> None:
    lines = [[*(h.upper() for h in HEADER), "text"], ["a", "Edit", '"mark; the, liver"', "Jö", "", "x"], [""] * 6]
    content = ending.join(delimiter.join(row) for row in lines) + ending
    (tmp_path / "s.csv").write_bytes(content.encode(encoding))
    (decision,) = read_decisions(tmp_path)
    assert decision == Decision("s.csv", 2, "a", "edit", "mark; the, liver", "Jö", "", text="x")


def test_reads_excels_plain_csv_with_columns_moved_and_broken_lines(tmp_path: Path) -> None:
    """As a German Excel saves it: semicolons, Windows-1252, a comment over two lines, columns in another order."""
    rows = [("comment", "DECISION", "prompt_id", "Reviewer", "edited_text", "text")]
    rows += [("schön so,\nfinde ich", "Edit", "'1234567890123456", "Jörg – AB", "mark the œsophagus; please", "x")]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=";").writerows(rows)
    (tmp_path / "s.csv").write_bytes(text.getvalue().encode("cp1252"))
    (decision,) = read_decisions(tmp_path)
    edited = "mark the œsophagus; please"
    note = "schön so, finde ich"
    assert decision == Decision("s.csv", 2, "1234567890123456", "edit", edited, "Jörg – AB", note, text="x")


@pytest.mark.parametrize("spoilt", ["1.23457E+15", "", "12. Mrz", "1234567890123450000"])
def test_an_id_that_a_spreadsheet_spoilt_is_told_from_an_old_one(
    tmp_path: Path, bank: pd.DataFrame, spoilt: str
) -> None:
    _write(tmp_path, "a.csv", [(spoilt, "reject", "", "A", ""), ("f" * 16, "reject", "", "A", "")])
    settled = settle(bank, read_decisions(tmp_path), {})
    assert settled.decisions["outcome"].tolist() == ["unused", "unused"]
    assert "16 hexadecimal digits" in settled.decisions["reason"][0]
    assert "the bank has changed" in settled.decisions["reason"][1]


def test_no_folder_and_an_empty_folder_hold_no_decisions(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    (tmp_path / ".~lock.a.csv#").touch()
    assert read_decisions(tmp_path) == read_decisions(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"PK\x03\x04\xff\xfe\x00", "UTF-8"),
        ("a.csv", b"prompt_id,decision\n1,accept\n", "found prompt_id, decision"),
        ("a.csv", b"", "an empty file"),
        ("a.csv", b'prompt_id,decision,edited_text,reviewer,comment\n1,edit,"open,AB,\n2,reject,,AB,\n', "end of data"),
        ("a.xlsx", b"PK", "expected a .csv file"),
    ],
)
def test_an_unreadable_file_stops_with_its_name(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=expected) as error:
        read_decisions(tmp_path)
    assert error.value.where.endswith(name)
    assert "csv" in error.value.fix.lower() or "review" in error.value.fix


def test_every_row_of_no_use_says_why(tmp_path: Path, bank: pd.DataFrame) -> None:
    rows = [
        (_id(0), "maybe", "", "A", ""),
        (_id(1), "edit", "", "A", ""),
        (_id(2), "", "", "A", "a comment alone"),
        (_id(3), "", "a text alone", "A", ""),
        ("f" * 16, "reject", "", "A", ""),
        (_id(4), "reject", "", "A", "", "one cell too many"),
        (_id(5), "accept", "another text", "A", ""),
    ]
    _write(tmp_path, "a.csv", rows)
    settled = settle(bank, read_decisions(tmp_path), {})
    assert settled.decisions["outcome"].tolist() == [
        "unused",
        "unused",
        "undecided",
        "undecided",
        "unused",
        "unused",
        "unused",
    ]
    assert settled.decisions["row"].tolist() == [2, 3, 4, 5, 6, 7, 8]
    for reason, word in zip(
        settled.decisions["reason"],
        ["maybe", "edited_text", "", "without", "prompt_id", "outside", "edit"],
        strict=True,
    ):
        assert word in reason
    assert settled.accepted["prompt_id"].tolist() == bank.loc[bank["accepted"], "prompt_id"].tolist()


def _settle(bank: pd.DataFrame, *rows: tuple[int, str, str, str]) -> Settled:
    decisions = [
        Decision("a.csv", n, _id(i), decision, text, who, "") for n, (i, decision, text, who) in enumerate(rows, 2)
    ]
    return settle(bank, decisions, {})


def test_a_column_that_comes_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("prompt_id,decision,Decision\n1,reject,\n")
    with pytest.raises(InputError, match="expected each column once, found decision twice"):
        read_sheet(tmp_path / "s.csv", ["prompt_id", "decision"])


def test_without_decisions_the_bank_stays(bank: pd.DataFrame, tmp_path: Path) -> None:
    settled = _settle(bank)
    kept = settled.accepted.drop(columns="original_text")
    pd.testing.assert_frame_equal(kept, bank[bank["accepted"]].reset_index(drop=True))
    assert settled.kappa is None
    settled.accepted.to_parquet(tmp_path / "accepted.parquet")


def test_accept_reject_and_edit(bank: pd.DataFrame) -> None:
    settled = _settle(
        bank, (0, "accept", "", "A"), (1, "reject", "", "A"), (2, "edit", "please outline the liver", "A")
    )
    accepted = settled.accepted.set_index("prompt_id")
    assert _id(0) in accepted.index
    assert _id(1) not in accepted.index
    assert accepted.loc[_id(2), ["text", "original_text"]].tolist() == [
        "please outline the liver",
        "mark structure number 2",
    ]
    assert settled.decisions["outcome"].tolist() == ["applied"] * 3


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_an_edit_may_take_a_text_that_another_edit_gives_up(bank: pd.DataFrame, first: int, second: int) -> None:
    bank.loc[second, "text"] = "please show me the liver"
    other = "segment all of the hepatic parenchyma on this slice"
    settled = _settle(bank, (first, "edit", "please show me the liver", "A"), (second, "edit", other, "A"))
    assert settled.decisions["outcome"].tolist() == ["applied", "applied"]


def test_an_edit_that_fails_is_refused_and_the_text_stays(bank: pd.DataFrame) -> None:
    bank.loc[3, "text"] = "please show me the liver"
    settled = _settle(
        bank, (0, "edit", "please outline the spleen", "A"), (1, "edit", "Please show me, the liver!", "A")
    )
    assert settled.decisions["outcome"].tolist() == ["refused", "refused"]
    assert "target: names the spleen" in settled.decisions["reason"][0]
    assert settled.decisions["reason"][1].startswith("duplicate")
    assert all(reason.endswith("the original text stays") for reason in settled.decisions["reason"])
    assert settled.accepted["text"][0] == "mark structure number 0"


def test_an_edit_may_be_near_its_own_text_and_not_anothers(bank: pd.DataFrame) -> None:
    text = "please outline the liver for me on this slice of the scan so that I can see it well"
    bank.loc[0, "text"], bank.loc[1, "text"] = text, "the liver please"
    settled = _settle(bank, (0, "edit", text + " now", "A"), (1, "edit", text + " thanks", "A"))
    assert settled.decisions["outcome"].tolist() == ["applied", "refused"]
    assert settled.decisions["reason"][1].startswith("near_duplicate")


def test_a_text_that_asks_for_nothing_is_not_checked_for_a_request(bank: pd.DataFrame) -> None:
    bank.loc[0, ["kind", "organ", "cell"]] = ["none", None, "none/none/lay"]
    settled = _settle(bank, (0, "edit", "what is the liver good for?", "A"))
    assert settled.accepted["text"][0] == "what is the liver good for?"


def test_an_edit_may_not_copy_the_passages_behind_its_prompt(bank: pd.DataFrame) -> None:
    copied = "please outline the liver as it is seen just below the right dome"
    decisions = [Decision("a.csv", 2, _id(0), "edit", copied, "A", "")]
    assert settle(bank, decisions, {}).decisions["outcome"][0] == "applied"
    refused = settle(bank, decisions, {"p2": copied}).decisions
    assert refused["reason"][0].startswith("copied")


def test_two_edits_to_one_text_make_one_prompt(bank: pd.DataFrame) -> None:
    settled = _settle(bank, (0, "edit", "please outline the liver", "A"), (1, "edit", "Please outline the liver", "A"))
    assert settled.decisions["outcome"].tolist() == ["applied", "refused"]


def test_a_text_may_be_taken_over_from_a_rejected_prompt(bank: pd.DataFrame) -> None:
    bank.loc[1, "text"] = "please show me the liver"
    settled = _settle(bank, (0, "edit", "please show me the liver", "A"), (1, "reject", "", "A"))
    assert settled.decisions["outcome"].tolist() == ["applied", "applied"]


def test_a_rejected_candidate_comes_in_by_an_edit_alone(bank: pd.DataFrame) -> None:
    settled = _settle(bank, (6, "accept", "", "A"), (7, "edit", "please outline the liver", "A"))
    assert settled.decisions["outcome"].tolist() == ["unused", "applied"]
    mended = settled.accepted.set_index("prompt_id").loc[_id(7)]
    assert mended["accepted"]
    assert mended["failed_check"] is None or pd.isna(mended["failed_check"])
    assert {"length", "target"} < set(mended["checks"])
    assert _id(6) not in set(settled.accepted["prompt_id"])


def test_reject_wins_over_edit_and_edit_over_accept(bank: pd.DataFrame) -> None:
    settled = _settle(
        bank,
        (0, "reject", "", "A"), (0, "edit", "please show the liver", "B"), (0, "accept", "", "C"),
        (1, "accept", "", "A"), (1, "edit", "please outline the liver", "B"),
        (2, "accept", "", "A"), (2, "accept", "", "B"),
    )  # fmt: skip
    assert settled.decisions["outcome"].tolist() == [
        "applied",
        "overruled",
        "overruled",
        "overruled",
        "applied",
        "applied",
        "applied",
    ]
    assert _id(0) not in set(settled.accepted["prompt_id"])
    assert settled.accepted.set_index("prompt_id").loc[_id(1), "text"] == "please outline the liver"
    assert settled.conflicts["prompt_id"].tolist() == [_id(0)] * 3 + [_id(1)]
    assert settled.conflicts["holds"].tolist() == ["reject"] * 3 + ["edit"]


def test_of_two_edits_the_later_that_passes_holds(bank: pd.DataFrame) -> None:
    good, other, bad = "please outline the liver", "please show the liver here", "please outline the spleen"
    for texts, outcomes in (((good, bad), ["applied", "refused"]), ((other, good), ["overruled", "applied"])):
        settled = _settle(bank, *((0, "edit", text, who) for text, who in zip(texts, "AB", strict=True)))
        assert settled.decisions["outcome"].tolist() == outcomes
        assert settled.accepted["text"][0] == good


def test_a_later_row_of_the_same_reviewer_replaces_the_earlier(bank: pd.DataFrame) -> None:
    settled = _settle(bank, (0, "reject", "", "A"), (0, "accept", "", "A"))
    assert settled.decisions["outcome"].tolist() == ["replaced", "applied"]
    assert _id(0) in set(settled.accepted["prompt_id"])
    assert settled.conflicts.empty


def test_two_files_without_a_name_are_two_reviewers(tmp_path: Path, bank: pd.DataFrame) -> None:
    for name, decisions in (("a.csv", "accept reject accept reject"), ("b.csv", "accept reject reject reject")):
        _write(tmp_path, name, [(_id(i), decision, "", "", "") for i, decision in enumerate(decisions.split())])
    settled = settle(bank, read_decisions(tmp_path), {})
    assert settled.agreement.to_numpy().tolist() == [["a", "b", 4, 0.75, 0.5]]
    assert settled.kappa == 0.5
    sides = settled.conflicts[["reviewer_a", "decision_a", "reviewer_b", "decision_b"]]
    assert sides.to_numpy().tolist() == [["a", "accept", "b", "reject"]]


def test_a_reviewer_is_one_person_whatever_the_case(tmp_path: Path, bank: pd.DataFrame) -> None:
    _write(tmp_path, "a.csv", [(_id(0), "reject", "", "Anna B", "")])
    _write(tmp_path, "b.csv", [(_id(0), "accept", "", "anna  b", ""), (_id(1), "accept", "", "ben", "")])
    settled = settle(bank, read_decisions(tmp_path), {})
    assert settled.decisions["outcome"].tolist() == ["replaced", "applied", "applied"]
    assert settled.decisions["reviewer"].tolist() == ["Anna B", "Anna B", "ben"]
    assert settled.agreement.empty


@pytest.mark.parametrize(("one", "other"), [("मीना", "मोना"), ("A+", "A-"), ("A. B", "A B")])
def test_names_that_look_alike_are_two_reviewers(one: str, other: str, tmp_path: Path, bank: pd.DataFrame) -> None:
    _write(tmp_path, "sheet.csv", [(_id(0), "accept", "", one, ""), (_id(0), "reject", "", other, "")])
    settled = settle(bank, read_decisions(tmp_path), {})
    assert settled.decisions["outcome"].tolist() == ["overruled", "applied"]
    assert len(settled.conflicts) == 1


def test_rows_without_a_name_in_a_reviewers_file_are_that_reviewers(tmp_path: Path, bank: pd.DataFrame) -> None:
    _write(tmp_path, "a.csv", [(_id(0), "reject", "", "Anna Lee", "")])
    _write(tmp_path, "anna-lee.csv", [(_id(0), "accept", "", "", "")])
    settled = settle(bank, read_decisions(tmp_path), {})
    assert settled.decisions["reviewer"].tolist() == ["Anna Lee", "Anna Lee"]
    assert settled.decisions["outcome"].tolist() == ["replaced", "applied"]


def test_three_reviewers_agree_in_pairs(bank: pd.DataFrame) -> None:
    votes = {"A": "accept accept reject reject", "B": "accept accept reject accept", "C": "reject accept"}
    rows = [(i, decision, "", who) for who, said in votes.items() for i, decision in enumerate(said.split())]
    settled = _settle(bank, *rows)
    assert settled.agreement.to_numpy().tolist() == [
        ["A", "B", 4, 0.75, 0.5],
        ["A", "C", 2, 0.5, 0.0],
        ["B", "C", 2, 0.5, 0.0],
    ]
    assert settled.kappa == 0.25  # (4 * 0.5 + 2 * 0 + 2 * 0) / 8


def test_the_sample_is_stratified_reproducible_and_holds_the_flagged(bank: pd.DataFrame) -> None:
    flagged = flags(bank, pd.DataFrame({"prompt_id_b": []}), limit=3, seed=0)
    chosen = sample(bank, PARAMS, flagged)
    strata = chosen[chosen["accepted"] & (chosen["flag"] == "")].groupby(["kind", "target", "style"]).size()
    assert len(chosen.groupby(["kind", "target", "style"])) == 4
    assert strata.max() == 2
    assert set(flagged) <= set(chosen["prompt_id"])
    assert "rejected: length" in set(chosen["flag"])
    again = sample(bank.sample(frac=1, random_state=1), PARAMS, flagged)
    assert again["prompt_id"].tolist() == chosen["prompt_id"].tolist()
    one, other = (ReviewParams(seed=seed, per_stratum=1, flagged=0, picture_px=64) for seed in (0, 5))
    assert sample(bank, one, {})["prompt_id"].tolist() != sample(bank, other, {})["prompt_id"].tolist()


def test_the_sheet_names_the_mask_and_goes_out_and_comes_back(bank: pd.DataFrame, tmp_path: Path) -> None:
    pictures = pd.DataFrame([("anatomy", "liver", "src/1/2", "liver", "anatomy-liver.png")])
    pictures.columns = ["kind", "target", "slice_id", "organ", "picture"]
    table = sheet(
        sample(bank, PARAMS, {_id(7): "rejected: target"}), pictures, {"p1": "The liver is " + "very " * 40 + "large."}
    )
    assert tuple(table.columns) == SHEET
    assert set(table.loc[table["kind"] == "anatomy", "picture"]) == {"pictures/anatomy-liver.png"}
    assert table.loc[table["kind"] == "position", "picture"].isna().all()
    assert "rejected: target (names the spleen)" in set(table["flag"])
    assert table["passages"].str.len().max() < 100
    write_sheet(table, tmp_path / "review.csv")
    assert [d.outcome for d in read_decisions(tmp_path)] == ["undecided"] * len(table)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"per_stratum": -1}, {"flagged": -1}, {"picture_px": 8}])
def test_params_are_validated(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ReviewParams(**({"seed": 0, "per_stratum": 2, "flagged": 60, "picture_px": 256} | wrong))
