"""Layout `nnunet`: nnU-Net raw data. dataset.json, imagesTr/<case>_0000.<ending>, labelsTr/<case>.<ending>.

An optional key `patients` (case: patient) in dataset.json says which scans are of one patient; nnU-Net ignores it.

nnU-Net's label `ignore` says that nobody annotated there: what lies below it is unknown, not background. Slices that
hold it are left out. As with a gap in a DICOM series, one run of slices without it is kept, for skipped slices would
bend the geometry.
"""

from __future__ import annotations

import json
import re
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from nibabel.orientations import io_orientation
from pydantic import Field

from corpus.errors import InputError
from corpus.params import params_dataclass, validated
from corpus.scans.layouts.cases import MISSING_SOURCE_FIX, NIFTI_ENDING, with_patients
from corpus.scans.layouts.files import aligned, read_aligned, read_image, read_label
from corpus.scans.layouts.labels import LabelNames, check_any_organ, organ_id, relabel
from corpus.scans.nifti import read_nifti
from corpus.scans.volumes import Case, Grid, LabelMap, Reject, Source

IGNORE = "ignore"
MR_NAMES = re.compile(
    r"MR|(?<![A-Z])(?:CE|FS|FAT)?T[12](?![0-9])|FLAIR|ADC|DWI|DIXON|STIR|VIBE|HASTE|\bPD"
    r"|(?<![A-Z])(?:IN|OUT|OPPOSED)[ _-]*(?:OF[ _-]*)?PHASE"
)
"""In a channel's name in capitals. Phases are CT's too ("portal venous phase"), and "T1" is in "contrast1"."""


@params_dataclass
class NnUNetSpec:
    """What is read of dataset.json: of the labels all but the background, of the channels the first."""

    labels: dict[str, int]
    file_ending: str
    channel_names: dict[str, str]
    patients: dict[str, str | int] = Field(default_factory=dict)


@params_dataclass
class NnUNet:
    """Everything is in dataset.json."""

    def open(self, root: Path) -> Source:
        """The dataset at `root`."""
        spec = root / "dataset.json"
        if not spec.is_file():
            raise InputError(spec, "expected nnU-Net's dataset.json, found no such file", MISSING_SOURCE_FIX)
        about = _read_spec(spec)
        values, ending = about.labels, about.file_ending
        ignored = [value for name, value in values.items() if name == IGNORE]
        names = {value: name for name, value in values.items() if value not in ignored}
        if len(names) + len(ignored) < len(values):
            raise InputError(spec, f"expected a value of its own for each label, found {values}", "correct `labels`")
        if min(values.values(), default=1) < 1:
            raise InputError(
                spec, f"expected label values above the background's 0, found {values}", "correct `labels`"
            )
        check_any_organ(names.values(), spec)
        modality = _modality(about.channel_names["0"], spec)
        cases = []
        for path in sorted((root / "imagesTr").glob(f"[!.]*_0000{ending}")):
            case = path.name.removesuffix(f"_0000{ending}")
            cases.append(Case(case, case, path, root / "labelsTr" / (case + ending), modality))
        if not cases:
            raise InputError(root / "imagesTr", f"expected <case>_0000{ending}, found none", MISSING_SOURCE_FIX)
        for folder, channel in (("imagesTr", "_0000"), ("labelsTr", "")):
            found = {case.volume for case in cases}
            for case, path in _nifti_files(root / folder, channel).items():
                if case not in found:
                    image = f"{case}_0000{ending}"
                    problem = f"{path.name}: expected the image {image}, as dataset.json has its ending, found none"
                    cases.append(Case(case, case, path, path, modality, problem))
        images = root.glob(f"images*/*_0000{ending}")  # imagesTs too: it isn't read, but its patients may be told
        named = {path.name.removesuffix(f"_0000{ending}") for path in images}
        cases = with_patients(cases, about.patients, spec, elsewhere=named)
        if not ignored:
            return Source(cases, read_image, partial(read_label, names=names))
        return Source(
            cases,
            partial(read_annotated_image, names=names, ignored=ignored[0]),
            partial(read_annotated_label, names=names, ignored=ignored[0]),
        )


def _nifti_files(folder: Path, channel: str) -> dict[str, Path]:
    """Case -> its NIfTI file `<case><channel>`, whatever its ending."""
    files = {NIFTI_ENDING.sub("", p.name): p for p in sorted(folder.glob("[!.]*")) if NIFTI_ENDING.search(p.name)}
    return {name.removesuffix(channel): path for name, path in files.items() if name.endswith(channel)}


