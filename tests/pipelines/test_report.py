"""The report, from a tiny made-up run: self-contained, true to its files, safe against its texts, reproducible."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from corpus.anatomy import BY_NAME
from model.groups import NAMES
from model.scoring import examples, score, tables
from pipelines.report import LISTED_CONFUSIONS, main, trouble
from pipelines.reporting import TRANSFORMS, Curve, asked_for, curve, percent, round_robin, ticks, without_folders
from prompts.kinds import kinds, styles
from prompts.pictures import picture
from prompts.sheets import write_sheet
from prompts.targets import ABSENT

HOSTILE = "<script>alert(1)</script> the 'liver' \"now\" & here"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt; the &#39;liver&#39; &#34;now&#34; &amp; here"
ASKED_FOR = (
    ("anatomy", "liver", "liver"),
    ("anatomy", "spleen", "spleen"),
    ("position", "liver", "leftmost"),
    ("size", "spleen", "smallest"),
)
VARIANTS = {"context": 0.9, "elsewhere": 0.8, "misspelt": 0.7}
PARAMETERS = """
cohort: phantom
ingest: {sources: {phantom: {adapter: nnunet, root: ROOT}}, shards: 1, speck_mm2: 20.0, negatives: 0.5}
"""


def _cases(patients: int = 3, transforms: tuple[str, ...] = ("identity", "rot90", "flip")) -> pd.DataFrame:
    """Cases as model.evaluation.evaluate writes them; Dice differs between them."""
    rows: list[dict[str, Any]] = []
    for patient, transform, number in product(range(patients), transforms, range(len(ASKED_FOR))):
        kind, organ, target = ASKED_FOR[number]
        rows.append(
            {
                "slice_id": f"phantom/p{patient}/0001",
                "patient": f"phantom/p{patient}",
                "organ": organ,
                "kind": kind,
                "target": target,
                "style": ("expert", "trainee", "lay")[number % 3],
                "transform": transform,
                "prompt_id": f"{number:016x}",
                "understood": target,
                "pose_right": not (patient == 0 and transform == "rot90"),
                "dice": round(0.9 - 0.1 * patient - 0.07 * number - 0.03 * NAMES.index(transform), 4),
                "hd95": float("nan") if number == 3 else 4.0,
            }
        )
    cases = pd.DataFrame(rows).assign(source="phantom", text=HOSTILE, confidence=0.9, pose_sure=True, area_mm2=100.0)
    cases = cases.assign(nsd=cases["dice"], nsd_1mm=cases["dice"], answered=cases["organ"])
    cases = cases.assign(pose_found=cases["transform"], domain="in", region="middle left", degrees=0.0)
    return cases.assign(understood_kind=cases["kind"], understood_right=True, negated_right=True)


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _png(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((24, 24), bool)
    mask[8:14, 8:16] = True
    picture(np.where(mask, 60, -20).astype(np.int16), mask, (1.0, 1.0), 64).save(path)


def _write_evaluation(cases: pd.DataFrame) -> None:
    folder = Path("evaluation")
    _json(folder / "metrics.json", score(cases, 0.8762, VARIANTS))
    (folder / "tables").mkdir(exist_ok=True)
    for name, table in tables(cases).items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    chosen = examples(cases, 2)
    names = [f"{number:02d}-{group}.png" for number, group in enumerate(chosen["group"])]
    for name in names:
        _png(folder / "examples" / name)
    chosen.assign(picture=names).to_csv(folder / "examples" / "examples.csv", index=False)


def _write_data() -> None:
    summary = {"volumes": 3, "rejected_volumes": 1, "patients": 3, "slices": 1234, "specks_dropped": 5}
    store = Path("data/slices/phantom/phantom")
    _json(store / "summary.json", summary | {"dropped_labels": ["tumour"], "labelled_organs": ["liver", "spleen"]})
    reason = f"/home/lovelace/scans/p9.nii.gz: {HOSTILE}"
    rejects = pd.DataFrame(
        [{"source": "phantom", "volume": "p9", "file": "/home/lovelace/scans/p9.nii.gz", "reason": reason}]
    )
    rejects.to_csv(store / "rejects.csv", index=False)
    by_split = {"train": 7, "val": 1, "test": 3}
    manifest = {
        "patients": by_split,
        "slices": by_split,
        "texts": by_split | {"dropped": 2},
        "masks": {"liver": 9, "spleen": 3},
    }
    samples = {split: {"anatomy": n} for split, n in by_split.items()}
    _json(Path("data/dataset/manifest.json"), manifest | {"samples": samples, "sha256": {"texts.parquet": "0" * 64}})


def _write_prompts() -> None:
    rows = [{"prompt_id": f"{n:016x}", "kind": kind, "target": target} for n, (kind, _, target) in enumerate(ASKED_FOR)]
    texts = pd.DataFrame(rows).assign(
        text=[HOSTILE, "NA", "far left", "tiny"], style="lay", split=["train", "test", "val", "dropped"]
    )
    texts.to_parquet("data/dataset/texts.parquet", index=False)
    found = [["p1", "p2"], ["p1"], [], []]
    accepted = texts.assign(passage_ids=found, passage_scores=[[0.75, 0.5], [0.25], [], []])
    accepted = accepted.assign(original_text=[None, None, None, "very tiny"])
    Path("data/review").mkdir(parents=True)
    accepted.to_parquet("data/review/accepted.parquet", index=False)
    quality = {"candidates": 4321, "prompts": 4, "self_bleu": 0.6321, "kappa": None, "decisions": {"applied": 1}}
    by_kind = {kind: {"lay": 1} for kind in (*kinds(), "none")}
    _json(
        Path("data/review/metrics.json"),
        quality | {"acceptance_by_check": {"length": 0.9876}, "prompts_by_kind": by_kind},
    )
    cells = list(product(BY_NAME, kinds(), styles()))
    organs = pd.DataFrame(cells, columns=["organ", "kind", "style"]).assign(prompts=0, masks=0)
    organs.loc[organs["organ"] == "liver", ["prompts", "masks"]] = [417, 99]
    organs.loc[0, "prompts"] = 0
    tables = {
        "organs": organs,
        "rejected": pd.DataFrame(
            [("1" * 16, "=show me the spleen", "anatomy", "lay", "length", "too short")],
            columns=["prompt_id", "text", "kind", "style", "failed_check", "reason"],
        ),
        "conflicts": pd.DataFrame(
            [("2" * 16, HOSTILE, "Anna", "accept", "Ben", "reject", "reject")],
            columns=["prompt_id", "text", "reviewer_a", "decision_a", "reviewer_b", "decision_b", "holds"],
        ),
        "agreement": pd.DataFrame(
            [("Anna", "Ben", 12, 0.75, 0.4321), ("Ben", "Cleo", 1, 1.0, None)],
            columns=["reviewer_a", "reviewer_b", "prompts", "agreement", "kappa"],
        ),
    }
    for name, table in tables.items():
        write_sheet(table, Path("data/review") / f"{name}.csv")
    written = {"provider": "offline", "model": "grammar-1", "language_model_used": False}
    _json(Path("data/prompts/summary.json"), written | {"by_check": {"length": {"passed": 4, "failed": 53}}})
    _json(Path("data/index/manifest.json"), {"n_passages": 881, "sources": {"builtin": 881}, "encoder": "builtin"})
    for name in ("anatomy-liver", "position-leftmost", "size-smallest"):
        _png(Path("data/review/pictures") / f"{name}.png")


def _write_run() -> None:
    """A whole run in the current folder."""
    Path("params.yaml").write_text(PARAMETERS.replace("ROOT", "data/raw/phantom"), encoding="utf-8")
    _write_evaluation(_cases())
    _write_data()
    _write_prompts()
    for training, name in (
        ("canonicalizer", "pose_accuracy"),
        ("language", "kind_accuracy"),
        ("segmenter", "dice"),
        ("joint", "organ"),
    ):
        for split in ("train", "val"):
            folder = Path("models/curves") / training / "plots" / "metrics" / split
            folder.mkdir(parents=True)
            (folder / f"{name}.tsv").write_text(f"step\t{name}\n50\t0.5\n100\t0.8642\n", encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a made-up run, entered."""
    monkeypatch.chdir(tmp_path)
    _write_run()
    return tmp_path


