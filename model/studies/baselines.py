"""What else could answer the test set's requests: baselines, each put the very cases that the model was asked.

A baseline is a function from one slice as displayed and what is asked of it to masks. `replay` asks it every case of a
finished evaluation again: the same slices, turned the same ways, the same requests, scored by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from corpus.anatomy import BY_NAME, N_ORGANS
from corpus.errors import InputError
from model.canonicalizer import Pose, known_pose
from model.data import SplitData
from model.encoders.text import Tokens
from model.flans import FLanS, ImageEncoding
from model.groups import IDENTITY, INVERSE, NAMES, act
from model.inference import Segmenter
from model.intent_head import IntentLogits, Understanding
from model.studies.lite_medsam import LiteMedSAM
from model.studies.unet import ClosedUNet
from model.testing.grading import Grader
from model.testing.poses import pose_of
from model.testing.scoring import AS_IT_LIES
from model.testing.statistics import aggregate, bootstrap_interval
from prompts.facts import mask_of
from prompts.targets import ABSENT
from prompts.wording.keywords import keyword_intent
from prompts.wording.spelling import mend

NAMED = ("anatomy", ABSENT)
"""Requests that name their organ: what a closed set of organs can be asked."""
COLUMNS = ["baseline", "scan", "kind", "dice", "dice_low", "dice_high", "nsd", "cases"]
"""Of the table of baselines."""


@dataclass(frozen=True)
class Asked:
    """One slice as displayed, and P requests."""

    image: np.ndarray
    """HU `[H, W]`"""
    texts: Sequence[str]
    organs: Sequence[str]
    """What each request means; only for baselines that are told."""
    truths: np.ndarray
    """bool `[P, H, W]`; only for baselines that are told."""
    pose: Pose
    """How the model took the slice to lie."""
    among: frozenset[int]
    """Organ ids that the slice's source labels: the truth of "leftmost" is one of these."""


Baseline = Callable[[Asked], np.ndarray]
"""Answers bool `[P, H, W]`."""


def replay(
    cases: pd.DataFrame, data: SplitData, baseline: Baseline, advance: Callable[[int], None] = lambda n: None
) -> pd.DataFrame:
    """Put cases to a baseline.

    Args:
        cases: Rows of an evaluation's cases.parquet, of slices as they lie or turned by D4.
        data: The split that was evaluated.
        advance: Called with the number of slices done since, each way to turn one counted.

    Returns:
        The same rows, with the baseline's metrics.

    Raises:
        InputError: A case's slice is missing, or its true mask is another by now.
    """
    parts = []
    for (name, transform), rows in cases.groupby(["slice_id", "transform"], sort=True):
        if name not in data.place:
            raise InputError("cases.parquet", f"the data set has no test slice {name}", "run dvc repro")
        info, element = data.table.iloc[data.place[name]], NAMES.index(str(transform))
        image, label = data.read(data.place[name])
        grade = Grader(label, (float(info["spacing_y"]), float(info["spacing_x"])))
        known = [grade.truth(organ) for organ in rows["organ"]]
        if not np.allclose(np.array([truth.row["area_mm2"] for truth in known], float), rows["area_mm2"]):
            raise InputError("cases.parquet", f"true masks of {name} have changed since", "run dvc repro")
        shown, told = (
            act(element, torch.from_numpy(x)).numpy() for x in (image, np.stack([truth.mask for truth in known]))
        )
        pose, among = pose_of(rows.iloc[0].to_dict()), frozenset(int(o) for o in info["labelled"])
        answers = baseline(Asked(shown, rows["text"].tolist(), rows["organ"].tolist(), told, pose, among))
        masks = act(INVERSE[element], torch.from_numpy(answers)).numpy()
        figures = [grade(mask, organ) for mask, organ in zip(masks, rows["organ"], strict=True)]
        parts.append(rows.assign(**pd.DataFrame(figures, index=rows.index)))
        advance(1)
    return pd.concat(parts, ignore_index=True)


