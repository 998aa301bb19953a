"""The phantom cohort: deterministic, anatomically plausible, and written as its headers say."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import aff2axcodes
from scipy.ndimage import binary_fill_holes

from corpus.anatomy import BY_NAME, ORGANS
from corpus.scans.phantom import VALUES, Patient, PhantomParams, render_patient, write_cohort
from corpus.scans.phantom_body import anatomy, draw_body

COARSE = PhantomParams(patients=6, size=96, spacing_mm=4.0, slice_mm=7.0)
TINY = PhantomParams(patients=3, size=32, spacing_mm=12.0, slice_mm=24.0)
FINE_IDS = {organ.id for organ in ORGANS if not organ.parts}

# Plausible median HU over all phases.
HU = {
    "liver": (40, 130),
    "spleen": (30, 140),
    "left kidney": (15, 220),
    "right kidney": (15, 220),
    "pancreas": (20, 115),
    "gallbladder": (-5, 60),
    "aorta": (30, 360),
    "inferior vena cava": (30, 160),
    "portal vein and splenic vein": (20, 185),
    "left adrenal gland": (0, 100),
    "right adrenal gland": (0, 100),
    "bladder": (-5, 50),
    "prostate": (25, 95),
    "seminal vesicles": (-10, 60),
    "left head of femur": (200, 600),
    "right head of femur": (200, 600),
    "lung": (-900, -700),
}


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [render_patient(COARSE, index) for index in range(COARSE.patients)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def centroid(patient: Patient, organ: str) -> np.ndarray:
    """Mean (z, y, x) of an organ, in voxels."""
    return np.argwhere(patient.label == BY_NAME[organ].id).mean(axis=0)


def has(patient: Patient, *organs: str) -> bool:
    return not set(organs) & set(patient.facts.missing_organs.split(";"))


def test_same_bytes_again_and_with_two_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    write_cohort(TINY, tmp_path / "once", done.append)
    write_cohort(TINY, tmp_path / "again")
    monkeypatch.setenv("FLANS_WORKERS", "2")
    write_cohort(TINY, tmp_path / "pool")
    once = contents(tmp_path / "once")
    assert len(once) == 2 * TINY.patients + 2
    assert done == [0, 1, 2]
    assert once == contents(tmp_path / "again")
    assert once == contents(tmp_path / "pool")


def test_the_anatomy_table_is_consistent() -> None:
    rows, tissues = anatomy().rows, set(anatomy().tissues)
    names = [row.name for row in rows]
    assert len(names) == len(set(names))
    assert {organ.name for organ in ORGANS if not organ.parts} <= set(names)
    assert {row.tissue for row in rows} | {row.rind[1] for row in rows if row.rind} <= tissues
    assert {row.follow for row in rows if row.follow} <= set(names)
    assert all(bool(row.shapes) != bool(row.region) for row in rows)


def test_seed_and_index_change_the_patient_and_the_size_of_the_cohort_does_not() -> None:
    base = render_patient(TINY, 0).image
    assert (render_patient(replace(TINY, patients=9), 0).image == base).all()
    for other in (render_patient(TINY, 1), render_patient(replace(TINY, seed=1), 0)):
        assert other.image.shape != base.shape or (other.image != base).any()


def test_every_organ_occurs_and_the_union_never(patients: list[Patient]) -> None:
    found = {int(value) for patient in patients for value in np.unique(patient.label)}
    assert found == FINE_IDS | {0}


def test_what_a_patient_lacks_is_what_the_facts_say(patients: list[Patient]) -> None:
    for patient in patients:
        absent = {organ.name for organ in ORGANS if not organ.parts and not (patient.label == organ.id).any()}
        assert absent == set(filter(None, patient.facts.missing_organs.split(";")))


def test_organs_lie_inside_the_body(patients: list[Patient]) -> None:
    for patient in patients:
        for image, label in zip(patient.image, patient.label, strict=True):
            body = binary_fill_holes(image > -250)  # skin is closed, so that lung and gas are filled
            assert ((label > 0) & ~body).sum() <= 0.001 * (label > 0).sum()


@pytest.mark.parametrize("organ", HU)
def test_hounsfield_units_are_plausible(patients: list[Patient], organ: str) -> None:
    low, high = HU[organ]
    medians = [np.median(p.image[p.label == BY_NAME[organ].id]) for p in patients if has(p, organ)]
    assert medians
    assert low <= min(medians) <= max(medians) <= high


def test_left_is_left(patients: list[Patient]) -> None:
    left_of = [
        ("right kidney", "left kidney"),
        ("right head of femur", "left head of femur"),
        ("right adrenal gland", "left adrenal gland"),
        ("liver", "spleen"),
        ("liver", "stomach"),
        ("inferior vena cava", "aorta"),
        ("gallbladder", "pancreas"),
        ("duodenum", "stomach"),
    ]
    for patient in patients:
        for viewers_left, viewers_right in left_of:
            if has(patient, viewers_left, viewers_right):
                assert centroid(patient, viewers_left)[2] < centroid(patient, viewers_right)[2]


def test_the_colon_tells_left_from_right_in_the_pelvis(patients: list[Patient]) -> None:
    """Below the iliac crests the sigmoid lies on the left; the caecum on the right ends higher."""
    for patient in patients:
        columns = np.argwhere(patient.label == BY_NAME["colon"].id)
        lowest = columns[columns[:, 0] <= np.quantile(columns[:, 0], 0.12)]
        assert lowest[:, 2].mean() > COARSE.size / 2


def test_up_is_up_and_front_is_front(patients: list[Patient]) -> None:
    for patient in patients:
        for lower, upper in [("bladder", "liver"), ("left head of femur", "bladder"), ("rectum", "pancreas")]:
            assert centroid(patient, lower)[0] < centroid(patient, upper)[0]
        for front, back in [
            ("bladder", "rectum"),
            ("liver", "right adrenal gland"),
            ("pancreas", "left adrenal gland"),
        ]:
            assert centroid(patient, front)[1] < centroid(patient, back)[1]


def test_gas_rises_to_the_front_or_in_prone_patients_to_the_back() -> None:
    for index in range(20):
        if draw_body(COARSE, index).gravity < 0 or index < 3:
            patient = render_patient(COARSE, index)
            stomach = patient.label == BY_NAME["stomach"].id
            gas, rest = np.argwhere(stomach & (patient.image < -500)), np.argwhere(stomach & (patient.image > -100))
            assert (gas[:, 1].mean() < rest[:, 1].mean()) == (patient.facts.position == "supine")


def test_the_default_cohort_has_some_of_everything() -> None:
    facts = [draw_body(PhantomParams(), index).facts for index in range(PhantomParams().patients)]
    assert 0.2 <= sum(f.sex == "f" for f in facts) / len(facts) <= 0.4
    assert {f.phase for f in facts} == {"native", "arterial", "portal"}
    assert {f.habitus for f in facts} == {"thin", "average", "overweight", "obese"}
    assert {f.position for f in facts} == {"supine", "prone"}
    assert len({f.orientation for f in facts}) >= 5
    lost = {organ for f in facts for organ in f.missing_organs.split(";")}
    assert {"gallbladder", "prostate", "seminal vesicles"} <= lost
    assert lost & {"left kidney", "right kidney"}
    assert not any({"left kidney", "right kidney"} <= set(f.missing_organs.split(";")) for f in facts)


def test_headers_bring_every_case_to_the_display_frame(tmp_path: Path) -> None:
    params = replace(TINY, patients=12)
    write_cohort(params, tmp_path)
    rows = list(csv.DictReader((tmp_path / "patients.csv").open()))
    assert len({row["orientation"] for row in rows}) >= 4
    for index, row in enumerate(rows):
        patient = render_patient(params, index)
        for folder, suffix in (("imagesTr", "_0000"), ("labelsTr", "")):
            file = nib.load(tmp_path / folder / f"{row['case']}{suffix}.nii")
            assert "".join(aff2axcodes(file.affine)) == row["orientation"]
            canonical = nib.as_closest_canonical(file)
            assert canonical.header.get_zooms() == (12.0, 12.0, 24.0)
            display = np.asarray(canonical.dataobj)[::-1, ::-1].transpose(2, 1, 0)  # RAS to LPS, then [Z, Y, X]
            expected = patient.image if suffix else np.isin(patient.label, [0], invert=True)
            assert (display == expected if suffix else (display > 0) == expected).all()


def test_dataset_json_names_the_values_that_the_files_hold(tmp_path: Path) -> None:
    write_cohort(replace(TINY, patients=4), tmp_path)
    write_cohort(TINY, tmp_path)  # a smaller cohort leaves nothing of a larger one
    dataset = json.loads((tmp_path / "dataset.json").read_text())
    assert dataset["numTraining"] == len(list((tmp_path / "imagesTr").iterdir())) == 3
    assert len(list((tmp_path / "labelsTr").iterdir())) == 3
    assert dataset["file_ending"] == ".nii"
    assert "ynthetic" in dataset["description"]
    assert dataset["labels"] == {"background": 0, **VALUES}
    assert sorted(dataset["labels"].values()) == list(range(24))
    assert "kidney" not in dataset["labels"]
    for index in range(3):
        file = nib.load(tmp_path / "labelsTr" / f"phantom_{index + 1:03d}.nii")
        values, counts = np.unique(np.asarray(file.dataobj), return_counts=True)
        label = render_patient(TINY, index).label
        for name, value in VALUES.items():
            assert counts[values == value].sum() == (label == BY_NAME[name].id).sum()


def test_mr_shows_the_same_bodies_in_another_contrast(tmp_path: Path) -> None:
    ct, mr = (render_patient(replace(TINY, modality=each), 0) for each in ("CT", "MR"))
    assert np.array_equal(ct.label, mr.label)
    assert mr.image.min() >= 0
    subcutaneous = (ct.image > -130) & (ct.image < -80) & (ct.label == 0)
    assert np.median(mr.image[subcutaneous]) > np.median(mr.image[ct.label == BY_NAME["liver"].id]) > 0
    write_cohort(replace(TINY, patients=1, modality="MR"), tmp_path)
    assert json.loads((tmp_path / "dataset.json").read_text())["channel_names"] == {"0": "MR"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("patients", 0), ("seed", -1), ("size", 8), ("spacing_mm", 0.0), ("slice_mm", 100.0), ("modality", "PET")],
)
def test_bad_parameters_are_refused(key: str, value: float | str) -> None:
    with pytest.raises(ValueError, match=f"{key} must"):
        PhantomParams(**{key: value})  # type: ignore[arg-type]
