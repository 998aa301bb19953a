"""DVC experiments, one after the other in this workspace; afterwards everything lies as it was.

They run here and not in a copy, so that sources under relative paths are found, and a killed training goes on.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from corpus.errors import InputError
from corpus.params import PARAMS
from pipelines.runs import LOCK
from pipelines.stage import EVALUATION, console

CHANGED = (str(PARAMS), str(LOCK), str(EVALUATION / "metrics.json"))
"""Files of the repository that an experiment changes; DVC keeps all others that it makes."""
MADE_OF = ("corpus", "prompts", "model", "pipelines", "dvc.yaml")
"""What an edit of would change an experiment."""


@dataclass(frozen=True)
class Experiment:
    """A run under another name, with other parameters: dotted name -> value of JSON types."""

    name: str
    changes: Mapping[str, Any]

    def arguments(self, target: str) -> list[str]:
        """Of dvc."""
        changes = [argument for key, value in self.changes.items() for argument in ("-S", f"{key}={_override(value)}")]
        return ["exp", "run", "-n", self.name, *changes, target]

    def command(self, target: str) -> str:
        """What somebody would type."""
        return shlex.join(["dvc", *self.arguments(target)])


def _override(value: Any) -> str:
    """A value as DVC's `-S` reads it: JSON, but for the quotes of a dict's keys."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_override(each)}" for key, each in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def workspace_kept() -> Iterator[Callable[[Experiment, str], None]]:
    """Give the workspace over to experiments: what they change, `CHANGED` and DVC's outputs, is put back afterwards.

    Yields what runs an experiment up to a stage; its results lie in the workspace until the next one. What has been run
    with the same parameters before comes from DVC's cache.

    Raises:
        InputError: This is no Git and DVC repository with a commit, an experiment failed, what stages are made of was
            edited meanwhile, or DVC's cache lacks what dvc.lock names, as in a new clone, or outputs were changed by
            hand: it couldn't be put back.
    """
    # `status` first: `stash create` fails where files have been written anew with what they held before.
    changed = _git("status", "--porcelain", "--untracked-files=no")
    kept = _git("stash", "create") if changed else _git("rev-parse", "HEAD")
    status = json.loads(_dvc("data", "status", "--json") or "{}")
    if missing := status.get("not_in_cache", []):
        found = f"{len(missing)} of the outputs that it names aren't in DVC's cache, {missing[0]} among them"
        raise InputError(LOCK, found, "run `dvc repro` once; experiments start from what it makes")
    if own := status.get("uncommitted", {}).get("modified", []):
        raise InputError(
            own[0],
            f"{len(own)} of the pipeline's outputs were changed by hand, and experiments would overwrite them",
            "`dvc commit` takes such changes for the pipeline's, `dvc checkout --force` drops them",
        )
    console.print(
        "Until this ends, params.yaml, models and results here are an experiment's. Should it be killed: "
        f"git restore --source={kept} --worktree -- {' '.join(CHANGED)} && dvc checkout --force",
        soft_wrap=True,
    )
    restore = ("restore", f"--source={kept}", "--worktree", "--", *CHANGED)

    def run(experiment: Experiment, target: str) -> None:
        _git(*restore)  # an experiment changes the parameters that it finds
        if edited := _git("diff", "--name-only", kept, "--", *MADE_OF).splitlines():
            found = f"{len(edited)} files were edited since the first experiment began: they would not be comparable"
            raise InputError(edited[0], found, "run the same command again: it begins with what lies here")
        console.print(f"[bold]{experiment.command(target)}[/]", soft_wrap=True)
        _dvc("exp", "remove", "-q", experiment.name, check=False)  # of an earlier time
        _dvc(*experiment.arguments(target), said=True)

    try:
        yield run
    finally:
        _git(*restore)
        try:
            _dvc("checkout", "--force", "--quiet")
        except InputError as error:
            console.print("[yellow]Not all outputs are as they were: run `dvc checkout --force`.[/]")
            console.print(str(error), markup=False)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        fix = "do what git says; experiments need a Git repository with a commit"
        raise InputError(f"git {' '.join(arguments)}", done.stderr.strip(), fix)
    return done.stdout.strip()


def _dvc(*arguments: str, check: bool = True, said: bool = False) -> str:
    """What dvc prints; `said`: it is shown instead."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, capture_output=not said, text=True, check=False)
    if check and done.returncode:
        fix = "correct what is said above; what was done is kept, and the same command goes on"
        raise InputError(shlex.join(["dvc", *arguments]), f"it ended with exit status {done.returncode}", fix)
    return done.stdout or ""
