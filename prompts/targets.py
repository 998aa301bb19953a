"""Which prompts a mask may get: the right answers in a slice, filtered by how clear they are; which organs it is asked
in vain."""

from __future__ import annotations

import hashlib
from dataclasses import field

import numpy as np
import pandas as pd

from corpus.anatomy import BY_ID, UNIONS, with_unions
from corpus.params import check_least, params_dataclass
from prompts.intent import SIZES, Intent
from prompts.kinds import kinds


@params_dataclass
class TargetParams:
    """Section `targets` of params.yaml."""

    position_margin_mm: float
    """A mask is called leftmost only if it leads the runner-up by this much: a one-pixel winner teaches noise."""
    size_ratio: float
    """A mask is called largest (smallest) only if its area is this many times the runner-up's (or the reverse)."""
    min_area_mm2: float
    """Smaller masks get no prompt."""
    absent: int
    """Organs that a slice doesn't show and is asked for all the same; the right answer is an empty mask."""
    relation_margin_mm: float = 5.0
    """A mask is said to be nearest on one side of another only if it takes this much to make another one so."""
    most: dict[str, int] = field(default_factory=dict)
    """Kind -> targets that a slice gets at most, drawn with a seed, where it could have dozens."""

    def __post_init__(self) -> None:
        check_least(self, position_margin_mm=0, relation_margin_mm=0, min_area_mm2=0, absent=0)
        if self.size_ratio <= 1:
            raise ValueError("size_ratio must be above 1: of two equal masks neither is the larger")
        if unknown := set(self.most) - set(kinds()):
            raise ValueError(f"most: no kind is called {', '.join(sorted(unknown))}; choose from {', '.join(kinds())}")
        for kind, most in self.most.items():
            if most < 0:
                raise ValueError(f"most.{kind} must be at least 0, but found {most}")


ABSENT = "absent"
"""The kind of a sample whose organ the slice doesn't show; its requests are those of kind "anatomy"."""
TARGET_COLUMNS = ["slice_id", "source", "patient", "organ", "kind", "target", "margin"]


def intent_of(kind: str, target: str) -> Intent:
    """What a sample's request asks for."""
    return kinds()["anatomy" if kind == ABSENT else kind].intents[target]


def least_margin(intent: Intent, params: TargetParams) -> float:
    """The margin from which an answer is clear."""
    if intent.relation:
        return params.relation_margin_mm
    if intent.attribute in SIZES:
        return params.size_ratio
    return params.position_margin_mm if intent.attribute else params.min_area_mm2


def eligible(facts: pd.DataFrame, answers: pd.DataFrame, params: TargetParams) -> pd.DataFrame:
    """Every (mask, kind, target) that a prompt may truthfully and clearly speak of.

    Args:
        facts: Rows of `prompts.facts.FACTS`.
        answers: Rows of `prompts.rules.ANSWERS`, of the same slices.

    Returns:
        Columns `TARGET_COLUMNS`, sorted. `organ` is the structure whose mask is right, which a target such as "above
        left kidney" doesn't name; `margin` is as in `prompts.rules.Answer`.
    """
    least = {
        (kind.name, target): least_margin(intent, params)
        for kind in kinds().values()
        for target, intent in kind.intents.items()
    }
    needed = [least[key] for key in zip(answers["kind"], answers["target"], strict=True)]
    clear = answers[answers["margin"] >= needed]
    large = facts.loc[facts["area_mm2"] >= params.min_area_mm2, ["slice_id", "source", "patient", "organ"]]
    targets = clear.merge(large, on=["slice_id", "organ"])[TARGET_COLUMNS]
    return targets.sort_values(["slice_id", "kind", "target"], ignore_index=True)


def thinned(targets: pd.DataFrame, params: TargetParams, seed: int) -> pd.DataFrame:
    """No more than `params.most` targets of a kind a slice, drawn with a seed."""
    keys = [
        hashlib.sha256(f"{seed}:{row.slice_id}:{row.kind}:{row.target}".encode()).hexdigest()
        for row in targets.itertuples()
    ]
    place = targets.assign(key=keys).groupby(["slice_id", "kind"])["key"].rank(method="first")
    return targets[place <= targets["kind"].map(params.most).fillna(np.inf)].reset_index(drop=True)


def absent(slices: pd.DataFrame, params: TargetParams, seed: int) -> pd.DataFrame:
    """Organs that each slice's source labels and of which the slice shows not even a speck, `params.absent` of them,
    drawn with a seed.

    Args:
        slices: Rows of `corpus.scans.store.SLICES`.

    Returns:
        Columns `TARGET_COLUMNS`, of kind `ABSENT`.
    """
    rows = []
    for row in slices.to_dict("records"):
        shown = {*row["present"], *row["specks_only"]}
        missing = [o for o in sorted(with_unions(set(row["labelled"]))) if not shown & {o, *UNIONS.get(o, ())}]
        digest = hashlib.sha256(f"{seed}:{row['slice_id']}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8])))
        rows += [
            {k: row[k] for k in ("slice_id", "source", "patient")}
            | dict.fromkeys(("organ", "target"), BY_ID[organ].name)
            for organ in sorted(rng.permutation(missing)[: params.absent].tolist())
        ]
    targets = pd.DataFrame(rows, columns=["slice_id", "source", "patient", "organ", "target"])
    return targets.assign(kind=ABSENT, margin=0.0)[TARGET_COLUMNS]
