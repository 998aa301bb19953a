"""`flans evaluate`: a data set and a checkpoint that have nothing of the pipeline's around them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

import pipelines.evaluate_source
from corpus.params import PARAMS
from corpus.scans.ingest_params import SourceParams
from model.groups import NAMES, act_direction
from model.testing.held_out import REQUESTS
from pipelines.evaluate_source import FINISHED, Protocol, _trained_on
from tests.pipelines.conftest import REPOSITORY
from tests.pipelines.outside import run


def test_the_same_tables_as_the_stage(whole: Path) -> None:
    metrics = json.loads((whole / "metrics.json").read_text())
    sections = {"original", "transformed", "rotated", "volume", "intent", "calibration", "organ_dice"}
    assert sections | {"patients", "slices"} <= set(metrics)
    assert {"anatomy", "position", "size", "absent", "pose"} <= set(metrics["original"])
    assert "abstains" in metrics["intent"]
    assert metrics["patients"] == 2
    names = {"organs", "kinds", "transforms", "angles", "sources", "sizes", "regions", "intents", "poses"}
    names |= {"calibration", "volumes", "robustness"}
    assert {path.stem for path in (whole / "tables").glob("*.csv")} == names
    cases = pd.read_parquet(whole / "cases.parquet")
    assert cases["slice_id"].nunique() == metrics["slices"]
    assert cases["truth"].str.fullmatch("[0-9a-f]{16}").all()
    assert list((whole / "examples").glob("*.png"))


def test_what_was_evaluated_and_what_was_refused_is_said(whole: Path) -> None:
    rejects = pd.read_csv(whole / "rejects.csv")
    assert rejects["volume"].tolist() == ["phantom_002"]
    said = json.loads((whole / "run.json").read_text())
    assert (said["source"]["volumes"], said["source"]["rejected_volumes"]) == (2, 1)
    assert said["requests"]["file"] == REQUESTS
    assert said["parameters"]["targets"] == yaml.safe_load((REPOSITORY / PARAMS).read_text())["targets"]
    assert not (whole / "unfinished").exists()


def killed_after_one(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Evaluations are killed at their second volume; what is returned has an entry for each that was evaluated."""
    evaluate, volumes = pipelines.evaluate_source.evaluate, list[str]()

    def killed(*arguments, **options):  # type: ignore[no-untyped-def]
        if len(volumes) == 1:
            raise KeyboardInterrupt
        volumes.append("one")
        return evaluate(*arguments, **options)

    monkeypatch.setattr(pipelines.evaluate_source, "evaluate", killed)
    return volumes


