"""Is it the pose? The slices whose pose was misjudged, asked again with the right one."""

from __future__ import annotations

import pandas as pd
import torch

from corpus.anatomy import BY_NAME
from model.canonicalizer import known_pose
from model.data import SplitData
from model.groups import INVERSE, NAMES, act
from model.inference import Segmenter
from model.testing.asked import HeldOutPrompts
from model.testing.metrics import dice
from prompts.facts import mask_of

SLICES = 24
"""Slices asked again, evenly spread over those that qualify."""


def ask_with_right_pose(
    cases: pd.DataFrame, segmenter: Segmenter, data: SplitData, prompts: HeldOutPrompts
) -> pd.DataFrame:
    """Ask some of the slices with a misjudged pose again, for the organs named, the right pose given.

    Args:
        cases: What `evaluation.evaluate` returned for `data` and `prompts`.

    Returns:
        Those cases, with a column `dice_given`; empty where no pose was misjudged.
    """
    wrong = cases[(cases["kind"] == "anatomy") & ~cases["pose_right"].astype(bool)]
    groups = list(wrong.groupby(["slice_id", "transform"], sort=True))
    parts = []
    for (slice_id, transform), rows in groups[:: max(1, -(-len(groups) // SLICES))]:
        element = NAMES.index(transform)
        image, label = (act(element, torch.from_numpy(a)).numpy() for a in data.read(data.place[slice_id]))
        pose = known_pose(INVERSE[element])
        answer = segmenter.segment(image[None], prompts.of(rows["prompt_id"].tolist()), pose)
        truths = [mask_of(label, BY_NAME[organ].id) for organ in rows["organ"]]
        given = [dice(mask[0], truth) for mask, truth in zip(answer.masks, truths, strict=True)]
        parts.append(rows.assign(dice_given=given))
    return pd.concat(parts) if parts else wrong.assign(dice_given=float("nan"))
