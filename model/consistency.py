"""Does an answer turn with its picture? f(g x, t) beside g f(x, t), for every kind of prompt.

Under D4 each prompt has a counterpart: the same text for anatomy, size and absent organs; for a position the direction
that it becomes, since "leftmost" speaks of the picture as displayed. Under a rotation by any other angle positions have
none: what is leftmost may change.
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
from model.evaluation import TestPrompts, turn_prompts
from model.groups import IDENTITY, INVERSE, NAMES, ORDER, act, pad_to_square, rotate
from model.inference import Segmentation, Segmenter
from model.metrics import dice


@params_dataclass
class ConsistencyParams:
    """How much is measured."""

    slices: int
    """How many, evenly spread over the split."""
    angles: int
    """Random rotations of each slice."""
    degrees: float = 30.0
    """Their limit."""
    seed: int = 0


def consistency(
    segmenter: Segmenter,
    data: SplitData,
    prompts: TestPrompts,
    params: ConsistencyParams,
    advance: Callable[[int], None] = lambda n: None,
) -> pd.DataFrame:
    """Ask one prompt of each kind of every slice as it lies, turned by all of D4, and rotated by random angles.

    Args:
        prompts: The split's requests, read once.
        advance: Called with the number of slices done since.

    Returns:
        One row a slice, kind and transform (a name of D4, or "rotated" by `degrees`): whether both prompts were read
        as asking for the position or size that they ask for; whether both poses are sure;
        whether the pose undoes the transform, and by how many degrees it is out; the area of the answer to the slice
        as it lies; and the Dice between the answer and its counterpart.
    """
    usable = [i for i, slice_id in enumerate(data.table["slice_id"]) if slice_id in data.by_slice]
    chosen = np.unique(np.linspace(0, len(usable) - 1, min(params.slices, len(usable))).astype(int))
    rows: list[dict] = []
    for i in (usable[c] for c in chosen):
        info = data.table.iloc[i]
        rng = np.random.Generator(np.random.PCG64([params.seed, i]))
        asked = data.by_slice[info["slice_id"]].groupby("kind", sort=True).sample(1, random_state=rng)
        image = pad_to_square(torch.from_numpy(data.read(i)[0]), AIR_HU)

        def ask(picture: Tensor, samples: pd.DataFrame) -> Segmentation:
            return segmenter.segment(picture[None].numpy(), prompts.of(samples["prompt_id"].tolist()))

        upright = ask(image, asked)
        masks = torch.from_numpy(upright.masks)
        area = upright.masks.sum((1, 2, 3)) * float(info["spacing_y"] * info["spacing_x"])
        known = asked[["slice_id", "kind"]].assign(patient=info["patient"], area_mm2=area)
        for g in range(1, ORDER):
            turned = turn_prompts(asked, g, prompts, rng)
            answer = ask(act(g, image), turned)
            read = known.assign(read=_read(upright, asked) & _read(answer, turned))
            rows += _rows(read, upright, answer, act(g, masks), NAMES[g], 0.0, INVERSE[g])
        fixed = np.array(asked["kind"] != "position")
        for degrees in rng.uniform(-params.degrees, params.degrees, params.angles):
            angle = torch.tensor([degrees])
            picture = rotate(image[None].float(), angle, AIR_HU)[0].round().to(torch.int16)
            answer = ask(picture, asked[fixed])
            wanted = rotate(masks.float(), angle.expand(len(masks)))[fixed] > 0.5
            read = known[fixed].assign(read=_read(answer, asked[fixed]))
            rows += _rows(read, upright, answer, wanted, "rotated", degrees, IDENTITY)
        advance(1)
    return pd.DataFrame(rows)


def _read(answer: Segmentation, asked: pd.DataFrame) -> np.ndarray:
    """bool `[P]`: whether each prompt's attribute was understood, or that it has none."""
    pairs = zip(answer.request.understood, asked["attribute"], strict=True)
    return np.array(
        [understood.intent.attribute == (wanted if pd.notna(wanted) else None) for understood, wanted in pairs]
    )


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
