"""dvc.yaml tells the truth: its deps are the code that a stage is made of, and imports run one way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipelines.stage_modules import ROOMS, code_of, graph, stages

STAGES: dict[str, Any] = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
DATASET = "corpus/scans/datasets/${item.adapter}.yaml"
DATA = ("data/", "models/", "evaluation", "params.yaml", "prompts/review/decisions", "${item", DATASET)


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_the_stages_real_imports(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])
    listed = sorted(dep for dep in stage["deps"] if not dep.startswith(DATA))
    assert listed == code_of(name), "python -m tests.pipelines.stage_modules prints what dvc.yaml should list"


def test_a_source_depends_on_its_own_dataset_alone() -> None:
    listed = {name: s.get("do", s)["deps"] for name, s in STAGES.items()}
    assert [name for name, deps in listed.items() if DATASET in deps] == ["ingest"]
    assert not any("corpus/scans/datasets" in deps for deps in listed.values())


def test_every_listed_file_exists() -> None:
    for name in stages():
        assert all(Path(path).exists() for path in code_of(name))


def test_imports_run_one_way() -> None:
    order = {room: i for i, room in enumerate(ROOMS)}  # corpus, prompts, model, pipelines
    wrong = [
        (module, imported)
        for module in graph().modules
        for imported in graph().find_modules_directly_imported_by(module)
        if order[imported.split(".")[0]] > order[module.split(".")[0]]
    ]
    assert wrong == []


def test_no_modules_import_one_another() -> None:
    upstream = {module: graph().find_upstream_modules(module) for module in graph().modules}
    circles = [(a, b) for a, behind in upstream.items() for b in behind if a < b and a in upstream[b]]
    assert circles == []


def test_no_file_is_too_long() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for room in ROOMS for p in Path(room).rglob("*.py")}
    assert {str(path): n for path, n in lengths.items() if n > 400} == {}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_sections_that_it_reads(name: str) -> None:
    stage, text = STAGES[name].get("do", STAGES[name]), Path(f"pipelines/{name}.py").read_text(encoding="utf-8")
    if re.search(r"\btrain\(", text):
        text += Path("pipelines/train.py").read_text(encoding="utf-8")
    listed = {str(param).split(".")[0] for param in stage.get("params", ())}
    unlisted = set(re.findall(r'load_params\("(\w+)"', text)) - listed
    assert not unlisted or "params.yaml" in stage["deps"], f"dvc.yaml: {name} reads {', '.join(sorted(unlisted))}, too"


def test_every_section_of_params_is_used_by_a_stage() -> None:
    used = {
        param.split(".")[0]
        for s in STAGES.values()
        for param in s.get("do", s).get("params", [])
        if isinstance(param, str)
    }
    sections = set(yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")))
    assert sections == used
