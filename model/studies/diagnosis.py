"""When a run is poor: which part is at fault, by figures that tell the parts apart.

A part is judged by what it did with what the parts before it gave: masks where pose and request were right, answers to
requests whose words the text encoder knows. So one fault isn't blamed on the parts behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from corpus.params import params_dataclass, read_yaml, validated
from model.inference import Segmenter
from model.organ_head import OrganHead
from model.testing.scoring import AS_IT_LIES
from model.testing.statistics import aggregate
from model.texts import name_embeddings
from prompts.targets import ABSENT

Verdict = Literal["at fault", "sound", "can't be judged"]
THRESHOLDS = Path(__file__).with_suffix(".yaml")
EXAMPLES = 6


@params_dataclass
class Thresholds:
    """diagnosis.yaml, which says what each figure means."""

    pose_accuracy: float
    turned_loss: float
    names_known: float
    confused: float
    agreement: float
    understood: float
    dice: float
    organ_dice: float
    fewest: int


@dataclass(frozen=True)
class Finding:
    """What is said of one part: the verdict, the figures that it rests on, in words, and its worst cases (rows of the
    run's cases; for the two language parts one row a request)."""

    part: str
    verdict: Verdict
    evidence: list[str]
    worst: pd.DataFrame


def load_thresholds() -> Thresholds:
    """The thresholds of diagnosis.yaml."""
    return validated(read_yaml(THRESHOLDS), Thresholds, THRESHOLDS)


def diagnose(cases: pd.DataFrame, names: float, limits: Thresholds) -> list[Finding]:
    """Judge every part of the model by a run's cases.

    Args:
        cases: What `evaluation.evaluate` returned.
        names: What `names_known` returned for the run's model.

    Returns:
        A finding for canonicalizer, text encoder, intent head and image encoder.
    """
    requests = read_requests(cases)
    return [_canonicalizer(cases, limits), *_language(requests, names, limits), _image_encoder(cases, limits)]


@torch.inference_mode()
def names_known(segmenter: Segmenter) -> float:
    """The share of the organs whose name the text encoder still reads as it did when the model was made.

    The organ head's queries start as the names' embeddings and move little in training, so that they remember them: a
    name is known if the query nearest to its embedding is its own. A damaged query is told from a damaged encoder by
    requests that are understood all the same.
    """
    head, params = segmenter.model.organ_head, segmenter.model.params
    start = OrganHead(name_embeddings(segmenter.encoder), params.dim, params.fine_dim).names
    read, learned = (F.normalize(x - x.mean(0), dim=-1) for x in (start, head.names.cpu()))
    nearest = (read @ learned.T).argmax(1)
    return float((nearest == torch.arange(len(nearest))).float().mean())


def read_requests(cases: pd.DataFrame) -> pd.DataFrame:
    """One row a request: text, wanted and understood (`Intent.target`, or "none"), confidence, right."""
    requests = cases.drop_duplicates("prompt_id").sort_values("prompt_id")
    named = requests.rename(columns={"target": "wanted", "understood_right": "right"})
    return named[["prompt_id", "text", "wanted", "understood", "confidence", "right"]]


def _canonicalizer(cases: pd.DataFrame, limits: Thresholds) -> Finding:
    evidence, faults = [], []
    poses = cases.drop_duplicates(["slice_id", "transform"])
    lies = poses["transform"] == AS_IT_LIES
    for name, chosen in (("as they lie", poses[lies]), ("turned or mirrored", poses[~lies])):
        if len(chosen):
            share = chosen["pose_right"].mean()
            faults.append(share < limits.pose_accuracy)
            evidence.append(
                f"pose found on {share:.1%} of {len(chosen)} slices {name} (sound: {limits.pose_accuracy:.0%} or more)"
            )
    named = cases[cases["kind"] == "anatomy"]
    lies = named["transform"] == AS_IT_LIES
    if lies.any() and not lies.all():
        upright, turned = _dice(named[lies]), _dice(named[~lies])
        faults.append(upright - turned > limits.turned_loss)
        evidence.append(
            f"macro Dice {upright:.3f} as they lie, {turned:.3f} turned (sound: at most {limits.turned_loss:g} lower)"
        )
    right = named["pose_right"].astype(bool)
    if right.any() and not right.all():
        evidence.append(
            f"macro Dice {_dice(named[right]):.3f} where the pose was right, {_dice(named[~right]):.3f} else"
        )
    if len(poses) < limits.fewest:
        return Finding("canonicalizer", "can't be judged", [f"only {len(poses)} slices"], _lowest(named[~right]))
    return Finding("canonicalizer", "at fault" if any(faults) else "sound", evidence, _lowest(named[~right]))


def _language(requests: pd.DataFrame, names: float, limits: Thresholds) -> tuple[Finding, Finding]:
    counts = pd.crosstab(requests["wanted"], requests["understood"])
    together, agree = confused(counts), agreement(counts)
    wrong = requests[~requests["right"]].sort_values(["confidence", "prompt_id"], ascending=[False, True])
    # Words that mean something else confuse requests all alike; a head that wavers answers like requests unlike.
    share = sum(count for _, _, count in together) / len(requests)
    right = requests["right"].mean()
    encoder_faults = [
        names < limits.names_known and right < limits.understood,
        share > limits.confused and agree >= limits.agreement,
    ]
    evidence = [
        f"{names:.0%} of the organ names read as in training "
        f"(sound: {limits.names_known:.0%} or more, or requests understood)",
        f"{share:.1%} of {len(requests)} requests taken for another target, all alike "
        f"(sound: up to {limits.confused:.0%})",
        *(f"{wanted} is taken for {other}: {n} requests" for wanted, other, n in together[:EXAMPLES]),
    ]
    pairs = {(wanted, other) for wanted, other, _ in together}
    alike = wrong[[pair in pairs for pair in zip(wrong["wanted"], wrong["understood"], strict=True)]]
    head_evidence = [
        f"{right:.1%} of requests understood (sound: {limits.understood:.0%} or more)",
        f"two requests for the same thing get one answer in {agree:.1%} (sound: {limits.agreement:.0%} or more)",
    ]
    if len(requests) < limits.fewest:
        few = [f"only {len(requests)} requests"]
        return tuple(Finding(part, "can't be judged", few, wrong) for part in ("text encoder", "intent head"))  # type: ignore[return-value]
    encoder = Finding("text encoder", "at fault" if any(encoder_faults) else "sound", evidence, _spread(alike))
    if any(encoder_faults):
        head_evidence.append("what it is given to read is wrong already")
        return encoder, Finding("intent head", "can't be judged", head_evidence, _spread(wrong))
    poor = agree < limits.agreement or right < limits.understood
    return encoder, Finding("intent head", "at fault" if poor else "sound", head_evidence, unlike(requests))


def _image_encoder(cases: pd.DataFrame, limits: Thresholds) -> Finding:
    given = cases[
        (cases["kind"] == "anatomy") & cases["pose_right"].astype(bool) & cases["understood_right"].astype(bool)
    ]
    if len(given) < limits.fewest:
        text = f"pose and request were right in only {len(given)} cases by name"
        return Finding("image encoder", "can't be judged", [text], _lowest(given))
    dice = _dice(given)
    evidence = [
        f"macro Dice {dice:.3f} in {len(given)} cases whose pose and request were right "
        f"(sound: {limits.dice:g} or more)"
    ]
    organs = aggregate(given, ["organ"])
    poor = (organs["cases"] >= limits.fewest) & (organs["dice"] < limits.organ_dice)
    lowest = organs.assign(poor=poor).sort_values(["poor", "dice"], ascending=[False, True]).head(EXAMPLES)
    evidence.append(
        "lowest: "
        + ", ".join(f"{row.organ} {row.dice:.2f} in {row.cases} cases" for row in lowest.itertuples())
        + f" (sound: {limits.organ_dice:g} or more, of {limits.fewest} cases or more)"
    )
    faulty = dice < limits.dice or poor.any()
    return Finding("image encoder", "at fault" if faulty else "sound", evidence, _lowest(given))


def _dice(cases: pd.DataFrame) -> float:
    return float(aggregate(cases, [])["dice"].iloc[0])


def confused(counts: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Targets that are taken, all alike, for one other: (wanted, understood, requests), the most frequent first.

    A confusion counts where most of those who got the answer wanted that very target, one more of it aside: the
    requests are told apart still, and only named wrongly.

    Args:
        counts: Requests by wanted (rows) and understood (columns).
    """
    found = []
    table = counts.to_numpy()
    for j, understood in enumerate(counts.columns):
        for i, wanted in enumerate(counts.index):
            others = np.delete(table[:, j], i).max(initial=0)
            most = 2 * table[i, j] > table[i].sum()
            if wanted != understood and most and table[i, j] - 1 > others:
                found.append((str(wanted), str(understood), int(table[i, j])))
    return sorted(found, key=lambda each: (-each[2], each[0]))


def agreement(counts: pd.DataFrame) -> float:
    """How often two requests for the same thing get one answer, over all pairs; 1 where there are none.

    Args:
        counts: Requests by wanted (rows) and understood (columns).
    """
    table = counts.to_numpy()
    pairs = (table.sum(1) * (table.sum(1) - 1)).sum()
    return float((table * (table - 1)).sum() / pairs) if pairs else 1.0


def unlike(requests: pd.DataFrame) -> pd.DataFrame:
    """Misunderstood requests, each beside a request for the same thing that was read otherwise: column `like` and
    `like_understood`; the most confident mistakes first, targets in turn."""
    wrong = _spread(requests[~requests["right"]].sort_values(["confidence", "prompt_id"], ascending=[False, True]))
    beside: list[tuple[str | None, str | None]] = []
    for row in wrong.to_dict("records"):
        same = requests[(requests["wanted"] == row["wanted"]) & (requests["understood"] != row["understood"])]
        best = same.sort_values("right", ascending=False, kind="stable").to_dict("records")
        beside.append((best[0]["text"], best[0]["understood"]) if best else (None, None))
    return wrong.join(pd.DataFrame(beside, index=wrong.index, columns=["like", "like_understood"]))


def _spread(requests: pd.DataFrame) -> pd.DataFrame:
    """A few requests, one of each target before a second of any."""
    turn = requests.groupby("wanted").cumcount().sort_values(kind="stable")
    return requests.loc[turn.index[:EXAMPLES]]


def _lowest(cases: pd.DataFrame) -> pd.DataFrame:
    """The worst cases, small masks left out, one a slice and one an organ."""
    large = cases[(cases["kind"] != ABSENT) & (cases["area_mm2"] >= cases["area_mm2"].quantile(0.25))]
    ordered = large.sort_values(["dice", "slice_id", "transform", "prompt_id"])
    return ordered.drop_duplicates("slice_id").drop_duplicates("organ").head(EXAMPLES)
