"""The stage `passages`: nothing that identifies is written, and what was left out is told."""

import json
from pathlib import Path

import pandas as pd
import pytest

from corpus.reports.passages import read_passages
from pipelines import passages

ROWS = """id,text
1,"FINDINGS: Seen by Dr. Okonjo on 3/4/2019. The left kidney measures 10.5 cm, status post cholecystectomy."
1,"FINDINGS: Seen by Dr. Okonjo on 3/4/2019. The left kidney measures 10.5 cm, status post cholecystectomy."
2,
,The liver is normal.
3,"Mrs. Petrova, MRN 8812345, has a cyst of the right kidney."
"""


def test_the_stage_writes_clean_passages_rejects_and_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLANS_WORKERS", "1")
    monkeypatch.setattr(passages, "_CHUNK", 1)
    Path("r.csv").write_text(ROWS, encoding="utf-8")
    Path("params.yaml").write_text("cohort: c\nreports: {sources: {ours: {reader: csv, path: r.csv}}}\n")
    passages.main("ours")
    out = Path("data/passages/c/ours")
    written = "".join(path.read_text(encoding="utf-8") for path in out.iterdir() if path.suffix != ".parquet")
    table = read_passages(out / "passages.parquet")
    written += " ".join(table["text"])
    assert not [word for word in ("Okonjo", "Petrova", "8812345", "3/4/2019") if word in written]
    assert "10.5 cm" in table["text"][0]
    assert table["negated_organs"].tolist() == [["gallbladder"], []]
    rejects = pd.read_csv(out / "rejects.csv", keep_default_na=False)
    assert rejects["reason"].tolist() == ["another report has this id and text", "no text", "no id"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["reports"] == 2
    assert summary["rejected_because"] == {"another report has this id and text": 1, "no id": 1, "no text": 1}
    assert summary["replaced"] == {"date": 1, "name": 2, "record": 1}
    replacements = pd.read_csv(out / "replacements.csv")
    assert replacements["n"].sum() == 4


@pytest.mark.parametrize(
    ("content", "reasons"),
    [('[\n{"id": 1},\n]', "2 times: not JSON"), ("", "there is none"), ('{"id": "1", "text": ""}', "1 times: no text")],
)
def test_a_source_of_which_nothing_can_be_used_stops_the_stage(
    content: str, reasons: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLANS_WORKERS", "1")
    Path("r.jsonl").write_text(content, encoding="utf-8")
    Path("params.yaml").write_text("cohort: c\nreports: {sources: {ours: {reader: jsonl, path: r.jsonl}}}\n")
    with pytest.raises(SystemExit):
        passages.main("ours")
    said = capsys.readouterr().err
    assert f"none could be used ({reasons}" in said
    assert "data/passages/c/ours/rejects.csv" in said
    assert Path("data/passages/c/ours/rejects.csv").is_file()
    assert not Path("data/passages/c/ours/passages.parquet").exists()


def test_a_cohort_names_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.csv").write_text(ROWS, encoding="utf-8")
    Path("params.yaml").write_text("cohort: ../c\nreports: {sources: {ours: {reader: csv, path: r.csv}}}\n")
    with pytest.raises(SystemExit):
        passages.main("ours")
    assert "`cohort`: '../c' can't name a folder" in capsys.readouterr().err


WRAPPED = """IMPRESSION: Hydronephrosis of the left kidney was discussed with Dr.
Anderson by telephone on March
14, 2021. The patient Mr. Chidi
Okafor was told. Okafor agreed. Callback 617-555-
0192 for the liver.
"""


def test_identifiers_are_found_over_the_ends_of_lines_and_in_all_rows_of_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLANS_WORKERS", "1")
    rows = [
        ("1", WRAPPED),
        ("2", "Mr. Kowalski was seen for a cyst of the liver."),
        ("2", "Kowalski has a cyst of the left kidney, seen by Dr. Patel."),
    ]
    pd.DataFrame(rows, columns=["id", "text"]).to_csv("r.csv", index=False)
    Path("params.yaml").write_text("cohort: c\nreports: {sources: {ours: {reader: csv, path: r.csv}}}\n")
    passages.main("ours")
    out = Path("data/passages/c/ours")
    texts = read_passages(out / "passages.parquet")["text"].tolist()
    identifying = ("Anderson", "March", "14", "Chidi", "Okafor", "617", "0192", "Kowalski", "Patel")
    assert not [word for word in identifying if word in " ".join(texts)]
    saw, has = texts[-2:]
    kowalski = saw.split()[1]
    assert has.startswith(f"{kowalski} has a cyst of the left kidney")
    assert kowalski not in has.removeprefix(kowalski), "Dr. Patel is somebody else"
    replacements = pd.read_csv(out / "replacements.csv", index_col=["report_id", "kind"])["n"].to_dict()
    assert replacements == {(1, "name"): 3, (1, "date"): 1, (1, "phone"): 1, (2, "name"): 3}
