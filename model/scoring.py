"""From cases to what is reported: metrics.json's figures, and tables for people and plots."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from model.groups import NAMES
from model.statistics import aggregate, bootstrap_interval
from prompts.targets import ABSENT

AS_IT_LIES = NAMES[0]


def _figures(cases: pd.DataFrame) -> dict[str, float]:
    """Macro figures of some cases, with the Dice's 95% interval over patients; a figure that is undefined is left
    out."""
    row = aggregate(cases, []).iloc[0]
    low, high = bootstrap_interval(cases["dice"], cases["patient"], cases["organ"])
    figures = {
        "dice": row["dice"],
        "dice_low": low,
        "dice_high": high,
        "nsd": row["nsd"],
        "hd95": row["hd95"],
        "hd95_missing": int(row["hd95_missing"]),
        "cases": int(row["cases"]),
    }
    return {k: v if isinstance(v, int) else round(float(v), 4) for k, v in figures.items() if not math.isnan(v)}


def score(cases: pd.DataFrame, abstained: float | None, variants: dict[str, float]) -> dict:
    """The figures of metrics.json.

    Args:
        cases: What `evaluation.evaluate` returned.
        abstained: The share of held-out texts that ask for no segmentation on which the model abstains; None if
            there are none.
        variants: Sort of held-out variant (`prompts.variants`) -> the share that is understood.
    """
    turned = cases["transform"] != AS_IT_LIES
    result: dict = {}
    for name, chosen in (("original", cases[~turned]), ("transformed", cases[turned])):
        if len(chosen):
            asked = chosen.groupby("kind", sort=True)
            result[name] = {kind: _figures(rows) for kind, rows in asked if kind != ABSENT}
            vain = chosen[chosen["kind"] == ABSENT]
            if len(vain):
                result[name][ABSENT] = {"empty": _share(vain["dice"] == 1), "cases": len(vain)}
            sure = chosen[chosen["pose_sure"]]
            poses = chosen.drop_duplicates(["slice_id", "transform"])
            sure_poses = poses[poses["pose_sure"]]
            result[name]["pose"] = {"accuracy": _share(poses["pose_right"]), "sure": _share(poses["pose_sure"])}
            if len(sure):
                result[name]["pose"]["accuracy_where_sure"] = _share(sure_poses["pose_right"])
                result[name]["anatomy_where_pose_sure"] = _figures(sure[sure["kind"] == "anatomy"])
    prompts = cases.drop_duplicates("prompt_id")
    result["intent"] = {
        "accuracy": _share(prompts["understood_right"]),
        "negated": _share(prompts["negated_right"]),
        "by_kind": prompts.groupby("kind")["understood_right"].mean().round(4).to_dict(),
    }
    if abstained is not None:
        result["intent"]["abstains"] = round(abstained, 4)
    result["intent"] |= {name: round(share, 4) for name, share in variants.items()}
    anatomy = cases[~turned & (cases["kind"] == "anatomy")]
    result["organ_dice"] = aggregate(anatomy, ["organ"]).set_index("organ")["dice"].round(4).to_dict()
    result["patients"] = int(cases["patient"].nunique())
    result["slices"] = int(cases["slice_id"].nunique())
    return result


def _share(values: pd.Series) -> float:
    return round(float(values.mean()), 4)


def tables(cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables for people and plots, by name: organs, kinds (each by transformation), intents (for a confusion
    matrix)."""
    shown = cases.assign(scan=np.where(cases["transform"] == AS_IT_LIES, "original", "transformed"))
    prompts = cases.drop_duplicates("prompt_id")
    return {
        "organs": aggregate(shown, ["scan", "kind", "organ"]).round(4),
        "kinds": aggregate(shown, ["scan", "kind", "style"]).round(4),
        "transforms": aggregate(cases, ["transform", "kind"]).round(4),
        "intents": prompts[["target", "understood"]]
        .rename(columns={"target": "actual", "understood": "predicted"})
        .sort_values(["actual", "predicted"]),
    }


def examples(cases: pd.DataFrame, count: int) -> pd.DataFrame:
    """The cases to look at: best, typical and worst, no slice twice within a group.

    Returns:
        Rows of `cases` with a column `group`, `count` of each group where there are enough.
    """
    shown = cases[cases["kind"] != ABSENT]
    large = shown[shown["area_mm2"] >= shown["area_mm2"].quantile(0.25)]
    ordered = cases.sort_values(["dice", "slice_id", "prompt_id"])
    middle = (large["dice"] - large["dice"].median()).abs()
    groups = {
        "best": large.sort_values(["dice", "slice_id", "prompt_id"], ascending=[False, True, True]),
        "typical": large.assign(off=middle).sort_values(["off", "slice_id", "prompt_id"]).drop(columns="off"),
        "worst": ordered,
    }
    chosen = []
    for name, rows in groups.items():
        # A spread over kinds and organs shows more than ten pictures of the liver.
        spread = rows.drop_duplicates(["kind", "organ"]).drop_duplicates("slice_id")
        chosen.append(spread.head(count).assign(group=name))
    return pd.concat(chosen, ignore_index=True)
