"""`flans search`, on an index of three passages, and `flans bench retrieve`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from corpus.reports.encoder import encode
from corpus.reports.index import IndexParams, build_index
from corpus.reports.passages import passages_of
from corpus.reports.readers import Report
from pipelines import search
from pipelines.cli import app

TEXTS = {
    "S1": "IMPRESSION: Status post cholecystectomy. The liver is nodular, in keeping with cirrhosis [stage 2].",
    "S2": "why does my kidney stone hurt so much",
    "S3": "Show me the spleen of this patient.",
}


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, _ = passages_of([Report(f"r[{tag}]", text, "mine", tag, "any") for tag, text in TEXTS.items()])
    build_index(table, encode(table["text"].tolist()), tmp_path, IndexParams())
    monkeypatch.setattr(search, "INDEX", tmp_path)


def output(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["search", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_hits_come_with_their_source_section_and_organs() -> None:
    first, text = output("liver cirrhosis", "--k", "1").splitlines()
    score, rest = first.split(maxsplit=1)
    assert 0.3 < float(score) < 1
    assert rest == "S1  |  mine/r[S1]  |  impression  |  no gallbladder, liver"
    assert text.strip().endswith("[stage 2].")


def test_tags_and_organs_filter() -> None:
    assert "r[S2]" in output("liver cirrhosis", "--tag", "S2").splitlines()[0]
    assert output("liver cirrhosis", "--organ", "spleen", "--tag", "S3").count("|") == 2
    assert output("liver cirrhosis", "--organ", "prostate") == ""


def test_json_lines_hold_everything() -> None:
    rows = [json.loads(line) for line in output("spleen", "--json").splitlines()]
    assert next(row["tag"] for row in rows) == "S3"
    assert rows[0].keys() >= {"passage_id", "report_id", "text", "organs", "negated_organs", "score"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((" ",), "the query is empty"),
        (("liver", "--tag", "S9"), "use one of: S1, S2, S3"),
        (("liver", "--organ", "hart"), "'hart' isn't known"),
    ],
)
def test_a_bad_question_is_named_with_its_fix(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, ["search", *arguments])
    assert result.exit_code == 1
    assert message in result.stderr


def test_bench_retrieve_prints_a_row_for_each_index() -> None:
    result = CliRunner().invoke(app, ["bench", "retrieve", "--passages", "1000", "--queries", "5"])
    assert result.exit_code == 0, result.output
