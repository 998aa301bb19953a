"""A run's cases, parameters and data, wherever it lies: the workspace, a Git revision, a DVC experiment or a folder."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow
import yaml

from corpus.errors import InputError
from corpus.params import PARAMS, read_yaml
from model.studies.comparison import COLUMNS
from pipelines.stage import EVALUATION, MODELS

WORKSPACE = "workspace"
CASES = "cases.parquet"
RUN = "run.json"
"""In a folder of `flans evaluate`: what was evaluated."""
DESCRIBED = {"source", "requests", "checkpoint", "parameters"}
"""What it says."""
LOCK = Path("dvc.lock")
FINISH = "finish the run: dvc repro evaluate"
RESULTS = ("evaluation", "report", "models")
"""What a run makes of its data."""
CODE = (".py", ".yaml", ".j2", ".css")
Read = Callable[[Path], bytes]


@dataclass(frozen=True)
class Run:
    """One run. `parameters`: dotted name -> value. `data` and `code`: path -> hash."""

    name: str
    cases: pd.DataFrame
    parameters: dict[str, Any]
    data: dict[str, str]
    code: dict[str, str]


def open_run(name: str) -> Run:
    """Open a run.

    Args:
        name: "workspace", a Git revision, a DVC experiment's name, a folder that `flans evaluate` wrote, or another
            copy of the repository.

    Raises:
        InputError: There is no such run, or its cases can't be read.
    """
    folder = Path() if name == WORKSPACE else Path(name)
    if (folder / RUN).is_file():
        fix = "evaluate it again, or let it finish: the same flans evaluate goes on where it was"
        try:
            described = json.loads((folder / RUN).read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(folder / RUN, f"expected JSON, but {error}", fix) from None
        if not isinstance(described, dict) or not described.keys() >= DESCRIBED:
            raise InputError(folder / RUN, "expected what flans evaluate writes, found something else", fix)
        source, requests = described["source"], described["requests"]
        data = {"requests": requests["sha256"], "source": json.dumps(source, sort_keys=True)}
        data |= {"checkpoint": described["checkpoint"]["sha256"]}
        cases = _cases(name, _file(name, Path(CASES), lambda path: (folder / path).read_bytes(), fix))
        return Run(name, cases, flat(described["parameters"]), data, {})
    if name == WORKSPACE or (folder / EVALUATION / CASES).is_file():
        return _project(name, lambda path: (folder / path).read_bytes())
    if folder.is_dir():
        raise InputError(
            folder, f"expected a run, found neither {RUN} nor {EVALUATION / CASES}", "give an output of flans evaluate"
        )
    return _project(name, _revision(name))


def _revision(name: str) -> Read:
    """Reads files of a revision or an experiment: Git's, and by way of DVC's cache or remote those that DVC keeps."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError
    from pygit2 import GitError

    fix = f"git log --oneline, dvc exp show and ls say what there is; {WORKSPACE} is what lies here"
    try:
        files = DVCFileSystem(rev=name)
        files.repo.fs  # noqa: B018 - resolves the revision
    except (DvcException, SCMError, GitError) as error:
        if foreign := re.search("repository path '(.+)' is not owned", str(error)):  # as Docker mounts a folder
            fix = f"git config --global --add safe.directory {shlex.quote(foreign[1])}"
        raise InputError(name, f"expected a Git revision, an experiment or a run's folder, but {error}", fix) from None
    return lambda path: files.read_bytes(path.as_posix())


