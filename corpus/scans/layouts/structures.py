"""Layout `structures`: one NIfTI image a case, and a folder with one binary NIfTI mask a structure.

A mask's file name is the structure's name. A structure without a file is unknown; one with an empty mask is absent.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from pydantic import Field

from corpus.params import params_dataclass
from corpus.scans.layouts.cases import NIFTI_ENDING, Split, find_cases
from corpus.scans.layouts.files import read_aligned, read_image
from corpus.scans.layouts.labels import StructureNames, gather
from corpus.scans.volumes import Case, Grid, LabelMap, Reject, Source


@params_dataclass
class Structures:
    """The YAML of a dataset in this layout; a split's `label` is the folder of masks."""

    splits: list[Split]
    structures: StructureNames = Field(default_factory=StructureNames)

    def open(self, root: Path) -> Source:
        """The dataset at `root`."""
        return Source(find_cases(root, self.splits), read_image, partial(read_label, naming=self.structures))


def read_label(case: Case, grid: Grid, naming: StructureNames) -> LabelMap:
    """The case's masks as one label map; what else lies among them is passed over.

    Raises:
        Reject: There is no folder or no mask, two files are of one structure, or a mask can't be used.
    """
    if not case.label.is_dir():
        raise Reject(f"{case.label.name}: expected the folder of the case's masks, found none")
    paths = [path for path in sorted(case.label.glob("[!.]*")) if NIFTI_ENDING.search(path.name)]
    if not paths:
        raise Reject(f"{case.label.name}: expected a mask for each structure, <structure>.nii.gz, found none")
    files: dict[str, Path] = {}
    for path in paths:
        if (other := files.setdefault(NIFTI_ENDING.sub("", path.name), path)) is not path:
            raise Reject(f"{other.name} and {path.name}: expected one mask of a structure: leave the one that is right")
    return gather(files, lambda name: read_mask(files[name], grid), naming, grid.array.shape)


def read_mask(path: Path, grid: Grid) -> np.ndarray:
    """A binary mask, bool `[I, J, K]`.

    Raises:
        Reject: It can't be used, or has more values than 0 and one above: probabilities, or several structures.
    """
    raw = read_aligned(path, grid)
    mask = np.asarray((raw == raw.max()) & (raw > 0))
    if not (mask | (raw == 0)).all():
        values = np.unique(raw)
        shown = ", ".join(f"{value:g}" for value in values[:5]) + (", ..." if len(values) > 5 else "")
        raise Reject(
            f"{path.name}: expected a mask of 0 and one value above, found {len(values)} values ({shown}): save it as"
            " `probabilities > 0.5` for instance"
        )
    return mask
