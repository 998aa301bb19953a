"""The cases of a dataset whose images and labels are found by patterns of paths."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path

from corpus.errors import InputError
from corpus.params import params_dataclass
from corpus.scans.volumes import Case

MISSING_SOURCE_FIX = "correct `ingest.sources` in params.yaml (or --root), or put the data there"
NIFTI_ENDING = re.compile(r"\.nii(?:\.gz)?$", re.IGNORECASE)


@params_dataclass
class Split:
    """Where one part of a dataset lies, relative to its root; `{case}` is the part of the paths that varies."""

    image: str
    label: str
    case: str = "[^/]+"
    """What `{case}` may be: a regular expression, whose named groups `volume` and `patient` may use."""
    volume: str = "{case}"
    patient: str = "{case}"
    """What scans of one patient share."""
    modality: str = "CT"

    def __post_init__(self) -> None:
        try:
            known = dict.fromkeys((*re.compile(self.case).groupindex, "case"), "")
            for template in (self.label, self.volume, self.patient):
                template.format(**known)
        except re.error as error:
            raise ValueError(f"case must be a regular expression, but {error}") from None
        except KeyError as error:
            raise ValueError(f"{{{error.args[0]}}} must be `case` or a named group of its expression") from None
        if "{case}" not in self.image:
            raise ValueError("image must have {case} in it")


def with_patients(
    cases: Sequence[Case], patients: Mapping[str, str | int], where: Path, elsewhere: Collection[str] = ()
) -> list[Case]:
    """The cases, with the patients that a list says which scans are of; any other scan's patient is its own.

    As in DICOM's PatientID, blanks around a name and the case of its letters mean nothing: one person stays one, spelt
    as first met.

    Args:
        patients: Volume -> patient.
        where: The list's file.
        elsewhere: Volumes that may be listed too, though they aren't cases.

    Raises:
        InputError: The list names a scan that isn't there: a patient whose scans it was to keep together would be
            trained and tested on.
    """
    volumes = {*(case.volume for case in cases), *elsewhere}
    if unknown := sorted({*patients} - volumes):
        raise InputError(
            where,
            f"expected `patients` to name volumes, such as {min(volumes)!r}, found {', '.join(unknown[:5])}",
            "correct the names: no file has these",
        )
    names = [str(patients.get(case.volume, case.patient)).strip() for case in cases]
    spelt: dict[str, str] = {}
    return [replace(case, patient=spelt.setdefault(n.casefold(), n)) for case, n in zip(cases, names, strict=True)]


def find_cases(root: Path, splits: Sequence[Split]) -> list[Case]:
    """The cases of every split that is there, each split's in order of path; then, as cases with a `problem`, labels
    without an image, folders of cases that can't be looked into, and what lies among the images and has a name that no
    split's `case` fits, or another of NIfTI's endings. Hidden files, such as the `._` copies in archives made on a Mac,
    are passed over.

    Raises:
        InputError: No split has an image, or two scans have one name.
    """
    cases: list[Case] = []
    seen: set[Path] = set()
    for split in splits:
        parts = split.image.split("{case}")
        again = "(?P=case)".join(re.escape(part) for part in parts[1:])
        path_of_case = re.compile(f"{re.escape(parts[0])}(?P<case>{split.case}){again}")
        for path in sorted(_visible(root, "*".join(escape(part) for part in parts))):
            seen.add(path)
            if match := path_of_case.fullmatch(path.relative_to(root).as_posix()):
                groups = match.groupdict(default="")
                volume, patient = split.volume.format(**groups), split.patient.format(**groups)
                cases.append(Case(volume, patient, path, root / split.label.format(**groups), split.modality))
    if not cases:
        expected = " or ".join(dict.fromkeys(split.image for split in splits))
        raise InputError(root, f"expected images {expected}, found none", MISSING_SOURCE_FIX)
    _told_apart(cases, root)
    known = {path for case in cases for path in (case.image, case.label)}
    labels = {path for split in splits for path in _visible(root, _pattern(split.label))}
    otherwise = {path for split in splits for path in _ending_otherwise(root, split.image)} - known - seen
    read = {folder for path in seen for folder in path.parents}
    problems = {
        "expected an image beside this label whose name fits, found none": labels - known - seen,
        "expected a folder to look into: correct its permissions": _closed(root, splits) - read,
        "its name fits no split's `case` in the dataset's YAML": seen - known,
        "its ending isn't that of `image` in the dataset's YAML: rename or convert it, and its labels": otherwise,
    }
    unfit = [(path, problem) for problem, paths in problems.items() for path in sorted(paths)]
    named = [(path, path.relative_to(root).as_posix(), problem) for path, problem in unfit]
    return cases + [Case(name, name, path, path, problem=problem) for path, name, problem in named]


def _told_apart(cases: Sequence[Case], root: Path) -> None:
    first: dict[str, Case] = {}
    for case in cases:
        if (other := first.setdefault(case.volume, case)) is not case:
            raise InputError(
                root,
                f"expected one scan for each name, but {other.image} and {case.image} are both {case.volume!r}",
                "rename one, or tell them apart by `volume` in the dataset's YAML",
            )


def _closed(root: Path, splits: Sequence[Split]) -> set[Path]:
    """Folders of cases, or of a split's images, that this user may not read: a pattern passes them over."""
    folders = {re.sub(r"(\{case\}[^/]*)/.*", r"\1", split.image) for split in splits}
    folders |= {split.image.partition("{case}")[0].rpartition("/")[0] for split in splits} - {""}
    found = {path for folder in folders for path in _visible(root, _pattern(folder)) if path.is_dir()}
    return {path for path in found if not os.access(path, os.R_OK | os.X_OK)}


def _ending_otherwise(root: Path, template: str) -> list[Path]:
    """NIfTI files whose paths fit a template, ".../{case}.nii.gz", but for the ending: ".nii", or ".NII.GZ"; not an
    unpacked copy beside the file."""
    stem = NIFTI_ENDING.sub("", template)
    ending = template.removeprefix(stem)
    found = [path for path in _visible(root, _pattern(stem) + ".*") if NIFTI_ENDING.search(path.name)] if ending else []
    return [path for path in found if not path.with_name(NIFTI_ENDING.sub("", path.name) + ending).exists()]


def _pattern(template: str) -> str:
    """What finds all paths of a template, "label/{case}.nii.gz" or "{patient}_{scan}": a star for each part that
    varies."""
    fixed = re.split(r"\{\w+\}", template)
    return re.sub(r"\*+", "*", "*".join(map(escape, fixed)))


def _visible(root: Path, pattern: str) -> list[Path]:
    found = root.glob(pattern)
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]
