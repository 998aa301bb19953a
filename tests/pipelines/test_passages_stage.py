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
