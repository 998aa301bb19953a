"""Stage `evaluate`: every held-out prompt on every held-out slice, as it lies and turned -> metrics and pictures.

python -m pipelines.evaluate
"""

from __future__ import annotations

import json

import pandas as pd
import torch

from corpus.params import load_params
from model.data import SplitData
from model.drawing import draw_examples
from model.evaluation import EvaluateParams, evaluate, read_prompts
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

    nothing = texts[(texts["split"] == "test") & (texts["kind"] == "none")]["prompt_id"]
    read = [prompts.request.understood[prompts.row[p]].intent.kind for p in nothing]
    metrics = score(cases, sum(k == "none" for k in read) / len(read) if read else None)

    EVALUATION.mkdir(exist_ok=True)
    cases.to_parquet(EVALUATION / "cases.parquet", index=False)
    (EVALUATION / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (EVALUATION / "tables").mkdir(exist_ok=True)
    for name, table in tables(cases).items():
        table.to_csv(EVALUATION / "tables" / f"{name}.csv", index=False)
    draw_examples(
        examples(cases, params.examples), segmenter, data, prompts, EVALUATION / "examples", params.picture_px
    )
    for scan in ("original", "transformed"):
        figures = {kind: values["dice"] for kind, values in metrics.get(scan, {}).items() if kind in kinds()}
        console.print(f"{scan}: macro Dice " + ", ".join(f"{kind} {dice:.3f}" for kind, dice in figures.items()))


if __name__ == "__main__":
    main()
