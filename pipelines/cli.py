"""The `flans` command line. Heavy imports stay inside the commands, so that `flans --help` answers at once."""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.bench import bench
from pipelines.commands import CHECKPOINT, Adapter, Checkpoint, Root, Source, register

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Segment abdominal CT from free-form language.",
)
using = register(app, "Use a trained model")
looking = register(app, "Look at a run")
preparing = register(app, "Prepare a run")
measuring = register(app, "Measure")
app.add_typer(bench, name="bench", rich_help_panel="Measure")


class Modality(StrEnum):
    """What scans are of."""

    CT = "CT"
    MR = "MR"


def _piped() -> str:
    """Standard input as UTF-8, or as UTF-16 where its first mark says so; what is none is read as U+FFFD."""
    content = sys.stdin.buffer.read()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig", errors="replace")


def _lines(text: str) -> list[str]:
    """A text's lines, blank ones too: the answers are to stand beside the requests of a sheet."""
    lines = re.split(r"\r?\n", text)
    return lines if lines[-1] else lines[:-1]


def _typed(prompts: list[str]) -> list[str]:
    """Arguments, of which the same is true."""
    return [os.fsencode(prompt).decode("utf-8", errors="replace") for prompt in prompts]


ADAPTERS = sorted(path.stem for path in Path(__file__).parents[1].glob("corpus/scans/datasets/*.yaml"))


@using
def segment(
    scan: Annotated[
        Path,
        typer.Argument(
            help="A volume (NIfTI, or a folder with a DICOM series) or one slice (PNG, soft-tissue window)."
        ),
    ],
    prompts: Annotated[
        list[str], typer.Argument(help='What to segment, for example "outline the left kidney"; each gets a mask.')
    ],
    out: Annotated[Path, typer.Option(help="Folder for masks and pictures.")] = Path("answer"),
    modality: Annotated[Modality, typer.Option(case_sensitive=False, help="What a NIfTI file is of.")] = Modality.CT,
    series: Annotated[
        str | None,
        typer.Option(help="Which of a folder's DICOM series: its number or UID; the error without it lists them."),
    ] = None,
    checkpoint: Checkpoint = CHECKPOINT,
) -> None:
    """Segment a scan by typing what you want.

    Writes, for each prompt, mask_N.nii.gz in the scan's own geometry (mask_N.png for a slice) and overlay_N.png.
    """
    from rich.markup import escape

    from pipelines.segment import segment_scan
    from pipelines.stage import results

    answers = segment_scan(scan, _typed(prompts), out, checkpoint, modality.value, series)
    of_all = [w for w in answers[0]["warnings"] if len(answers) > 1 and all(w in a["warnings"] for a in answers)]
    for answer in answers:
        asked = answer["asked"]
        found = answer["organ"] or ("nothing" if answer["empty"] else asked)  # where it was learned none is named
        what = found if asked in (None, found) else f"{asked}, here {found}"
        results.print(
            f"[bold]{escape(answer['prompt'])}[/]  ->  {answer['kind']}: {what} "
            f"(read with confidence {answer['confidence']:.2f}), {answer['size']}",
            f"   {escape(answer['mask'])}\n   {escape(answer['overlay'])}",
            sep="\n",
            soft_wrap=True,
        )
        for warning in answer["warnings"]:
            if warning not in of_all:
                results.print(f"   [yellow]{escape(warning)}[/]", soft_wrap=True)
    for warning in of_all:
        results.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
    single = len(prompts) > 2 and all(len(prompt.split()) == 1 for prompt in prompts)
    if single and any(answer["kind"] == "none" for answer in answers):
        results.print("[yellow]Each word was taken for a request: a request of several words wants quotes.[/]")


