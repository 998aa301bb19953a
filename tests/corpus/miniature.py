"""A labelled scan of a few voxels, and what came of it: for the tests of the layouts."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from corpus.anatomy import BY_ID
from corpus.scans.adapters import read_case
from corpus.scans.volumes import Case, Source, Volume

SHAPE = (10, 8, 4)
AFFINE = np.diag([-1.5, -1.5, 4.0, 1.0])  # axes L, P, S, so that the display frame is the array transposed
DISPLAY = (2, 1, 0)


def scan(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1200, SHAPE).astype(np.int16)


def blocks(values: list[int]) -> np.ndarray:
    """A label map with a column of each value, one beside the other, of 1, 2, ... voxels."""
    label = np.zeros(SHAPE, np.uint8)
    for n, value in enumerate(values, start=1):
        label.reshape(-1)[n * 10 : n * 10 + n] = value
    return label


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def only(source: Source) -> tuple[Case, Volume]:
    assert len(source.cases) == 1
    return source.cases[0], read_case(source.cases[0], source)


def names(ids: frozenset[int]) -> set[str]:
    return {BY_ID[i].name for i in ids}


def voxels(volume: Volume) -> dict[str, int]:
    """How many voxels each organ has."""
    found, counts = np.unique(volume.label[volume.label > 0], return_counts=True)
    return {BY_ID[int(i)].name: int(n) for i, n in zip(found, counts, strict=True)}
