"""Layout `png`: folders of PNG slices with index masks of the same names, and one labels.yaml.

    labels.yaml
    images/<volume>/<slice>.png    grey, 8 or 16 bits
    masks/<volume>/<slice>.png     one channel of label values, grey or palette; 0 is background

A slice shows what a radiologist sees: anterior on top, the patient's right on the left. A volume's slices follow each
other in the order of their names, numbers in them by value. labels.yaml says the rest:

    labels: {1: liver, 2: spleen}      # value in the masks -> name
    spacing: [5.0, 0.8, 0.8]           # mm between slices, rows and columns
    window: [-160, 240]                # HU of black and of the brightest grey (255, or 65535 with 16 bits); CT needs it
    modality: CT                       # or MR; CT if left out
    first: inferior                    # or superior: where a volume's first slice lies; inferior if left out
    patients: {scan_7b: scan_7}        # volumes of a patient with several; any other volume is a patient of its own
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from corpus.errors import InputError
from corpus.params import params_dataclass, read_yaml, validated
from corpus.scans.layouts.cases import MISSING_SOURCE_FIX, with_patients
from corpus.scans.layouts.labels import LabelNames, check_any_organ, relabel
from corpus.scans.volumes import Case, Grid, LabelMap, Reject, Source

DEPTHS = {"1": 1, "L": 255, "I;16": 65535, "I;16B": 65535, "I": 65535}
"""Pillow's mode of a grey picture -> its brightest grey."""


@params_dataclass
class PngLabels:
    """Content of labels.yaml."""

    labels: LabelNames
    spacing: tuple[float, float, float]
    window: tuple[float, float] | None = None
    modality: Literal["CT", "MR"] = "CT"
    first: Literal["inferior", "superior"] = "inferior"
    patients: dict[str, str] = Field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.spacing) <= 0:
            raise ValueError("spacing must be above 0")
        if self.modality == "CT" and self.window is None:
            raise ValueError("window: expected the HU of black and of white")
        if self.modality == "CT" and self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError(f"window: expected the HU of black below that of white, found {list(self.window)}")


@params_dataclass
class Png:
    """Everything is in labels.yaml."""

    def open(self, root: Path) -> Source:
        """The dataset at `root`."""
        spec = root / "labels.yaml"
        if not spec.is_file():
            raise InputError(
                spec, "expected labels.yaml, found no such file", "write it: see corpus/scans/layouts/png.py"
            )
        about = validated(read_yaml(spec), PngLabels, spec)
        check_any_organ(about.labels.values(), spec)
        cases = [
            Case(folder.name, folder.name, folder, root / "masks" / folder.name, about.modality)
            for folder in sorted((root / "images").glob("[!.]*"))
            if folder.is_dir()
        ]
        if not cases:
            raise InputError(root, "expected folders images/<volume>, found none", MISSING_SOURCE_FIX)
        cases = with_patients(cases, about.patients, spec)
        return Source(cases, partial(read_image, about=about), partial(read_label, about=about))


def read_image(case: Case, about: PngLabels) -> Grid:
    """The case's slices; CT in HU by the window."""
    array, brightest = _stack(case.image, about.first, palette=False)
    if about.window is not None:
        low, high = about.window
        array = low + array / brightest * (high - low)
    z, y, x = about.spacing
    return Grid(array, np.diag([-x, -y, z, 1.0]))


def read_label(case: Case, grid: Grid, about: PngLabels) -> LabelMap:
    """The case's masks."""
    images, masks = ([p.name for p in slices(folder)] for folder in (case.image, case.label))
    if images != masks:
        alone = sorted(set(images) ^ set(masks))
        raise Reject(f"expected a mask for every slice, but {', '.join(alone[:5])} stand alone")
    array, _ = _stack(case.label, about.first, palette=True)
    if array.shape != grid.array.shape:
        raise Reject(f"the masks' shape {array.shape} differs from the images' {grid.array.shape}")
    return relabel(array, about.labels)


def by_number(path: Path) -> list[int | str]:
    """Sorts files by their names, numbers in them by value."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]


def slices(folder: Path) -> list[Path]:
    """A folder's PNG files, `by_number`."""
    return sorted((path for path in folder.glob("[!.]*") if path.suffix.lower() == ".png"), key=by_number)


def read_png(path: Path, palette: bool = True) -> tuple[np.ndarray, int]:
    """The pixels `[H, W]` of a one-channel PNG, and its brightest grey.

    Args:
        palette: Whether it may have a palette, whose indices are the pixels.

    Raises:
        Reject: It is unreadable, has several channels, or a palette that it may not have.
    """
    try:
        with Image.open(path) as picture:
            mode = picture.mode
            pixels = np.asarray(picture)
            pixels = pixels.astype(np.uint8) if mode == "1" else pixels
    except MemoryError:
        raise
    except Exception as error:
        raise Reject(f"{path.name}: expected a readable PNG, but {type(error).__name__}: {error}") from None
    if pixels.ndim != 2 or (mode == "P" and not palette):
        raise Reject(f"{path.name}: expected one channel{'' if palette else ' of greys'}, found mode {mode}")
    return pixels, DEPTHS.get(mode, 255)


def _stack(folder: Path, first: str, palette: bool) -> tuple[np.ndarray, int]:
    """A folder's slices as `[I, J, K]`, inferior slice first, and their brightest grey."""
    read = [read_png(path, palette) for path in slices(folder)]
    # Labels are the same at any depth: who saves them as small as may be changes it from slice to slice.
    kinds = {(pixels.shape, 255 if palette else brightest) for pixels, brightest in read}
    if len(kinds) != 1:
        found = ", ".join(f"{shape} of {depth + 1} greys" for shape, depth in sorted(kinds)) or "none"
        raise Reject(f"{folder.name}: expected PNG slices of one size and depth, found {found}")
    array = np.stack([pixels.T for pixels, _ in read], axis=2)
    return (array if first == "inferior" else array[:, :, ::-1]), kinds.pop()[1]
