"""`flans bench checks`: how much of what is broken the checks catch, and how much of what is good they reject."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd
from rich.table import Table

from pipelines.stage import results
from prompts.checks.measured import GOOD, PARTS, judge_examples
from prompts.generator import GenerateParams, Generator
from prompts.kinds import kinds
from prompts.providers.chat import OFFLINE_MODEL, chat_model
from prompts.providers.response_store import ResponseStore

NEGATIVES = Path(__file__).parent.parent / "prompts/negatives.yaml"
PER_CELL = 12


def bench_checks() -> pd.DataFrame:
    """Judge all examples; the round trip learns from a small bank of the offline provider and from the negatives.

    Returns:
        What `prompts.checks.measured.judge_examples` returns.
    """
    params = GenerateParams(provider="offline", model=OFFLINE_MODEL, per_cell=dict.fromkeys(kinds(), PER_CELL))
    with tempfile.TemporaryDirectory() as folder, ResponseStore(Path(folder) / "responses.jsonl") as store:
        bank = Generator(params, chat_model(params), store, None).run(NEGATIVES).bank
    accepted = bank[bank["accepted"]]
    return judge_examples(accepted["text"].tolist(), accepted["cell"].str.rpartition("/")[0].tolist())


def shares(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Part -> the shares of the broken examples that are caught and of the good ones that are rejected."""
    parts = {"all": rows} | {part: rows[rows["part"] == part] for part in PARTS}
    return {
        part: {
            "caught": round(float(group.loc[group["type"] != GOOD, "check"].notna().mean()), 4),
            "rejected": round(float(group.loc[group["type"] == GOOD, "check"].notna().mean()), 4),
        }
        for part, group in parts.items()
    }


def show(rows: pd.DataFrame) -> None:
    """Print each type's share caught with the checks that did it, what they missed, and what they wrongly rejected."""
    broken, good = rows[rows["type"] != GOOD], rows[rows["type"] == GOOD]
    table = Table(title=f"{len(broken)} broken prompts, {len(good)} good ones", title_justify="left")
    for column in ("type", "prompts", "caught", "by"):
        table.add_column(column, justify="right" if column in ("prompts", "caught") else "left")
    for name, group in broken.groupby("type", sort=False):
        by = ", ".join(f"{check} {n}" for check, n in Counter(group["check"].dropna()).most_common(4))
        table.add_row(str(name), str(len(group)), f"{group['check'].notna().mean():.1%}", by)
    table.add_section()
    for part, share in shares(rows).items():
        of = rows if part == "all" else rows[rows["part"] == part]
        table.add_row(
            part, str((of["type"] != GOOD).sum()), f"{share['caught']:.1%}", f"good rejected {share['rejected']:.1%}"
        )
    results.print(table)
    for row in broken[broken["check"].isna()].to_dict("records"):
        results.print(f"missed, {row['type']}: {row['text']}  [{row['cell']}]", markup=False)
    for row in good[good["check"].notna()].to_dict("records"):
        results.print(
            f"wrongly rejected by {row['check']}: {row['text']}  [{row['cell']}] {row['reason']}", markup=False
        )