def segmenter_alone(segmenter: Segmenter, upright: bool = False) -> Baseline:
    """A trained model; with `upright`, or if it has no canonicalizer, it takes every slice to lie as it should."""
    straight = upright or segmenter.model.canonicalizer.params.kind == "identity"

    def answer(asked: Asked) -> np.ndarray:
        request = segmenter.read(asked.texts)
        pose = known_pose(IDENTITY) if straight else asked.pose
        return segmenter.segment(asked.image[None], request, pose, among=asked.among).masks[:, 0]

    return answer


class OrganHeadAlone(FLanS):
    """A trained model whose answer to a prompt is the organ head's map of the organ that the prompt resolves to."""

    @classmethod
    def of(cls, model: FLanS) -> OrganHeadAlone:
        """With the weights of a model."""
        names = torch.zeros(N_ORGANS, model.mask_decoder.project.in_features)
        params = replace(model.params, resolve="geometric")
        alone = cls(params, model.canonicalizer.params, names, model.intent_head.tuned.shape)
        alone.load_state_dict(model.state_dict())
        return alone

    def decode(self, image: ImageEncoding, text: Tokens, intent: IntentLogits, organs: Tensor) -> Tensor:
        """As in `FLanS`; text and intent aren't looked at."""
        return torch.einsum("bpo,bohw->bphw", organs[..., 1:], image.organs.logits)


def keywords(segmenter: Segmenter) -> Baseline:
    """A look-up of words in place of the language model, the organ head's maps in place of the mask decoder."""
    alone = Segmenter(OrganHeadAlone.of(segmenter.model), segmenter.encoder, segmenter.device, segmenter.known)

    def answer(asked: Asked) -> np.ndarray:
        understood = tuple(Understanding(keyword_intent(mend(text)), 1.0) for text in asked.texts)
        request = replace(alone.read(asked.texts), understood=understood)
        return alone.segment(asked.image[None], request, asked.pose, among=asked.among).masks[:, 0]

    return answer


def closed_set(network: ClosedUNet) -> Baseline:
    """A U-Net that is told which organ is meant."""

    def answer(asked: Asked) -> np.ndarray:
        labels = network.labels(asked.image)
        return np.stack([mask_of(labels, BY_NAME[organ].id) for organ in asked.organs])

    return answer


def boxed(network: LiteMedSAM) -> Baseline:
    """LiteMedSAM, told the box of the true mask."""
    return lambda asked: network.segment(asked.image, asked.truths)


def random_slices(cases: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """The cases of `count` slices, drawn with a seed."""
    names = np.sort(cases["slice_id"].unique())
    chosen = np.random.Generator(np.random.PCG64(seed)).permutation(names)[:count]
    return cases[cases["slice_id"].isin(chosen)]


def figures(cases: pd.DataFrame, by: Collection[str] = ("scan", "kind")) -> pd.DataFrame:
    """Macro Dice with its 95% interval over patients, and macro NSD.

    Args:
        cases: Rows of cases.parquet, and the columns of `by`; `scan` is made of `transform`. Where several models read
            the requests, `read_by` tells them apart.

    Returns:
        The columns of `by`, and dice, dice_low, dice_high, nsd, understood (the share of the different requests; none
        where a baseline reads none) and cases.
    """
    keys = list(by)
    shown = cases.assign(scan=np.where(cases["transform"] == AS_IT_LIES, "original", "transformed"))
    rows = []
    for key, group in shown.groupby(keys, sort=True, dropna=False):
        macro = aggregate(group, []).iloc[0]
        low, high = bootstrap_interval(group["dice"], group["patient"], group["organ"])
        found = {"dice": macro["dice"], "dice_low": low, "dice_high": high, "nsd": macro["nsd"]}
        readings = group.drop_duplicates([column for column in ("text", "read_by") if column in group])
        found["understood"] = readings["understood_right"].astype(float).mean()
        rows.append(dict(zip(keys, key, strict=True)) | found | {"cases": len(group)})
    return pd.DataFrame(rows).round(4)