class Page(HTMLParser):
    """A written report: its tags with their attributes, and the text of the tiles."""

    def __init__(self) -> None:
        super().__init__()
        main()
        self.html = Path("report/report.html").read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.values: list[str] = []
        self._in_value = False
        self.feed(self.html)

    def section(self, name: str) -> str:
        """The HTML of one section."""
        return self.html[self.html.index(f'<section id="{name}"') :].split("</section>")[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_value = ("class", "value") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_value:
            self.values.append(data)
        self._in_value = False


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
    assert len(pictures) == 1 + examples_shown + 3  # the opening's, the examples, the masks
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
    _json(Path("evaluation/metrics.json"), metrics)
    changed = Page()
    assert changed.values[0] == "0.123"
    assert "95% interval 0.013 to 0.235" in changed.html


def test_sections_show_their_files(run: Path) -> None:
    page = Page()
    for section, figures in {
        "data": ("1,234", "tumour"),
        "training": ("0.864 on validation at step 100",),
        "prompts": ("4,321", "98.76%", "53", "0.632", "NA", "0.500"),
    }.items():
        assert [figure for figure in figures if figure not in page.section(section)] == []


def test_the_prompts_are_shown_with_what_was_refused_and_where_people_differ(run: Path) -> None:
    section = Page().section("prompts")
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


def test_no_refused_volume_is_no_error(run: Path) -> None:
    path = Path("data/slices/phantom/phantom/rejects.csv")
    path.write_text("source,volume,file,reason\n", encoding="utf-8")
    assert "No volume was refused." in Page().html


def test_one_patient_has_no_interval_and_unturned_scans_no_bars(run: Path) -> None:
    shutil.rmtree("evaluation")
    _write_evaluation(_cases(patients=1, transforms=("identity",)))
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
    assert html.count("understood as") >= len(lines)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"understood": "spleen", "understood_right": False}, "understood as: spleen"),
        ({"understood": "none", "understood_right": False}, "understood as: nothing"),
        ({"answered": "spleen"}, "the wrong organ was chosen: spleen"),
        ({"answered": float("nan"), "dice": 0.0}, "no organ was found that fits"),
        ({"answered": float("nan"), "dice": 0.5}, None),
        ({"pose_right": False}, "the scan's pose was misjudged"),
    ],
)
def test_the_earliest_trouble_is_told(changes: dict[str, Any], said: str | None) -> None:
    case = {"understood": "liver", "understood_right": True, "pose_right": True, "dice": 0.9}
    assert trouble(case | {"organ": "liver", "answered": "liver"} | changes) == said


