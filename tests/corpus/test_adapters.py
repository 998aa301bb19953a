"""Datasets of NIfTI files in miniature, as they are distributed, read through their adapters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from corpus.parallel import run_tasks
from corpus.params import read_yaml
from corpus.scans.adapters import ADAPTERS, load_layout, open_source, read_case
from corpus.scans.volumes import Case, Grid, LabelMap, Reject, Source
from tests.corpus.miniature import AFFINE, DISPLAY, SHAPE, blocks, names, only, save, scan, voxels

REAL = Path(os.environ.get("FLANS_REAL_DATA", "../shared/real"))

FEMURS = {"left head of femur": 15, "right head of femur": 16}
FIRST_ELEVEN = {"liver": 1, "spleen": 2, "left kidney": 3, "right kidney": 4, "stomach": 5, "gallbladder": 6}
FIRST_ELEVEN |= {"esophagus": 7, "pancreas": 8, "duodenum": 9, "colon": 10, "intestine": 11}
"""What WORD and RAOS have in common."""
TABLES: dict[str, tuple[str, str, dict[str, int | tuple[int, ...]], dict[str, int]]] = {
    "msd_liver": ("imagesTr/liver_0.nii.gz", "labelsTr/liver_0.nii.gz", {"liver": (1, 2)}, {}),
    "msd_pancreas": ("imagesTr/pancreas_001.nii.gz", "labelsTr/pancreas_001.nii.gz", {"pancreas": (1, 2)}, {}),
    "msd_spleen": ("imagesTr/spleen_10.nii.gz", "labelsTr/spleen_10.nii.gz", {"spleen": 1}, {}),
    "btcv": (
        "RawData/Training/img/img0001.nii.gz",
        "RawData/Training/label/label0001.nii.gz",
        {
            "spleen": 1,
            "right kidney": 2,
            "left kidney": 3,
            "gallbladder": 4,
            "esophagus": 5,
            "liver": 6,
            "stomach": 7,
            "aorta": 8,
            "inferior vena cava": 9,
            "portal vein and splenic vein": 10,
            "pancreas": 11,
            "right adrenal gland": 12,
            "left adrenal gland": 13,
        },
        {},
    ),
    "word": (
        "imagesVal/word_0004.nii.gz",
        "labelsVal/word_0004.nii.gz",
        FIRST_ELEVEN | {"rectum": 13, "bladder": 14} | FEMURS,
        {"adrenal": 12},
    ),
    "raos": (
        "CancerImages(Set1)/imagesTr/1.2.840.11.nii.gz",
        "CancerImages(Set1)/labelsTr/1.2.840.11.nii.gz",
        FIRST_ELEVEN
        | {"left adrenal gland": 12, "right adrenal gland": 13, "rectum": 14, "bladder": 15}
        | {"left head of femur": 16, "right head of femur": 17, "prostate": 18, "seminal vesicles": 19},
        {},
    ),
    "abdomenct1k": (
        "AbdomenCT-1K-ImagePart2/Case_00312_0000.nii.gz",
        "Mask/Case_00312.nii.gz",
        {"liver": 1, "kidney": 2, "spleen": 3, "pancreas": 4},
        {},
    ),
    "flare22": (
        "FLARE22Train/images/FLARE22_Tr_0001_0000.nii.gz",
        "FLARE22Train/labels/FLARE22_Tr_0001.nii.gz",
        {
            "liver": 1,
            "right kidney": 2,
            "spleen": 3,
            "pancreas": 4,
            "aorta": 5,
            "inferior vena cava": 6,
            "right adrenal gland": 7,
            "left adrenal gland": 8,
            "gallbladder": 9,
            "esophagus": 10,
            "stomach": 11,
            "duodenum": 12,
            "left kidney": 13,
        },
        {},
    ),
    "amos": (
        "imagesTr/amos_0500.nii.gz",
        "labelsTr/amos_0500.nii.gz",
        {
            "spleen": 1,
            "right kidney": 2,
            "left kidney": 3,
            "gallbladder": 4,
            "esophagus": 5,
            "liver": 6,
            "stomach": 7,
            "aorta": 8,
            "inferior vena cava": 9,
            "pancreas": 10,
            "right adrenal gland": 11,
            "left adrenal gland": 12,
            "duodenum": 13,
            "bladder": 14,
        },
        {"prostate or uterus": 15},
    ),
}
"""Adapter -> an image and its label map as distributed, the values of its organs, and those that are dropped."""


@pytest.mark.parametrize("adapter", TABLES)
def test_files(adapter: str, tmp_path: Path) -> None:
    image, label, organs, dropped = TABLES[adapter]
    values = sorted({v for value in (*organs.values(), *dropped.values()) for v in np.atleast_1d(value).tolist()})
    save(tmp_path / image, scan())
    save(tmp_path / label, blocks(values))
    case, volume = only(open_source(adapter, tmp_path))
    assert case.volume == case.patient
    assert case.volume in Path(image).name
    assert names(volume.labelled) == set(organs)
    assert volume.dropped == set(dropped)
    assert (volume.modality, volume.orientation, volume.spacing) == ("CT", "LPS", (4.0, 1.5, 1.5))
    assert np.array_equal(volume.image, scan().transpose(DISPLAY))
    raw = blocks(values).transpose(DISPLAY)
    for name, value in organs.items():
        assert np.array_equal(volume.label == BY_NAME[name].id, np.isin(raw, np.atleast_1d(value))), name
    assert not volume.label[np.isin(raw, list(dropped.values()))].any()


def test_every_dataset_of_files_is_tried_above() -> None:
    files = {name for name, spec in ADAPTERS.items() if yaml.safe_load(spec.read_text())["layout"] == "files"}
    assert files == {*TABLES, "msd_lung", "msd_colon", "msd_hepatic_vessel"}


@pytest.mark.parametrize("adapter", ["msd_lung", "msd_colon", "msd_hepatic_vessel"])
def test_a_dataset_without_an_organ_says_so(adapter: str, tmp_path: Path) -> None:
    save(tmp_path / "imagesTr/a_1.nii.gz", scan())
    said = rf"{adapter}\.yaml: expected labels that are organs of the vocabulary, found only"
    with pytest.raises(InputError, match=rf"{said}.*\n.*To mend it: leave this data set out"):
        open_source(adapter, tmp_path)


def test_a_dataset_whose_labels_are_mistyped_is_told_what_comes_closest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ADAPTERS, "mine", dataset(tmp_path, labels={1: "livre", 2: "Splen", 3: "cyst"}))
    said = r"mine\.yaml: .*\n.*: write liver for livre, spleen for Splen, or leave this data set out"
    with pytest.raises(InputError, match=said):
        open_source("mine", tmp_path)


def test_amos_is_ct_up_to_500_and_mr_above(tmp_path: Path) -> None:
    for folder, case in (("Tr", 1), ("Va", 500), ("Tr", 501), ("Va", 600)):
        save(tmp_path / f"images{folder}/amos_{case:04d}.nii.gz", scan())
        save(tmp_path / f"labels{folder}/amos_{case:04d}.nii.gz", blocks([6]))
    source = open_source("amos", tmp_path)
    modality = {case.volume: read_case(case, source).modality for case in source.cases}
    assert modality == {"amos_0001": "CT", "amos_0500": "CT", "amos_0501": "MR", "amos_0600": "MR"}


def test_raos_test_images_are_found_with_and_without_a_channel(tmp_path: Path) -> None:
    for image, label in (("1.2.3_0000", "1.2.3"), ("1.2.4", "1.2.4")):
        save(tmp_path / f"CancerImages(Set1)/imagesTs/{image}.nii.gz", scan())
        save(tmp_path / f"CancerImages(Set1)/labelsTs/{label}.nii.gz", blocks([1]))
    source = open_source("raos", tmp_path)
    assert [case.volume for case in source.cases] == ["1.2.3", "1.2.4"]
    assert all(voxels(read_case(case, source)) == {"liver": 1} for case in source.cases)


SPLIT = {"image": "{case}.nii.gz", "label": "{case}_seg.nii.gz"}


def dataset(folder: Path, **content: object) -> Path:
    spec = folder / "mine.yaml"
    spec.write_text(yaml.safe_dump({"layout": "files", "splits": [SPLIT], "labels": {1: "liver"}} | content))
    return spec


def test_a_part_of_the_name_can_be_the_patient(tmp_path: Path) -> None:
    split = SPLIT | {"case": r"(?P<who>p\d+)_(?:arterial|venous)", "patient": "{who}"}
    for name in ("p1_arterial", "p1_venous", "p2_venous"):
        save(tmp_path / f"{name}.nii.gz", scan())
    cases = load_layout(dataset(tmp_path, splits=[split])).open(tmp_path).cases
    assert [(case.volume, case.patient) for case in cases] == [
        ("p1_arterial", "p1"),
        ("p1_venous", "p1"),
        ("p2_venous", "p2"),
    ]


def test_a_name_that_fits_no_split_is_rejected(tmp_path: Path) -> None:
    """The README's example, with the pattern of a hasty writer: the tenth scan is not passed over in silence."""
    split = SPLIT | {"case": r"(?P<who>p\d+)_\d", "patient": "{who}"}
    for name in ("p1_1", "p1_10"):
        save(tmp_path / f"{name}.nii.gz", scan())
        save(tmp_path / f"{name}_seg.nii.gz", blocks([1]))
    source = load_layout(dataset(tmp_path, splits=[split])).open(tmp_path)
    problems = {case.volume: case.problem for case in source.cases}
    assert problems.pop("p1_1") == ""
    assert "fits no split's `case`" in problems["p1_10.nii.gz"]
    with pytest.raises(Reject, match="fits no split's `case`"):
        read_case(source.cases[1], source)


