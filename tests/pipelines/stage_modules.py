"""Which of the project's files a stage's code is made of: what dvc.yaml must list among its deps.

`python -m tests.pipelines.stage_modules` prints the list of every stage, ready to paste into dvc.yaml.
"""

from __future__ import annotations

import textwrap
from functools import cache
from pathlib import Path

import grimp

ROOMS = ("corpus", "prompts", "model", "pipelines")
DATA_FILES = {
    "corpus.anatomy": ["corpus/organs.yaml"],
    "corpus.scans.phantom_body": ["corpus/scans/phantom.yaml"],
    "corpus.reports.spans": ["corpus/reports/identifier_words.yaml"],
    "corpus.reports.organs": ["corpus/reports/removals.yaml"],
    "prompts.grammar": ["prompts/grammar_organs.yaml"],
    "prompts.written": ["prompts/forms.yaml"],
    "prompts.wording.spelling": ["corpus/reports/builtin"],
    "prompts.wording.lexicon": [
        *("prompts/grammar.yaml", "prompts/grammar_organs.yaml", "prompts/grammar_words.yaml"),
        *("prompts/providers/local.yaml", "corpus/reports/builtin"),
    ],
    "prompts.checks.reading": ["prompts/checks/patterns.yaml"],
    "prompts.checks.measured": ["prompts/checks/measured.yaml"],
    "pipelines.generate": ["prompts/negatives.yaml"],
    "model.card": ["model/card.md.j2"],
    "model.testing.metrics": ["model/testing/tolerances.yaml"],
    "pipelines.reporting": ["pipelines/templates"],
}
"""Data files that belong to a module, beside the YAML file of its own name."""


@cache
def graph() -> grimp.ImportGraph:
    """The import graph of the four rooms, imports inside functions included."""
    return grimp.build_graph(*ROOMS, cache_dir=None)


def code_of(stage: str) -> list[str]:
    """Paths of the modules that `pipelines.<stage>` imports, directly or not, and of their data files, sorted."""
    module = f"pipelines.{stage}"
    modules = {module} | graph().find_upstream_modules(module)
    paths = {p for m in modules for p in DATA_FILES.get(m, [])}
    for name in modules:
        path = Path(*name.split("."))
        if not path.is_dir():
            paths.add(f"{path.as_posix()}.py")
        if path.with_suffix(".yaml").is_file():
            paths.add(f"{path.as_posix()}.yaml")
    return sorted(paths)


def stages() -> list[str]:
    """Names of the stages that dvc.yaml runs."""
    import yaml

    content = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
    commands = [stage.get("do", stage)["cmd"].split() for stage in content["stages"].values()]
    return [word.removeprefix("pipelines.") for words in commands for word in words if word.startswith("pipelines.")]


if __name__ == "__main__":
    for name in stages():
        print(f"{name}:\n" + textwrap.indent(textwrap.fill(", ".join(code_of(name)), 110), "        "))