def _project(name: str, read: Read) -> Run:
    lock = _yaml(name, LOCK, read, "dvc repro, then commit dvc.lock")
    fix = f"make that run's results again, or fetch them: dvc fetch {EVALUATION / CASES}"
    content = _file(name, EVALUATION / CASES, read, fix)
    if unfinished := _unfinished(lock["stages"], content):
        raise InputError(f"{name}: {EVALUATION / CASES}", unfinished, FINISH)
    cases = _cases(name, content)
    # As the stages used them: params.yaml may have been edited since. Stages that are no more stay in dvc.lock.
    written = flat(_yaml(name, PARAMS, read, "commit params.yaml"))
    used = [stage.get("params", {}).get(PARAMS.as_posix(), {}) for stage in lock["stages"].values()]
    parameters: dict[str, Any] = {}
    for key, value in (item for section in used for item in flat(section).items()):
        if key not in parameters or value == written.get(key):
            parameters[key] = value
    hashes = {  # the first stage's: those that are no more come after it
        entry["path"]: entry["md5"].removesuffix(".dir")
        for stage in reversed(list(lock["stages"].values()))
        for entry in (*stage.get("deps", ()), *stage.get("outs", ()))
        if entry["path"] != PARAMS.as_posix()
    }
    code = {path: digest for path, digest in hashes.items() if PurePosixPath(path).suffix in CODE}
    data = {
        path: digest
        for path, digest in hashes.items()
        if path not in code and PurePosixPath(path).parts[0] not in (*RESULTS, "pipelines")
    }
    return Run(name, cases, parameters, data, code)


def locked_stages() -> dict[str, Any]:
    """What dvc.lock says of each stage that has run here; nothing where there is none."""
    return ((read_yaml(LOCK) if LOCK.is_file() else None) or {}).get("stages", {})


def workspace_doubt() -> str | None:
    """Why the cases that lie here aren't those of the model that lies here; None where they are, or nothing tells."""
    return _unfinished(locked_stages(), (EVALUATION / CASES).read_bytes())


def check_workspace() -> None:
    """See that the cases that lie here are those of the model that lies here.

    Raises:
        InputError: They are another's.
    """
    if doubt := workspace_doubt():
        raise InputError(EVALUATION / CASES, doubt, FINISH)


def _unfinished(stages: dict[str, Any], cases: bytes) -> str | None:
    """Why the cases aren't those of the model that dvc.lock names; None where they are."""
    made, judged = (_hashes(stages, *which) for which in (("train_joint", "outs"), ("evaluate", "deps")))
    model = (MODELS / "flans").as_posix()
    if made.get(model) != judged.get(model):
        return f"expected the cases of {model}, found those of another training: it went on and wasn't evaluated"
    named = _hashes(stages, "evaluate", "outs").get((EVALUATION / CASES).as_posix())
    if named and named != md5(cases).hexdigest():
        return f"expected the cases that {LOCK} names, found others"
    return None


def _hashes(stages: dict[str, Any], stage: str, what: str) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in stages.get(stage, {}).get(what, ())}


def _file(name: str, path: Path, read: Read, fix: str) -> bytes:
    try:
        return read(path)
    except FileNotFoundError:
        raise InputError(f"{name}: {path}", "expected the run's file, found none", fix) from None
    except OSError as error:
        raise InputError(f"{name}: {path}", f"expected the run's file, but {error}", fix) from None


def _yaml(name: str, path: Path, read: Read, fix: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(_file(name, path, read, fix))
    except yaml.YAMLError as error:
        raise InputError(f"{name}: {path}", f"expected YAML, but {error}", "mend it, or restore it with Git") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{name}: {path}", f"expected keys and values, found {type(content).__name__}", fix)
    return content


def _cases(name: str, content: bytes) -> pd.DataFrame:
    where = f"{name}: {CASES}"
    fix = "evaluate that run again: dvc repro evaluate, or flans evaluate"
    try:
        cases = pd.read_parquet(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(where, f"expected a table of cases, but {error}", fix) from None
    if missing := [column for column in COLUMNS if column not in cases]:
        raise InputError(where, f"columns missing: {', '.join(missing)}; an older version made it", fix)
    return cases


def flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested parameters by their dotted names."""
    if not isinstance(content, dict):
        return {prefix: content}
    parts = [flat(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in content.items()]
    return {key: value for part in parts for key, value in part.items()}


def differing(a: dict[str, Any], b: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, value in a, value in b) where they differ, sorted; None where one has no such key."""
    return [(key, a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]
