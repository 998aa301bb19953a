"""The pose of a volume: what the network makes of it and what plain anatomy says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from corpus.scans.phantom import PhantomParams, render_patient
from corpus.scans.pixel_pose import pixel_pose
from model.canonicalizer import build_canonicalizer, known_pose
from model.data import SplitData
from model.framing import to_network
from model.groups import IDENTITY, INVERSE, NAMES, ORDER, act
from model.inference import Segmenter
from model.testing.poses import VolumePoses
from model.testing.views import ROTATED, View
from tests.model.test_flans import hu, segmenter

__all__ = ["segmenter"]

MM = (20.0, 4.0, 4.0)


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    """A CT whose anatomy is clear to the rules."""
    params = PhantomParams(patients=8, size=96, spacing_mm=MM[1], slice_mm=MM[0])
    images = (render_patient(params, i).image for i in range(8))
    return next(image for image in images if pixel_pose(image, MM).right.sure)


@pytest.mark.parametrize("element", range(ORDER))
def test_anatomy_decides_where_the_network_cannot(segmenter: Segmenter, volume: np.ndarray, element: int) -> None:
    segmenter.model.canonicalizer.score.weight.data.zero_()
    turned = act(element, torch.from_numpy(volume)).numpy()
    assert int(segmenter.pose(turned, MM).element) == INVERSE[element]
    assert not segmenter.pose(turned).sure, "without spacing nothing is known"


def test_the_angle_is_the_same_to_the_bit_however_a_scan_is_turned(segmenter: Segmenter) -> None:
    segmenter.model.canonicalizer.angle.weight.data *= 100  # untrained it hardly looks at the picture
    noise = torch.from_numpy(hu(47, 47, slices=3))
    found = [segmenter.pose(act(element, noise).numpy()).degrees for element in range(ORDER)]
    assert found[0] != 0, "it lies askew: every pixel hangs on the last bit"
    assert all(torch.equal(degrees, found[0]) for degrees in found), found


def test_a_pose_is_what_the_canonicalizer_says(segmenter: Segmenter, volume: np.ndarray) -> None:
    canonicalizer = segmenter.model.canonicalizer
    norms = [module for module in canonicalizer.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:  # as after training
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2.0)
    canonicalizer.score.weight.data /= 30  # neither too close to tell views apart, nor sure of one
    canonicalizer.angle.weight.data *= 100
    found = segmenter.pose(volume)
    with torch.no_grad():
        expected = canonicalizer.volume_pose(to_network(volume, segmenter.model.params)[0])
    assert 0.2 < expected.probability < 0.99
    assert found.element == expected.element
    assert torch.allclose(found.probability, expected.probability, atol=1e-4)
    assert torch.allclose(found.degrees, expected.degrees, atol=1e-2)
    assert len([module for module in canonicalizer.modules() if isinstance(module, nn.BatchNorm2d)]) == len(norms) == 5


def test_slices_that_are_taken_as_they_lie_stay_so(segmenter: Segmenter, volume: np.ndarray) -> None:
    params = segmenter.model.canonicalizer.params
    segmenter.model.canonicalizer = build_canonicalizer(replace(params, kind="identity"))
    mirrored = volume[..., ::-1].copy()
    for spacing, header in ((MM, True), (MM, False), (None, False)):
        pose = segmenter.pose(mirrored, spacing, header)
        assert (int(pose.element), bool(pose.sure)) == (IDENTITY, False), "nothing has judged it"


@pytest.mark.parametrize("sure", [True, False])
@pytest.mark.parametrize("header", [True, False])
def test_where_the_pixels_are_unsure_the_header_is_believed(segmenter: Segmenter, header: bool, sure: bool) -> None:
    found = known_pose(4, degrees=9.0, sure=sure)
    segmenter.__dict__["_canonicalizer"] = SimpleNamespace(learns=True, volume_pose=lambda *_: found)
    pose = segmenter.pose(np.zeros((1, 16, 16), np.int16), header=header)
    assert bool(pose.sure) == sure
    assert (int(pose.element), float(pose.degrees)) == ((IDENTITY, 0.0) if header and not sure else (4, 9.0))


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_the_rules_are_told_how_large_the_pixels_lie(modality: str) -> None:
    seen: dict[str, Any] = {}
    shape: dict[str, tuple[int, ...]] = {}

    def pose(image: np.ndarray, spacing: tuple[float, float, float] | None, header: bool) -> str:
        seen[view.transform], shape[view.transform] = spacing, image.shape
        assert header == (view.transform == "identity"), "of what was turned on purpose it says nothing"
        return view.transform

    rows = pd.DataFrame({"spacing_z": 9.0, "spacing_y": 2.0, "spacing_x": 3.0, "modality": modality}, index=[4, 7])
    data = SimpleNamespace(read=lambda i: (np.zeros((5, 6), np.int16), None))
    poses = VolumePoses(cast(Segmenter, SimpleNamespace(pose=pose)), cast(SplitData, data), rows)
    for transform in (*NAMES, ROTATED):
        view = cast(View, SimpleNamespace(transform=transform, degrees=0.0, element=0))
        view.element = 0 if transform == ROTATED else NAMES.index(transform)  # type: ignore[misc]
        assert poses.of(view) == transform
        assert poses.of(view) == transform, "known by now"
        if modality == "CT":
            assert seen[transform] == ((9.0, 2.0, 3.0) if shape[transform][1:] in ((5, 6), (6, 6)) else (9.0, 3.0, 2.0))
        else:
            assert seen[transform] is None
    assert shape["rot90"] == (2, 6, 5)
    assert len(seen) == ORDER + 1
