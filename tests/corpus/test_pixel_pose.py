"""The anatomical rules: never wrong on phantoms and real scans, however they are turned, and often sure."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from corpus.scans.adapters import open_source, read_case
from corpus.scans.phantom import PhantomParams, render_patient
from corpus.scans.pixel_pose import PixelPose, pixel_pose

REAL = Path(os.environ.get("FLANS_REAL_DATA", "../shared/real"))
EDGES = ["topmost", "leftmost", "bottommost", "rightmost"]  # counter-clockwise


def turned(image: np.ndarray, mirror: bool, quarters: int) -> np.ndarray:
    return np.rot90(image[..., ::-1] if mirror else image, quarters, (1, 2))


def places(mirror: bool, quarters: int) -> tuple[str, str]:
    """Where the back and the patient's right lie in a picture that was mirrored, then turned counter-clockwise."""
    right = "rightmost" if mirror else "leftmost"
    return tuple(EDGES[(EDGES.index(edge) + quarters) % 4] for edge in ("bottommost", right))  # type: ignore[return-value]


def sure_answers(image: np.ndarray, spacing: tuple[float, float, float]) -> list[tuple[int, int, int]]:
    """For each of 16 ways to turn a volume, which answers (back, right, head) are sure; a wrong one fails."""
    found = []
    for mirror in (False, True):
        for quarters in range(4):
            z, y, x = spacing
            mm = (z, y, x) if quarters % 2 == 0 else (z, x, y)
            for step in (1, -1):
                pose = pixel_pose(turned(image, mirror, quarters)[::step], mm)
                back, right = places(mirror, quarters)
                for answer, truth in (
                    (pose.back, back),
                    (pose.right, right),
                    (pose.head, "last" if step > 0 else "first"),
                ):
                    assert not answer.sure or answer.where == truth
                found.append((int(pose.back.sure), int(pose.right.sure), int(pose.head.sure)))
    return found


def test_phantoms_are_never_misjudged() -> None:
    params = PhantomParams(patients=8, size=96, spacing_mm=4.0, slice_mm=20.0)
    sure = np.array([sure_answers(render_patient(params, i).image, (20.0, 4.0, 4.0)) for i in range(8)])
    assert sure[..., 0].all(), "the back is always found, of prone patients too"
    assert sure[..., 1].mean() > 0.4
    assert sure[..., 2].mean() > 0.25, "few phantoms reach up to the lungs"


@pytest.mark.skipif(not (REAL / "btcv").is_dir(), reason=f"real BTCV scans are not at {REAL}/btcv")
def test_real_scans_are_never_misjudged() -> None:
    source = open_source("btcv", REAL / "btcv")
    volumes = [read_case(case, source) for case in source.cases]
    sure = np.array([sure_answers(volume.image, volume.spacing) for volume in volumes])
    assert sure[..., 0].all()
    assert sure[..., 1].mean() > 0.8
    assert sure[..., 2].mean() > 0.5


def nothing_sure(pose: PixelPose) -> bool:
    return not (pose.back.sure or pose.right.sure or pose.head.sure)


def test_what_is_no_trunk_is_unsure() -> None:
    rows, cols = np.indices((80, 80)) - 40
    air = np.full((5, 80, 80), -1000, np.int16)
    ball = np.where(rows**2 + cols**2 < 30**2, 40, air).astype(np.int16)
    assert nothing_sure(pixel_pose(air, (5.0, 4.0, 4.0)))
    assert nothing_sure(pixel_pose(ball, (5.0, 4.0, 4.0)))
    noise = np.random.default_rng(0).integers(-1000, 1000, air.shape).astype(np.int16)
    assert nothing_sure(pixel_pose(noise, (5.0, 4.0, 4.0)))


def test_pixels_of_any_shape() -> None:
    params = PhantomParams(patients=1, size=96, spacing_mm=4.0, slice_mm=20.0)
    image = render_patient(params, 0).image
    pose = pixel_pose(np.repeat(image, 2, axis=1), (20.0, 2.0, 4.0))
    assert (pose.back.where, pose.back.sure, pose.right.where) == ("bottommost", True, "leftmost")
