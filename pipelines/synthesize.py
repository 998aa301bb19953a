"""Stage `synthesize`: synthetic sentences about every organ, from the provider of `generate` -> passages (S3).

python -m pipelines.synthesize [--dry-run]
"""

from __future__ import annotations

import json

import typer

from corpus.params import load_params
from corpus.reports.passages import write_passages
from corpus.reports.readers import SYNTHETIC
from pipelines.stage import PASSAGES, RESPONSES, cohort, console, results, stage
from prompts.generator import GenerateParams
from prompts.providers.chat import chat_model, concurrency, provider
from prompts.providers.estimate import estimate
from prompts.providers.response_store import ResponseStore
from prompts.synthesis import SynthesisParams, plan, synthesize


@stage
def main(dry_run: bool = False) -> None:
    """Write the passages and a summary; what the provider answered before is taken from the response store.

    Args:
        dry_run: Only say how many calls, how many tokens and what cost that would be. Nothing is asked or written.
    """
    params = load_params("generate", GenerateParams)
    wanted = load_params("synthesize", SynthesisParams)
    if dry_run:
        with ResponseStore(RESPONSES / "responses.jsonl", writable=False) as store:
            planned = estimate(plan(wanted, params), wanted.per_organ, params, store)
            results.print(str(planned), markup=False, soft_wrap=True)
        return
    with ResponseStore(RESPONSES / "responses.jsonl") as store:
        made = synthesize(wanted, params, chat_model(params), store, concurrency(params))
    (out := PASSAGES / cohort() / SYNTHETIC).mkdir(parents=True, exist_ok=True)
    write_passages(made.passages, out / "passages.parquet")
    summary = {
        "provider": params.provider,
        "model": params.model,
        "language_model_used": provider(params).language_model,
        "passages": len(made.passages),
        "left_out": dict(sorted(made.left_out.items())),
        "by_style": {str(k): int(v) for k, v in sorted(made.passages["style"].value_counts().items())},
        "organs": {str(k): int(v) for k, v in sorted(made.passages["organs"].explode().value_counts().items())},
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    console.print(
        f"{len(made.passages)} synthetic passages, {made.left_out.total()} left out; "
        f"{made.asked} calls were asked now and {made.failed} failed"
    )
    if made.stopped:
        console.print(f"[yellow]Stopped early:[/] {made.stopped}. A larger generate.budget goes on from here.")


if __name__ == "__main__":
    typer.run(main)
