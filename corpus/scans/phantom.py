"""The built-in phantom cohort: synthetic CT volumes of the 24 organs, written in nnU-Net's raw layout.

phantom.yaml holds the anatomy, phantom_body.py what differs between patients, phantom_canvas.py the painting, shapes.py
the geometry. A patient is a pure function of (seed, index): the same bytes on any machine, with any number of workers.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from corpus.files import replacing
from corpus.parallel import run_tasks
from corpus.scans.phantom_body import FINE, Facts, PhantomParams, anatomy, case_name, draw_body
from corpus.scans.phantom_canvas import Canvas

__all__ = ["VALUES", "Patient", "PhantomParams", "render_patient", "write_cohort"]

VALUES = {organ.name: value for value, organ in enumerate(FINE, start=1)}
"""Organ name -> its value in the files: nnU-Net wants consecutive integers, so the union is skipped."""


@dataclass(frozen=True)
class Patient:
    """A rendered patient in the display frame: HU and organ ids, both `[Z, Y, X]` with z from feet to head."""

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    facts: Facts


def render_patient(params: PhantomParams, index: int) -> Patient:
    """Patient `index` (0-based) of the cohort.

    Label values are the ids of corpus.anatomy; the union "kidney" never occurs.
    """
    body = draw_body(params, index)
    canvas = Canvas(params, body)
    canvas.paint_table()
    for row in anatomy().rows:
        if row.name in body.draws:
            canvas.paint(row, body.draws[row.name])
    return Patient(canvas.finish(params), canvas.label, body.facts)


def save_nifti(volume: NDArray[np.generic], params: PhantomParams, orientation: str, path: Path) -> None:
    """Write a display-frame volume `[Z, Y, X]` with its axes stored in another order, which the header tells truly."""
    spacing = (params.spacing_mm, params.spacing_mm, params.slice_mm)
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(tuple(orientation)))
    array = volume.transpose(2, 1, 0)
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(array.shape) - 1) / 2)
    affine = affine @ inv_ornt_aff(turn, array.shape)
    image = nib.Nifti1Image(np.ascontiguousarray(apply_orientation(array, turn)), affine)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    image.header.set_xyzt_units("mm")
    with replacing(path) as part:
        part.write_bytes(image.to_bytes())


def write_patient(params: PhantomParams, out: Path, index: int) -> None:
    """Render patient `index` and write its image and label."""
    patient = render_patient(params, index)
    case, orientation = patient.facts.case, patient.facts.orientation
    values = np.zeros(256, np.uint8)
    for organ in FINE:
        values[organ.id] = VALUES[organ.name]
    save_nifti(patient.image, params, orientation, out / "imagesTr" / f"{case}_0000.nii")
    save_nifti(values[patient.label], params, orientation, out / "labelsTr" / f"{case}.nii")


def write_cohort(params: PhantomParams, out: Path, done: Callable[[int], None] = lambda index: None) -> None:
    """Write the cohort in nnU-Net's raw layout: imagesTr, labelsTr and dataset.json, and patients.csv beside them.

    Args:
        params: What to draw.
        out: Folder of the cohort. Cases that an earlier, larger cohort left there are removed.
        done: Called with the number of every patient once its files are written.
    """
    cases = [case_name(index) for index in range(params.patients)]
    keep = {f"{case}_0000.nii" for case in cases} | {f"{case}.nii" for case in cases}
    for folder in (out / "imagesTr", out / "labelsTr"):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("phantom_*"):
            if path.name not in keep:
                path.unlink()
    run_tasks(partial(write_patient, params, out), range(params.patients), done)
    table = io.StringIO()
    rows = [asdict(draw_body(params, index).facts) for index in range(params.patients)]
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replacing(out / "patients.csv") as part:
        part.write_bytes(table.getvalue().encode())
    dataset = {
        "name": "FLanS phantom cohort",
        "description": f"Synthetic {params.modality}, drawn by a program: for trying the software, not for patients.",
        "channel_names": {"0": params.modality},
        "labels": {"background": 0, **VALUES},
        "numTraining": params.patients,
        "file_ending": ".nii",
    }
    with replacing(out / "dataset.json") as part:
        part.write_text(json.dumps(dataset, indent=2) + "\n", encoding="utf-8", newline="\n")