def _read_spec(spec: Path) -> NnUNetSpec:
    try:
        content = json.loads(spec.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(spec, f"expected JSON, but {error}", "restore the file") from None
    if not isinstance(content, dict):
        raise InputError(spec, f"expected nnU-Net's keys, found {type(content).__name__}", "restore the file")
    about = {key: content[key] for key in ("labels", "file_ending", "channel_names", "patients") if key in content}
    if isinstance(labels := about.get("labels"), dict):
        about["labels"] = labels = {name: value for name, value in labels.items() if name != "background"}
        if labels and all(name.isdecimal() for name in labels):
            found = "`labels`: expected name: value, as nnU-Net 2 has them, found value: name"
            raise InputError(spec, found, 'exchange them: {"background": 0, "liver": 1}')
        if regions := [name for name, value in labels.items() if isinstance(value, list)]:
            found = f"`labels`: expected a value for each, found regions: {', '.join(regions)}"
            raise InputError(spec, found, "give each structure a value of its own")
    if isinstance(channels := about.get("channel_names"), dict):
        about["channel_names"] = {"0": channels.get("0", "CT")}
    return validated(about, NnUNetSpec, spec)


def _modality(channel: str, spec: Path) -> str:
    """CT or MR, by what dataset.json calls channel 0: nnU-Net knows "CT", and any other name for anything else."""
    if re.search(r"(?<![A-Z])CT(?![A-Z])", channel.upper()):
        return "CT"
    if MR_NAMES.search(channel.upper()):
        return "MR"
    raise InputError(
        spec,
        f"expected `channel_names` to say whether channel 0 is of CT or MR, found {channel!r}",
        'write "CT", or "MR" and what you like: {"0": "CT"}',
    )


def read_annotated_image(case: Case, names: LabelNames, ignored: int) -> Grid:
    """The slices of a case's image that were annotated, with a note in `mended` where that isn't all of them.

    Args:
        names: Of the labels other than `ignore`.
        ignored: The value of `ignore`.

    Raises:
        Reject: The image or its label map can't be used, or no annotated slice holds an organ.
    """
    grid = read_image(case)
    raw = read_aligned(case.label, grid)
    axis, start, stop = _annotated(case, raw, grid.affine, names, ignored)
    n = raw.shape[axis]
    if stop - start == n:
        return grid
    holding = int(_holding(raw == ignored, axis).sum())
    note = f"label {IGNORE} (not annotated) in {holding} of {n} slices: {stop - start} of {n} in a row kept"
    cut = _cut(grid, axis, start, stop)
    return Grid(cut.array, cut.affine, (*grid.mended, note))


def read_annotated_label(case: Case, grid: Grid, names: LabelNames, ignored: int) -> LabelMap:
    """The labels of the slices that `read_annotated_image` kept; parameters and errors as there."""
    whole = read_nifti(case.label)
    # The image's axes, not the label map's own, which may differ within a tolerance: both must be cut alike.
    axis, start, stop = _annotated(case, whole.array, grid.affine, names, ignored)
    return relabel(aligned(_cut(whole, axis, start, stop), grid, case.label), names)


def _annotated(
    case: Case, raw: np.ndarray, affine: np.ndarray, names: LabelNames, ignored: int
) -> tuple[int, int, int]:
    """The axis that runs through the display frame's slices, and the first and last (exclusive) slice on it of the run
    without `ignored` that has the most slices with an organ.

    Raises:
        Reject: No slice without it has an organ.
    """
    axis = int(np.flatnonzero(io_orientation(affine)[:, 0] == 2)[0])
    unknown = _holding(raw == ignored, axis)
    organs = _holding(np.isin(raw, [value for value, name in names.items() if organ_id(name)]), axis)
    ends = [-1, *np.flatnonzero(unknown).tolist(), len(unknown)]
    runs = [(before + 1, after) for before, after in pairwise(ends)]
    start, stop = max(runs, key=lambda run: int(organs[slice(*run)].sum()))
    if unknown.any() and not organs[start:stop].any():
        raise Reject(
            f"{case.label.name}: expected slices with an organ and without the label {IGNORE} ({ignored}), found it in"
            f" {int(unknown.sum())} of {len(unknown)} slices, all those with an organ among them: annotate whole slices"
        )
    return axis, start, stop


def _holding(mask: np.ndarray, axis: int) -> np.ndarray:
    """Which slices along an axis hold a voxel of a bool `[I, J, K]` mask."""
    return np.asarray(np.moveaxis(mask, axis, 0).reshape(mask.shape[axis], -1).any(axis=1))


def _cut(grid: Grid, axis: int, start: int, stop: int) -> Grid:
    """Slices `start` to `stop` (exclusive) along an axis, where they lie."""
    affine = grid.affine.copy()
    affine[:3, 3] += start * affine[:3, axis]
    return Grid(grid.array[(slice(None),) * axis + (slice(start, stop),)], affine, grid.mended)
