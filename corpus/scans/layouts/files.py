"""Layout `files`: one NIfTI image and one NIfTI label map a case, found by patterns."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from corpus.params import params_dataclass
from corpus.scans.layouts.cases import Split, find_cases
from corpus.scans.layouts.labels import LabelNames, relabel
from corpus.scans.nifti import read_nifti
from corpus.scans.volumes import Case, Grid, LabelMap, Reject, Source


@params_dataclass
class Files:
    """The YAML of a dataset in this layout."""

    splits: list[Split]
    labels: LabelNames

    def open(self, root: Path) -> Source:
        """The dataset at `root`."""
        return Source(find_cases(root, self.splits), read_image, partial(read_label, names=self.labels))


def read_image(case: Case) -> Grid:
    """The case's image, a NIfTI file."""
    return read_nifti(case.image)


def read_label(case: Case, grid: Grid, names: LabelNames) -> LabelMap:
    """The case's label map, a NIfTI file of values that `names` names."""
    return relabel(read_aligned(case.label, grid), names)


def read_aligned(path: Path, grid: Grid) -> np.ndarray:
    """The voxels of a NIfTI file that must lie on `grid`.

    Raises:
        Reject: It is unreadable, or lies elsewhere.
    """
    return aligned(read_nifti(path), grid, path)


def aligned(label: Grid, grid: Grid, path: Path) -> np.ndarray:
    """The voxels of a label map, read from `path`, that must lie on `grid`.

    Raises:
        Reject: It lies elsewhere.
    """
    if label.array.shape != grid.array.shape:
        raise Reject(
            f"{path.name}: the label map's shape {label.array.shape} differs from {grid.array.shape}, the image's"
        )
    if not np.allclose(label.affine, grid.affine, atol=1e-2):
        raise Reject(f"{path.name}: the label map's affine differs from the image's")
    return label.array
