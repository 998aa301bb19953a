"""`flans bench`: how fast parts of the pipeline are on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, help="Measure how fast parts of the pipeline are on this machine.")


@bench.command()
def generate(
    provider: Annotated[str, typer.Option(help="offline or local: those that cost nothing.")] = "offline",
    per_cell: Annotated[int, typer.Option(help="Requests for each kind, target and style.")] = 36,
) -> None:
    """Requests a second, checks included, and how many of those written are accepted."""
    from pydantic import TypeAdapter

    from prompts.generator import GenerateParams
    from prompts.kinds import kinds
    from prompts.providers import LOCAL_MODEL, OFFLINE_MODEL
    from prompts.throughput import measure

    models = {"offline": OFFLINE_MODEL, "local": LOCAL_MODEL}
    if provider not in models:
        raise typer.BadParameter(f"choose from {', '.join(models)}", param_hint="--provider")
    cells = dict.fromkeys(kinds(), per_cell)
    params = {"provider": provider, "model": models[provider], "per_cell": cells, "candidates": min(per_cell, 12)}
    speed = measure(TypeAdapter(GenerateParams).validate_python(params))
    typer.echo(
        f"{provider}: {speed.accepted} of {speed.candidates} candidates accepted "
        f"({speed.accepted / speed.candidates:.1%}); {speed.accepted / speed.seconds:.1f} accepted a second, "
        f"{speed.accepted / speed.cpu_seconds:.1f} a second of one core"
    )
