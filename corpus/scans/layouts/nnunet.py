"""Layout `nnunet`: nnU-Net raw data. dataset.json, imagesTr/<case>_0000.<ending>, labelsTr/<case>.<ending>.

An optional key `patients` (case: patient) in dataset.json says which scans are of one patient; nnU-Net ignores it.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from corpus.errors import InputError
from corpus.params import params_dataclass
from corpus.scans.layouts.cases import MISSING_SOURCE_FIX
from corpus.scans.layouts.files import read_image, read_label
from corpus.scans.layouts.labels import check_any_organ
from corpus.scans.volumes import Case, Source


@params_dataclass
class NnUNet:
    """Everything is in dataset.json."""

    def open(self, root: Path) -> Source:
        """The dataset at `root`."""
        spec = root / "dataset.json"
        if not spec.is_file():
            raise InputError(spec, "expected nnU-Net's dataset.json, found no such file", MISSING_SOURCE_FIX)
        try:
            content = json.loads(spec.read_text(encoding="utf-8"))
            names = {int(value): name for name, value in content["labels"].items() if name != "background"}
            patients = {str(case): str(patient) for case, patient in content.get("patients", {}).items()}
            ending, channel = str(content["file_ending"]), str(content["channel_names"].get("0", "CT"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                spec,
                f"expected nnU-Net's keys labels (name: integer), file_ending and channel_names, but {error!r}",
                "see nnU-Net's documentation of dataset.json",
            ) from None
        check_any_organ(names.values(), spec)
        modality = "MR" if "MR" in channel.upper() else "CT"
        cases = []
        for path in sorted((root / "imagesTr").glob(f"[!.]*_0000{ending}")):
            case = path.name.removesuffix(f"_0000{ending}")
            cases.append(Case(case, patients.get(case, case), path, root / "labelsTr" / (case + ending), modality))
        if not cases:
            raise InputError(root / "imagesTr", f"expected <case>_0000{ending}, found none", MISSING_SOURCE_FIX)
        return Source(cases, read_image, partial(read_label, names=names))
