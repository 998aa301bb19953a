"""The review sheet: a sample of prompts out to people, and their decisions back in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from textwrap import shorten
from typing import Any

import pandas as pd

from corpus.params import check_least, params_dataclass
from prompts.checks import Context, Verdict, run_checks
from prompts.checks.reading import pattern
from prompts.duplicates import normalised
from prompts.kinds import Cell, kinds
from prompts.quality import cohens_kappa, draw_key
from prompts.review.decision_files import PRIORITY, TO_FILL, Decision, another_text, unknown

UNREQUESTED = ("length", "duplicate", "near_duplicate")
"""The checks of a text that asks for no segmentation: the others look for what it must not have, a request."""
SHEET = (
    *(
        "prompt_id",
        "text",
        "kind",
        "target",
        "organ",
        "attribute",
        "frame",
        "style",
        "provider",
        "model",
        "passages",
        "checks_passed",
    ),
    *("flag", "slice_id", "mask_organ", "picture", *TO_FILL),
)
REJECTED = ("prompt_id", "text", "kind", "target", "style", "provider", "model", "failed_check", "reason")
"""The columns of rejected.csv."""


@params_dataclass
class ReviewParams:
    """Section `review` of params.yaml."""

    seed: int
    per_stratum: int
    """Prompts shown of each kind x target x style."""
    flagged: int
    """At most this many flagged prompts are shown besides."""
    picture_px: int
    """The longer side of a picture."""

    def __post_init__(self) -> None:
        check_least(self, seed=0, per_stratum=0, flagged=0, picture_px=32)


@dataclass(frozen=True)
class Settled:
    """What the decisions came to.

    `accepted`: the bank's rows that are used, with `original_text` where an edit replaced it. `decisions`: every row
    read, with its outcome. `conflicts`: each pair of reviewers who differ on a prompt. `agreement`: each pair who
    share prompts.
    """

    accepted: pd.DataFrame
    decisions: pd.DataFrame
    conflicts: pd.DataFrame
    agreement: pd.DataFrame

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa over all pairs of reviewers, weighted by the prompts they share; None where none is defined."""
        known = self.agreement.dropna(subset="kappa")
        shared = int(known["prompts"].sum())
        return round(float((known["kappa"] * known["prompts"]).sum()) / shared, 4) if shared else None


def settle(bank: pd.DataFrame, decisions: Sequence[Decision], passages: Mapping[str, str]) -> Settled:
    """Apply people's decisions to the bank.

    A reviewer's later row replaces the earlier one. Where reviewers differ, reject wins over edit and edit over
    accept, and of two edits the later that passes. An edit that fails a check, or says what another prompt says
    already, is refused and the text stays. A candidate that the checks rejected comes in by an edit alone.

    Args:
        passages: Passage id -> text; an edit may not copy the passages that its prompt was written from.
    """
    records = bank.assign(original_text=None).to_dict("records")
    rows: dict[str, dict[str, Any]] = {row["prompt_id"]: {str(k): v for k, v in row.items()} for row in records}
    ended = list(decisions)
    votes = _votes(ended, rows)
    winners = {p: max(mine, key=lambda i: (PRIORITY.index(ended[i].decision), i)) for p, mine in sorted(votes.items())}

    rejected = {p for p, i in winners.items() if ended[i].decision == "reject"}
    in_use = [row for prompt_id, row in rows.items() if row["accepted"] and prompt_id not in rejected]
    texts = TextsInUse(in_use, passages)

    def decide(prompt_id: str) -> None:
        winner = ended[winners[prompt_id]]
        row, holds, by = rows[prompt_id], winner.decision, winner.reviewer
        tried: dict[str, tuple[str, str]] = {}
        for i in sorted(votes[prompt_id], reverse=True):
            mine = ended[i]
            if mine.decision != holds:
                result = "overruled", f"{by}: {holds}"
            elif holds == "edit":
                if mine.edited_text not in tried:
                    done = any(outcome == "applied" for outcome, _ in tried.values())
                    overruled = "overruled", f"{by}: another edit"
                    tried[mine.edited_text] = overruled if done else _edit(row, mine.edited_text, texts)
                result = tried[mine.edited_text]
            elif holds == "accept" and not row["accepted"]:
                result = "unused", f"the check {row['failed_check']} rejected it; an edit that passes brings it in"
            else:
                result = "applied", ""
            ended[i] = mine.ended(*result)

    # An edit may say what another prompt says no longer, once that one's edit is in.
    waiting, before = list(winners), len(winners) + 1
    while len(waiting) < before:
        for prompt_id in waiting:
            decide(prompt_id)
        before = len(waiting)
        waiting = [p for p in waiting if {ended[i].outcome for i in votes[p]} & {"applied", "refused"} == {"refused"}]

    current = {p: [ended[i] for i in sorted(mine)] for p, mine in sorted(votes.items())}
    kept = [row for prompt_id, row in rows.items() if row["accepted"] and prompt_id not in rejected]
    columns = bank.dtypes.to_dict() | {"original_text": bank["text"].dtype}
    return Settled(
        accepted=pd.DataFrame(kept, columns=list(columns)).astype(columns),
        decisions=pd.DataFrame([asdict(d) for d in ended], columns=list(Decision.__dataclass_fields__)),
        conflicts=_conflicts(current, {p: ended[i].decision for p, i in winners.items()}, rows),
        agreement=_agreement(current.values()),
    )