def test_an_error_that_nobody_foresaw_is_a_reject(tmp_path: Path) -> None:
    def fails(case: Case) -> Grid:
        raise RecursionError("deep")

    source = Source([Case("v", "p", tmp_path, tmp_path)], fails, lambda case, grid: LabelMap(grid.array, frozenset()))
    with pytest.raises(Reject, match=r"can't be read \(RecursionError: deep\)"):
        read_case(source.cases[0], source)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"layout": "flies"}, "expected `layout` to be one of files, nnunet"),
        ({"labels": {}}, "`labels`"),
        ({"label": {1: "liver"}}, "`label`: no parameter has this name"),
        ({"labels": {0: "liver"}}, "`labels`: 0 is the background, found liver"),
        ({"splits": [SPLIT | {"case": "("}]}, "case must be a regular expression"),
        ({"splits": [SPLIT | {"patient": "{who}"}]}, "{who} must be `case` or a named group"),
        ({"splits": [SPLIT | {"image": "a.nii.gz"}]}, "image must have {case} in it"),
        ({"layout": "structures", "labels": None}, "`labels`: no parameter has this name"),
    ],
)
def test_a_wrong_yaml_is_refused(content: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_layout(dataset(tmp_path, **content))
    assert message in str(error.value)
    assert "mine.yaml" in str(error.value)


def test_a_key_that_comes_twice_or_has_another_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("layout: files\nsplits: []\nlabels:\n  8: intestine\n  8: liver\n")
    with pytest.raises(InputError, match="found the key 8 twice"):
        load_layout(path)
    path.write_text("layout: files\nsplit: []\nlabels: {1: liver}\n")
    with pytest.raises(InputError, match="`splits`: the key is missing, and nothing is called `split`"):
        load_layout(path)
    path.write_text("a: &x {y: 1, z: 2}\nb: {inner: &b {<<: *x, y: 3}}\nc: {<<: *b}\n")
    assert read_yaml(path)["c"] == {"y": 3, "z": 2}, "a merged key may be said anew"
    path.write_text('{1: liver, "1": spleen}')
    assert read_yaml(path) == {1: "liver", "1": "spleen"}
    path.write_text("{1: liver, 0x1: spleen}")
    with pytest.raises(InputError, match="found the key 1 twice"):
        read_yaml(path)


def test_two_scans_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("imagesTr", "imagesVal"):
        save(tmp_path / folder / "word_0001.nii.gz", scan())
    with pytest.raises(InputError, match="are both 'word_0001'"):
        open_source("word", tmp_path)


@pytest.mark.parametrize(
    ("label", "affine", "reason"),
    [
        (blocks([1, 9]), AFFINE, r"label values \[9\] are not in the source's label map"),
        (blocks([1])[:, :, :3], AFFINE, r"shape \(10, 8, 3\) differs"),
        (blocks([1]), AFFINE + np.eye(4, k=3), "affine differs"),
        (blocks([]), AFFINE, "no organ of the vocabulary"),
    ],
)
def test_a_label_map_that_does_not_fit_is_rejected(
    label: np.ndarray, affine: np.ndarray, reason: str, tmp_path: Path
) -> None:
    save(tmp_path / "imagesTr/spleen_2.nii.gz", scan())
    save(tmp_path / "labelsTr/spleen_2.nii.gz", label, affine)
    source = open_source("msd_spleen", tmp_path)
    with pytest.raises(Reject, match=reason):
        read_case(source.cases[0], source)


LOBES = ["lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right", "lung_middle_lobe_right"]


def write_structures(root: Path, image: str, structures: Mapping[str, int]) -> None:
    """One case with masks of the named structures, each a block of so many voxels; 0 for an empty mask."""
    save(root / image, scan())
    for n, (name, size) in enumerate(structures.items()):
        mask = np.zeros(SHAPE, np.uint8)
        mask.reshape(-1)[n * 20 : n * 20 + size] = 1
        save((root / image).parent / "segmentations" / f"{name}.nii.gz", mask)


def test_totalsegmentator(tmp_path: Path) -> None:
    sizes = {"liver": 9, "small_bowel": 8, "urinary_bladder": 7, "portal_vein_and_splenic_vein": 6, "kidney_left": 5}
    sizes |= dict.fromkeys((*LOBES, "lung_lower_lobe_right"), 3)
    write_structures(tmp_path, "s0001/ct.nii.gz", sizes | {"prostate": 0, "femur_left": 4, "kidney_cyst_left": 2})
    case, volume = only(open_source("totalsegmentator", tmp_path))
    assert (case.volume, case.patient, volume.modality) == ("s0001", "s0001", "CT")
    assert voxels(volume) == {
        "liver": 9,
        "intestine": 8,
        "bladder": 7,
        "portal vein and splenic vein": 6,
        "left kidney": 5,
        "lung": 15,
    }
    assert names(volume.labelled) == {*voxels(volume), "prostate"}, "an empty mask says that the organ is absent"
    assert volume.dropped == {"femur_left", "kidney_cyst_left"}


def test_totalsegmentator_with_a_lobe_missing_has_no_lung(tmp_path: Path) -> None:
    write_structures(tmp_path, "s0001/ct.nii.gz", {"spleen": 4} | dict.fromkeys(LOBES, 3))
    _, volume = only(open_source("totalsegmentator", tmp_path))
    assert names(volume.labelled) == {"spleen"}
    assert volume.dropped == set(LOBES)


def test_totalsegmentator_mr(tmp_path: Path) -> None:
    write_structures(tmp_path, "s0001/mri.nii.gz", {"lung_left": 4, "lung_right": 5, "adrenal_gland_right": 2})
    _, volume = only(open_source("totalsegmentator_mr", tmp_path))
    assert volume.modality == "MR"
    assert voxels(volume) == {"lung": 9, "right adrenal gland": 2}


def first_label(source: Source) -> np.ndarray:
    return read_case(source.cases[0], source).label


def test_sources_can_be_sent_to_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "imagesTr/spleen_2.nii.gz", scan())
    save(tmp_path / "labelsTr/spleen_2.nii.gz", blocks([1]))
    write_structures(tmp_path, "s1/ct.nii.gz", {"liver": 3})
    sources = [open_source(adapter, tmp_path) for adapter in ("msd_spleen", "totalsegmentator")]
    monkeypatch.setenv("FLANS_WORKERS", "2")
    for sent, source in zip(run_tasks(first_label, sources), sources, strict=True):
        assert np.array_equal(sent, first_label(source))


@pytest.mark.skipif(not (REAL / "btcv").is_dir(), reason=f"real BTCV scans are not at {REAL}/btcv")
def test_a_real_btcv_scan() -> None:
    source = open_source("btcv", REAL / "btcv")
    volume = read_case(source.cases[0], source)
    assert (source.cases[0].volume, volume.modality, len(volume.labelled)) == ("0001", "CT", 13)
    assert volume.image.shape == volume.label.shape
    assert volume.image.shape[1:] == (512, 512)
    columns = {n: np.nonzero(volume.label == BY_NAME[n].id)[2].mean() for n in ("liver", "aorta", "spleen")}
    assert all(a < b for a, b in pairwise(columns.values())), "liver, aorta, spleen from the viewer's left to right"
