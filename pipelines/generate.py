"""Stage `generate`: the passage index -> the bank of requests, with where each comes from, and a summary.

python -m pipelines.generate [--dry-run]
"""

from __future__ import annotations

import json
from pathlib import Path

import typer

from corpus.params import load_params
from corpus.reports.index import load_index
from pipelines.stage import BANK, INDEX, RESPONSES, console, progress, results, stage
from prompts.bank import write_bank
from prompts.generator import GenerateParams, Generator
from prompts.offline import OfflineChatModel
from prompts.providers.chat import chat_model, concurrency
from prompts.providers.estimate import estimate
from prompts.providers.response_store import ResponseStore

NEGATIVES = Path("prompts/negatives.yaml")


@stage
def main(dry_run: bool = False) -> None:
    """Fill the bank; what the provider answered before is taken from the response store.

    Args:
        dry_run: Only say how many calls, how many tokens and what cost that would be. Nothing is asked or written.
    """
    params = load_params("generate", GenerateParams)
    if dry_run:
        with ResponseStore(RESPONSES / "responses.jsonl", writable=False) as store:
            nobody = OfflineChatModel()  # an estimate needs no key, and asks nobody
            calls = Generator(params, nobody, store, load_index(INDEX)).plan()
            planned = estimate(calls, params.candidates, params, store)
            results.print(str(planned), markup=False, soft_wrap=True)
        return
    model = chat_model(params)
    with ResponseStore(RESPONSES / "responses.jsonl") as store:
        generator = Generator(params, model, store, load_index(INDEX), concurrency(params))
        with progress("write requests", sum(cell.wanted for cell in generator.cells.values())) as advance:
            generated = generator.run(NEGATIVES, advance)
    write_bank(generated.bank, BANK / "bank.parquet")
    summary = generated.summary
    (BANK / "summary.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print(
        f"{summary['accepted']} of {summary['candidates']} candidates accepted; {summary['calls']} calls, of which "
        f"{generated.asked} were asked now and {generated.failed} failed"
    )
    if not summary["language_model_used"]:
        console.print("No language model was asked: what the provider wrote comes from a grammar.")
    if generated.stopped:
        console.print(f"[yellow]Stopped early:[/] {generated.stopped}. A larger generate.budget goes on from here.")
    for short in summary["shortfalls"]:
        console.print(f"[yellow]short[/] {short['cell']}: {short['accepted']} of {short['wanted']}")


if __name__ == "__main__":
    typer.run(main)
