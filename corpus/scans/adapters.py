"""Dataset adapters: from a dataset's own layout to cases, and from a case to a volume in the display frame.

A dataset whose images and label maps are files named by case needs no code: one YAML in `datasets/` with
`image` and `label` patterns (`{case}` is the varying part), the modality, and the label map into the vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from corpus.anatomy import BY_NAME, canonical_name
from corpus.errors import InputError
from corpus.params import read_yaml
from corpus.scans.orientation import axis_codes, to_display

DATASETS = Path(__file__).with_name("datasets")
MISSING_SOURCE_FIX = "correct `ingest.sources` in params.yaml, or put the data there"


class Reject(Exception):
    """One volume that can't be used; its message is the reason in the rejects table."""


@dataclass(frozen=True)
class Case:
    """One labelled scan on disk. `volume` is unique in its source; scans of one `patient` stay in one split."""

    volume: str
    patient: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Source:
    """A dataset, opened: its cases, and label value -> organ id for what it labels."""

    cases: list[Case]
    labels: dict[int, int]
    dropped: dict[int, str]
    """Label values that the vocabulary has no organ for."""
    modality: str = "CT"


@dataclass(frozen=True)
class Volume:
    """A scan in the display frame: `image` int16 HU and `label` uint8 organ ids, both `[Z, H, W]`; `spacing` (z, y,
    x) mm."""

    image: np.ndarray
    label: np.ndarray
    spacing: tuple[float, float, float]
    orientation: str
    """Where the file's axes pointed, for example "RAS"."""


def label_map(names: dict[int, str]) -> tuple[dict[int, int], dict[int, str]]:
    """Label value -> organ id, and the values whose names the vocabulary doesn't know."""
    known = {value: canonical_name(name) for value, name in names.items()}
    return (
        {value: BY_NAME[name].id for value, name in known.items() if name},
        {value: names[value] for value, name in known.items() if name is None},
    )


def _open_patterned(spec: Path) -> Callable[[Path], Source]:
    def open_source(root: Path) -> Source:
        layout = read_yaml(spec)
        labels, dropped = label_map(layout["labels"])
        before, after = layout["image"].split("{case}")
        names = re.compile(re.escape(before) + r"(?P<case>[^/]+)" + re.escape(after))
        cases = []
        for path in sorted(root.glob(layout["image"].format(case="*"))):
            match = names.fullmatch(path.relative_to(root).as_posix())
            if match:
                case = match["case"]
                cases.append(Case(case, case, path, root / layout["label"].format(case=case)))
        if not cases:
            raise InputError(root, f"expected images {layout['image']}, found none", MISSING_SOURCE_FIX)
        return Source(cases, labels, dropped, layout["modality"])

    return open_source


def _open_nnunet(root: Path) -> Source:
    """nnU-Net raw data: dataset.json, imagesTr/<case>_0000.<ending>, labelsTr/<case>.<ending>."""
    spec = root / "dataset.json"
    if not spec.is_file():
        raise InputError(spec, "expected nnU-Net's dataset.json, found no such file", MISSING_SOURCE_FIX)
    try:
        content = json.loads(spec.read_text(encoding="utf-8"))
        names = {int(value): name for name, value in content["labels"].items() if name != "background"}
        ending, channels = content["file_ending"], content["channel_names"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            spec,
            f"expected nnU-Net's keys labels (name: integer), file_ending and channel_names, but {error!r}",
            "see nnU-Net's documentation of dataset.json",
        ) from None
    labels, dropped = label_map(names)
    images = sorted((root / "imagesTr").glob(f"*_0000{ending}"))
    if not images:
        raise InputError(root / "imagesTr", f"expected <case>_0000{ending}, found none", MISSING_SOURCE_FIX)
    cases = [
        Case(case := p.name.removesuffix(f"_0000{ending}"), case, p, root / "labelsTr" / (case + ending))
        for p in images
    ]
    modality = "MR" if "MR" in str(channels.get("0", "CT")).upper() else "CT"
    return Source(cases, labels, dropped, modality)


ADAPTERS: dict[str, Callable[[Path], Source]] = {
    "nnunet": _open_nnunet,
    **{spec.stem: _open_patterned(spec) for spec in sorted(DATASETS.glob("*.yaml"))},
}


def open_source(adapter: str, root: Path) -> Source:
    """Open a dataset.

    Raises:
        InputError: No such adapter, no such folder, or a folder in another layout.
    """
    if adapter not in ADAPTERS:
        raise InputError(
            "params.yaml: ingest.sources",
            f"expected an adapter of {', '.join(ADAPTERS)}, found {adapter!r}",
            "choose one",
        )
    if not root.is_dir():
        raise InputError(root.absolute(), "expected the source's folder, found none", MISSING_SOURCE_FIX)
    return ADAPTERS[adapter](root)


def load_nifti(path: Path) -> nib.Nifti1Image:
    """Open a 3D NIfTI file.

    Raises:
        Reject: It is missing, unreadable or not 3D.
    """
    try:
        image = nib.load(path)
    except Exception as error:
        raise Reject(f"{path.name}: expected a readable NIfTI file, but {type(error).__name__}: {error}") from None
    if not isinstance(image, nib.Nifti1Image) or len(image.shape) != 3:
        raise Reject(f"{path.name}: expected a 3D volume, found shape {getattr(image, 'shape', '?')}")
    return image


def _voxels(image: nib.Nifti1Image, path: Path) -> np.ndarray:
    try:
        return np.asanyarray(image.dataobj)
    except Exception as error:
        raise Reject(f"{path.name}: the voxels can't be read ({type(error).__name__}: {error})") from None


def to_hu(array: np.ndarray, name: str) -> np.ndarray:
    """Round to int16 HU.

    Raises:
        Reject: NaN or infinite voxels, or values that are not CT-like.
    """
    if not np.isfinite(array).all():
        raise Reject(f"{name}: {np.count_nonzero(~np.isfinite(array))} voxels are NaN or infinite")
    low, high = float(array.min()), float(array.max())
    if low > -100 or high < 50:
        raise Reject(f"{name}: expected HU with air and tissue, found values from {low:g} to {high:g}")
    return np.clip(np.rint(array), -32768, 32767).astype(np.int16)


def read_case(case: Case, source: Source) -> Volume:
    """Read one labelled scan into the display frame, its label map in the vocabulary's ids.

    Raises:
        Reject: The volume can't be used, with the reason.
    """
    image, label = load_nifti(case.image), load_nifti(case.label)
    if image.shape != label.shape:
        raise Reject(f"the label map's shape {label.shape} differs from the image's {image.shape}")
    if not np.allclose(image.affine, label.affine, atol=1e-2):
        raise Reject("the label map's affine differs from the image's")
    hu = to_hu(_voxels(image, case.image), case.image.name)
    raw = _voxels(label, case.label)
    values = np.unique(raw)
    unknown = [v for v in values.tolist() if v != 0 and v not in source.labels and v not in source.dropped]
    if unknown:
        raise Reject(f"label values {unknown[:10]} are not in the source's label map")
    lookup = np.zeros(int(values.max()) + 1, np.uint8)
    for value, organ in source.labels.items():
        if value < len(lookup):
            lookup[value] = organ
    organs = lookup[raw.astype(np.int64)]
    if not organs.any():
        raise Reject("the label map has no organ of the vocabulary")
    hu, spacing = to_display(hu, image.affine)
    organs, _ = to_display(organs, label.affine)
    return Volume(hu, organs, spacing, axis_codes(image.affine))
