"""Where the pixels of a DICOM image lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from corpus.scans.volumes import LARGEST_MM, SMALLEST_MM, Reject

RAS = np.array([-1.0, -1.0, 1.0])
"""DICOM's coordinates point left, posterior, superior; a grid's point right, anterior, superior."""


@dataclass(frozen=True)
class Plane:
    """One frame's pixel grid, in RAS mm, each `[3]`: the centre of its first pixel, and the steps to the next column
    and to the next row."""

    origin: np.ndarray
    across: np.ndarray
    down: np.ndarray

    @property
    def normal(self) -> np.ndarray:
        """Unit vector `[3]`."""
        vector = np.cross(self.across, self.down)
        return vector / np.sqrt((vector**2).sum())


def group(dataset: Dataset, frame: int, name: str) -> Dataset:
    """A functional group of a multi-frame object: the frame's own, or the one that all its frames share.

    Raises:
        AttributeError: There is neither.
    """
    own = dataset.PerFrameFunctionalGroupsSequence[frame]
    return getattr(own if name in own else dataset.SharedFunctionalGroupsSequence[0], name)[0]


def planes(dataset: Dataset, path: Path) -> list[Plane]:
    """The planes of all frames of a single-frame or an enhanced multi-frame object.

    Raises:
        Reject: It doesn't say where its pixels lie.
    """
    try:
        if "PerFrameFunctionalGroupsSequence" not in dataset:
            if int(dataset.get("NumberOfFrames") or 1) != 1:
                raise Reject(f"{path.name}: {dataset.NumberOfFrames} frames without a position each")
            return [_plane(dataset, dataset, dataset)]
        names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        frames = range(len(dataset.PerFrameFunctionalGroupsSequence))
        return [_plane(*(group(dataset, frame, name) for name in names)) for frame in frames]
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise Reject(f"{path.name}: no position, orientation or pixel spacing that can be used ({error})") from None


def _plane(position: Dataset, orientation: Dataset, measures: Dataset) -> Plane:
    origin = np.array(position.ImagePositionPatient, dtype=np.float64)
    row, column = np.array(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    between_rows, between_columns = (float(s) for s in measures.PixelSpacing)
    if origin.shape != (3,) or not SMALLEST_MM <= min(between_rows, between_columns) <= LARGEST_MM:
        raise ValueError(f"position {origin.tolist()}, pixel spacing {between_rows:g} x {between_columns:g}")
    if abs((row * column).sum()) > 0.01 or max(abs((v**2).sum() - 1) for v in (row, column)) > 0.01:
        raise ValueError(f"orientation {row.tolist()} {column.tolist()} is not a pair of orthogonal unit vectors")
    return Plane(origin * RAS, row * RAS * between_columns, column * RAS * between_rows)