@using
def understand(
    prompts: Annotated[
        list[str] | None, typer.Argument(help="Read from standard input, one a line, if none is given.")
    ] = None,
    checkpoint: Checkpoint = CHECKPOINT,
) -> None:
    """Say what prompts ask for: one JSON object a line."""
    from model.inference import Segmenter

    segmenter = Segmenter.from_pretrained(checkpoint)
    if not prompts and sys.stdin.isatty():
        sys.stderr.write("Type requests, one a line; Ctrl+D ends.\n")
    texts = _typed(prompts or []) or _lines(_piped())
    ascii_only = not codecs.lookup(sys.stdout.encoding or "ascii").name.startswith("utf")
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
                "rank": intent.rank,
                "relation": intent.relation,
                "confidence": round(understood.confidence, 4),
            }
            sys.stdout.write(json.dumps(row, ensure_ascii=ascii_only) + "\n")


@looking
def summary() -> None:
    """Say where the pipeline's results are, and the main figures."""
    from pipelines.summary import show

    show()


@looking
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A Git revision, a DVC experiment, or a folder of flans evaluate.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="B", help="Another; by default what lies in the workspace.")
    ] = "workspace",
    out: Annotated[Path, typer.Option(help="Folder of compare.html, compare.csv and cases.csv.")] = Path(
        "report/compare"
    ),
) -> None:
    """Compare two runs, patient by patient: what got worse first."""
    from pipelines.compare import compare_runs, show

    show(compare_runs(first, second, out), first, second, out)


@looking
def diagnose(
    run: Annotated[
        Path, typer.Argument(help="A folder with cases.parquet: evaluation, or one of flans evaluate.")
    ] = Path("evaluation"),
    checkpoint: Checkpoint = CHECKPOINT,
    out: Annotated[Path, typer.Option(help="Folder of the evidence: tables and pictures.")] = Path("report/diagnosis"),
) -> None:
    """Say which part is at fault in a poor run.

    Canonicalizer, text encoder, intent head or image encoder; with its figures and worst cases.
    """
    from pipelines.diagnose import diagnose_run, show

    show(diagnose_run(run, checkpoint, out), out)


@preparing
def configure(
    overlay: Annotated[Path, typer.Argument(help="A YAML file with the parameters that differ; null removes a key.")],
) -> None:
    """Write an overlay's values into params.yaml.

    Comments are kept. `git checkout params.yaml` undoes it.
    """
    from pipelines.configure import apply_overlay
    from pipelines.stage import results

    for change in apply_overlay(overlay) or ["params.yaml has these values already"]:
        results.print(change, markup=False)


@preparing
def pose(
    source: Source = None,
    adapter: Adapter = None,
    root: Root = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the table and pictures; report/pose/SOURCE by default.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A trained model to ask too; models/flans by default, if it is there.")
    ] = None,
) -> None:
    """Hold a data set's headers against its pixels.

    Lists and pictures the volumes that contradict theirs. Plain anatomy decides (spine, liver, heart, lungs),
    and a model that was trained on the source.
    """
    from pipelines.pose import check_source, show
    from pipelines.sources import find_source
    from pipelines.stage import REPORT

    name, params = find_source(source, adapter, root)
    out, asked = out or REPORT / "pose" / name, checkpoint or (CHECKPOINT if CHECKPOINT.is_dir() else None)
    table = check_source(name, params, asked, out, outside=root is not None)
    show(table, out)


@preparing
def search(
    query: Annotated[str, typer.Argument(help="What to look for in the indexed reports.")],
    k: Annotated[int, typer.Option(min=1, help="Passages to show.")] = 5,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only of these tags: S1 reports, S2 questions, S3 synthetic.")
    ] = None,
    organ: Annotated[list[str] | None, typer.Option(help="Only passages that name one of these organs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with ids and all fields.")] = False,
) -> None:
    """Show which passages of the reports retrieval finds.

    Each with where it comes from: score, tag, source/report, section, organs.
    """
    from pipelines.search import found, shown

    for hit in found(query, k, tag, organ):
        typer.echo(json.dumps(hit.passage | {"score": hit.score}, ensure_ascii=False) if as_json else shown(hit))


