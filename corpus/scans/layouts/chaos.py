"""Layout `chaos`: a folder of DICOM slices a series, and a folder of PNG masks whose greys stand for organs.

The n-th PNG belongs to the n-th DICOM file, both by the numbers in their names, and lies where that file's header says:
names and positions may run in opposite directions.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from corpus.params import params_dataclass
from corpus.scans.dicom import read_series
from corpus.scans.dicom_labels import place_pictures
from corpus.scans.layouts.cases import Split, find_cases
from corpus.scans.layouts.labels import organ_id
from corpus.scans.layouts.png import by_number, read_png, slices
from corpus.scans.volumes import Case, Grid, LabelMap, Reject, Source

Greys = dict[str, tuple[int, int]]
"""Organ -> the lowest and the highest grey that stand for it."""


@params_dataclass
class Chaos:
    """The YAML of a dataset in this layout; a split's `image` and `label` are folders."""

    splits: list[Split]
    greys: dict[str, Greys]
    """Modality -> greys of its masks."""

    def __post_init__(self) -> None:
        missing = {split.modality for split in self.splits} - set(self.greys)
        if missing:
            raise ValueError(f"greys: expected those of {', '.join(sorted(missing))} too")
        unknown = sorted({organ for greys in self.greys.values() for organ in greys if organ_id(organ) is None})
        if unknown:
            raise ValueError(f"greys: expected organs of corpus/organs.yaml, found {', '.join(unknown)}")

    def open(self, root: Path) -> Source:
        """The dataset at `root`."""
        return Source(find_cases(root, self.splits), read_image, partial(read_label, greys=self.greys))


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a series' folder, `by_number` as its masks."""
    return sorted((path for path in folder.glob("[!.]*") if path.suffix.lower() == ".dcm"), key=by_number)


def read_image(case: Case) -> Grid:
    """The case's series."""
    return read_series(dicom_files(case.image), one_series=True)


def read_label(case: Case, grid: Grid, greys: dict[str, Greys]) -> LabelMap:
    """The case's PNG masks, each put where its DICOM file lies."""
    files, masks = dicom_files(case.image), slices(case.label)
    if len(files) != len(masks):
        raise Reject(f"expected a mask for every slice, found {len(masks)} for {len(files)}")
    organs = {organ_id(name) or 0: ends for name, ends in greys[case.modality].items()}
    lookup, known = np.zeros(256, np.uint8), np.zeros(256, bool)
    known[0] = True
    for organ, (low, high) in organs.items():
        lookup[low : high + 1], known[low : high + 1] = organ, True
    pictures = {}
    for file, mask in zip(files, masks, strict=True):
        pixels, _ = read_png(mask)
        if pixels.max() > 255 or not known[pixels].all():
            raise Reject(f"{mask.name}: expected greys of the label map, found {np.unique(pixels)[:10].tolist()}")
        pictures[file] = lookup[pixels]
    return LabelMap(place_pictures(pictures, grid), frozenset(organs))
