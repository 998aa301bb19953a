"""From a dataset's label values, and from its named masks, to organ ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from corpus.anatomy import BY_NAME, UNIONS, canonical_name
from corpus.errors import InputError
from corpus.params import params_dataclass
from corpus.scans.volumes import LabelMap, Reject


def organ_id(name: str) -> int | None:
    """The id of the organ that a dataset calls `name`, if the vocabulary has one."""
    found = canonical_name(name)
    return BY_NAME[found].id if found else None


def _without_background(names: dict[int, str]) -> dict[int, str]:
    if organ_id(names.get(0, "")):
        raise ValueError(f"0 is the background, found {names[0]}")
    return {value: name for value, name in names.items() if value}


LabelNames = Annotated[dict[Annotated[int, Field(ge=0)], str], Field(min_length=1), AfterValidator(_without_background)]
"""Value in a label map -> what it stands for; several values may stand for one organ."""


def check_any_organ(names: Collection[str], where: Path) -> None:
    """Refuse a dataset without a single label to learn from.

    Args:
        where: The file that the names are from.

    Raises:
        InputError: No name is an organ of the vocabulary.
    """
    if not any(organ_id(name) for name in names):
        meant = [(name, close[0]) for name in names if (close := get_close_matches(name.lower(), BY_NAME, 1, 0.75))]
        mend = f"write {', '.join(f'{organ} for {name}' for name, organ in meant)}, or " if meant else ""
        raise InputError(
            where,
            f"expected labels that are organs of the vocabulary, found only {', '.join(names)}",
            f"{mend}leave this data set out: there is nothing in it to learn organs from",
        )


def relabel(raw: np.ndarray, names: LabelNames) -> LabelMap:
    """Organ ids for a map of a dataset's label values. A union that is drawn takes in its parts, where all are named.

    Args:
        raw: `[I, J, K]`, 0 for background.
        names: A value whose name is no organ of the vocabulary is dropped.

    Raises:
        Reject: A value has no name.
    """
    drawn = set(np.unique(raw).tolist()) - {0}
    unknown = sorted(drawn - names.keys())
    if unknown:
        raise Reject(f"label values {unknown[:10]} are not in the source's label map")
    lookup = np.zeros(max(names) + 1, np.uint8)
    for value, name in names.items():
        lookup[value] = organ_id(name) or 0
    organs = {organ_id(names[value]) for value in drawn}
    for union, parts in UNIONS.items():
        if union in organs and np.isin(parts, lookup).all():
            # Drawn without a side, it may be either: of this scan the parts are unknown, not absent.
            lookup[np.isin(lookup, parts)] = union
    return LabelMap(
        lookup[raw if raw.dtype.kind in "iu" else raw.astype(np.int64)],
        frozenset(lookup[lookup > 0].tolist()),
        frozenset(name for name in names.values() if organ_id(name) is None),
    )


@params_dataclass
class StructureNames:
    """How a dataset of named masks calls the organs, beyond the names that the vocabulary itself knows, in any case of
    letters: planning systems write TG-263's "Lung_L" in capitals too."""

    names: dict[str, str | None] = Field(default_factory=dict)
    """Structure -> organ, or null for one that is none whatever its name says."""
    parts: dict[str, list[str]] = Field(default_factory=dict)
    """Organ -> structures that only together are it; where one is missing, the organ is not labelled."""

    def __post_init__(self) -> None:
        unknown = [n for n in (*self.names.values(), *self.parts) if n is not None and organ_id(n) is None]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: expected organs of corpus/organs.yaml")

    def uses(self, structure: str) -> bool:
        """Whether a structure is an organ of the vocabulary, or a part of one."""
        parts = {part.casefold() for structures in self.parts.values() for part in structures}
        return structure.casefold() in parts or bool(self.organs([structure]))

    def organs(self, found: Collection[str]) -> dict[int, list[str]]:
        """The structures among `found` that make up each organ, by ascending organ id."""
        names = {structure.casefold(): name for structure, name in self.names.items()}
        parts = {organ: {part.casefold() for part in structures} for organ, structures in self.parts.items()}
        spelt: dict[str, list[str]] = {}
        for structure in sorted(set(found)):
            spelt.setdefault(structure.casefold(), []).append(structure)
        organs: dict[int, list[str]] = {}
        for key in sorted(spelt.keys() - set().union(*parts.values())):
            for structure in spelt[key]:
                name = names.get(key, structure)
                if name is not None and (organ := organ_id(name)):
                    organs.setdefault(organ, []).append(structure)
        for name, keys in parts.items():
            if (organ := organ_id(name)) and keys <= spelt.keys():
                organs.setdefault(organ, []).extend(structure for key in sorted(keys) for structure in spelt[key])
        return dict(sorted(organs.items()))


def paint(shape: tuple[int, ...], masks: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """One label map from masks that may overlap: a voxel goes to the smallest organ that claims it.

    Args:
        shape: `(I, J, K)`.
        masks: Organ ids, each once, and their bool `[I, J, K]` masks.

    Returns:
        uint8 `[I, J, K]` organ ids.
    """
    organs, voxels = np.zeros(shape, np.uint8), dict[int, int]()
    for organ, mask in masks:
        claimed = int(np.count_nonzero(mask))
        kept = [other for other, n in voxels.items() if n <= claimed]
        organs[mask & ~np.isin(organs, kept)] = organ
        voxels[organ] = claimed
    return organs


def gather(
    found: Collection[str], mask_of: Callable[[str], np.ndarray], naming: StructureNames, shape: tuple[int, ...]
) -> LabelMap:
    """The label map of a case whose structures each have a mask.

    Args:
        found: Names of the structures.
        mask_of: Reads a structure's bool `[I, J, K]` mask.
        shape: `(I, J, K)`.
    """
    organs = naming.organs(found)
    labelled = {o for o in organs if o not in UNIONS or not set(UNIONS[o]) <= set(organs)}

    def masks() -> Iterator[tuple[int, np.ndarray]]:
        # One organ at a time: all masks of a whole body at once would take gigabytes.
        for organ in sorted(labelled):
            mask = np.zeros(shape, bool)
            for structure in organs[organ]:
                mask |= mask_of(structure)
            yield organ, mask

    dropped = set(found).difference(*organs.values())
    return LabelMap(paint(shape, masks()), frozenset(labelled), frozenset(dropped))