def test_a_killed_evaluation_goes_on_where_it_was(
    outside: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, volumes = pipelines.evaluate_source.evaluate, killed_after_one(monkeypatch)
    assert run(outside, tmp_path / "out").exit_code != 0
    assert not (tmp_path / "out/metrics.json").exists()

    def none_left(*arguments, **options):  # type: ignore[no-untyped-def]
        pytest.fail("the source was read again")

    monkeypatch.setattr(pipelines.evaluate_source, "ingest", none_left)
    monkeypatch.setattr(
        pipelines.evaluate_source, "evaluate", lambda *a, **k: volumes.append("two") or evaluate(*a, **k)
    )
    result = run(outside, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert volumes == ["one", "two"]
    for name in ("cases.parquet", "metrics.json", "run.json"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()


def test_a_killed_evaluation_does_not_go_on_with_other_code(
    outside: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, volumes = pipelines.evaluate_source.evaluate, killed_after_one(monkeypatch)
    monkeypatch.setattr(pipelines.evaluate_source, "imported_code", lambda: {"model.inference": "other"})
    assert run(outside, tmp_path / "out").exit_code != 0
    assert volumes == ["one"]
    monkeypatch.undo()
    monkeypatch.setattr(
        pipelines.evaluate_source, "evaluate", lambda *a, **k: volumes.append("anew") or evaluate(*a, **k)
    )
    assert run(outside, tmp_path / "out").exit_code == 0
    assert volumes == ["one", "anew", "anew"]


def test_one_that_was_killed_while_it_cleared_up_can_be_made_again(
    outside: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, *others: object, **options: object) -> None:
        if Path(path).name == FINISHED and Path(path).exists():
            next(Path(path).rglob("*.parquet")).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pipelines.evaluate_source.shutil, "rmtree", killed)
        assert run(outside, tmp_path / "out").exit_code != 0
    result = run(outside, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in whole.iterdir()}


def test_requests_of_ones_own(outside: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("text,kind,organ\nwo ist die Leber,anatomy,liver\n", encoding="utf-8")
    result = run(outside, tmp_path / "out", "--prompts", str(own))
    assert result.exit_code == 0, result.output
    cases = pd.read_parquet(tmp_path / "out/cases.parquet")
    assert set(cases["text"]) == {"wo ist die Leber"}
    assert set(cases["style"]) == {"own"}
    not_asked = pd.read_csv(tmp_path / "out/not_asked.csv")
    assert "spleen" in set(not_asked["target"])
    assert "liver" not in set(not_asked.loc[not_asked["kind"] == "anatomy", "target"])
    assert "whether training saw any of them isn't known" in result.stderr


def test_a_place_is_asked_for_only_where_there_are_words_for_it(outside: Path, tmp_path: Path) -> None:
    """What was rightmost is leftmost in a mirrored picture; of topmost nothing in the table speaks."""
    own = tmp_path / "own.csv"
    own.write_text("text,kind,target\nfar left,position,leftmost\nfar right,position,rightmost\n", encoding="utf-8")
    result = run(outside, tmp_path / "out", "--prompts", str(own))
    assert result.exit_code == 0, result.output
    cases = pd.read_parquet(tmp_path / "out/cases.parquet")
    assert cases["text"].map({"far left": "leftmost", "far right": "rightmost"}).equals(cases["target"])
    level = {name for name in NAMES if act_direction(NAMES.index(name), "leftmost") in ("leftmost", "rightmost")}
    assert {"identity"} < set(cases["transform"]) - {"rotated"} <= level


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("text,kind,target\nfar left,size,leftmost\n", "line 2: target"),
        ("text,kind\nthank you,none\n", "expected requests that ask for something"),
        ("text,kind,organ\nthe livre,anatomy,livre\n", "line 2: target"),
    ],
)
def test_wrong_requests_stop_it_before_any_work(outside: Path, tmp_path: Path, content: str, problem: str) -> None:
    own = tmp_path / "own.csv"
    own.write_text(content, encoding="utf-8")
    result = run(outside, tmp_path / "out", "--prompts", str(own))
    assert result.exit_code == 1
    assert problem in result.stderr
    assert "To mend it:" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_pipelines_unfinished_work_is_left_alone(outside: Path, tmp_path: Path) -> None:
    """`--out data`, whose folder `unfinished` is another's."""
    (kept := tmp_path / "unfinished/ingest/phantom/key").mkdir(parents=True)
    (tmp_path / "raw").mkdir()
    assert run(outside, tmp_path).exit_code == 1
    assert kept.is_dir()


def test_the_pipelines_own_results_are_not_overwritten(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    result = run(outside, tmp_path)
    assert result.exit_code == 1
    assert "expected a folder of its own, found other files" in result.stderr


def test_volumes_that_bear_a_training_volumes_name_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset, learned = Path("data/dataset"), {"samples.parquet": "abc"}
    dataset.mkdir(parents=True)
    seen = pd.DataFrame({"volume": ["a", "b", "c"], "split": ["train", "train", "test"]})
    seen.to_parquet(dataset / "slices.parquet")
    (dataset / "manifest.json").write_text(json.dumps({"sha256": learned}))
    Path("config.json").write_text(json.dumps({"training": {"dataset_sha256": learned}}))
    asked = pd.DataFrame({"volume": ["b", "c", "d"]})
    assert _trained_on(Path(), asked) == ["b"]
    Path("config.json").write_text(json.dumps({"training": {"dataset_sha256": {"samples.parquet": "other"}}}))
    assert _trained_on(Path(), asked) == [], "another data set trained it"


def test_a_source_from_outside_may_be_called_anything() -> None:
    source = SourceParams("nnunet", Path("raw/my scans"))
    for name in ("CT", "FLARE22", "my scans"):
        assert list(Protocol.load(REPOSITORY / PARAMS, name, source).ingest.sources) == [name]
