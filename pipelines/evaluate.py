"""Stage `evaluate`: every held-out prompt on every held-out slice, as it lies and turned -> metrics and pictures.

python -m pipelines.evaluate
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import torch

from corpus.params import load_params
from model.data import SplitData
from model.drawing import draw_examples
from model.evaluation import EvaluateParams, TestPrompts, evaluate, read_prompts, variants_understood
from model.inference import Segmenter
from model.scoring import examples, score, tables
from model.training import TrainParams
from pipelines.stage import DATASET, EVALUATION, MODELS, SLICES, cohort, console, progress, stage
from prompts.kinds import kinds


@stage
def main() -> None:
    """Evaluate models/flans on the test split."""
    params = load_params("evaluate", EvaluateParams)
    torch.set_num_threads(load_params("train_joint", TrainParams).threads)
    segmenter = Segmenter.from_pretrained(MODELS / "flans")
    data = SplitData(DATASET, SLICES / cohort(), "test")
    texts = pd.read_parquet(DATASET / "texts.parquet")
    prompts = read_prompts(segmenter, texts)
    with progress("evaluate", len(data.table)) as advance:
        cases = evaluate(segmenter, data, prompts, params, advance)
    variants = pd.read_parquet(DATASET / "variants.parquet")
    write_results(cases, segmenter, data, texts, prompts, params, EVALUATION, variants)


def write_results(
    cases: pd.DataFrame,
    segmenter: Segmenter,
    data: SplitData,
    texts: pd.DataFrame,
    prompts: TestPrompts,
    params: EvaluateParams,
    out: Path,
    variants: pd.DataFrame | None = None,
) -> dict:
    """Write cases.parquet, metrics.json, tables and pictures, and print the main figures.

    Args:
        cases: What `evaluate` returned for `data` and `prompts`.
        texts: What `prompts` were read from.
        variants: The data set's variants.parquet.

    Returns:
        The metrics.
    """
    nothing = texts[(texts["split"] == "test") & (texts["kind"] == "none")]["prompt_id"]
    read = [prompts.request.understood[prompts.row[p]].intent.kind for p in nothing]
    metrics = score(
        cases,
        sum(k == "none" for k in read) / len(read) if read else None,
        {} if variants is None else variants_understood(segmenter, variants),
    )

    out.mkdir(parents=True, exist_ok=True)
    cases.to_parquet(out / "cases.parquet", index=False)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (out / "tables").mkdir(exist_ok=True)
    for name, table in tables(cases).items():
        table.to_csv(out / "tables" / f"{name}.csv", index=False)
    draw_examples(examples(cases, params.examples), segmenter, data, prompts, out / "examples", params.picture_px)
    for scan in ("original", "transformed"):
        figures = {kind: values["dice"] for kind, values in metrics.get(scan, {}).items() if kind in kinds()}
        if figures:
            console.print(f"{scan}: macro Dice " + ", ".join(f"{kind} {dice:.3f}" for kind, dice in figures.items()))
    return metrics


if __name__ == "__main__":
    main()
