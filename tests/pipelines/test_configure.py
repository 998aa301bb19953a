"""Overlays change params.yaml, and only what they name; every example leads to valid parameters."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from corpus.errors import InputError
from corpus.params import load_params
from corpus.scans.ingest_params import IngestParams
from pipelines.cli import app
from pipelines.configure import apply_overlay
from pipelines.sections import SECTIONS
from prompts.generator import GenerateParams


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy("params.yaml", tmp_path / "params.yaml"))


def test_params_yaml_is_valid() -> None:
    assert set(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))) == set(SECTIONS)
    for section, cls in SECTIONS.items():
        load_params(section, cls)


@pytest.mark.parametrize("overlay", sorted(Path("examples").glob("*.yaml")), ids=lambda p: p.stem)
def test_examples_lead_to_valid_parameters(params: Path, overlay: Path) -> None:
    assert apply_overlay(overlay, params)
    for section, cls in SECTIONS.items():
        load_params(section, cls, params)
    assert apply_overlay(overlay, params) == [], "a second time changes nothing"


def test_values_that_are_there_already_are_said_to_be(
    params: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("overlay.yaml").write_text("cohort: phantom\n")
    assert CliRunner().invoke(app, ["configure", "overlay.yaml"]).stdout == "params.yaml has these values already\n"


def test_a_folder_that_may_not_be_written_to_is_named(
    params: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path.with_name(".params.yaml.part")))

    monkeypatch.setattr("pipelines.configure.replacing", refuse)
    (tmp_path / "overlay.yaml").write_text("cohort: mine\n")
    with pytest.raises(InputError, match=r"/params\.yaml: .* may not write to its folder"):
        apply_overlay(tmp_path / "overlay.yaml", params)


def test_comments_stay_and_null_removes(params: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("cohort: mine\ningest: {sources: {phantom: null, ours: {adapter: nnunet, root: /data}}}\n")
    lines = apply_overlay(overlay, params)
    assert lines[0] == "cohort: phantom -> mine"
    assert "ingest.sources.phantom: removed" in lines
    assert set(load_params("ingest", IngestParams, params).sources) == {"ours"}
    before, after = Path("params.yaml").read_text(encoding="utf-8"), params.read_text(encoding="utf-8")
    assert after.count("#") == before.count("#")


def test_a_key_that_was_not_set_joins_its_section(params: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("train_segmenter: {ema: 0.99}\n")
    assert apply_overlay(overlay, params) == ["train_segmenter.ema: not set -> 0.99"]
    before, after = Path("params.yaml").read_text(encoding="utf-8"), params.read_text(encoding="utf-8")
    added = "  ema: 0.99\n"
    assert after.count(added) == 1
    assert after.replace(added, "") == before
    assert not after.split(added)[1].startswith("\n"), "no empty line divides it from its section"


def test_new_values_look_like_those_of_params_yaml(params: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "model:\n  widths: [48, 96, 192]\n  image_encoder:\n    kind: lite_medsam\n    frozen: true\n\n"
        "# of the overlay alone\ntrain_joint: {steps: 99}\n"
    )
    apply_overlay(overlay, params)
    text = params.read_text(encoding="utf-8")
    assert "  widths: [48, 96, 192]\n" in text
    assert "  image_encoder: {kind: lite_medsam, frozen: true} #" in text
    assert "of the overlay alone" not in text


def test_a_key_that_comes_twice_is_refused(params: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("cohort: mine\nmodel: {size: 64}\ncohort: yours\n")
    with pytest.raises(InputError, match=r"found the key cohort twice\s+in .*, line 3"):
        apply_overlay(overlay, params)


def test_null_is_written_where_it_is_a_value(params: Path, tmp_path: Path) -> None:
    """Some models take no temperature; without the key the default would hold."""
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "generate: {temperature: null, per_cell: {size: null}}\n"
        "model: {text_encoder: {kind: clip, weights: /models/clip, layers: null, tuned: 0}}\n"
        "dataset: {fold: null, limit: {words: null}}\n"
    )
    lines = apply_overlay(overlay, params)
    assert {"generate.temperature: 0.9 -> None", "generate.per_cell.size: removed"} <= set(lines)
    assert not any(line.startswith("dataset") for line in lines), "null already"
    generate = load_params("generate", GenerateParams, params)
    assert generate.temperature is None
    assert "size" not in generate.per_cell
    assert apply_overlay(overlay, params) == []


def test_comments_below_what_is_removed_stay(params: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("generate: {max_calls_per_cell: null}\n")
    apply_overlay(overlay, params)
    before, after = Path("params.yaml").read_text(encoding="utf-8"), params.read_text(encoding="utf-8")
    assert [line for line in before.splitlines() if "max_calls_per_cell" not in line] == after.splitlines()


def test_a_section_that_nothing_is_left_of_is_still_yaml(params: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("reports: {sources: {builtin: null}}\n")
    apply_overlay(overlay, params)
    assert yaml.safe_load(params.read_text(encoding="utf-8"))["reports"] == {"sources": {}}
    assert "  sources: {}              # name: {reader," in params.read_text(encoding="utf-8")


@pytest.mark.parametrize("overlay", ["model: 5\n", "cohort: {size: 64}\n"])
def test_a_section_stays_one(overlay: str, params: Path, tmp_path: Path) -> None:
    (tmp_path / "overlay.yaml").write_text(overlay)
    before = params.read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"as params\.yaml has them"):
        apply_overlay(tmp_path / "overlay.yaml", params)
    assert params.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("overlay", "complaint"),
    [
        ("train_joint: {stepz: 10}", r"`train_joint\.stepz`: no parameter has this name"),
        ("evaluate: {turned: lots}", r"`evaluate\.turned`: .*integer"),
        ("cohort: 12", r"`cohort`: .*string"),
        ("embed: {threads: null}", r"`embed\.threads`: the key is missing"),
        ("canonicalizer: {dead_zone: .nan}", r"`canonicalizer\.dead_zone`: .*finite"),
        ("cohort: null", r"`cohort`: .*string"),
        ("generate: {temperatur: null}", r"`generate\.temperatur`: no parameter has this name"),
        ("ingest: {sources: {our scans: {adapter: nnunet, root: /data}}}", "'our scans' can't name a folder"),
        ("cohort: our scans", "`cohort`: 'our scans' can't name a folder"),
        ("cohort:\tmine", "expected YAML, but line 1"),
        (
            "ingest: {sources: {ours: {adapter: nnunett, root: /data}}}",
            "`ingest.sources.ours`: expected an adapter of abd",
        ),
    ],
)
def test_what_no_stage_would_take_is_not_written(overlay: str, complaint: str, params: Path, tmp_path: Path) -> None:
    (tmp_path / "overlay.yaml").write_text(overlay)
    before = params.read_text(encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        apply_overlay(tmp_path / "overlay.yaml", params)
    assert params.read_text(encoding="utf-8") == before


def test_an_unknown_section_is_refused(params: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("modle: {size: 64}\n")
    before = params.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="no section modle"):
        apply_overlay(overlay, params)
    assert params.read_text(encoding="utf-8") == before


def test_what_was_wrong_before_is_not_blamed_on_the_overlay(params: Path, tmp_path: Path) -> None:
    params.write_text(params.read_text(encoding="utf-8").replace("  size: 128\n", "  size: 130\n"), encoding="utf-8")
    (tmp_path / "overlay.yaml").write_text("model: {dim: 64}\n")
    with pytest.raises(InputError, match=r"params\.yaml: `model`: .*found 130"):
        apply_overlay(tmp_path / "overlay.yaml", params)
    (tmp_path / "overlay.yaml").write_text("model: {size: 64}\n")
    assert apply_overlay(tmp_path / "overlay.yaml", params)
