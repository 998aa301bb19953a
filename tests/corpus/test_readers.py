"""Readers of clinical text: one table of formats, the same reports out of each."""

import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from corpus.errors import InputError
from corpus.params import load_params
from corpus.reports.readers import Reject, Report, ReportParams, ReportSource, read_reports

ROWS = [
    {"id": "a", "text": "FINDINGS: The liver is normal.", "style": "terse"},
    {"id": "b", "text": 'The "left" kidney, 3.2 x 1.4 cm;\nno stone.', "style": "narrative"},
    {"id": "c", "text": "   ", "style": "terse"},
]


def write_delimited(path: Path, delimiter: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["id", "text", "style"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The same three reports, the last one empty, in every format."""
    write_delimited(tmp_path / "r.csv", ",")
    write_delimited(tmp_path / "r.tsv", "\t")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "r.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pd.DataFrame(ROWS).to_parquet(tmp_path / "r.parquet")
    folder = tmp_path / "txt"
    folder.mkdir()
    for row in ROWS:
        (folder / f"{row['id']}.txt").write_text(row["text"], encoding="utf-8")
    return {"gz": tmp_path / "r.jsonl.gz", "txt": folder} | {
        kind: tmp_path / f"r.{kind}" for kind in ("csv", "tsv", "jsonl", "parquet")
    }


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "gz", "parquet", "txt"])
def test_every_format_gives_the_same_reports(files: dict[str, Path], kind: str) -> None:
    reader = "jsonl" if kind == "gz" else kind
    style_column = None if kind == "txt" else "style"
    items = list(read_reports("mine", ReportSource(reader, str(files[kind]), style_column=style_column)))
    reports = [item for item in items if isinstance(item, Report)]
    assert [(r.id, r.text) for r in reports] == [(row["id"], row["text"]) for row in ROWS[:2]]
    assert [r.style for r in reports] == (["expert"] * 2 if kind == "txt" else ["terse", "narrative"])
    assert {(r.source, r.tag) for r in reports} == {("mine", "S1")}
    assert items[2] == Reject("c", "no text")


def test_builtin_gives_both_tags_and_unique_ids() -> None:
    items = list(read_reports("builtin", ReportSource("builtin", "corpus/reports/builtin")))
    assert not [item for item in items if isinstance(item, Reject)]
    assert Counter(item.tag for item in items if isinstance(item, Report)).keys() == {"S1", "S2"}
    assert len({item.id for item in items if isinstance(item, Report)}) == len(items)


def test_one_bad_report_never_stops_the_run(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    lines = [
        b'{"id": 1, "text": "The spleen."}',
        b"{broken",
        b"[1]",
        b'{"id": 2, "text": "\xff\xfe liver"}',
        b'{"id": 3}',
    ]
    path.write_bytes(b"\n".join([*lines, b'{"id": null, "text": "x"}', b'{"id": 4, "text": "The aorta."}']))
    items = list(read_reports("mine", ReportSource("jsonl", str(path))))
    assert [item.id for item in items if isinstance(item, Report)] == ["1", "4"]
    rejects = [item for item in items if isinstance(item, Reject)]
    assert [r.report_id for r in rejects] == ["r.jsonl, line 2", "r.jsonl, line 3", "2", "3", ""]
    assert "UTF-8" in rejects[2].reason


def test_a_character_cut_in_two_rejects_its_report_alone(tmp_path: Path) -> None:
    """As in an emoji that a length limit went through."""
    path = tmp_path / "r.jsonl"
    lines = [
        '{"id": 1, "text": "The liver \\ud83d"}',
        '{"id": "x\\ud83d"}',
        '{"id": 2, "text": "The aorta \\ud83d\\ude42"}',
    ]
    path.write_text("\n".join(lines))
    cut, nameless, report = read_reports("mine", ReportSource("jsonl", str(path)))
    assert cut == Reject("1", "half of a surrogate pair: a character was cut in two")
    assert nameless == Reject("x?", "no text"), "what goes into rejects.csv can be written"
    assert isinstance(report, Report)


def test_a_comma_in_an_unquoted_text_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("text,id\nAnna Smith, liver and aorta.,1\nThe aorta.,2,\nThe spleen.,3\n")
    reject, *reports = read_reports("mine", ReportSource("csv", str(path)))
    assert reject == Reject("r.csv, line 2", "more cells than columns: quote a text that holds the delimiter")
    assert [report.text for report in reports if isinstance(report, Report)] == ["The aorta.", "The spleen."]


def test_markup_that_is_not_understood_is_rejected(tmp_path: Path) -> None:
    texts = [r"{\rtf1 Patient: \b Ann Lee\b0\par}", "<name><given>Ann</given></name>", "&lt;id/&gt;Ann", "<p> </p>"]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    xml = "the text is XML: export what it says as plain text or HTML"
    reasons = ["the text is RTF: export it as plain text", xml, xml, "no text, but markup"]
    found = list(read_reports("mine", ReportSource("jsonl", str(path))))
    assert found == [Reject(str(i), reason) for i, reason in enumerate(reasons)]


def test_an_open_quote_swallows_no_reports(tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    path.write_text('id\ttext\n1\t"Shrunken liver.\n2\tThe spleen is large.\n')
    with pytest.raises(InputError, match="expected a tsv file, but it is damaged: after line 1, unexpected end"):
        list(read_reports("mine", ReportSource("tsv", str(path))))


def test_a_first_line_without_the_columns_is_rejected_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"note": "header"}\n{"id": 1, "text": "The spleen."}\n')
    reject, report = read_reports("mine", ReportSource("jsonl", str(path)))
    assert reject == Reject("", "no id")
    assert isinstance(report, Report)


def test_rows_of_one_id_are_parts_of_a_report_and_a_repeated_row_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("id,text\n1,The liver.\n 1 ,The spleen.\n1,The liver.\n2,The aorta.\n")
    first, second, third, fourth = read_reports("mine", ReportSource("csv", str(path)))
    assert isinstance(first, Report)
    assert isinstance(second, Report)
    assert (first.id, first.text, second.id, second.text) == ("1", "The liver.", "1", "The spleen.")
    assert third == Reject("1", "another report has this id and text")
    assert isinstance(fourth, Report)


def test_a_folder_is_read_whole_in_the_order_of_its_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.csv").write_text("id,text\n3,The aorta.\n")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id,text\n1,The liver.\n2,The spleen.\n"))
    (tmp_path / "notes.md").write_text("no report")
    assert [r.id for r in read_reports("m", ReportSource("csv", str(tmp_path))) if isinstance(r, Report)] == [
        "1",
        "2",
        "3",
    ]


def test_text_files_are_known_by_their_paths(tmp_path: Path) -> None:
    for name, content in {
        "one.txt": b"\xef\xbb\xbfThe liver.",
        "sub/one.TXT": b"The spleen.",
        "x.txt": b"a\x00b\x00",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    one, other, broken = read_reports("m", ReportSource("txt", str(tmp_path)))
    assert isinstance(one, Report)
    assert (one.id, one.text) == ("one", "The liver.")
    assert isinstance(other, Report)
    assert (other.id, other.text) == ("sub/one", "The spleen.")
    assert isinstance(broken, Reject)
    assert "null characters" in broken.reason
    (alone,) = read_reports("m", ReportSource("txt", str(tmp_path / "one.txt")))
    assert isinstance(alone, Report)
    assert alone.id == "one"


def test_limit_counts_reports(files: dict[str, Path]) -> None:
    assert len(list(read_reports("mine", ReportSource("csv", str(files["csv"]), limit=1)))) == 1


def test_limit_takes_the_last_report_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("id,text\n1,The liver.\n1,The spleen.\n2,The aorta.\n2,\n2,Signed.\n3,The colon.\n4,\n")
    found = list(read_reports("mine", ReportSource("csv", str(path), limit=2)))
    assert [item.text for item in found if isinstance(item, Report)] == [
        *("The liver.", "The spleen."),
        *("The aorta.", "Signed."),
    ]
    assert [item for item in found if isinstance(item, Reject)] == [Reject("2", "no text")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (ReportSource("pdf", "x.pdf"), "use one of: builtin, txt, csv, tsv, jsonl, parquet, fhir"),
        (ReportSource("csv", "no/such.csv"), "no/such.csv"),
        (ReportSource("csv", "tests"), "expected .csv files, found none"),
        (ReportSource("fhir", "tests"), "expected .json or .ndjson files, found none"),
        (ReportSource("builtin", "pyproject.toml"), "expected the folder of the built-in reports"),
    ],
)
def test_a_bad_source_is_named_with_its_fix(source: ReportSource, expected: str) -> None:
    with pytest.raises(InputError) as error:
        list(read_reports("mine", source))
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,text,text\n1,liver,spleen\n", "expected each column once, found text twice"),
        (b"id;text\n1;liver\n", "expected cells between ',', found ';'"),
        (b"id\ttext\n1\tliver\n", "found '\\t'\n  To mend it: use the reader tsv"),
        (b"Report export, 2024\nid,text\n", "expected the columns id, text"),
        ("id,text\n1,liver\n".encode("utf-16"), "expected UTF-8, found another encoding"),
    ],
)
def test_a_table_that_only_looks_wrong_is_told_what_it_is(content: bytes, message: str, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError) as error:
        list(read_reports("mine", ReportSource("csv", str(path))))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "first",
    [
        '482913,"Patient: Ann Lee, MRN 482913. The liver is large."',
        "Ann Lee,The liver is enlarged and holds no cyst",
        "r1,LEE MRN 482913",
        "Ann Lee,1951-03-12",
    ],
)
def test_a_table_without_column_names_is_not_told(first: str, tmp_path: Path) -> None:
    (path := tmp_path / "a.csv").write_text(f"{first}\n{first}\n")
    with pytest.raises(InputError, match="expected the columns id, text; found no row of column names") as error:
        list(read_reports("mine", ReportSource("csv", str(path))))
    assert not [word for word in ("Lee", "LEE", "482913", "1951") if word in str(error.value)]


def test_a_text_that_is_a_number_is_said_to_be_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1", "2"], "text": [3, None]}), tmp_path / "a.parquet")
    found = list(read_reports("mine", ReportSource("parquet", str(tmp_path / "a.parquet"))))
    assert found == [Reject("1", "expected text, found int"), Reject("2", "no text")]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_missing_columns_are_named(files: dict[str, Path], kind: str) -> None:
    with pytest.raises(InputError) as error:
        list(read_reports("mine", ReportSource(kind, str(files[kind]), text_column="report")))
    message = str(error.value)
    assert files[kind].name in message
    assert "expected the columns id, report; found id, text, style" in message
    assert "reports.sources.mine" in message


@pytest.mark.parametrize("kind", ["gz", "parquet"])
def test_a_damaged_file_is_an_input_error(files: dict[str, Path], kind: str) -> None:
    content = files[kind].read_bytes()
    files[kind].write_bytes(content[: len(content) // 2])
    reader = "jsonl" if kind == "gz" else kind
    with pytest.raises(InputError, match="damaged"):
        list(read_reports("mine", ReportSource(reader, str(files[kind]))))


def test_one_report_that_is_not_utf8_costs_no_other(tmp_path: Path) -> None:
    table = pa.table(
        {"id": ["a", "b"], "text": pa.array([b"The liver.", b"Gr\xfc\xdfe"]).cast(pa.string(), safe=False)}
    )
    pq.write_table(table, tmp_path / "r.parquet")
    good, bad = read_reports("mine", ReportSource("parquet", str(tmp_path / "r.parquet")))
    assert isinstance(good, Report)
    assert good.text == "The liver."
    assert bad == Reject("b", "the text isn't UTF-8")


def test_a_damaged_page_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pd.DataFrame({"id": [f"r{n}" for n in range(2000)], "text": [f"Liver {n}." for n in range(2000)]}).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[40:4000] = b"\xff" * 3960
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"expected a parquet file, but it is damaged: \w"):
        list(read_reports("mine", ReportSource("parquet", str(path))))


def test_a_number_too_long_for_python_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": ' + "9" * 5000 + ', "text": "x"}\n{"id": "b", "text": "The liver."}\n')
    bad, good = read_reports("mine", ReportSource("jsonl", str(path)))
    assert isinstance(bad, Reject)
    assert bad.reason.startswith("not JSON")
    assert isinstance(good, Report)


def test_copies_that_a_mac_leaves_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,text\na,The liver.\n")
    (tmp_path / "._r.csv").write_bytes(b"\0\5\x16\7 Mac OS X")
    assert [
        item.id for item in read_reports("mine", ReportSource("csv", str(tmp_path))) if isinstance(item, Report)
    ] == ["a"]


def test_params_refuse_a_name_that_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("reports: {sources: {'../up': {reader: builtin, path: x}}}", encoding="utf-8")
    with pytest.raises(InputError, match="can't name a folder"):
        load_params("reports", ReportParams, path)


REAL = Path(os.environ.get("FLANS_REAL_DATA", "../shared/real")) / "text_mtsamples"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real notes aren't in {REAL} (set FLANS_REAL_DATA)")
def test_real_notes_read_whole() -> None:
    notes = list(read_reports("mt", ReportSource("jsonl", str(REAL / "notes.jsonl.gz"))))
    assert len(notes) == 2357
    assert all(isinstance(note, Report) for note in notes)
    sentences = ReportSource("jsonl", str(REAL / "abdominal_sentences.jsonl.gz"), id_column="note", limit=50)
    assert len({r.id for r in read_reports("mt", sentences) if isinstance(r, Report)}) == 50