def _votes(ended: list[Decision], rows: Mapping[str, Mapping[str, Any]]) -> dict[str, list[int]]:
    """Prompt -> indices of its usable decisions, one a reviewer; the others get their outcome in place."""
    last: dict[tuple[str, str], int] = {}
    for i, decision in enumerate(ended):
        if decision.outcome:
            continue
        row = rows.get(decision.prompt_id)
        if reason := another_text(decision, row["text"]) if row else unknown(decision.prompt_id):
            ended[i] = decision.ended("unused", reason)
            continue
        key = decision.prompt_id, decision.reviewer
        if key in last:
            by = f"by the same reviewer in {decision.file}, row {decision.row}"
            ended[last[key]] = ended[last[key]].ended("replaced", by)
        last[key] = i
    votes: dict[str, list[int]] = defaultdict(list)
    for (prompt_id, _), i in last.items():
        votes[prompt_id].append(i)
    return votes


class TextsInUse:
    """The texts in use: what an edit may not repeat; and with them, whether an edit passes."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], passages: Mapping[str, str]) -> None:
        """Take the bank's rows that are in use, and passage id -> text: an edit may not copy those of its prompt."""
        self._passages = passages
        self._exact: Counter[str] = Counter()
        self._by_target: dict[str, Counter[str]] = defaultdict(Counter)
        for row in rows:
            self.add(row, row["text"])

    def add(self, row: Mapping[str, Any], text: str, n: int = 1) -> None:
        """The row's prompt reads `text` from now on; n = -1 takes that back."""
        self._exact[normalised(text)] += n
        self._by_target[row["cell"].rpartition("/")[0]][text] += n

    def verdicts(self, row: Mapping[str, Any], text: str) -> list[Verdict]:
        """What the checks say of a text for this row, up to the first that fails. The row's own text isn't in use."""
        cell = Cell(*row["cell"].split("/"))
        context = Context(tuple(self._passages[i] for i in row["passage_ids"] if i in self._passages))
        for other in +self._by_target[f"{cell.kind}/{cell.target}"]:
            context.duplicates.add(other, cell.target)
        found = run_checks(text, cell, context, None if cell.kind in kinds() else UNREQUESTED)
        if cell.kind not in kinds() and found[-1].passed and (asked := _asked_anew(text, row["text"])):
            found.append(Verdict("request", f"the prompt is to ask for nothing, but this asks: {asked!r}"))
        if all(verdict.passed for verdict in found) and self._exact[normalised(text)] > 0:
            found.append(Verdict("duplicate", "a prompt for another target says the same"))
        return found


def _asked_anew(text: str, before: str) -> str | None:
    """Words by which a text asks for an outline, where the text before it didn't in that way: "Cancel the contour" has
    such words and asks for nothing."""
    for name in ("asks", "may_ask"):
        if (match := pattern(name).search(text.lower())) and not pattern(name).search(before.lower()):
            return match.group().strip()
    return None


