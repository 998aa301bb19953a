"""`flans bench generate`: how fast a provider fills a bank, checks included."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipelines.stage import results
from prompts.bank import UNASKED
from prompts.generator import GenerateParams, Generator
from prompts.providers.chat import chat_model, concurrency
from prompts.providers.response_store import ResponseStore


@dataclass(frozen=True)
class Throughput:
    """Requests by provider alone: those that the project brings along are left out."""

    candidates: int
    accepted: int
    seconds: float
    cpu_seconds: float
    """Of all threads of this process."""


def bench_generate(params: GenerateParams) -> Throughput:
    """Fill a bank from nothing, without passages, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        (negatives := Path(folder) / "negatives.yaml").write_text("[]")
        with ResponseStore(Path(folder) / "responses.jsonl") as store:
            generator = Generator(params, chat_model(params), store, None, concurrency(params))
            wall, cpu = time.perf_counter(), time.process_time()
            bank = generator.run(negatives).bank
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    made = bank[~bank["provider"].isin(UNASKED)]
    return Throughput(len(made), int(made["accepted"].sum()), wall, cpu)


def show(provider: str, speed: Throughput) -> None:
    """Print what was accepted, and how fast."""
    results.print(
        f"{provider}: {speed.accepted} of {speed.candidates} candidates accepted "
        f"({speed.accepted / speed.candidates:.1%}); {speed.accepted / speed.seconds:.1f} accepted a second, "
        f"{speed.accepted / speed.cpu_seconds:.1f} a second of one core"
    )
