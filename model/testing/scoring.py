"""From cases to what is reported: metrics.json's figures, and tables for people and plots.

Figures are the project's macro means (`statistics.aggregate`). What is defined for empty masks, and what isn't, is said
in `metrics`: an organ that isn't there and is left out scores 1; where only one mask is empty Dice and NSD are 0, and
HD95 is left out of its mean and counted in `hd95_missing`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd

from model.groups import NAMES
from model.testing.metrics import METRICS
from model.testing.statistics import aggregate, bootstrap_interval
from model.testing.views import ROTATED
from prompts.splits import OUT
from prompts.targets import ABSENT
from prompts.wording.cues import CUES, cues

AS_IT_LIES = NAMES[0]
SIZES_MM2 = (0, 200, 500, 1000, 2500, 5000, math.inf)
"""Limits of the size bins."""
DEGREES = (0, 10, 20, 30, 45)
"""Limits of the angles' bins."""
BINS = 10
"""Of confidence, equally wide."""
ABDOMEN = frozenset({"liver", "spleen", "left kidney", "right kidney", "pancreas", "stomach"})
"""A slice that shows one of these shows the abdomen, and not the pelvis or the thighs alone."""


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
        "nsd_1mm": row["nsd_1mm"],
        "hd95": row["hd95"],
        "hd95_missing": int(row["hd95_missing"]),
        "cases": int(row["cases"]),
    }
    return {k: v if isinstance(v, int) else round(float(v), 4) for k, v in figures.items() if not math.isnan(v)}


def score(cases: pd.DataFrame, abstained: float | None, variants: dict[str, float]) -> dict:
    """The figures of metrics.json that rest on cases.

    Args:
        cases: What `evaluation.evaluate` returned.
        abstained: The share of held-out texts that ask for no segmentation on which the model abstains; None if
            there are none.
        variants: Sort of held-out variant (`prompts.variants`) -> the share that is understood.

    Returns:
        `original`, `transformed` (by D4) and `rotated` (by an angle), each by kind; `intent`; `organ_dice`; how many
        patients and slices. Cases of sources that training never saw stand apart, in `out_of_domain`.
    """
    foreign = cases["domain"] == OUT
    apart, cases = cases[foreign], cases[~foreign]
    scan = _scan(cases)
    result: dict = {
        name: _scored(rows) for name in ("original", "transformed", ROTATED) if len(rows := cases[scan == name])
    }
    prompts = cases.drop_duplicates("prompt_id")
    result["intent"] = {
        "accuracy": _share(prompts["understood_right"]),
        "negated": _share(prompts["negated_right"]),
        "by_kind": cases.drop_duplicates(["kind", "prompt_id"])
        .groupby("kind")["understood_right"]
        .mean()
        .round(4)
        .to_dict(),
    }
    if abstained is not None:
        result["intent"]["abstains"] = round(abstained, 4)
    result["intent"] |= {name: round(share, 4) for name, share in variants.items()}
    anatomy = cases[(scan == "original") & (cases["kind"] == "anatomy")]
    result["organ_dice"] = aggregate(anatomy, ["organ"]).set_index("organ")["dice"].round(4).to_dict()
    result["patients"] = int(cases["patient"].nunique())
    result["slices"] = int(cases["slice_id"].nunique())
    if len(apart):
        result["out_of_domain"] = {str(name): _scored(rows) for name, rows in apart.groupby(_scan(apart), sort=True)}
        result["out_of_domain"]["patients"] = int(apart["patient"].nunique())
    return result


def _scan(cases: pd.DataFrame) -> pd.Series:
    """How each case's slice was shown: original, transformed (an element of D4) or rotated."""
    known = {AS_IT_LIES: "original", ROTATED: ROTATED}
    return cases["transform"].map(known).fillna("transformed").rename("scan")


def _scored(cases: pd.DataFrame) -> dict:
    """The figures of one way to show slices: by kind (beside the same masks by name), absent organs, pose; and of
    requests by name once more those whose pose was sure, those that were understood, those in words that the
    vocabulary knows, and those in others. Poses are those of
    slices alone (and of those that show the `ABDOMEN`), but for `used`: the share of the slices whose pose was right as
    it was used."""
    asked = cases.groupby("kind", sort=True)
    result: dict = {str(kind): _figures(rows) for kind, rows in asked if kind != ABSENT}
    for kind, figures in _beside_names(cases).iterrows():
        result[str(kind)] |= figures.round(4).to_dict()
    vain = cases[cases["kind"] == ABSENT]
    if len(vain):
        result[ABSENT] = {"empty": _share(vain["dice"] == 1), "cases": len(vain)}
    poses = cases.drop_duplicates(["slice_id", "transform"])
    alone, anatomy = poses[poses["alone_sure"]], cases[cases["kind"] == "anatomy"]
    named = _named(anatomy)
    result["pose"] = {"accuracy": _share(poses["alone_right"]), "sure": _share(poses["alone_sure"])}
    if len(alone):
        result["pose"]["accuracy_where_sure"] = _share(alone["alone_right"])
    abdomen = poses[poses["slice_id"].isin(anatomy.loc[anatomy["organ"].isin(ABDOMEN), "slice_id"])]
    if len(abdomen):
        result["pose"] |= {"accuracy_abdomen": _share(abdomen["alone_right"]), "abdomen": len(abdomen)}
    result["pose"]["used"] = _share(poses["pose_right"])
    for where, chosen in (
        ("pose_sure", anatomy["pose_sure"]),
        ("understood", anatomy["understood_right"]),
        ("named", named),
        ("described", ~named),
    ):
        if chosen.any():
            result[f"anatomy_where_{where}"] = _figures(anatomy[chosen.astype(bool)])
    return result


