"""The `flans` command line. Heavy imports stay inside the commands, so that `flans --help` answers at once."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from corpus.errors import InputError
from pipelines.bench import bench

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Segment abdominal CT from free-form language.")
app.add_typer(bench, name="bench")
P = ParamSpec("P")

Checkpoint = Annotated[Path, typer.Option(help="A checkpoint's folder.")]
CHECKPOINT = Path("models/flans")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Register a command; bad input ends it with one message and exit status 1."""

    @app.command()
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except InputError as error:
            typer.secho(str(error), fg="red", err=True)
            raise typer.Exit(1) from None

    return run


@command
def segment(
    scan: Annotated[Path, typer.Argument(help="A CT volume (NIfTI, HU) or one slice (PNG, soft-tissue window).")],
    prompts: Annotated[list[str], typer.Argument(help='What to segment, for example "outline the left kidney".')],
    out: Annotated[Path, typer.Option(help="Folder for masks and pictures.")] = Path("answer"),
    checkpoint: Checkpoint = CHECKPOINT,
) -> None:
    """Segment a scan by typing what you want.

    Writes, for each prompt, mask_N.nii.gz in the scan's own geometry (mask_N.png for a slice) and overlay_N.png.
    """
    from pipelines.segment import segment_scan
    from pipelines.stage import console

    for answer in segment_scan(scan, prompts, out, checkpoint):
        found = answer["organ"] or "nothing"
        console.print(
            f"[bold]{answer['prompt']}[/]  ->  {answer['kind']}: {found} "
            f"(confidence {answer['confidence']:.2f}), {answer['size']}",
            f"   {answer['mask']}\n   {answer['overlay']}",
            sep="\n",
        )
        for warning in answer["warnings"]:
            console.print(f"   [yellow]{warning}[/]")


@command
def understand(
    prompts: Annotated[list[str] | None, typer.Argument(help="Prompts; none reads them from standard input.")] = None,
    checkpoint: Checkpoint = CHECKPOINT,
) -> None:
    """Say what prompts ask for: one JSON object a line."""
    from model.inference import Segmenter

    segmenter = Segmenter.from_pretrained(checkpoint)
    texts = prompts or [line for line in sys.stdin.read().splitlines() if line.strip()]
    for start in range(0, len(texts), 256):
        request = segmenter.read(texts[start : start + 256])
        for text, understood in zip(request.prompts, request.understood, strict=True):
            intent = understood.intent
            row = {
                "prompt": text,
                "kind": intent.kind,
                "organ": intent.organ,
                "attribute": intent.attribute,
                "frame": intent.frame,
                "negated": intent.negated,
                "confidence": round(understood.confidence, 4),
            }
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


@command
def search(
    query: Annotated[str, typer.Argument(help="What to look for in the indexed reports.")],
    k: Annotated[int, typer.Option(help="Passages to show.")] = 5,
) -> None:
    """Show which passages retrieval finds, and where they come from."""
    from corpus.reports.index import load_index
    from pipelines.stage import INDEX, console

    for hit in load_index(INDEX).search([query], k)[0]:
        passage = hit.passage
        where = f"{passage['source']}/{passage['report_id']}"
        console.print(f"{hit.score:.3f}  {passage['tag']}  {where}  {', '.join(passage['organs'])}")
        console.print(f"       {passage['text']}", markup=False)


@command
def configure(
    overlay: Annotated[Path, typer.Argument(help="A YAML file with the parameters that differ; null removes a key.")],
) -> None:
    """Write an overlay's values into params.yaml, comments kept. `git checkout params.yaml` undoes it."""
    from pipelines.configure import apply_overlay
    from pipelines.stage import console

    for change in apply_overlay(overlay):
        console.print(change, markup=False)


@command
def estimate() -> None:
    """Say what generation would ask and cost (stages synthesize and generate). Asks nobody, writes nothing."""
    from pipelines import generate, synthesize

    synthesize.main(dry_run=True)
    generate.main(dry_run=True)


@command
def summary() -> None:
    """Say where the pipeline's results are, and the main figures."""
    from pipelines.summary import show

    show()
