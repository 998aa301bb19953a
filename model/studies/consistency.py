"""Does an answer turn with its picture? f(g x, t) beside g f(x, t), for every kind of prompt.

Under D4 a prompt has a counterpart: the same text for what has a name or a size; for a place the one that it becomes,
since "leftmost" speaks of the picture as displayed (`turn_intent`; the kidney on the left has none under a quarter
turn). Under a rotation by any other angle places have none: what is leftmost may change.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from corpus.params import params_dataclass
from corpus.scans.intensity import AIR_HU
from model.data import SplitData
from model.groups import IDENTITY, INVERSE, NAMES, ORDER, act, pad_to_square, rotate
from model.inference import Segmentation, Segmenter
from model.testing.asked import HeldOutPrompts, turn_intent, turn_prompts
from model.testing.metrics import dice
from model.testing.views import ROTATED
from prompts.intent import Intent
from prompts.targets import intent_of


@params_dataclass
class ConsistencyParams:
    """How much is measured."""

    slices: int
    """How many, evenly spread over the split."""
    angles: int
    """Random rotations of each slice."""
    degrees: float
    """Their limit."""
    seed: int = 0


def consistency(
    segmenter: Segmenter,
    data: SplitData,
    prompts: HeldOutPrompts,
    params: ConsistencyParams,
    advance: Callable[[int], None] = lambda n: None,
) -> pd.DataFrame:
    """Ask one prompt of each kind of every slice as it lies, turned by all of D4, and rotated by random angles.

    Args:
        prompts: The split's requests, read once.
        advance: Called with the number of slices done since.

    Returns:
        One row a slice, kind and transform (a name of D4, or `ROTATED` by `degrees`): whether both prompts were read
        as they should be; whether both poses are sure; whether the pose undoes the transform, and by how many degrees
        it is out; the area of the answer to the slice as it lies; and the Dice between the answer and its counterpart.
        What has no counterpart has no row.
    """
    rows: list[dict] = []
    for i in data.some(params.slices):
        info = data.table.iloc[i]
        rng = np.random.Generator(np.random.PCG64([params.seed, i]))
        samples = data.by_slice[info["slice_id"]].groupby("kind", sort=True).sample(1, random_state=rng)
        asked = samples.reset_index(drop=True)
        image = pad_to_square(torch.from_numpy(data.read(i)[0]), AIR_HU)

        def ask(picture: Tensor, samples: pd.DataFrame) -> Segmentation:
            return segmenter.segment(picture[None].numpy(), prompts.of(samples["prompt_id"].tolist()))

        upright = ask(image, asked)
        masks = torch.from_numpy(upright.masks)
        area = upright.masks.sum((1, 2, 3)) * float(info["spacing_y"] * info["spacing_x"])
        known = asked[["slice_id", "kind"]].assign(patient=info["patient"], area_mm2=area, read=_read(upright, asked))
        # Picture, prompts, counterparts of all answers, transform, degrees, and the element that undoes it.
        looks: list[tuple[Tensor, pd.DataFrame, Tensor, str, float, int]] = [
            (act(g, image), turn_prompts(asked, g, prompts, rng), act(g, masks), NAMES[g], 0.0, INVERSE[g])
            for g in range(1, ORDER)
        ]
        fixed = asked[[_stays(intent) for intent in _intents(asked)]]
        for degrees in rng.uniform(-params.degrees, params.degrees, params.angles):
            angle = torch.tensor([degrees])
            picture = rotate(image[None].float(), angle, AIR_HU)[0].round().to(torch.int16)
            wanted = rotate(masks.float(), angle.expand(len(masks))) > 0.5
            looks.append((picture, fixed, wanted, ROTATED, degrees, IDENTITY))
        for picture, turned, wanted, name, degrees, undone_by in looks:
            if len(turned):
                answer, kept = ask(picture, turned), turned.index.tolist()
                both = known.iloc[kept]
                both = both.assign(read=both["read"] & _read(answer, turned))
                rows += _rows(both, upright, answer, wanted[kept], name, degrees, undone_by)
        advance(1)
    return pd.DataFrame(rows)


def _intents(asked: pd.DataFrame) -> list[Intent]:
    return [intent_of(kind, target) for kind, target in zip(asked["kind"], asked["target"], strict=True)]


def _stays(intent: Intent) -> bool:
    """Whether the same words ask for the same structure however the picture is turned."""
    return all(turn_intent(intent, g) == intent for g in range(ORDER))


def _read(answer: Segmentation, asked: pd.DataFrame) -> np.ndarray:
    """bool `[P]`: whether each prompt was read as it should be. A structure that is named may be taken for another,
    whose mask must turn with the picture too."""
    pairs = zip(answer.request.understood, _intents(asked), strict=True)
    return np.array([u.intent == wanted or u.intent.frame == wanted.frame == "patient" for u, wanted in pairs])


def _rows(
    known: pd.DataFrame,
    upright: Segmentation,
    answer: Segmentation,
    wanted: Tensor,
    transform: str,
    degrees: float,
    element: int,
) -> list[dict]:
    """Rows of one transform, which `element` undoes; `wanted` are the counterparts of its answers."""
    found = {
        "transform": transform,
        "degrees": degrees,
        "sure": bool(answer.pose.sure) and bool(upright.pose.sure),
        "pose_right": int(answer.pose.element) == element,
        "degrees_out": abs(float(answer.pose.degrees) + degrees),
    }
    pairs = zip(known.to_dict("records"), answer.masks, wanted.numpy(), strict=True)
    return [row | found | {"dice": dice(mask[0], counterpart[0])} for row, mask, counterpart in pairs]
