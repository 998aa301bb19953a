"""`flans compare`: Git revisions, DVC experiments, the workspace and folders; HTML and CSV."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from hashlib import md5
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner, Result

from corpus.errors import InputError
from pipelines.cli import app
from pipelines.compare import by_chance
from pipelines.runs import differing, flat, open_run
from tests.model.test_comparison import run as cases_of

HOSTILE = "<script>alert(1)</script>"
pytestmark = pytest.mark.timeout(120)


def shell(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def dvc(folder: Path, *arguments: str) -> None:
    shell(folder, sys.executable, "-m", "dvc", *arguments)


def write_run(folder: Path, cases: pd.DataFrame, steps: int, source: str) -> None:
    """What the pipeline leaves of a run."""
    (folder / "evaluation").mkdir(exist_ok=True)
    (folder / "evaluation/cases.parquet").unlink(missing_ok=True)
    cases.to_parquet(folder / "evaluation/cases.parquet", index=False)
    (folder / "params.yaml").write_text("train: {steps: 9999, seed: 9}  # edited since\n")
    entry = {"deps": [{"path": "data/raw", "md5": f"{source}.dir"}, {"path": "model/flans.py", "md5": source}]}
    entry |= {"params": {"params.yaml": {"train": {"steps": steps, "seed": 0}}}}
    gone = {"cmd": "x", "params": {"params.yaml": {"train": {"steps": 77, "seed": 7}}}}  # of a source that was dropped
    gone |= {"deps": [{"path": "model/flans.py", "md5": "long ago"}]}
    (folder / "dvc.lock").write_text(
        yaml.safe_dump({"schema": "2.0", "stages": {"ingest@a": {"cmd": "x"} | entry, "ingest@b": gone}})
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run tagged "first", a poorer one saved as experiment "poor", and one on fewer patients in the workspace."""
    folder = tmp_path_factory.mktemp("runs")
    for command in (["init", "-q"], ["config", "user.name", "t"], ["config", "user.email", "t@t"]):
        shell(folder, "git", *command)
    dvc(folder, "init", "-q")
    dvc(folder, "config", "core.analytics", "false")
    write_run(folder, cases_of(), 400, "aaaa")
    dvc(folder, "add", "-q", "evaluation/cases.parquet")
    shell(folder, "git", "add", "-A")
    shell(folder, "git", "commit", "-qm", "first")
    shell(folder, "git", "tag", "first")
    write_run(folder, cases_of(worse=0.1, only="liver"), 300, "bbbb")
    dvc(folder, "add", "-q", "evaluation/cases.parquet")
    dvc(folder, "exp", "save", "-q", "-n", "poor")
    write_run(folder, cases_of(patients=5), 300, "aaaa")
    return folder


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


