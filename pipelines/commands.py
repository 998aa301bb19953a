"""How a command of `flans` is registered: bad input ends it with one message and exit status 1, without a traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

from corpus.errors import InputError

P = ParamSpec("P")


def register(app: typer.Typer, panel: str | None = None) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """A decorator that makes a function a command of `app`, listed in a panel of its help."""

    def command(function: Callable[P, None]) -> Callable[P, None]:
        @app.command(rich_help_panel=panel)
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(*args, **kwargs)
            except InputError as error:
                typer.secho(str(error), fg="red", err=True)
                raise typer.Exit(1) from None

        return run

    return command
