"""Passages: sections, sentences, sizes, organs, stable ids and bytes."""

import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pandera.errors
import pytest

from corpus.errors import InputError
from corpus.reports.deidentify import deidentify_parts
from corpus.reports.passages import (
    MAX_SENTENCES,
    MAX_WORDS,
    SCHEMA,
    Section,
    paragraphs,
    passages_of,
    read_passages,
    sections,
    sentences,
    write_passages,
)
from corpus.reports.readers import Report, ReportSource, read_reports


def report(text: str, report_id: str = "r1", tag: str = "S1") -> Report:
    return Report(report_id, text, "mine", tag, "expert")


def n_words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FINDINGS:\nLiver: normal.\nIMPRESSION: None.", [("findings", "Liver: normal."), ("impression", "None.")]),
        ("Findings: A cyst.\nImpression:\nBenign.", [("findings", "A cyst."), ("impression", "Benign.")]),
        ("CONCLUSION: A cyst.", [("impression", "A cyst.")]),
        ("Well. PAST MEDICAL HISTORY: None.", [("", "Well."), ("past medical history", "None.")]),
        ("CT: a cyst. The PSA: 4. Spleen: normal.", [("", "CT: a cyst. The PSA: 4. Spleen: normal.")]),
        (
            "FINDINGS: LIVER: Large. RIGHT KIDNEY: A cyst.\nBOWEL: None.",
            [("findings", "LIVER: Large. RIGHT KIDNEY: A cyst."), ("bowel", "None.")],
        ),
        ("FINDINGS:\nIMPRESSION: Normal.", [("impression", "Normal.")]),
        ("just a question", [("", "just a question")]),
    ],
)
def test_sections(text: str, expected: list[tuple[str, str]]) -> None:
    assert list(sections(text)) == [Section(*pair) for pair in expected]


@pytest.mark.parametrize(
    "expected",
    [
        ["Dr. Smith saw a cyst of 3.2 x 1.4 cm. in width, e.g. Bosniak II.", "It is benign."],
        ["See fig. 2 and no. 5 above.", "Is there a stone?", "There is no.", "The liver is 15.5 cm."],
        ["St. Mary's sent it vs. The other one.", '"It is normal."', "(Or so it seems.)"],
        ["1. Liver is normal.", "2. Spleen is normal."],
        [
            "approx. 5 mm",
        ],
    ],
)
def test_sentences(expected: list[str]) -> None:
    assert list(sentences(" ".join(expected))) == expected


def test_paragraphs_join_wrapped_lines_and_split_lists() -> None:
    text = "The liver is\nnormal in size.\n1. No stone\n2) No cyst\n- No mass\n\nThe end"
    assert list(paragraphs(text)) == ["The liver is normal in size.", "No stone", "No cyst", "No mass", "The end"]


def test_a_line_of_a_structured_report_stays_whole() -> None:
    liver = "Liver: Normal in size, 15.5 cm craniocaudal, with smooth margins and homogeneous enhancement. No lesion."
    spleen = (
        "Spleen: Normal in size and of even density on these late arterial images, measured at 10.4 cm. No infarct."
    )
    table, left_out = passages_of([report(f"FINDINGS:\n{liver}\n{spleen}\nIMPRESSION:\nUnremarkable CT abdomen.")])
    assert table["text"].tolist() == [liver, spleen, "Unremarkable CT abdomen."]
    assert table["section"].tolist() == ["findings", "findings", "impression"]
    assert table["organs"].tolist() == [["liver"], ["spleen"], []]
    assert not left_out
    capitals = [line.replace("Liver:", "LIVER:").replace("Spleen:", "SPLEEN:") for line in (liver, spleen)]
    table, _ = passages_of([report("FINDINGS:\n" + "\n".join(capitals))])
    assert table["text"].tolist() == capitals
    assert table["organs"].tolist() == [["liver"], ["spleen"]]


