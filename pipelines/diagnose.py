"""`flans diagnose`: a poor run's faulty part, with the figures that say so and its worst cases.

OUT/diagnosis.json       verdict and evidence of each part
OUT/<part>.csv           its worst cases or requests
OUT/<part>/              pictures of them, where the run's slices are at hand
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd

from corpus.errors import InputError
from corpus.files import file_sha256
from model.checkpoint import WEIGHTS
from model.data import SplitData
from model.inference import Segmenter
from model.studies.counterproof import ask_with_right_pose
from model.studies.diagnosis import Finding, diagnose, load_thresholds, names_known
from model.testing.asked import HeldOutPrompts, read_prompts
from model.testing.drawing import draw_examples
from model.testing.views import ROTATED
from pipelines.reporting import read_json, read_table
from pipelines.runs import CASES, RUN, check_workspace
from pipelines.stage import DATASET, EVALUATION, SLICES, check_own, cohort, make_folder, results
from prompts.splits import OUT

PICTURE_PX = 320
PRINTED = 3
COLUMNS = (
    *("slice_id", "patient", "domain", "organ", "kind", "target", "transform", "prompt_id", "text", "understood"),
    *("understood_right", "confidence", "pose_right", "area_mm2", "dice", "nsd", "hd95"),
)
DIAGNOSIS = "diagnosis.json"
COLOURS = {"at fault": "red", "sound": "green", "can't be judged": "yellow"}


def diagnose_run(run: Path, checkpoint: Path, out: Path) -> list[Finding]:
    """Diagnose a run and write what was found, leaving out sources that training never saw: what such a scan shows is
    no fault of a part.

    Args:
        run: A folder with cases.parquet: the pipeline's evaluation/, or an output of `flans evaluate`.
        checkpoint: The model that made it.

    Raises:
        InputError: There is no such run or checkpoint, the run is another checkpoint's or of sources that training
            never saw alone, or `out` holds other files.
    """
    check_own(out, DIAGNOSIS)
    if not (run / CASES).is_file():
        fix = "`dvc repro evaluate` makes evaluation/, and `flans evaluate` a folder of its own; if killed, it goes on"
        raise InputError(run / CASES, "expected a finished run's cases, found none", fix)
    cases = read_table(run / CASES, "evaluate", COLUMNS)
    cases = cases[(cases["transform"] != ROTATED) & (cases["domain"] != OUT)]
    if cases.empty:
        fix = "`flans evaluate` that source into a folder of its own, and diagnose it"
        raise InputError(run / CASES, "expected cases of a source that training has seen, found none", fix)
    segmenter = Segmenter.from_pretrained(checkpoint)
    if (run / RUN).is_file():
        made = read_json(run / RUN, "evaluate", ["checkpoint"])["checkpoint"]
        if made["sha256"] != file_sha256(checkpoint / WEIGHTS):
            raise InputError(checkpoint, f"{run} was made with another checkpoint, {made['folder']}", "name that one")
    elif run.resolve() == EVALUATION.resolve():
        check_workspace()
    findings = diagnose(cases, names_known(segmenter), load_thresholds())
    make_folder(out)
    for finding in findings:  # an earlier run's
        (out / f"{_file_name(finding)}.csv").unlink(missing_ok=True)
        shutil.rmtree(out / _file_name(finding), ignore_errors=True)
    if at_hand := _data(cases, segmenter):
        findings = [_prove(each, cases, segmenter, *at_hand) for each in findings]
    verdicts = {each.part: {"verdict": each.verdict, "evidence": each.evidence} for each in findings}
    (out / DIAGNOSIS).write_text(json.dumps(verdicts, indent=2) + "\n", encoding="utf-8")
    for finding in findings:
        name = _file_name(finding)
        finding.worst.to_csv(out / f"{name}.csv", index=False)
        if at_hand and finding.verdict == "at fault" and "slice_id" in finding.worst:
            draw_examples(finding.worst.assign(group="worst"), segmenter, *at_hand, out / name, PICTURE_PX)
    return findings


def _file_name(finding: Finding) -> str:
    return finding.part.replace(" ", "_")


def _data(cases: pd.DataFrame, segmenter: Segmenter) -> tuple[SplitData, HeldOutPrompts] | None:
    """The run's slices and requests, if the data set here is the one that it was made on."""
    if not (DATASET / "slices.parquet").is_file():
        return None
    data = SplitData(DATASET, SLICES / cohort(), "test")
    texts = pd.read_parquet(DATASET / "texts.parquet")
    texts = texts[texts["split"] == "test"]
    held_out = {"slice_id": data.table["slice_id"], "prompt_id": texts["prompt_id"]}
    if not all(set(cases[name]) <= set(known) for name, known in held_out.items()):
        return None
    return data, read_prompts(segmenter, texts)


def _prove(
    finding: Finding, cases: pd.DataFrame, segmenter: Segmenter, data: SplitData, prompts: HeldOutPrompts
) -> Finding:
    if finding.part != "canonicalizer" or finding.verdict != "at fault":
        return finding
    again = ask_with_right_pose(cases, segmenter, data, prompts)
    proof = (
        f"{len(again)} cases with a misjudged pose asked again with the right one: "
        f"mean Dice {again['dice_given'].mean():.3f} instead of {again['dice'].mean():.3f}"
    )
    return replace(finding, evidence=[*finding.evidence, proof])


def show(findings: list[Finding], out: Path) -> None:
    """Print verdicts and evidence, the faulty parts' worst cases, and where the rest is."""
    for finding in findings:
        results.print(f"[bold]{finding.part}[/]: [{COLOURS[finding.verdict]}]{finding.verdict}[/]")
        for sentence in finding.evidence:
            results.print(f"   {sentence}", markup=False, soft_wrap=True)
        if finding.verdict == "at fault":
            for row in finding.worst.head(PRINTED).to_dict("records"):
                results.print(f"   e.g. {_example(row)}", markup=False, soft_wrap=True)
    parts = {verdict: [each.part for each in findings if each.verdict == verdict] for verdict in COLOURS}
    if faulty := parts["at fault"]:
        results.print(f"[bold red]At fault: {', '.join(faulty)}.[/]")
    elif parts["sound"]:
        results.print("[bold green]No fault found.[/]")
    if unknown := parts["can't be judged"]:
        results.print(f"[yellow]Too few cases to judge: {', '.join(unknown)}.[/]")
    results.print(f"{out / DIAGNOSIS}, and each part's worst cases beside it", markup=False, soft_wrap=True)


def _example(row: dict) -> str:
    text = f'"{row["text"]}"'
    if "slice_id" in row:
        return f"Dice {row['dice']:.3f}, {row['organ']} on {row['slice_id']} ({row['transform']}): {text}"
    read = f"{text} taken for {row['understood']}, wanted {row['wanted']}"
    return read + (f'; "{row["like"]}" for {row["like_understood"]}' if row.get("like") else "")
