"""The report, from a tiny made-up run: self-contained, true to its files, safe against its texts, reproducible."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from corpus.anatomy import BY_NAME
from corpus.files import file_sha256
from pipelines.report import LISTED_CONFUSIONS, main, trouble
from pipelines.reporting import read_table, without_folders
from prompts.kinds import kinds, styles
from prompts.sheets import write_sheet
from prompts.targets import ABSENT
from tests.pipelines.report_run import (
    ESCAPED,
    HOSTILE,
    OF_A_REPORT,
    PARAMETERS,
    Page,
    cases,
    write_evaluation,
    write_further,
    write_json,
    write_run,
)

SCORED = {
    "calibration": {"ece": 0.0246},
    "volume": {
        "anatomy": {"dice": 0.8, "dice_low": 0.7123, "dice_high": 0.8877, "cases": 112},
        "absent": {"empty": 0.625, "cases": 8},
        "volumes": 5,
    },
    "leak": {"patients": 4, "slices": 1055, "texts": 99},
}
"""Figures of metrics.json that not every run has."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a made-up run, entered."""
    monkeypatch.chdir(tmp_path)
    write_run()
    return tmp_path


def test_it_is_one_file_that_loads_nothing(run: Path) -> None:
    page = Page()
    assert [path.name for path in (run / "report").iterdir()] == ["report.html"]
    assert not {"script", "iframe", "object", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "url(" not in page.html
    assert "@import" not in page.html
    ids = {attributes.get("id") for _, attributes in page.tags}
    linked = {(attributes["href"] or "")[1:] for tag, attributes in page.tags if tag == "a"}
    assert linked <= ids


def test_pictures_and_tables_can_be_read_aloud(run: Path) -> None:
    page = Page()
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    examples_shown = len(pd.read_csv("evaluation/examples/examples.csv"))
    assert len(pictures) == 3 + examples_shown + 3  # the opening's, the examples, the masks
    assert all(attributes["alt"] for attributes in pictures)
    assert all(attributes["scope"] in ("row", "col") for tag, attributes in page.tags if tag == "th")
    for tag, attributes in page.tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")


def test_the_figures_are_those_of_the_metrics(run: Path) -> None:
    metrics = json.loads(Path("evaluation/metrics.json").read_text(encoding="utf-8"))
    expected = [f"{metrics[scan]['anatomy']['dice']:.3f}" for scan in ("original", "transformed")]
    expected += [f"{100 * metrics[scan]['pose']['accuracy']:.1f}%" for scan in ("original", "transformed")]
    expected += [f"{100 * metrics['intent']['accuracy']:.1f}%", "87.6%"]
    assert Page().values == expected

    metrics["original"]["anatomy"] |= {"dice": 0.1234, "dice_low": 0.0127, "dice_high": 0.2346}
    metrics["original"]["pose"] |= {"used": 0.9765, "accuracy_abdomen": 0.9876, "abdomen": 4}
    metrics["original"]["anatomy_where_understood"] |= {"dice": 0.4567, "cases": 5}
    write_json(Path("evaluation/metrics.json"), metrics)
    changed = Page()
    assert changed.values[0] == "0.123"
    assert "95% interval 0.013 to 0.235; 6 cases" in changed.html
    assert "of requests that were understood: 0.457 (5)" in changed.html
    assert "judged with its volume, right on 97.7%" in changed.html
    assert "right on 98.8% of the 4 slices that show the abdomen" in changed.html


def test_few_cases_are_said_to_be_few(run: Path) -> None:
    assert "Rotated." not in Page().html
    asked = cases()
    rotated = asked[asked["transform"] == "identity"].assign(transform="rotated", degrees=12.0)
    missing = rotated.assign(kind=ABSENT, target=rotated["organ"])
    write_evaluation(pd.concat([asked, rotated, missing], ignore_index=True))
    page = Page()
    section = page.section("figures")
    assert "Only 25% of the slices are rotated, by up to 30° to either side: fewer cases" in section
    assert section.count("<small>n = 3</small>") == 2 * 2, "by position and by size, as they lie and rotated"
    assert section.count("<small>n = 6</small>") == 2 + 2, "by name, and what is turned in two ways"
    assert "3 + 6 + 3" in page.section("organs")


def test_sections_show_their_files(run: Path) -> None:
    page = Page()
    for section, figures in {
        "data": ("1,234", "tumour"),
        "training": ("0.864 on validation at step 100",),
        "prompts": ("4,321", "98.76%", "53", "near letters", "50.00%", "0.632", "NA", "0.500"),
    }.items():
        assert [figure for figure in figures if figure not in page.section(section)] == []


def test_the_prompts_are_shown_with_what_was_refused_and_where_people_differ(run: Path) -> None:
    section = Page().section("prompts")
    assert "1 of them come with the project" in section
    assert "1 are sentences of the reports" in section
    assert OF_A_REPORT not in section, "the page is handed on"
    unedited = section.split("as they were written")[1].split("</ul>")[0]
    assert ESCAPED in unedited
    assert "tiny" not in unedited, "an edited prompt isn't shown as written"
    refused = section.split("What they refused")[1].split("</details>")[0]
    assert '<span class="asked">=show me the spleen</span><br><small>too short</small>' in refused
    heat = section.split('<table class="heat">')[1].split("</table>")[0]
    rows = {row.split("</th>")[0]: row for row in heat.split('<th scope="row">')[1:]}
    assert set(rows) == set(BY_NAME)
    columns = len(kinds()) * len(styles())
    assert rows["liver"].count('<td class="number full" style="--share: 90.0%">417</td>') == columns - 1
    assert rows["liver"].count('<td class="number missing">0</td>') == 1
    assert rows["spleen"].count('<td class="number">–</td>') == columns
    people = section.split("<h3>Reviewers</h3>")[1].split("<h3>")[0]
    for said in ("Anna and Ben", "75.0%", "0.432", "The decision reject holds"):
        assert said in people
    assert people.count('<td class="number">–</td>') == 1, "a kappa that isn't defined"


def test_an_unreviewed_bank_has_no_reviewers(run: Path) -> None:
    for name in ("rejected", "conflicts", "agreement"):
        path = Path(f"data/review/{name}.csv")
        write_sheet(pd.read_csv(path, encoding="utf-8-sig").head(0), path)
    section = Page().section("prompts")
    assert "No prompt was decided on by two reviewers." in section
    assert "No candidate was refused." in section


def test_text_from_files_is_data(run: Path) -> None:
    page = Page()
    assert "<script" not in page.html
    for section in ("examples", "data", "prompts"):
        assert ESCAPED in page.section(section)
    assert any(HOSTILE in (attributes.get("alt") or "") for tag, attributes in page.tags if tag == "img")


def test_the_same_inputs_give_the_same_bytes_anywhere(
    run: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Page()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(run, elsewhere, dirs_exist_ok=True)
    shutil.rmtree(elsewhere / "report")
    monkeypatch.chdir(elsewhere)
    page = Page()
    assert (run / "report/report.html").read_bytes() == (elsewhere / "report/report.html").read_bytes()
    assert str(elsewhere) not in page.html


def test_folders_of_absolute_paths_are_hidden(run: Path) -> None:
    Path("params.yaml").write_text(PARAMETERS.replace("ROOT", "/mnt/lovelace/btcv"), encoding="utf-8")
    html = Page().html
    assert "lovelace" not in html
    assert "…/p9.nii.gz" in html
    assert "root: …/btcv}" in html
    assert (
        without_folders("data/raw, https://example.org/a/b and 1/2/3") == "data/raw, https://example.org/a/b and 1/2/3"
    )


def test_only_a_phantom_is_called_synthetic(run: Path) -> None:
    assert "Every scan here is synthetic" in Page().html
    Path("params.yaml").write_text(PARAMETERS.replace("ROOT", "/mnt/lovelace/btcv"), encoding="utf-8")
    html = Page().html
    assert "synthetic" not in html.split("<main>")[0]
    assert "not a medical device" in html.split("<main>")[0]


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("evaluation/metrics.json", "evaluate"),
        ("evaluation/tables/organs.csv", "evaluate"),
        ("evaluation/examples/examples.csv", "evaluate"),
        ("evaluation/examples/00-best.png", "evaluate"),
        ("models/curves/segmenter", "train_segmenter"),
        ("models/flans/model.safetensors", "train_joint"),
        ("data/slices/phantom/phantom/slices.parquet", "ingest@phantom"),
        ("data/slices/phantom/phantom/rejects.csv", "ingest@phantom"),
        ("data/dataset/manifest.json", "dataset"),
        ("data/dataset/texts.parquet", "dataset"),
        ("data/review/metrics.json", "review"),
        ("data/review/pictures", "review"),
        ("data/review/organs.csv", "review"),
        ("data/review/agreement.csv", "review"),
        ("data/prompts/summary.json", "generate"),
        ("data/index/manifest.json", "index"),
    ],
)
def test_a_missing_input_is_named_with_its_stage(
    run: Path, path: str, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert path in said
    assert f"dvc repro {stage}" in said
    assert not Path("report").exists()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("evaluation/metrics.json", "{"),
        ("evaluation/metrics.json", "[]"),
        ("evaluation/tables/kinds.csv", "scan,kind\n"),
        ("data/dataset/texts.parquet", "none"),
    ],
)
def test_a_broken_input_is_named(run: Path, path: str, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(path).write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit):
        main()
    assert path in capsys.readouterr().err