@preparing
def estimate() -> None:
    """Say what generation would ask and cost.

    One line each for the stages synthesize and generate. Asks nobody, writes nothing.
    """
    from pipelines import generate, synthesize
    from pipelines.stage import results

    for name, stage in (("synthesize", synthesize), ("generate", generate)):
        results.print(f"[bold]{name}[/]: ", end="")
        stage.main(dry_run=True)


@preparing
def review(
    reviewer: Annotated[str, typer.Option(help="Your name or initials; without them the page asks.")] = "",
    port: Annotated[int, typer.Option(help="Where the page is served, on this machine alone.")] = 7860,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Review prompts on a local page.

    It shows the mask's picture and the prompt; a key each accepts, rejects or edits it. Every decision is in
    prompts/review/decisions/REVIEWER.csv at once; the next `dvc repro` honours it.
    """
    from pipelines.review import DECISIONS
    from pipelines.review_page import serve

    serve(DECISIONS, reviewer, port, browser)


@measuring
def evaluate(
    adapter: Annotated[str, typer.Option(help=f"How the data set is laid out: {', '.join(ADAPTERS)}.")],
    root: Annotated[Path, typer.Option(help="Its folder: labelled scans.")],
    out: Annotated[Path, typer.Option(help="Folder of the figures, tables and pictures.")],
    checkpoint: Checkpoint = CHECKPOINT,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Your own requests (CSV or Parquet), in place of those held out."),
    ] = None,
    params: Annotated[Path, typer.Option(help="What decides which slice is asked what.")] = Path("params.yaml"),
) -> None:
    """Evaluate a checkpoint on labelled scans from outside.

    Writes the pipeline's own tables: Dice, NSD and HD95 by kind of request, organ and turn. Run again after it was
    killed, it goes on where it was.
    """
    from pipelines.evaluate_source import evaluate_source
    from pipelines.sources import find_source

    evaluate_source(*find_source(None, adapter, root), checkpoint, out, prompts, params)


@measuring
def baselines(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="BASELINE", help="Which of the above; all by default.")
    ] = None,
    slices: Annotated[int, typer.Option(min=1, help="Slices that LiteMedSAM is asked; each takes seconds.")] = 24,
) -> None:
    """Score what else could answer the test requests, beside the model.

    Trains what has to be trained:

    - keywords: a look-up of words, and the model's organ head
    - no_canonicalizer: slices taken as they lie
    - unet: MONAI's, for a closed set of organs (trained)
    - no_canonicalizer_augmented: slices taken as they lie, by a model that has learned from turned ones (trained)
    - learned: position and size without geometry (trained)
    - lite_medsam: LiteMedSAM, given true boxes
    """
    from pipelines.baselines import run_baselines, show

    show(run_baselines(names or [], slices))


@measuring
def study(
    name: Annotated[str, typer.Argument(help="scaling, prompts, modality or folds (of patients, beside a U-Net).")],
    levels: Annotated[
        list[str] | None, typer.Option(help="Such as patients=0.5; may be given again. All of the study by default.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Trainings of each level, with other seeds.")] = 1,
    dry_run: Annotated[bool, typer.Option(help="Print the experiments' commands, run none.")] = False,
    minutes: Annotated[
        float | None, typer.Option(help="folds: the U-Net's training time; by default it takes as many steps.")
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="modality: phantom patients to test on.")] = 8,
    tested: Annotated[list[str] | None, typer.Option(help="modality: a source to test on, ADAPTER=FOLDER.")] = None,
) -> None:
    """Answer a question that takes several trainings with a curve.

    Each training is a DVC experiment; table and plot are in report/study/NAME. The workspace is put back afterwards.
    What was trained before with the same parameters comes from DVC's cache.
    """
    from pipelines.study import run_study, show
    from pipelines.study_cases import Options

    table = run_study(name, levels or [], repeats, dry_run, Options(patients, tuple(tested or ()), minutes))
    if table is not None:
        show(name, table)
