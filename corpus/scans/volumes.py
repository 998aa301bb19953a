"""A labelled scan on its way in: what a dataset's layout gives, before it is turned to the display frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SMALLEST_MM, LARGEST_MM = 0.01, 100.0
"""Voxels beyond these sizes are a mistake in a header."""
OBLONGEST = 50.0
"""So is a pixel that is longer than this times its width."""
HASHED = "id-"
"""What a patient's name begins with that is a hash of the person's id, and so the same in every source."""


class Reject(Exception):
    """One volume that can't be used; its message is the reason in the rejects table."""


@dataclass(frozen=True)
class Case:
    """One labelled scan on disk. `volume` is unique in its source; scans of one `patient` stay in one split."""

    volume: str
    patient: str
    image: Path
    """A file, or the folder of a series."""
    label: Path
    modality: str = "CT"
    problem: str = ""
    """Why it can't be used, where that is plain before it is read."""


@dataclass(frozen=True)
class Grid:
    """A volume as its files have it: `array` `[I, J, K]`, rescaled but not yet harmonised, and `affine` `[4, 4]`, voxel
    index to RAS mm. `mended` says what was wrong with the files and how it was put right."""

    array: np.ndarray
    affine: np.ndarray
    mended: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelMap:
    """A scan's labels on its image's grid: `organs` uint8 `[I, J, K]` organ ids. An organ that isn't `labelled` is
    unknown, not absent; `dropped` names the labels that the vocabulary has no organ for; `mended` says what else was
    left out."""

    organs: np.ndarray
    labelled: frozenset[int]
    dropped: frozenset[str] = frozenset()
    mended: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A dataset, opened: its cases, and how to read one. Both readers raise `Reject`, and can be pickled."""

    cases: list[Case]
    read_image: Callable[[Case], Grid]
    read_label: Callable[[Case, Grid], LabelMap]


@dataclass(frozen=True)
class Volume:
    """A scan in the display frame: `image` int16 HU and `label` uint8 organ ids, both `[Z, H, W]`; `spacing` (z, y,
    x) mm."""

    image: np.ndarray
    label: np.ndarray
    spacing: tuple[float, float, float]
    labelled: frozenset[int]
    dropped: frozenset[str]
    modality: str
    orientation: str
    """Where the file's axes pointed, for example "RAS"."""
    intensity: str
    """What was done to the intensities, for example "HU" or "HU, stored 1024 too high"."""
    mended: tuple[str, ...]