def test_short_lines_join_and_long_ones_are_cut() -> None:
    short = "Liver normal.\nSpleen normal.\nAorta normal.\nColon normal."
    table, left_out = passages_of([report(short)])
    assert table["text"].tolist() == ["Liver normal. Spleen normal. Aorta normal."]
    assert left_out == Counter({"too short": 1})
    long = " ".join(f"word{i}," for i in range(150)) + " end."
    pieces = passages_of([report(long)])[0]["text"].tolist()
    assert [n_words(piece) for piece in pieces] == [60, 60, 31]
    assert " ".join(pieces) == long


def test_passages_keep_every_word_within_their_limits() -> None:
    reports = [
        r for r in read_reports("builtin", ReportSource("builtin", "corpus/reports/builtin")) if isinstance(r, Report)
    ]
    table, left_out = passages_of(reports)
    assert left_out == Counter()
    assert table["text"].map(n_words).max() <= MAX_WORDS
    assert max(len(list(sentences(text))) for text in table["text"]) <= MAX_SENTENCES
    by_report = table.groupby("report_id")["text"].agg(" ".join)
    for r in reports:
        said = " ".join(p for s in sections(r.text) for p in paragraphs(s.text))
        assert by_report[r.id].split() == said.split()


def test_organs_and_negated_organs() -> None:
    table, _ = passages_of(
        [report("There is no gallbladder. The left kidney is normal, and no stone is in the left kidney.")]
    )
    assert table["organs"].tolist() == [["gallbladder", "left kidney"]]
    assert table["negated_organs"].tolist() == [["gallbladder"]]


def test_duplicates_and_scraps_are_dropped_and_counted() -> None:
    text = "The liver is normal."
    table, left_out = passages_of([report(text), report(text, "r2"), report(text, "q1", "S2"), report("None.", "r3")])
    assert table["report_id"].tolist() == ["r1", "q1"]
    assert left_out == Counter({"duplicate": 1, "too short": 1})


def test_ids_are_stable_and_depend_on_what_they_name() -> None:
    def id_of(r: Report) -> str:
        return passages_of([r])[0]["passage_id"].item()

    text = "The liver is normal."
    assert id_of(report(text)) == id_of(report(text)) == "5d4cd7b4ff535bdf"
    assert len({id_of(report(text)), id_of(report(text, "r2")), id_of(report("The spleen is normal."))}) == 3


def test_no_reports_give_an_empty_table_that_is_valid(tmp_path: Path) -> None:
    table, _ = passages_of([])
    write_passages(table, tmp_path / "p.parquet")
    assert len(read_passages(tmp_path / "p.parquet")) == 0


def test_parquet_comes_back_whole_and_in_the_same_bytes(tmp_path: Path) -> None:
    table, _ = passages_of([report("The liver is normal. No gallbladder is seen.\nThe aorta measures 2 cm.")])
    write_passages(table, tmp_path / "a.parquet")
    write_passages(table.copy(), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    pd.testing.assert_frame_equal(read_passages(tmp_path / "a.parquet"), table)


def test_a_table_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a table of passages"):
        read_passages(tmp_path / "missing.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match="expected a table of passages"):
        read_passages(tmp_path / "bad.parquet")


def test_schema_refuses_unknown_organs() -> None:
    table, _ = passages_of([report("The liver is normal.")])
    table.at[0, "organs"] = ["heart"]
    with pytest.raises(pandera.errors.SchemaError, match="organs of the vocabulary"):
        SCHEMA.validate(table)


REAL = Path(os.environ.get("FLANS_REAL_DATA", "../shared/real")) / "text_mtsamples"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real notes aren't in {REAL} (set FLANS_REAL_DATA)")
def test_real_notes_make_sound_passages() -> None:
    source = ReportSource("jsonl", str(REAL / "notes.jsonl.gz"), limit=120)
    notes = [deidentify_parts([r])[0][0] for r in read_reports("mt", source) if isinstance(r, Report)]
    table, _ = passages_of(notes)
    words = table["text"].map(n_words)
    assert len(table) > 8 * len(notes)
    assert words.max() <= MAX_WORDS
    assert 20 < words.mean() < 45
    assert {"procedure", "impression", "findings", "past medical history"} <= set(table["section"])
    assert not table["text"].str.contains(r"[a-z]\.,[A-Z]").any()
