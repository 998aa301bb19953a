"""The right pose is given to the slices whose pose was misjudged, and to no others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from corpus.anatomy import BY_NAME
from model.canonicalizer import Pose
from model.groups import NAMES, act
from model.studies.counterproof import SLICES, ask_with_right_pose

ORGANS = ["liver", "spleen"]
IMAGE = np.arange(48, dtype=np.int16).reshape(6, 8)
LABEL = np.zeros((6, 8), np.uint8)
LABEL[:2, :3], LABEL[3:, 5:] = BY_NAME["liver"].id, BY_NAME["spleen"].id


class Upright:
    """Segments perfectly what the pose brings upright, and nothing else."""

    def segment(self, image: np.ndarray, request: list[str], pose: Pose) -> SimpleNamespace:
        upright = np.array_equal(act(int(pose.element), torch.from_numpy(image[0])), IMAGE)
        masks = [act(int(pose.back), torch.from_numpy(BY_NAME[p].id == LABEL)).numpy()[None] for p in request]
        return SimpleNamespace(masks=np.stack(masks) if upright else np.zeros_like(np.stack(masks)))


def test_every_turn_is_undone() -> None:
    rows = [
        {"slice_id": f"s{n}", "transform": name, "kind": "anatomy", "organ": organ, "prompt_id": organ, "dice": 0.0}
        for n in range(8)
        for name in NAMES
        for organ in ORGANS
    ]
    cases = pd.DataFrame(rows).assign(pose_right=lambda c: c["slice_id"] == "s0")
    data = SimpleNamespace(place={f"s{n}": n for n in range(8)}, read=lambda i: (IMAGE, LABEL))
    prompts = SimpleNamespace(of=list)
    again = ask_with_right_pose(cases, Upright(), data, prompts)  # type: ignore[arg-type]
    assert (again["dice_given"] == 1).all()
    assert "s0" not in set(again["slice_id"])
    assert 0 < len(again.drop_duplicates(["slice_id", "transform"])) <= SLICES
    assert set(again["transform"]) == set(NAMES)
    none = ask_with_right_pose(cases[cases["pose_right"]], Upright(), data, prompts)  # type: ignore[arg-type]
    assert len(none) == 0
