"""Studies: experiments run one after the other in a real Git and DVC repository, and the workspace comes back."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from rich.console import Console
from typer.testing import CliRunner

from corpus.errors import InputError
from corpus.params import read_yaml
from model.studies.baselines import NAMED
from pipelines import study, study_cases
from pipelines.cli import app
from pipelines.experiments import Experiment
from pipelines.study import ALL, levels_of, run_study, studies, summarise
from pipelines.study_cases import COLLECTORS, Options
from prompts.splits import OUT
from tests.model.test_comparison import run

pytestmark = pytest.mark.timeout(300)
REPOSITORY = Path(__file__).parents[2]
STAGE = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
pathlib.Path("evaluation").mkdir(exist_ok=True)
pathlib.Path("evaluation/metrics.json").write_text(json.dumps(params["dataset"]))
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/dataset.json").write_text(json.dumps(params["dataset"]))
pathlib.Path("../runs").open("a").write("ran\\n")
"""


def cases_of() -> pd.DataFrame:
    """Cases as `evaluate` writes them, as far as studies look at them."""
    return run(4).assign(hd95=0.0, nsd_1mm=0.0, understood_right=True)


def shell(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One stage, which writes what the data set's parameters are; run and committed."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    params = {"dataset": read_yaml(REPOSITORY / "params.yaml")["dataset"], "train_joint": {"seed": 7}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("stage.py").write_text(STAGE)
    Path("notes.md").touch()
    Path("model").mkdir()
    Path("model/code.py").touch()
    made = {"outs": ["out"], "metrics": [{"evaluation/metrics.json": {"cache": False}}]}
    entry = {"cmd": f"{sys.executable} stage.py", "deps": ["stage.py"], "params": ["dataset", "train_joint"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": entry | made}}))
    for command in (["init", "-q"], ["config", "user.name", "t"], ["config", "user.email", "t@t"]):
        shell(folder, "git", *command)
    for command in (["init", "-q"], ["config", "core.analytics", "false"], ["repro", "-q"]):
        shell(folder, sys.executable, "-m", "dvc", *command)
    shell(folder, "git", "add", "-A")
    shell(folder, "git", "commit", "-qm", "first")
    return folder


def test_levels_run_as_experiments_and_the_workspace_comes_back(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text() + "# not committed\n")
    before = {path: Path(path).read_bytes() for path in ("params.yaml", "out/dataset.json", "evaluation/metrics.json")}
    seen = []

    def collect(name: str, out: Path, options: Options) -> pd.DataFrame:
        made = json.loads(Path("out/dataset.json").read_text())
        seen.append((name, made["limit"]["patients"], made["limit"]["seed"]))
        Path("notes.md").write_text("edited meanwhile\n")
        return cases_of().assign(organs="all")

    monkeypatch.setitem(COLLECTORS, "scaling", collect)
    table = run_study("scaling", ["patients=0.5", "texts=0.25"], 2, False, Options())
    assert seen == [
        ("scaling-patients-0-5", 0.5, 0),
        ("scaling-patients-0-5-repeat-1", 0.5, 100),
        ("scaling-texts-0-25", 1.0, 0),
        ("scaling-texts-0-25-repeat-1", 1.0, 100),
    ]
    assert {path: Path(path).read_bytes() for path in before} == before
    status = shell(repository, "git", "status", "--porcelain").split()
    assert status == ["M", "notes.md", "M", "params.yaml", "??", "report/"]
    assert Path("notes.md").read_text() == "edited meanwhile\n"
    listed = shell(repository, sys.executable, "-m", "dvc", "exp", "list", "--name-only")
    assert {name for name, _, _ in seen} <= set(listed.split())
    assert table is not None
    assert set(table["axis"]) == {"patients", "texts"}
    assert (table["understood"] == 1).all()
    assert Path("report/study/scaling/study.png").stat().st_size > 5000
    assert len(list(Path("report/study/scaling/cases").iterdir())) == 4

    runs = Path("../runs").read_text().count("\n")
    run_study("scaling", ["patients=0.5"], 1, False, Options())
    assert Path("../runs").read_text().count("\n") == runs, "what has run before comes from the cache"


def test_code_that_is_edited_meanwhile_stops_a_study_and_stays(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect(name: str, out: Path, options: Options) -> pd.DataFrame:
        Path("model/code.py").write_text("edited = True\n")
        return cases_of().assign(organs="all")

    monkeypatch.setitem(COLLECTORS, "scaling", collect)
    with pytest.raises(InputError, match=r"model/code\.py: 1 files were edited since"):
        run_study("scaling", ["patients=0.5", "texts=0.25"], 1, False, Options())
    assert Path("model/code.py").read_text() == "edited = True\n"


def test_a_file_that_was_written_anew_is_no_change(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every experiment before leaves them."""
    os.utime("params.yaml", (0, 0))
    monkeypatch.setitem(COLLECTORS, "scaling", lambda name, out, options: cases_of().assign(organs="all"))
    assert run_study("scaling", ["patients=0.5"], 1, False, Options()) is not None


def test_outputs_that_were_changed_by_hand_are_not_overwritten(repository: Path) -> None:
    """Such as a model that torchrun trained, before `dvc commit`."""
    path = Path("out/dataset.json")
    path.unlink()  # it may be a link into the cache
    path.write_text("a week on eight GPUs")
    with pytest.raises(InputError, match="1 of the pipeline's outputs were changed by hand") as found:
        run_study("scaling", ["patients=0.5"], 1, False, Options())
    assert "dvc commit" in found.value.fix
    assert path.read_text() == "a week on eight GPUs"


def test_a_new_clone_is_told_to_run_the_pipeline_first(repository: Path) -> None:
    shutil.rmtree(".dvc/cache")
    before = Path("params.yaml").read_bytes()
    with pytest.raises(
        InputError, match=r"dvc\.lock: 1 of the outputs that it names aren't in DVC's cache, out/"
    ) as found:
        run_study("scaling", ["patients=0.5"], 1, False, Options())
    assert "dvc repro" in found.value.fix
    assert Path("params.yaml").read_bytes() == before
    assert not Path("report").exists()


def test_a_failed_experiment_is_named_and_the_workspace_comes_back(repository: Path) -> None:
    before = Path("params.yaml").read_bytes()
    Path("stage.py").write_text("raise SystemExit(3)")
    with pytest.raises(InputError, match=r"dvc exp run -n scaling-patients-0-5.*exit status"):
        run_study("scaling", ["patients=0.5"], 1, False, Options())
    assert Path("params.yaml").read_bytes() == before


def test_a_dry_run_prints_commands_and_runs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["study", "folds", "--dry-run", "--levels", "fold={of: 2, test: 1}"])
    assert result.exit_code == 0, result.output
    command = "dvc exp run -n folds-fold-of-2-test-1 -S 'dataset.fold={of:2,test:1}' -S evaluate.turned=7 evaluate"
    assert result.stdout.strip() == command
    listed = CliRunner().invoke(app, ["study", "prompts", "--dry-run"]).stdout.splitlines()
    assert len(listed) == len(studies()["prompts"].axes["words"].levels)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nothing", "--dry-run"], "choose from scaling, prompts, modality, folds"),
        (["scaling", "--dry-run", "--levels", "slices=3"], "such as patients=0.125"),
        (["scaling", "--dry-run", "--levels", "patients"], "one of patients, texts and a value"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], problem: str) -> None:
    result = CliRunner().invoke(app, ["study", *arguments])
    assert result.exit_code == 1
    assert problem in result.stderr


def test_every_study_sets_parameters_that_there_are() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert COLLECTORS.keys() == studies().keys()
    for each in studies().values():
        assert each.until in stages
        for key in (*(axis.set for axis in each.axes.values()), *each.always):
            section = params
            for part in key.split("."):
                section = section[part]
        assert set(each.lines["by"]) <= {*each.by, "scan", "kind"}
        assert levels_of(each, [], 1)


def test_folds_are_pooled_over_all_patients() -> None:
    columns = {"axis": "fold", "repeat": 0, "model": "flans", "read": "any"}
    folds = [cases_of().assign(level=str(k), patient=cases_of()["patient"] + f"/{k}", **columns) for k in (0, 1)]
    table = summarise(studies()["folds"], pd.concat(folds, ignore_index=True))
    pooled, single = (table[table["level"] == level].set_index(["scan", "kind"]) for level in (ALL, "0"))
    assert (pooled["cases"] == 2 * single["cases"]).all()
    assert np.allclose(pooled["dice"], single["dice"], atol=1e-3)
    folds = [fold.assign(understood_right=k == 0) for k, fold in enumerate(folds)]
    for order in (folds, folds[::-1]):
        table = summarise(studies()["folds"], pd.concat(order, ignore_index=True))
        assert (table.loc[table["level"] == ALL, "understood"] == 0.5).all(), "each fold's model reads for itself"


def test_the_unet_is_held_against_what_was_understood_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = cases_of()
    cases = cases.assign(prompt_id=[str(i) for i in range(len(cases))], understood_right=np.arange(len(cases)) % 3 > 0)
    for name, what in {
        "_cases": lambda: cases,
        "unet": lambda folder, seconds: None,
        "SplitData": lambda *where: None,
        "cohort": lambda: "phantom",
        "closed_set": lambda network: None,
        "replay": lambda named, data, baseline, advance: named.sample(frac=1, random_state=0).assign(dice=0.25),
    }.items():
        monkeypatch.setattr(study_cases, name, what)
    made = study_cases.folds("x", Path(), Options())
    unet, flans = (made[made["model"] == model] for model in ("unet", "flans"))
    assert (unet["dice"] == 0.25).all()
    right = set(cases.loc[cases["understood_right"] & cases["kind"].isin(NAMED), "prompt_id"])
    understood = unet[unet["read"] == "yes"]
    assert 0 < len(understood) < len(unet) / 2
    assert set(understood["prompt_id"]) == right
    again = flans[flans["read"] == "yes"]
    assert again["prompt_id"].tolist() == cases.loc[cases["understood_right"], "prompt_id"].tolist()


def test_sources_that_training_never_saw_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [cases_of().assign(domain=domain, source=domain) for domain in ("in", OUT)]
    pd.concat(both, ignore_index=True).to_parquet(tmp_path / "cases.parquet")
    monkeypatch.setattr(study_cases, "EVALUATION", tmp_path)
    for made in (study_cases.scaling("x", tmp_path, Options()), study_cases.prompts("x", tmp_path, Options())):
        assert set(made["domain"]) == {"in"}


def test_rare_organs_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = cases_of()
    common = cases["organ"].mode()[0]
    monkeypatch.setattr(study_cases, "_cases", lambda: cases)
    made = study_cases.scaling("x", Path(), Options())
    assert len(made[made["organs"] == "all"]) == len(cases)
    rare = set(made.loc[made["organs"] == "rare", "organ"])
    assert rare
    assert rare < set(cases["organ"]) or cases["organ"].nunique() == 1
    masks = cases.drop_duplicates(["slice_id", "organ"])["organ"].value_counts()
    assert masks[list(rare)].max() <= masks[common]
    often = cases.assign(kind="absent", organ=min(rare))
    many = [often.assign(slice_id=f"{i}", transform="identity") for i in range(50)]
    monkeypatch.setattr(study_cases, "_cases", lambda: pd.concat([cases, *many]))
    asked = study_cases.scaling("x", Path(), Options())
    assert often["organ"].iloc[0] in set(asked.loc[asked["organs"] == "rare", "organ"]), "no mask is there to test on"


def test_an_experiment_is_what_somebody_would_type() -> None:
    changes = {"a.b": 0.5, "c": "MR", "d": {"of": 2, "test": 0}, "e": None, "f": [1, 2]}
    command = "dvc exp run -n x -S a.b=0.5 -S c=MR -S 'd={of:2,test:0}' -S e=null -S 'f=[1, 2]' evaluate"
    assert Experiment("x", changes).command("evaluate") == command


def plotted(levels: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    """A study's table: axis -> its levels."""
    rows = [
        {"axis": axis, "level": level, "repeat": 0, "scan": "original", "kind": "anatomy", "dice": 0.5}
        | {"dice_low": 0.4, "dice_high": np.nan, "understood": 1.0, "cases": 3, "organs": "all", "complexity": "word"}
        for axis in levels
        for level in levels[axis]
    ]
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["axis", "level", "kind", "organs", "scan"])


Draw = Callable[[str, pd.DataFrame], Figure]


@pytest.fixture
def figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """What `draw` saved."""
    saved: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: saved.append(self))

    def draw(name: str, table: pd.DataFrame) -> Figure:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            study.draw(studies()[name], table, tmp_path / "plot.png")
        return saved[-1]

    return draw


def test_the_plot_has_a_panel_an_axis(figure: Draw) -> None:
    panels = figure("scaling", plotted({"patients": ("0.5", "1.0"), "texts": ("0.01", "1.0")})).axes
    assert [[label.get_text() for label in panel.get_xticklabels()] for panel in panels] == [
        ["0.5", "1.0"],
        ["0.01", "1.0"],
    ]
    assert [text.get_text() for text in panels[-1].get_legend().get_texts()] == ["anatomy, all"]


@pytest.mark.parametrize("levels", [{}, {"patients": ("0.5",)}, {"texts": ("0.1",)}])
def test_a_panel_that_has_no_lines_says_so(figure: Draw, levels: dict[str, tuple[str, ...]]) -> None:
    panels = figure("scaling", plotted(levels)).axes
    assert [["not run"] if name not in levels else [] for name in ("patients", "texts")] == [
        [text.get_text() for text in panel.texts] for panel in panels
    ]
    assert bool(panels[-1].get_legend()) == bool(levels)


def test_a_level_that_a_group_lacks_is_a_gap(figure: Draw) -> None:
    table = plotted({"patients": ("0.25", "0.5", "1.0")})
    rare = table[table["level"] != "0.5"].assign(organs="rare")
    (panel, _) = figure("scaling", pd.concat([table, rare])).axes
    drawn = [np.isnan(line.get_ydata().astype(float)).tolist() for line, _, _ in panel.containers]
    assert drawn == [[False] * 3, [False, True, False]]


def test_levels_lie_by_size_and_folds_are_not_joined(figure: Draw) -> None:
    levels = [level.text for level in study.levels_of(studies()["prompts"], [], 1)]
    (panel,) = figure("prompts", plotted({"words": tuple(reversed(levels))})).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == levels == ["2", "5", "12", "any"]
    assert panel.containers[0][0].get_linestyle() == "-"
    (panel,) = figure("folds", plotted({"fold": (ALL, "1", "0")}).assign(model="flans", read="any")).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == ["0", "1", ALL]
    assert panel.containers[0][0].get_linestyle() == "None"


def test_the_printed_table_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    table = plotted({"patients": ("0.5", "1.0"), "texts": ("0.1",)})
    table = pd.concat([table.assign(kind=kind) for kind in ("anatomy", "position")]).assign(dice_high=0.75, cases=12345)
    out = io.StringIO()
    monkeypatch.setattr(study, "results", Console(file=out, width=80))
    study.show("scaling", table)
    said = out.getvalue()
    assert "\u2026" not in said
    cells = [cell.strip() for cell in re.split("[\u2502\u2503\n]", said)]
    assert cells.count("0.400-0.750") == cells.count("12,345") == 6
    assert {"patients", "texts", "position", "understood"} <= set(cells)
    assert "repeat: 0, organs: all, scan: original" in " ".join(said.split())