def _edit(row: dict[str, Any], text: str, texts: TextsInUse) -> tuple[str, str]:
    """Put an edited text into its row if it passes every check; returns the edit's outcome and reason."""
    was_accepted = bool(row["accepted"])
    if was_accepted:
        texts.add(row, row["text"], -1)
    verdicts = texts.verdicts(row, text)
    failed = next((f"{v.check}: {v.reason}" for v in verdicts if not v.passed), None)
    if failed is None:
        row |= {"original_text": row["text"], "text": text, "checks": [v.check for v in verdicts]}
        row |= {"accepted": True, "failed_check": None, "reason": None}
    if row["accepted"]:
        texts.add(row, row["text"])
    if failed is None:
        return "applied", ""
    return "refused", f"{failed}; {'the original text stays' if was_accepted else 'the candidate stays rejected'}"


def _conflicts(
    current: Mapping[str, list[Decision]], winning: Mapping[str, str], rows: Mapping[str, dict]
) -> pd.DataFrame:
    sides = ("reviewer", "decision", "edited_text", "comment")
    table = [
        {"prompt_id": prompt_id, "text": rows[prompt_id]["original_text"] or rows[prompt_id]["text"]}
        | {f"{side}_{letter}": getattr(d, side) for letter, d in (("a", a), ("b", b)) for side in sides}
        | {"holds": winning[prompt_id]}
        for prompt_id, mine in current.items()
        for a, b in combinations(mine, 2)
        if a.decision != b.decision or (a.decision == "edit" and a.edited_text != b.edited_text)
    ]
    columns = ["prompt_id", "text", *(f"{side}_{letter}" for letter in "ab" for side in sides), "holds"]
    return pd.DataFrame(table, columns=columns)


def _agreement(current: Iterable[list[Decision]]) -> pd.DataFrame:
    shared: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for mine in current:
        for a, b in combinations(sorted(mine, key=lambda d: d.reviewer), 2):
            shared[a.reviewer, b.reviewer].append((a.decision, b.decision))
    table = [
        {
            "reviewer_a": a,
            "reviewer_b": b,
            "prompts": len(pairs),
            "agreement": round(sum(x == y for x, y in pairs) / len(pairs), 4),
            "kappa": cohens_kappa(pairs),
        }
        for (a, b), pairs in sorted(shared.items())
    ]
    return pd.DataFrame(table, columns=["reviewer_a", "reviewer_b", "prompts", "agreement", "kappa"])


def sample(bank: pd.DataFrame, params: ReviewParams, flagged: Mapping[str, str]) -> pd.DataFrame:
    """The bank's rows for the sheet, with their `target` and `flag`: so many of each stratum, and what is flagged.

    Decisions change nothing in it, so that a second reviewer meets the same prompts; another seed draws others.
    """
    named = bank.assign(flag=[flagged.get(p, "") for p in bank["prompt_id"]])
    shuffled = named[named["accepted"]].sort_values(
        "prompt_id", key=lambda ids: ids.map(lambda prompt_id: draw_key(params.seed, prompt_id))
    )
    drawn = shuffled.groupby(["kind", "target", "style"]).head(params.per_stratum)["prompt_id"]
    chosen = named[named["prompt_id"].isin({*drawn, *flagged})]
    return chosen.sort_values(
        ["accepted", "kind", "target", "style", "prompt_id"],
        ascending=[False, True, True, True, True],
        ignore_index=True,
    )


def sheet(chosen: pd.DataFrame, pictures: pd.DataFrame, passages: Mapping[str, str]) -> pd.DataFrame:
    """The sheet that people fill, with the columns `SHEET`.

    Args:
        chosen: What `sample` returned.
        pictures: What `prompts.pictures.representatives` returned.
        passages: Passage id -> text.
    """
    shown = pictures[["kind", "target", "slice_id", "organ", "picture"]].rename(columns={"organ": "mask_organ"})
    table = chosen.merge(shown, on=["kind", "target"], how="left", validate="many_to_one")
    table["picture"] = "pictures/" + table["picture"]
    table["passages"] = [" | ".join(shorten(passages.get(i, i), 80) for i in ids) for ids in table["passage_ids"]]
    why = [f" ({reason})" if isinstance(reason, str) else "" for reason in table["reason"]]
    table["flag"] = table["flag"] + pd.Series(why, index=table.index, dtype=str)
    table["checks_passed"] = ["; ".join(names) for names in table["checks"]]
    return table.assign(**dict.fromkeys(TO_FILL, ""))[list(SHEET)]
