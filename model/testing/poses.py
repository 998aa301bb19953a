"""How the volume that a slice is of lies: a scan that is segmented comes whole, and is judged whole."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from corpus.scans.intensity import AIR_HU
from model.canonicalizer import Pose, known_pose
from model.data import SplitData
from model.groups import IDENTITY, INVERSE, NAMES, act
from model.inference import Segmenter
from model.testing.views import ROTATED, View, rotated_by


def pose_of(case: Mapping[Hashable, Any]) -> Pose:
    """The pose that a case of an evaluation was answered with."""
    element = INVERSE[NAMES.index(case["pose_found"])]
    return known_pose(element, float(case["pose_degrees"]), bool(case["pose_sure"]))


class VolumePoses:
    """The pose of one volume, for every way in which its slices are shown.

    Args:
        rows: The volume's rows of `data.table`.
    """

    def __init__(self, segmenter: Segmenter, data: SplitData, rows: pd.DataFrame) -> None:
        self.segmenter = segmenter
        self.image = torch.from_numpy(np.stack([data.read(i)[0] for i in rows.index]))
        first = rows.iloc[0]
        self.spacing = tuple(float(first[f"spacing_{axis}"]) for axis in "zyx") if first["modality"] == "CT" else None
        self._known: dict[tuple[str, float], Pose] = {}

    def of(self, view: View) -> Pose:
        """The pose of the volume if all of it is turned, mirrored or rotated as the view is: then its header says
        nothing of how it lies."""
        key = (view.transform, view.degrees)
        if key not in self._known:
            shown = act(view.element, self.image)
            if view.transform == ROTATED:
                shown = rotated_by(self.image.float(), view.degrees, AIR_HU).round().to(torch.int16)
            as_it_lies = view.element == IDENTITY and view.transform != ROTATED
            self._known[key] = self.segmenter.pose(shown.numpy(), self._spacing(view), header=as_it_lies)
        return self._known[key]

    def _spacing(self, view: View) -> tuple[float, float, float] | None:
        """(z, y, x) in mm of the volume as displayed; None if the anatomical rules don't know its modality."""
        if self.spacing is None:
            return None
        z, y, x = self.spacing
        return (z, x, y) if view.element % 2 else (z, y, x)