def test_tables_that_a_run_lacks_leave_no_trace(run: Path) -> None:
    page = Page()
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert not {"robustness", "calibration", "baselines", "volumes", "cuts"} & ids
    for said in ("How scans lay", ">nan<", "held against what training"):
        assert said not in page.html


def test_tables_that_a_run_has_are_shown(run: Path) -> None:
    write_further()
    metrics = json.loads(Path("evaluation/metrics.json").read_text(encoding="utf-8"))
    write_json(Path("evaluation/metrics.json"), metrics | SCORED)
    page = Page()
    for section, said in {
        "robustness": (
            "Slips of the fingers",
            "0.735",
            "0.700–0.760",
            "0.910",
            "84.6%",
            "0.412",
            "mirrored left to right",
        ),
        "calibration": ("0.025", "0.963", "0.954", "300"),
        "turned": ("1 of 3 slices.", "with its whole volume", "as it lies, taken for mirrored left to right: 1 of 2"),
        "baselines": ("keyword lookup", "0.744", "0.700–0.780"),
        "volumes": (
            "0.712 to 0.888",
            "112 organs in 5 volumes",
            "Of 8 cases in which no slice",
            "5 got no mask",
            "0.850",
            "12.3",
            "1,500.5",
            "1,400.0",
        ),
        "cuts": ("By data set", "1,234", "abroad (not in training)", "0 - 200", "0.333", "0.444"),
        "data": ("held against what training", "4 patients, 1,055 slices", "the variants of requests among them"),
    }.items():
        assert [each for each in said if each not in page.section(section)] == []
    assert page.section("calibration").count("<circle") == 2, "an empty bin has no dot"
    assert "spleen" not in page.section("volumes"), "an organ that isn't there has no Dice"
    assert ">nan<" not in page.html


