"""Dataset adapters: from a dataset's own layout to cases, and from a case to a volume in the display frame.

A dataset is one YAML in `datasets/`: `layout` names one of LAYOUTS, and the other keys are that layout's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from corpus.errors import InputError
from corpus.params import read_yaml, validated
from corpus.scans.intensity import harmonise
from corpus.scans.layouts.cases import MISSING_SOURCE_FIX
from corpus.scans.layouts.chaos import Chaos
from corpus.scans.layouts.dicom_tree import DicomTree
from corpus.scans.layouts.files import Files
from corpus.scans.layouts.labels import check_any_organ
from corpus.scans.layouts.nnunet import NnUNet
from corpus.scans.layouts.png import Png
from corpus.scans.layouts.structures import Structures
from corpus.scans.orientation import axis_codes, square_pixels, to_display
from corpus.scans.volumes import Case, Reject, Source, Volume


class Layout(Protocol):
    """How a dataset's files lie on disk."""

    def open(self, root: Path) -> Source:
        """The dataset at `root`.

        Raises:
            InputError: It lies in another layout, or labels no organ.
        """


LAYOUTS: dict[str, type[Layout]] = {
    "files": Files,
    "nnunet": NnUNet,
    "structures": Structures,
    "chaos": Chaos,
    "dicom": DicomTree,
    "png": Png,
}
SHOWN = 10
"""Names that are listed where no structure is an organ."""
DATASETS = Path(__file__).with_name("datasets")
ADAPTERS: dict[str, Path] = {spec.stem: spec for spec in sorted(DATASETS.glob("*.yaml"))}


def load_layout(spec: Path) -> Layout:
    """The layout that a dataset's YAML describes.

    Raises:
        InputError: It names no layout, or a key of it is missing, unknown or wrong.
    """
    content = read_yaml(spec)
    layout = content.pop("layout", None) if isinstance(content, dict) else None
    if layout not in LAYOUTS:
        raise InputError(spec, f"expected `layout` to be one of {', '.join(LAYOUTS)}, found {layout!r}", "choose one")
    return validated(content, LAYOUTS[layout], spec)


def check_adapter(adapter: str, where: str) -> None:
    """See that there is such an adapter.

    Raises:
        InputError: There is none; `where` says who named it.
    """
    if adapter not in ADAPTERS:
        raise InputError(where, f"expected an adapter of {', '.join(ADAPTERS)}, found {adapter!r}", "choose one")


def open_source(adapter: str, root: Path) -> Source:
    """Open a dataset.

    Raises:
        InputError: No such adapter, none of its labels is an organ, no such folder, or a folder in another layout.
    """
    check_adapter(adapter, "ingest.sources of params.yaml, or --adapter")
    if not root.is_dir():
        raise InputError(root.absolute(), "expected the source's folder, found none", MISSING_SOURCE_FIX)
    layout = load_layout(ADAPTERS[adapter])
    if isinstance(layout, Files):  # the one layout whose label values are named in the YAML, not beside the scans
        check_any_organ(layout.labels.values(), ADAPTERS[adapter])
    source = layout.open(root)
    return replace(source, cases=[_with_a_name(case) for case in source.cases])


def _with_a_name(case: Case) -> Case:
    """The case; where a name isn't UTF-8, which no table can hold, it is of no use, and spelt in other characters."""
    told = (case.volume, case.patient, str(case.image), str(case.label))
    spelt = tuple(text.encode(errors="backslashreplace").decode() for text in told)
    if spelt == told:
        return case
    volume, patient, image, label = spelt
    problem = "expected a file name in UTF-8; rename it, with `convmv -f latin1 -t utf-8` for instance"
    return replace(case, volume=volume, patient=patient, image=Path(image), label=Path(label), problem=problem)


def read_case(case: Case, source: Source) -> Volume:
    """Read one labelled scan into the display frame, its label map in the vocabulary's ids.

    Raises:
        Reject: The volume can't be used, with the reason.
    """
    if case.problem:
        raise Reject(case.problem)
    try:
        return _read(case, source)
    except (Reject, MemoryError):
        raise
    except Exception as error:  # what no reader foresaw of one volume's files must not stop the others
        raise Reject(f"can't be read ({type(error).__name__}: {error})") from error


def _read(case: Case, source: Source) -> Volume:
    grid = source.read_image(case)
    labels = source.read_label(case, grid)
    if not labels.organs.any():
        found = ", ".join(sorted(labels.dropped)[:SHOWN]) + (", ..." if len(labels.dropped) > SHOWN else "")
        unknown = f": {found} are none, by the dataset's YAML and corpus/organs.yaml" if not labels.labelled else ""
        raise Reject(f"{case.label.name}: the label map has no organ of the vocabulary{unknown}")
    harmonised, intensity = harmonise(grid.array, case.modality, case.image.name)
    image, own = to_display(harmonised, grid.affine)
    organs, _ = to_display(labels.organs, grid.affine)
    image, spacing = square_pixels(image, own)
    resampled = "" if spacing == own else f"pixels of {own[1]:g} x {own[2]:g} mm resampled to squares"
    return Volume(
        image,
        square_pixels(organs, own, nearest=True)[0],
        spacing,
        labels.labelled,
        labels.dropped,
        case.modality,
        axis_codes(grid.affine),
        intensity,
        grid.mended + labels.mended + ((resampled,) if resampled else ()),
    )
