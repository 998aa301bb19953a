"""How a command of `flans` is registered: bad input ends it with one message and exit status 1, without a traceback.
And the options that several commands have."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from corpus.errors import InputError
from corpus.params import PARAMS

P = ParamSpec("P")

Source = Annotated[str | None, typer.Argument(help="A source of params.yaml; the first one by default.")]
Adapter = Annotated[str | None, typer.Option(help="With --root: a data set that params.yaml doesn't name.")]
Root = Annotated[Path | None, typer.Option(help="Its folder.")]
Checkpoint = Annotated[Path, typer.Option(help="A checkpoint's folder.")]
CHECKPOINT = Path("models/flans")


def register(app: typer.Typer, panel: str | None = None) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """A decorator that makes a function a command of `app`, listed in a panel of its help."""

    def command(function: Callable[P, None]) -> Callable[P, None]:
        @app.command(rich_help_panel=panel)
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, io.TextIOWrapper):
                    stream.reconfigure(errors="replace")  # a terminal may lack a request's letters
            try:
                function(*args, **kwargs)
            except (InputError, PermissionError) as error:
                if isinstance(error, PermissionError):
                    found = "expected to be let in, but this user may not read or write it"
                    error = InputError(str(error.filename), found, "change its permissions, or name another place")
                elif ("repro" in error.fix or "examples/" in error.fix) and not PARAMS.is_file():
                    fix = f"run from the repository's root; if it isn't there either, {error.fix}"
                    error = InputError(error.where, error.problem, fix)
                typer.secho(str(error), fg="red", err=True)
                raise typer.Exit(1) from None

        return run

    return command