def test_every_transformation_and_kind_has_words() -> None:
    assert tuple(TRANSFORMS) == NAMES
    assert set(asked_for()) == {*kinds(), "none", ABSENT}


def test_a_curve_spans_its_axes() -> None:
    drawn = curve("loss", {"train": pd.DataFrame({"step": [50, 100], "loss": [10.0, 0.0]})})
    assert drawn.lines == {
        "train": f"{(Curve.LEFT + Curve.RIGHT) / 2:g}.0,{Curve.TOP}.0 {Curve.RIGHT}.0,{Curve.BOTTOM}.0"
    }
    assert drawn.last == {"train": 0.0}
    assert drawn.y_ticks[0] == (Curve.BOTTOM, "0")
    assert drawn.y_ticks[-1] == (Curve.TOP, "10")
    # A share keeps its whole scale; a value that isn't finite leaves a gap.
    share = curve("dice", {"val": pd.DataFrame({"step": [1, 2], "dice": [0.8, float("nan")]})})
    assert [text for _, text in share.y_ticks] == ["0", "0.5", "1"]
    assert len(share.lines["val"].split()) == 1


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 250, [0, 100, 200, 300]), (0, 1, [0, 0.5, 1]), (-1, 3, [-1, 0, 1, 2, 3])]
)
def test_ticks_are_round_and_hold_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_round_robin_takes_groups_in_turn() -> None:
    assert round_robin(["abc", "d", "ef"], 5) == ["a", "d", "e", "b", "f"]


def test_a_small_share_keeps_its_digits() -> None:
    assert percent(0.9998, 2) == "99.98%"
    assert percent(None) == "–"
