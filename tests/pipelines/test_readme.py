"""The README's commands run as they stand there, after the whole pipeline has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.pipelines.conftest import REPOSITORY, Shell

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]


def readme_commands() -> list[str]:
    """The README's command blocks that are marked as tested."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return re.findall(r"<!-- tested -->\n```bash\n(.*?)```", text, re.DOTALL)


def test_the_readmes_commands_run(small: Path, shell: Shell) -> None:
    commands = readme_commands()
    assert len(commands) == 10
    printed = {command: shell(command) for command in commands}
    experiments = next(out for command, out in printed.items() if "dvc exp run" in command)
    assert "warmer" in experiments, "dvc exp show lists the experiment"
    assert "evaluation/metrics.json" in experiments, "dvc metrics diff shows the metrics"
    assert (small / "dvc_plots/index.html").is_file()
    assert (small / "report/compare/compare.html").is_file()
    assert (small / "answer/outside/metrics.json").is_file()
    assert (small / "models/flans/requests.csv").is_file()
    diagnosis = json.loads((small / "report/diagnosis/diagnosis.json").read_text())
    assert set(diagnosis) == {"canonicalizer", "text encoder", "intent head", "image encoder"}
    shell("git checkout -q . && dvc checkout -q --force")
