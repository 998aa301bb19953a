"""Stage `evaluate`: every held-out prompt on every held-out slice, as it lies, turned and rotated; whole volumes; and
the robustness card -> metrics, tables and pictures.

python -m pipelines.evaluate

metrics.json holds macro means over organs; empty masks count as `model.testing.metrics` says:
  original, transformed (D4), rotated   by kind: dice with its interval over patients, nsd (at the organ's tolerance),
                nsd_1mm, hd95 in mm and hd95_missing (cases without); absent.empty; pose
  volume        the same of whole volumes, by name; see `model.testing.stacks`
  intent, calibration.ece   of the held-out requests
  leak          what was looked at; had anything been on both sides, there would be no figures
  organ_dice, patients, slices; out_of_domain where a source is held out (`dataset.out_of_domain`)
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from corpus.params import load_params
from model.data import SplitData
from model.inference import Segmenter
from model.testing.asked import read_prompts, reads, variants_understood
from model.testing.drawing import draw_examples
from model.testing.evaluation import Evaluated, EvaluateParams, Trial, evaluate
from model.testing.robustness import robustness
from model.testing.scoring import calibration, examples, score, score_volumes, tables
from model.training.memory import keep_memory
from model.training.params import TrainParams
from pipelines.stage import DATASET, EVALUATION, MODELS, SLICES, cohort, console, progress, stage
from prompts.dataset import DatasetParams
from prompts.kinds import kinds
from prompts.leaks import check_leaks
from prompts.splits import OUT
from prompts.targets import TargetParams


@stage
def main() -> None:
    """Evaluate models/flans on the test split."""
    params = load_params("evaluate", EvaluateParams)
    targets = load_params("targets", TargetParams)
    torch.set_num_threads(load_params("train_joint", TrainParams).threads)
    keep_memory()
    data = SplitData(DATASET, SLICES / cohort(), "test")
    slices, texts, variants = (pd.read_parquet(DATASET / f"{name}.parquet") for name in ("slices", "texts", "variants"))
    leak = check_leaks(
        slices,
        pd.concat([texts, variants], ignore_index=True),
        lambda row: data.stores[row["source"]].image(row["shard"], int(row["row"])),
        load_params("dataset", DatasetParams).near_copy,
        DATASET,
    )
    segmenter = Segmenter.from_pretrained(MODELS / "flans")
    trial = Trial(segmenter, data, read_prompts(segmenter, texts), params, targets)
    with progress("evaluate", len(data.table)) as advance:
        found = evaluate(trial, advance)
    trained = set(slices.loc[slices["split"] == "train", "source"])
    found = found.of_domains({source: "in" if source in trained else OUT for source in data.stores})
    understood = variants_understood(segmenter, variants)
    metrics = write_results(found, trial, texts, EVALUATION, understood)
    (EVALUATION / "metrics.json").write_text(json.dumps(metrics | {"leak": leak}, indent=2) + "\n", encoding="utf-8")


def write_results(
    found: Evaluated, trial: Trial, texts: pd.DataFrame, out: Path, variants: dict[str, float] | None = None
) -> dict:
    """Write cases.parquet, metrics.json, tables and pictures, and print the main figures.

    Args:
        found: What `evaluate` returned for `trial`, with the sources' domains.
        texts: What the trial's prompts were read from.
        variants: What `variants_understood` returned.

    Returns:
        The metrics.
    """
    prompts, params = trial.prompts, trial.params
    held_out = texts[texts["split"] == "test"]
    understood = [prompts.request.understood[prompts.row[prompt]] for prompt in held_out["prompt_id"]]
    asked = zip(understood, held_out["kind"], held_out["target"], strict=True)
    right = [u.intent.kind == "none" if kind == "none" else reads(u.intent, kind, target) for u, kind, target in asked]
    abstained = np.array(right)[(held_out["kind"] == "none").to_numpy()]
    error, calibrated = calibration(np.array([u.confidence for u in understood]), np.array(right))
    metrics = score(found.cases, abstained.mean() if len(abstained) else None, variants or {})
    apart = found.volumes["domain"] == OUT
    if not apart.all():
        metrics["volume"] = score_volumes(found.volumes[~apart])
    if apart.any():
        metrics["out_of_domain"]["volume"] = score_volumes(found.volumes[apart])
    metrics["calibration"] = {"ece": error}
    with progress("robustness", params.robustness.slices) as advance:
        known = found.cases.loc[found.cases["domain"] != OUT, "source"].unique()
        card = robustness(trial, known if len(known) else None, advance)

    out.mkdir(parents=True, exist_ok=True)
    found.cases.to_parquet(out / "cases.parquet", index=False)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (out / "tables").mkdir(exist_ok=True)
    written = tables(found.cases) | {"volumes": found.volumes, "calibration": calibrated, "robustness": card}
    for name, table in written.items():
        table.to_csv(out / "tables" / f"{name}.csv", index=False)
    chosen = examples(found.cases, params.examples)
    draw_examples(chosen, trial.segmenter, trial.data, prompts, out / "examples", params.picture_px)
    _print(metrics)
    return metrics


def _print(metrics: dict) -> None:
    shown = {scan: metrics.get(scan, {}) for scan in ("original", "transformed", "rotated", "volume")}
    for scan, figures in shown.items():
        named = [f"{kind} {found['dice']:.3f} ({found['cases']})" for kind, found in figures.items() if kind in kinds()]
        if named:
            console.print(f"{scan}: macro Dice (cases) {', '.join(named)}")


if __name__ == "__main__":
    main()
