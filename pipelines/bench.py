"""`flans bench`: measurements of speed and of search quality."""

from __future__ import annotations

from typing import Annotated

import typer

bench = typer.Typer(no_args_is_help=True, help="Measure speed and search quality.")


@bench.command()
def retrieve(
    passages: Annotated[list[int] | None, typer.Option(help="Numbers of passages; may be repeated.")] = None,
    k: Annotated[int, typer.Option(min=1, help="Nearest passages asked for.")] = 10,
    queries: Annotated[int, typer.Option(min=1, help="Queries asked, one at a time.")] = 200,
) -> None:
    """Recall@k against exact search and queries per second, on synthetic vectors clustered like embeddings."""
    from rich.table import Table

    from corpus.params import load_params
    from corpus.reports.bench import measure
    from corpus.reports.index import IndexParams
    from pipelines.stage import console

    probes = load_params("index", IndexParams).probes
    table = Table(title=f"{queries} queries, one at a time", title_justify="left")
    for column in ("passages", "index", f"recall@{k}", "queries/s", "built in s", "MB"):
        table.add_column(column, justify="left" if column == "index" else "right")
    for n in passages or (10_000, 100_000, 1_000_000):
        for speed in measure(n, k, queries, probes):
            table.add_row(
                f"{speed.passages:,}",
                speed.index,
                f"{speed.recall:.3f}",
                f"{speed.queries_per_second:.0f}",
                f"{speed.build_seconds:.1f}",
                f"{speed.megabytes:.0f}",
            )
    console.print(table)
