"""`flans bench`: what the pipeline costs on this machine, beside the usual way of doing the same."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands import CHECKPOINT, Adapter, Checkpoint, Root, Source, register

bench = typer.Typer(no_args_is_help=True, help="Measure what the pipeline costs on this machine.")
command = register(bench)

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON on standard output.")]


def _print_json(figures: dict) -> None:
    import json

    sys.stdout.write(json.dumps(_known(figures), indent=2, allow_nan=False) + "\n")


def _known(figures: Any) -> Any:
    """Figures with null for what there is nothing to tell from: JSON has no NaN."""
    match figures:
        case dict():
            return {key: _known(value) for key, value in figures.items()}
        case list():
            return [_known(value) for value in figures]
        case float() if math.isnan(figures):
            return None
    return figures


@command
def ingest(
    source: Source = None,
    adapter: Adapter = None,
    root: Root = None,
    volumes: Annotated[int, typer.Option(min=1, help="How many of its volumes to ingest.")] = 3,
    slices: Annotated[int, typer.Option(min=1, help="How many slices to save the usual way too, 26 MB each.")] = 12,
    json: Json = False,
) -> None:
    """Ingest and read slices: our store beside one 1024 x 1024 x 3 float64 .npy a slice, on the same volumes."""
    from pipelines.bench_ingest import bench_ingest, show
    from pipelines.sources import find_source

    figures = bench_ingest(*find_source(source, adapter, root), volumes, slices)
    _print_json(figures) if json else show(figures)


@command
def retrieve(
    passages: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Numbers of passages; may be repeated. 10000, 100000 and 1000000 by default."),
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Nearest passages asked for.")] = 10,
    queries: Annotated[int, typer.Option(min=1, help="Queries asked, one at a time.")] = 200,
) -> None:
    """Recall@k against exact search and queries per second, on synthetic vectors clustered like embeddings."""
    from corpus.params import load_params
    from corpus.reports.index import IndexParams
    from pipelines.bench_retrieve import bench_retrieve, show

    probes, numbers = load_params("index", IndexParams).probes, passages or (10_000, 100_000, 1_000_000)
    show([speed for n in numbers for speed in bench_retrieve(n, k, queries, probes)], k, queries)


@command
def generate(
    provider: Annotated[str, typer.Option(help="offline or local: those that cost nothing.")] = "offline",
    per_cell: Annotated[int, typer.Option(min=1, help="Requests for each kind, target and style.")] = 12,
) -> None:
    """Requests a second, checks included, and how many of those written are accepted."""
    from pydantic import TypeAdapter

    from pipelines.bench_generate import bench_generate, show
    from prompts.generator import GenerateParams
    from prompts.kinds import kinds
    from prompts.providers.chat import LOCAL_MODEL, OFFLINE_MODEL

    models = {"offline": OFFLINE_MODEL, "local": LOCAL_MODEL}
    if provider not in models:
        raise typer.BadParameter(f"choose from {', '.join(models)}", param_hint="--provider")
    cells = dict.fromkeys(kinds(), per_cell)
    params = {"provider": provider, "model": models[provider], "per_cell": cells, "candidates": min(per_cell, 12)}
    show(provider, bench_generate(TypeAdapter(GenerateParams).validate_python(params)))


@command
def prompts(
    banks: Annotated[
        list[Path] | None, typer.Argument(help="Banks, or their folders; data/prompts by default.")
    ] = None,
    sample: Annotated[int, typer.Option(min=0, help="Prompts of each to show, drawn with a seed.")] = 10,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown on standard output.")] = False,
) -> None:
    """Quality figures of what providers wrote, banks side by side, with unedited prompts of each."""
    from pipelines import bench_prompts
    from pipelines.stage import BANK

    sides = bench_prompts.bench_prompts(banks or [BANK], sample)
    typer.echo(bench_prompts.markdown(sides)) if markdown else bench_prompts.show(sides)


@command
def checks(json: Json = False) -> None:
    """How many of 593 broken prompts the checks catch, by type, and how many of 343 good ones they reject."""
    from pipelines.bench_checks import bench_checks, shares, show

    rows = bench_checks()
    _print_json(shares(rows) | {"examples": rows.to_dict("records")}) if json else show(rows)


@command
def memory(
    volumes: Annotated[list[int] | None, typer.Option(min=1, help="How many volumes; 10 and 100 by default.")] = None,
    workers: Annotated[list[int] | None, typer.Option(min=1, help="How many processes; 1 and 2 by default.")] = None,
    size: Annotated[int, typer.Option(min=20, max=960, help="Rows and columns of a slice.")] = 192,
    json: Json = False,
) -> None:
    """Peak memory of ingest and measure, for few volumes and for many."""
    from corpus.scans.phantom import PhantomParams
    from pipelines.bench_memory import bench_memory, show

    phantom = PhantomParams(patients=1, size=size, spacing_mm=384 / size, slice_mm=14.0)
    rows = bench_memory(volumes or [10, 100], workers or [1, 2], phantom)
    _print_json({"memory": rows}) if json else show(rows)


@command
def language(checkpoint: Checkpoint = CHECKPOINT, json: Json = False) -> None:
    """How many requests as people type them are understood, by set, kind and voice."""
    from pipelines.bench_language import bench_language, show

    rows = bench_language(checkpoint)
    by = {name: rows.groupby(name)["right"].mean().round(4).to_dict() for name in ("set", "kind", "voice")}
    _print_json(by | {"all": round(float(rows["right"].mean()), 4)}) if json else show(rows)


@command
def plain(checkpoint: Checkpoint = CHECKPOINT, json: Json = False) -> None:
    """Whether the plainest requests ("where is the liver?") are read alike, whatever structure they speak of, by any of
    its names, and misspelt."""
    from pipelines.bench_plain import bench_plain, show, varied

    rows = bench_plain(checkpoint)
    groups = {"asks": rows, **varied(rows)}
    by = {name: group.groupby(name, sort=False)["right"].mean().round(4).to_dict() for name, group in groups.items()}
    _print_json(by) if json else show(rows)


@command
def typed(checkpoint: Checkpoint = CHECKPOINT, json: Json = False) -> None:
    """Whether requests are understood as well where they are typed otherwise: in small letters, in short, with a
    signature."""
    from pipelines.bench_typed import bench_typed, show

    rows = bench_typed(checkpoint)
    _print_json(rows.groupby("change", sort=False)["right"].mean().round(4).to_dict()) if json else show(rows)


@command
def model(
    encoder: Annotated[
        str | None, typer.Option(help="conv, lite_medsam, sam or medsam; that of params.yaml by default.")
    ] = None,
    prompts: Annotated[list[int] | None, typer.Option(min=1, help="Prompts a slice; 1, 8 and 24 by default.")] = None,
    size: Annotated[int | None, typer.Option(min=16, help="Side of the slice; model.size of params.yaml.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each, of which the median is shown.")] = 5,
    json: Json = False,
) -> None:
    """Time of 1, 8 and 24 prompts on one slice, in use and in training, and of finding the slice's pose."""
    from pipelines.bench_model import bench_model, show

    figures = bench_model(encoder, prompts or [1, 8, 24], repeats, size)
    _print_json(figures) if json else show(figures)


@command
def consistency(
    checkpoint: Checkpoint = CHECKPOINT,
    slices: Annotated[int, typer.Option(min=1, help="How many held-out slices, evenly spread.")] = 60,
    angles: Annotated[int, typer.Option(min=0, help="Random rotations of each.")] = 2,
    degrees: Annotated[float, typer.Option(min=0, max=45, help="Their limit, to either side.")] = 30.0,
    json: Json = False,
) -> None:
    """Whether masks turn with the picture: Dice of f(g x, t) and g f(x, t) by kind, over D4 and random rotations."""
    from model.studies.consistency import ConsistencyParams
    from pipelines.bench_consistency import bench_consistency, figures, show

    rows = bench_consistency(checkpoint, ConsistencyParams(slices=slices, angles=angles, degrees=degrees))
    _print_json(figures(rows)) if json else show(rows)