def _beside_names(cases: pd.DataFrame) -> pd.DataFrame:
    """For every other kind than by name, the mean Dice over cases, `case_dice`, and that of the same masks asked for by
    name, `case_dice_by_name`. Macro means of two kinds are of different organs, some of them the answer in few cases.
    """
    mask = ["slice_id", "transform", "organ"]
    named = cases[cases["kind"] == "anatomy"].groupby(mask)["dice"].mean().rename("case_dice_by_name")
    others = cases[~cases["kind"].isin(("anatomy", ABSENT))].rename(columns={"dice": "case_dice"})
    both = others.join(named, on=mask, how="inner")
    return both.groupby("kind", sort=True)[["case_dice", "case_dice_by_name"]].mean()


def _named(cases: pd.DataFrame) -> pd.Series:
    """Whether each case's text holds a name or a description of its structure that the vocabulary knows."""
    known = {text: {CUES[cue.number - 1] for cue in cues(text)} for text in cases["text"].unique()}
    return pd.Series(
        [organ in known[text] for text, organ in zip(cases["text"], cases["organ"], strict=True)], cases.index, bool
    )


def score_volumes(volumes: pd.DataFrame) -> dict:
    """The figures of whole volumes, by name; and of the organs that no slice of a volume shows, the share that was left
    out in all of it.

    Args:
        volumes: What `evaluation.evaluate` returned.
    """
    present = volumes["kind"] != ABSENT
    result: dict = {"anatomy": _figures(volumes[present])} if present.any() else {}
    if not present.all():
        result[ABSENT] = {"empty": _share(volumes.loc[~present, "dice"] == 1), "cases": int((~present).sum())}
    return result | {"volumes": len(volumes[["source", "volume"]].drop_duplicates())}


def calibration(confidence: np.ndarray, right: np.ndarray) -> tuple[float, pd.DataFrame]:
    """Whether requests are understood as often as the model thinks.

    Args:
        confidence: `[N]`, 0 to 1.
        right: bool `[N]`.

    Returns:
        The expected calibration error (Naeini et al. 2015): the mean distance between confidence and accuracy over
        bins, by their sizes. And a row a bin that has requests: its limits, mean confidence, accuracy, requests.
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    table = pd.DataFrame({"bin": place, "confidence": confidence, "accuracy": right.astype(float), "prompts": 1})
    table = table.groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "prompts": "sum"}).reset_index()
    error = float(((table["confidence"] - table["accuracy"]).abs() * table["prompts"]).sum() / table["prompts"].sum())
    table.insert(0, "low", table["bin"] / BINS)
    table.insert(1, "high", (table.pop("bin") + 1) / BINS)
    return round(error, 4), table.round(4)


def _share(values: pd.Series) -> float:
    return round(float(values.mean()), 4)


def tables(cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables for people and plots, by name; of sources that training never saw only `sources` speaks, where there are
    others.

    organs, kinds, transforms (D4 alone), angles (of rotation), sources (with intervals), sizes (of the true mask),
    regions (where in the picture as it lies its centroid is); intents and poses, a row a prompt and a picture, for
    confusion matrices.
    """
    everything = cases.assign(scan=_scan(cases))
    known = everything[everything["domain"] != OUT]
    shown = known if len(known) else everything
    prompts = shown.drop_duplicates("prompt_id")
    turned, named = shown[shown["scan"] != ROTATED], shown[shown["kind"] != ABSENT]
    lies, tilted = named[named["scan"] == "original"], named[named["scan"] == ROTATED]
    return {
        "organs": aggregate(shown, ["scan", "kind", "organ"]).round(4),
        "kinds": aggregate(shown, ["scan", "kind", "style"]).round(4),
        "transforms": aggregate(turned, ["transform", "kind"]).round(4),
        "angles": aggregate(
            tilted.assign(degrees=_binned(tilted["degrees"].abs(), DEGREES)), ["degrees", "kind"]
        ).round(4),
        "sources": _by_source(everything[everything["kind"] != ABSENT]),
        "sizes": aggregate(lies.assign(area_mm2=_binned(lies["area_mm2"], SIZES_MM2)), ["area_mm2", "kind"]).round(4),
        "regions": aggregate(lies, ["region", "kind"]).round(4),
        "intents": prompts[["target", "understood"]]
        .rename(columns={"target": "actual", "understood": "predicted"})
        .sort_values(["actual", "predicted"]),
        "poses": turned.drop_duplicates(["slice_id", "transform"])[["transform", "pose_found"]]
        .rename(columns={"transform": "actual", "pose_found": "predicted"})
        .sort_values(["actual", "predicted"]),
    }


def _binned(values: pd.Series, limits: tuple[float, ...]) -> pd.Series:
    """Each value's bin, by name ("200 - 500"), in the bins' order."""
    names = [f"{low:g}" + (" or more" if math.isinf(high) else f" - {high:g}") for low, high in pairwise(limits)]
    return pd.cut(values, list(limits), labels=names, right=False)


def _by_source(cases: pd.DataFrame) -> pd.DataFrame:
    keys = ["domain", "source", "scan", "kind"]
    rows = [
        dict(zip(keys, key, strict=True)) | {"patients": group["patient"].nunique()} | _figures(group)
        for key, group in cases.groupby(keys, sort=True)
    ]
    figures = ["dice", "dice_low", "dice_high", *METRICS[1:], "hd95_missing", "cases"]
    return pd.DataFrame(rows, columns=[*keys, "patients", *figures])


def examples(cases: pd.DataFrame, count: int) -> pd.DataFrame:
    """The cases to look at: best, typical and worst, no slice twice within a group; slices rotated by an angle aside.

    Returns:
        Rows of `cases` with a column `group`, `count` of each group where there are enough.
    """
    cases = cases[cases["transform"] != ROTATED]
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
