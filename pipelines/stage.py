"""What every stage shares: one clear message for bad input, progress, and a fixed place for every artefact."""

from __future__ import annotations

import errno
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import ParamSpec

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from corpus.errors import InputError
from corpus.files import file_sha256
from corpus.params import check_names, load_params

console = Console(stderr=True, highlight=False, emoji=False)
"""How work goes on: progress, notes, what went wrong."""
results = Console(highlight=False, emoji=False)
"""What a command was asked for."""
P = ParamSpec("P")
ROOMS = ("corpus", "prompts", "model", "pipelines")

DATA = Path("data")
PHANTOM = DATA / "raw" / "phantom"
SLICES = DATA / "slices"
FACTS = DATA / "facts"
PASSAGES = DATA / "passages"
INDEX = DATA / "index"
BANK = DATA / "prompts"
REVIEW = DATA / "review"
DATASET = DATA / "dataset"
TOKENS = DATA / "tokens"
"""The data set's requests as token embeddings."""
MODELS = Path("models")
EVALUATION = Path("evaluation")
REPORT = Path("report")
_PROCESS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""Where the environment says which of a training's processes this is; the first stands for all."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _kept() -> Path:
    """The folder of what survives any rerun: `data`. From the copy in which `dvc exp run --temp` or a queue runs, and
    which is thrown away, the repository's own."""
    for folder in Path.cwd().parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2] / DATA
    return DATA


RESPONSES = _kept() / "responses"
"""Outside the DVC outputs: what was paid for."""
EMBEDDINGS = _kept() / "embeddings"


def stage(main: Callable[P, None]) -> Callable[P, None]:
    """Run a stage's `main`, which nobody else runs meanwhile: an `InputError` and a full disk become one message and
    exit status 1, without a traceback; Ctrl+C one and 130."""
    name = Path(main.__code__.co_filename).stem

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            # What writes nothing may run beside what does.
            with nullcontext() if kwargs.get("dry_run") else _alone("@".join(map(str, (name, *args)))):
                main(*args, **kwargs)
        except InputError as error:
            _stop(error)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            place, found = error.filename or Path.cwd(), f"expected room to write, but {error.strerror}"
            _stop(InputError(place, found, "free some disk space, then run again"))
        except KeyboardInterrupt:
            said = "Stopped. The next run goes on from what this stage has kept, or starts it anew."
            console.print(said, soft_wrap=True)
            sys.exit(130)

    return run


def _stop(error: InputError) -> None:
    console.print("[bold red]Stopped. What was made before is kept.[/]")
    console.print(str(error), markup=False, soft_wrap=True)
    sys.exit(1)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep a second process from the same stage: one goes on where only the `dvc repro` above it was killed, and would
    write into what the next one makes. And keep DVC's cache from it.

    Args:
        name: As DVC calls the stage.

    Raises:
        InputError: Another runs it.
    """
    if any(os.environ.get(variable, "0") != "0" for variable in _PROCESS):
        yield
        return
    # Not in the repository, to which a stage that is given nothing to go on writes nothing.
    known = sha256(f"{Path.home()}:{Path.cwd()}:{name}".encode()).hexdigest()[:16]
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(Path(tempfile.gettempdir()) / f"flans-{known}.lock", timeout=0))
        except Timeout:
            found = "this stage is running already, left over from a run that was killed, perhaps"
            fix = (
                "end that process, then run again; or let it finish, and keep what it has made, if parameters, data "
                f"and code are still the same: dvc commit -f {name}"
            )
            raise InputError(name, found, fix) from None
        _break_links(name)
        yield


def _break_links(name: str) -> None:
    """Make a stage's outputs that DVC has linked to its cache files of their own: what writes into them would change
    the cache, or may not. DVC has taken them away where it is who runs the stage."""
    if "DVC_STAGE" in os.environ:
        return
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with suppress(DvcException), Repo() as repo:  # outside a repository, or of no stage, nothing is linked
        for each in repo.stage.collect(name):
            each.unprotect_outs()


def make_folder(path: Path) -> None:
    """Make the folder that somebody named with --out, if it isn't there.

    Raises:
        InputError: It can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = "found a file" if path.is_file() else f"but {error.strerror}"
        raise InputError(path, f"expected a folder to write to, {found}", "name another with --out") from None


def check_own(path: Path, mark: str) -> None:
    """See that the folder that somebody named with --out is a command's own, or isn't there.

    Args:
        mark: The file by which the command knows a folder of its own.

    Raises:
        InputError: It holds other files.
    """
    if path.exists() and not (path / mark).is_file() and (path.is_file() or any(path.iterdir())):
        raise InputError(path, "expected a folder of its own, found other files", "name another with --out")


def cohort() -> str:
    """The name of the run's set of sources: keeps one cohort's folders apart from another's.

    Raises:
        InputError: It can't name a folder.
    """
    name = load_params("cohort", str)
    check_names([name], "cohort")
    return name


def imported_code() -> dict[str, str]:
    """What the project's modules that are imported hash to: what was left unfinished doesn't go on with other code."""
    specs = filter(None, (getattr(module, "__spec__", None) for module in list(sys.modules.values())))
    files = {spec.name: spec.origin for spec in specs}  # the stage itself is loaded as __main__
    return {
        name: file_sha256(Path(file)) for name, file in sorted(files.items()) if file and name.split(".")[0] in ROOMS
    }


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A progress bar on the terminal; yields `advance(n=1, total=None)`, which may also set the total."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total)

        def advance(n: int = 1, total: int | None = None) -> None:
            bar.update(task, advance=n, total=total)

        yield advance