def test_each_table_is_shown_alone(run: Path) -> None:
    sections = {f"tables/{each}": each for each in ("robustness", "calibration", "volumes")}
    sections |= {"baselines": "baselines", "tables/sizes": "cuts", "tables/sources": "cuts"}
    for table, section in sections.items():
        write_further(table)
        ids = {attributes.get("id") for _, attributes in Page().tags}
        assert {each for each in ids if each in sections.values()} == {section}
        Path(f"evaluation/{table}.csv").unlink()


def test_baselines_of_an_earlier_model_are_left_out(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their table is no stage's output, and outlives the run that it is of."""
    write_further("baselines")
    path = Path("evaluation/baselines.csv")
    path.write_text(path.read_text().replace(file_sha256(Path("evaluation/cases.parquet")), "0" * 64))
    assert "baselines" not in {attributes.get("id") for _, attributes in Page().tags}
    assert "baselines.csv is of another run and left out" in " ".join(capsys.readouterr().err.split())


def test_a_volume_called_0005_keeps_its_zeros(tmp_path: Path) -> None:
    (tmp_path / "rejects.csv").write_text("source,volume,reason\nbtcv,0005,torn\n")
    assert read_table(tmp_path / "rejects.csv", "ingest", ["volume"])["volume"].tolist() == ["0005"]


def test_a_broken_further_table_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("evaluation/tables/robustness.csv").write_text("factor,level\nnoise,1\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        main()
    assert "robustness.csv" in capsys.readouterr().err


def test_what_was_put_right_is_counted_by_volume(run: Path) -> None:
    section = Page().section("data")
    put_right = section.split("What was put right")[1]
    assert '<td>gantry tilt of 12.0 degrees undone</td><td class="number">2</td>' in put_right
    slices = Path("data/slices/phantom/phantom/slices.parquet")
    pd.read_parquet(slices).assign(mended="").to_parquet(slices, index=False)
    assert "Nothing had to be put right in the others." in Page().section("data")


def test_the_page_says_what_it_was_made_of(run: Path) -> None:
    section = Page().section("reproduce")
    weights = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    for said in (weights, "7,654,321", "generate.seed", "4711", "torch"):
        assert said in section


def test_headings_leave_out_no_level(run: Path) -> None:
    write_further()
    levels = [int(tag[1]) for tag, _ in Page().tags if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit()]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_an_answer_says_what_was_typed_understood_and_right(run: Path) -> None:
    section = Page().section("examples")
    assert (
        'understood: <b class="wrapping">leftmost</b>, 90% sure · true structure: <b class="wrapping">liver</b>'
        in section
    )
    assert section.count("NSD") == section.count("<figure>")


def test_no_refused_volume_is_no_error(run: Path) -> None:
    path = Path("data/slices/phantom/phantom/rejects.csv")
    path.write_text("source,volume,file,reason\n", encoding="utf-8")
    assert "No volume was refused." in Page().html


def test_one_patient_has_no_interval_and_unturned_scans_no_bars(run: Path) -> None:
    shutil.rmtree("evaluation")
    write_evaluation(cases(patients=1, transforms=("identity",)))
    page = Page()
    assert "no interval: too few patients" in page.html
    assert len(page.values) == 4
    assert 'class="bar transformed"' not in page.html


def test_confusions_are_listed_and_many_are_drawn(run: Path) -> None:
    path = Path("evaluation/tables/intents.csv")
    path.write_text("actual,predicted\nliver,liver\nliver,spleen\nliver,spleen\nspleen,none\n", encoding="utf-8")
    html = Page().html
    assert "Of 4 held-out requests 3 were taken for something else, in 2 different ways." in html
    assert html.index("<td>spleen</td>") < html.index("<td>none</td>")
    assert "The whole matrix" not in html

    names = list(BY_NAME)[: LISTED_CONFUSIONS + 2]
    lines = [f"{a},{b}" for a, b in pairwise(names)]
    path.write_text("\n".join(["actual,predicted", *lines]) + "\n", encoding="utf-8")
    html = Page().html
    assert html.count('class="wrong"') == len(lines) == LISTED_CONFUSIONS + 1
    assert html.count("taken for") >= len(lines)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"understood": "spleen", "understood_right": False, "answered": "spleen"}, "misunderstood"),
        ({"answered": "spleen"}, "the wrong organ was chosen: spleen"),
        ({"answered": float("nan"), "dice": 0.0}, "no organ was found that fits"),
        ({"answered": float("nan"), "dice": 0.5}, None),
        ({"pose_right": False}, "the scan's pose was misjudged"),
    ],
)
def test_the_earliest_trouble_is_told(changes: dict[str, Any], said: str | None) -> None:
    case = {"understood": "liver", "understood_right": True, "pose_right": True, "dice": 0.9}
    assert trouble(case | {"organ": "liver", "answered": "liver"} | changes) == said