def test_a_revision_against_an_experiment(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    result = compare("first", "poor", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    first = next(line for line in result.stdout.splitlines() if line.endswith("worse "))
    assert first.split()[0] == "liver"
    assert "no corrected p can reach 0.05" in result.stdout
    table = pd.read_csv(tmp_path / "compare.csv")
    assert table["stratum"].iloc[0] == "liver"
    assert len(pd.read_csv(tmp_path / "cases.csv")) == len(cases_of())
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    for text in ("train.steps", ">400<", ">300<", "data/raw", "aaaa", "model/flans.py"):
        assert text in page
    assert "train.seed" not in page
    assert "9999" not in page
    assert ">77<" not in page


def test_another_test_set_is_refused_and_said_how(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    result = compare("HEAD", "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "patients: 1 only in A (p5), 0 only in B" in result.stderr
    assert "A = HEAD, B = workspace" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["nothing", "data"])
def test_what_is_no_run_is_named(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(repository)
    (repository / "data").mkdir(exist_ok=True)
    result = compare(name, "poor")
    assert result.exit_code == 1
    assert result.stderr.startswith(name)
    assert "To mend it:" in result.stderr


def test_below_the_root_one_is_sent_there(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "docs").mkdir(exist_ok=True)
    monkeypatch.chdir(repository / "docs")
    assert "run from the repository's root" in compare("first").stderr


def test_a_run_that_left_the_cache_is_named(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shell(tmp_path, "git", "clone", "-q", str(repository), "clone")
    monkeypatch.chdir(tmp_path / "clone")
    result = compare("HEAD", "HEAD")
    assert result.exit_code == 1
    assert "HEAD: evaluation/cases.parquet: expected the run's file, found none" in result.stderr
    assert "dvc fetch" in result.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_another_user_is_named(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As Docker mounts a folder."""
    clone = shutil.copytree(repository, tmp_path / "clone")
    for path in (clone, clone / ".git"):
        os.chown(path, 65534, 65534)
    monkeypatch.chdir(clone)
    monkeypatch.delenv("SUDO_UID", raising=False)
    result = compare("HEAD", "HEAD")
    assert result.exit_code == 1
    assert "is not owned by current user" in result.stderr
    assert f"git config --global --add safe.directory {clone}" in result.stderr


def test_a_run_that_went_on_and_was_not_evaluated_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, cases_of(), 400, "aaaa")
    lock = yaml.safe_load((tmp_path / "dvc.lock").read_text())
    path = "evaluation/cases.parquet"
    found = md5((tmp_path / path).read_bytes()).hexdigest()
    lock["stages"]["train_joint"] = {"cmd": "x", "outs": [{"path": "models/flans", "md5": "new.dir"}]}
    evaluate = {
        "cmd": "x",
        "deps": [{"path": "models/flans", "md5": "old.dir"}],
        "outs": [{"path": path, "md5": found}],
    }
    for model, cases, problem in (
        ("old.dir", found, "another training"),
        ("new.dir", "0" * 32, "cases that dvc.lock names"),
        ("new.dir", found, None),
    ):
        evaluate["deps"][0]["md5"], evaluate["outs"][0]["md5"] = model, cases
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock | {"stages": lock["stages"] | {"evaluate": evaluate}}))
        if problem:
            with pytest.raises(InputError, match=problem):
                open_run(str(tmp_path))
        else:
            assert len(open_run(str(tmp_path)).cases)


def test_only_a_folder_of_its_own_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("mine")
    result = compare("a", "b", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "expected a folder of its own" in result.stderr
    assert (tmp_path / "cases.csv").read_text() == "mine"


class Page(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href") and value != "data:,"]


def folder_run(folder: Path, cases: pd.DataFrame, margin: float) -> str:
    """What `flans evaluate` leaves."""
    folder.mkdir()
    cases.to_parquet(folder / "cases.parquet", index=False)
    said = {"checkpoint": {"sha256": folder.name}, "source": {}, "requests": {"sha256": "r"}}
    (folder / "run.json").write_text(json.dumps(said | {"parameters": {"targets": {"margin": margin}}}))
    return str(folder)


def test_two_folders_and_a_page_that_is_whole_and_safe(tmp_path: Path) -> None:
    a, b = (cases_of(worse=worse).assign(text=lambda c: c["text"] + HOSTILE) for worse in (0.0, 0.2))
    runs = folder_run(tmp_path / "a", a, 10), folder_run(tmp_path / "b", b, 12)
    assert compare(*runs, "--out", str(tmp_path / "out")).exit_code == 0
    content = (tmp_path / "out/compare.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(content)
    assert page.loaded == []
    assert "script" not in page.tags
    assert "&lt;script&gt;" in content
    assert "targets.margin" in content
    assert 'name="viewport"' in content
    assert compare(*runs, "--out", str(tmp_path / "again")).exit_code == 0
    assert (tmp_path / "again/compare.html").read_text(encoding="utf-8") == content


def test_cases_that_lie_rotated_are_shown_too(tmp_path: Path) -> None:
    a, b = (cases_of(worse=worse).replace({"transform": {"rot90": "rotated"}}) for worse in (0.0, 0.4))
    b.loc[b["transform"] == "identity", "dice"] = a["dice"]
    runs = folder_run(tmp_path / "a", a, 10), folder_run(tmp_path / "b", b, 10)
    result = compare(*runs, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "<td>rotated</td>" in (tmp_path / "out/compare.html").read_text()


def test_five_patients_cannot_reach_significance_and_it_says_so(tmp_path: Path) -> None:
    runs = (
        folder_run(tmp_path / "a", cases_of(5), 10),
        folder_run(tmp_path / "b", cases_of(5, worse=0.4), 10),
    )
    result = compare(*runs, "--out", str(tmp_path / "out"))
    assert "can't give a p below 0.0625: it can't reach 0.05" in result.stdout
    page = (tmp_path / "out/compare.html").read_text(encoding="utf-8")
    assert "below 0.0625" in page
    for said in (result.stdout, page):
        assert "strata; by chance alone about one in ten is called worse or better" in said


def test_what_chance_calls_worse_is_said_of_as_many_as_can_be() -> None:
    assert by_chance(4) == ""
    assert [by_chance(n).split(" is ")[0].rpartition(" ")[2] for n in (5, 6, 30)] == ["ten", "twenty", "twenty"]


def test_a_run_that_is_not_finished_is_named(tmp_path: Path) -> None:
    run = folder_run(tmp_path / "a", cases_of(), 10)
    (tmp_path / "a/cases.parquet").unlink()
    result = compare(run, run)
    assert result.exit_code == 1
    assert "cases.parquet: expected the run's file" in result.stderr
    assert "the same flans evaluate goes on where it was" in result.stderr
    (tmp_path / "a/run.json").write_text("{")
    result = compare(run, run)
    assert result.exit_code == 1
    assert "run.json: expected JSON" in result.stderr
    for other in ("{}", "[]"):
        (tmp_path / "a/run.json").write_text(other)
        result = compare(run, run)
        assert result.exit_code == 1
        assert "run.json: expected what flans evaluate writes" in result.stderr


def test_a_kind_that_this_version_does_not_know_keeps_its_name(tmp_path: Path) -> None:
    runs = [
        folder_run(tmp_path / name, cases_of(worse=worse).replace({"kind": {"size": "weight"}}), 10)
        for name, worse in (("a", 0.0), ("b", 0.3))
    ]
    result = compare(*runs, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "asked: weight" in result.stdout
    assert "weight" in (tmp_path / "out/compare.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\nschema: '2.0'\n=======\n"])
def test_a_lock_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    write_run(tmp_path, cases_of(), 400, "aaaa")
    (tmp_path / "dvc.lock").write_text(content)
    result = compare(str(tmp_path), str(tmp_path))
    assert result.exit_code == 1
    assert "dvc.lock: expected" in result.stderr


def test_cases_of_an_older_version_are_named(tmp_path: Path) -> None:
    run = folder_run(tmp_path / "a", cases_of().drop(columns="truth"), 10)
    result = compare(run, run)
    assert result.exit_code == 1
    assert "columns missing: truth" in result.stderr


def test_parameters_by_their_dotted_names() -> None:
    assert flat({"a": {"b": 1, "c": [1, 2]}, "d": {}}) == {"a.b": 1, "a.c": [1, 2]}
    assert differing({"a": 1, "b": 2}, {"b": 3, "c": None}) == [("a", 1, None), ("b", 2, 3)]
