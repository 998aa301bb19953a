"""Datasets of DICOM and PNG slices in miniature, read through their adapters."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from PIL import Image
from pydicom import Dataset

from corpus.anatomy import BY_NAME
from corpus.errors import InputError
from corpus.scans import adapters
from corpus.scans.adapters import open_source, read_case
from corpus.scans.volumes import Reject
from tests.corpus.dicom_files import uid, write_rtstruct, write_seg, write_series
from tests.corpus.miniature import DISPLAY, SHAPE, blocks, names, only, scan


@pytest.fixture(autouse=True)
def as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices as the layouts read them, before their pixels are made square (test_orientation.py)."""
    monkeypatch.setattr(adapters, "square_pixels", lambda array, spacing, nearest=False: (array, spacing))


def write_chaos(folder: Path, array: np.ndarray, downwards: bool = False, first: int = 0, modality: str = "CT") -> None:
    """A series of `[I, J, K]` as CHAOS has them: files named by number, from the head down or from the feet up, each
    with a SeriesInstanceUID of its own."""

    def own_series(header: Dataset) -> None:
        header.SeriesInstanceUID = uid(folder, header.InstanceNumber)

    files = write_series(folder, array.transpose(DISPLAY), modality=modality, change=own_series)
    for n, file in enumerate(reversed(files) if downwards else files, start=first):
        file.rename(folder / f"IMG-0004-{n:05d}.dcm")


def write_masks(folder: Path, greys: np.ndarray, downwards: bool = False, black_and_white: bool = False) -> None:
    folder.mkdir(parents=True)
    for n, picture in enumerate(greys.transpose(DISPLAY)[:: -1 if downwards else 1]):
        image = Image.fromarray(picture.astype(np.uint8))
        (image.convert("1") if black_and_white else image).save(folder / f"mask_{n:03d}.png")


def test_chaos_numbers_without_leading_zeros_are_in_order(tmp_path: Path) -> None:
    """Slice 10 comes after slice 9 among images and masks alike."""
    train = tmp_path / "Train_Sets/CT/1"
    array, greys = (np.concatenate([a] * 3, axis=2) for a in (scan(), blocks([63, 126, 189, 252])))
    greys[:, :, 2:] = 0
    write_chaos(train / "DICOM_anon", array)
    write_masks(train / "Ground", greys)
    for path in [*(train / "DICOM_anon").iterdir(), *(train / "Ground").iterdir()]:
        number = int(re.split(r"\D", path.stem)[-1])
        # Nine slices below ten: by name "10" comes before "2".
        path.rename(path.with_stem(str(number + 1)))
    source = open_source("chaos", tmp_path)
    label = read_case(source.cases[0], source).label
    assert len(label) > 10
    assert np.array_equal(label > 0, greys.transpose(DISPLAY) > 0)


@pytest.mark.parametrize("downwards", [False, True], ids=["names run upwards", "names run downwards"])
def test_chaos(downwards: bool, tmp_path: Path) -> None:
    """The n-th mask is the n-th file's, by name, whichever way the names run through the body."""
    train, greys = tmp_path / "Train_Sets", blocks([63, 126, 189, 252])
    write_chaos(train / "CT/1/DICOM_anon", scan(), downwards)
    write_masks(train / "CT/1/Ground", np.where(greys == 63, 255, 0), downwards, black_and_white=True)
    # The two phases' files are numbered in turn, and the masks like the in-phase ones.
    write_chaos(train / "MR/1/T1DUAL/DICOM_anon/InPhase", scan(), downwards, 2, "MR")
    write_chaos(train / "MR/1/T1DUAL/DICOM_anon/OutPhase", scan(), downwards, 1, "MR")
    write_chaos(train / "MR/1/T2SPIR/DICOM_anon", scan(), downwards, 1, "MR")
    for sequence in ("T1DUAL", "T2SPIR"):
        write_masks(train / "MR/1" / sequence / "Ground", greys, downwards)

    source = open_source("chaos", tmp_path)
    assert [(c.volume, c.patient, c.modality) for c in source.cases] == [
        ("CT_1", "CT_1", "CT"),
        ("MR_1_T1_in", "MR_1", "MR"),
        ("MR_1_T1_out", "MR_1", "MR"),
        ("MR_1_T2", "MR_1", "MR"),
    ]
    ct, *mr = (read_case(case, source) for case in source.cases)
    assert np.array_equal(ct.image, scan().transpose(DISPLAY))
    assert names(ct.labelled) == {"liver"}
    assert np.array_equal(ct.label == BY_NAME["liver"].id, (greys == 63).transpose(DISPLAY))
    for volume in mr:
        for grey, organ in ((63, "liver"), (126, "right kidney"), (189, "left kidney"), (252, "spleen")):
            assert np.array_equal(volume.label == BY_NAME[organ].id, (greys == grey).transpose(DISPLAY))
        assert len(volume.labelled) == 4


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("grey", "found \\[100\\]"), ("one short", "found 3 for 4"), ("size", "its labels \\(7, 10\\)")],
)
def test_chaos_masks_that_do_not_fit_are_rejected(fault: str, reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "Train_Sets/MR/2/T2SPIR"
    write_chaos(folder / "DICOM_anon", scan(), modality="MR")
    greys = np.full(SHAPE, 100 if fault == "grey" else 63)
    write_masks(folder / "Ground", greys[:, fault == "size" :, fault == "one short" :])
    source = open_source("chaos", tmp_path)
    with pytest.raises(Reject, match=reason):
        read_case(source.cases[0], source)


def in_another_frame(header: Dataset) -> None:
    header.FrameOfReferenceUID = uid("another frame")


def test_dicom(tmp_path: Path) -> None:
    """A SEG names its series, beside another one in one folder; an RTSTRUCT only its frame of reference."""
    liver, kidney, gland = ((blocks([1, 2, 3]) == n).transpose(DISPLAY) for n in (1, 2, 3))
    image = scan().transpose(DISPLAY)
    late = write_series(tmp_path / "anna", image, series=uid("late"), patient="anna", change=in_another_frame)
    write_series(tmp_path / "anna", image[:, ::-1], series=uid("early"), patient="anna", change=in_another_frame)
    write_seg(tmp_path / "anna/seg.dcm", late, {"Liver": liver, "Kidney_L": kidney, "Glnd_Adrenal_L": gland})
    write_series(tmp_path / "ben/mr", image, patient="p1", modality="MR", spacing=(1, 1), origin=(0, 0, 0))
    square = [np.array([[1.5, 2.5, 6.0], [5.5, 2.5, 6.0], [5.5, 5.5, 6.0], [1.5, 5.5, 6.0]])]
    write_rtstruct(tmp_path / "ben/rt.dcm", {"Spleen": square, "GTV": square})

    source = open_source("dicom", tmp_path)
    assert [(c.volume, c.modality) for c in source.cases] == [("anna-seg", "CT"), ("ben-rt", "MR")]
    assert not any(name in case.patient for case in source.cases for name in ("anna", "p1")), "PatientID is kept out"
    assert len({case.patient for case in source.cases}) == 2
    seg, rt = (read_case(case, source) for case in source.cases)
    assert np.array_equal(seg.image, image)
    assert names(seg.labelled) == {"liver", "left kidney", "left adrenal gland"}
    for mask, organ in ((liver, "liver"), (kidney, "left kidney"), (gland, "left adrenal gland")):
        assert np.array_equal(seg.label == BY_NAME[organ].id, mask)
    assert names(rt.labelled) == {"spleen"}
    assert rt.dropped == {"GTV"}
    drawn = np.zeros(image.shape, bool)
    drawn[2, 3:6, 2:6] = True
    assert np.array_equal(rt.label == BY_NAME["spleen"].id, drawn)


@pytest.mark.parametrize("study", [True, False])
def test_annotations_of_one_scan_are_of_one_patient_without_a_patient_id(study: bool, tmp_path: Path) -> None:
    """Else one could be trained on and the other tested on."""

    image = np.where(scan().transpose(DISPLAY) > 0, 60, 0)
    for name, patient, of in (("a", "", "x"), ("b", "", "x"), ("c", "carl", "y"), ("d", "", "y"), ("e", "Carl", "z")):

        def in_a_frame(header: Dataset, of: str = of) -> None:
            header.FrameOfReferenceUID, header.StudyInstanceUID = (
                uid(header.SeriesInstanceUID),
                uid(of) if study else "",
            )

        files = write_series(tmp_path / name, image, series=uid(name), patient=patient, change=in_a_frame)
        for reader in ("reader1", "reader2"):
            write_seg(tmp_path / name / f"{reader}.dcm", files, {"Liver": image > 0})
    untagged = pydicom.dcmread(tmp_path / "c/reader1.dcm")
    untagged.PatientID = ""
    untagged.save_as(tmp_path / "c/reader1.dcm")
    patients = {case.volume: case.patient for case in open_source("dicom", tmp_path).cases}
    assert patients["a-reader1"] == patients["a-reader2"]
    assert patients["b-reader1"] == patients["b-reader2"]
    assert patients["c-reader1"] == patients["c-reader2"] != patients["a-reader1"], "the scan has a PatientID"
    # Two series of one study are of one patient too; where there is no study, nothing tells.
    assert (patients["a-reader1"] == patients["b-reader1"]) == bool(study)
    assert (patients["c-reader1"] == patients["d-reader1"]) == bool(study), "one of the two says who it is"
    assert patients["c-reader1"] == patients["e-reader1"]


def test_annotations_named_by_their_uid_are_told_apart(tmp_path: Path) -> None:
    """The last number of a UID is no ending; and blanks around a PatientID mean nothing."""
    for name, patient in (("1.2.3", " anna"), ("1.2.4", "anna ")):
        image = np.where(scan().transpose(DISPLAY) > 0, 60, 0)
        files = write_series(tmp_path / f"ct-{name}", image, series=uid(name), patient=patient)
        write_seg(tmp_path / name, files, {"Liver": image > 0})
    cases = open_source("dicom", tmp_path).cases
    assert [case.volume for case in cases] == ["1.2.3", "1.2.4"]
    assert len({case.patient for case in cases}) == 1


def test_an_annotation_that_fits_no_one_series_is_rejected(tmp_path: Path) -> None:
    write_series(tmp_path / "a", scan(), series=uid("a"))
    write_series(tmp_path / "b", scan(), series=uid("b"))
    write_rtstruct(tmp_path / "rt.dcm", {"Spleen": []})
    source = open_source("dicom", tmp_path)
    with pytest.raises(Reject, match=r"rt\.dcm: expected it to refer to one CT or MR series"):
        read_case(source.cases[0], source)


def test_an_annotation_goes_to_no_series_but_the_one_that_it_names(tmp_path: Path) -> None:
    """Phases of one examination share a frame of reference, and the breath was held elsewhere."""
    image = np.where(scan().transpose(DISPLAY) > 0, 60, 0)
    arterial = write_series(tmp_path / "arterial", image, series=uid("arterial"))
    write_series(tmp_path / "portal", image, series=uid("portal"))
    write_seg(tmp_path / "seg.dcm", arterial, {"Liver": image > 0})
    for file in arterial:
        file.unlink()
    source = open_source("dicom", tmp_path)
    with pytest.raises(Reject, match=r"seg\.dcm: expected it to refer to one CT or MR series"):
        read_case(source.cases[0], source)


@pytest.mark.timeout(60)
def test_a_tree_is_what_lies_in_it_whatever_its_links_say(tmp_path: Path) -> None:
    """Of two ways to a file the plain one counts; what lies above isn't of the tree; and a pipe is no file."""
    for place, name in (("mine/p1", "p1"), ("other/p9", "p9")):
        image = np.where(scan().transpose(DISPLAY) > 0, 60, 0)
        files = write_series(tmp_path / place / "ct", image, series=uid(name))
        write_seg(tmp_path / place / "seg.dcm", files, {"Liver": image > 0})
    (tmp_path / "mine/latest").symlink_to(tmp_path / "mine/p1")
    (tmp_path / "mine/up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "mine/pipe.dcm")
    assert [case.volume for case in open_source("dicom", tmp_path / "mine").cases] == ["p1-seg"]


def test_a_folder_of_a_tree_that_may_not_be_read_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.where(scan().transpose(DISPLAY) > 0, 60, 0)
    write_seg(tmp_path / "p1/seg.dcm", write_series(tmp_path / "p1/ct", image), {"Liver": image > 0})
    (tmp_path / "lost+found").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "lost+found")
    problems = {case.volume: case.problem for case in open_source("dicom", tmp_path).cases}
    assert problems["p1-seg"] == ""
    assert problems["lost+found"] == "lost+found: may not be looked into: correct its permissions"


def test_linked_folders_are_looked_into_and_links_to_nowhere_listed(tmp_path: Path) -> None:
    image = np.where(scan().transpose(DISPLAY) > 0, 60, 0)
    files = write_series(tmp_path / "elsewhere/ct", image)
    write_seg(tmp_path / "elsewhere/seg.dcm", files, {"Liver": image > 0})
    root = tmp_path / "root"
    root.mkdir()
    (root / "p1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/above").symlink_to(root)
    (root / "p2.dcm").symlink_to(tmp_path / "nowhere")
    problems = {case.volume: case.problem for case in open_source("dicom", root).cases}
    assert problems.pop("p1-seg") == ""
    (problem,) = problems.values()
    assert "p2.dcm" in problem


def test_labels_beyond_the_scan_are_told_of(tmp_path: Path) -> None:
    """Half of a series was transferred: half an organ isn't the whole."""
    image = scan().transpose(DISPLAY)
    files = write_series(tmp_path / "ct", image)
    write_seg(tmp_path / "seg.dcm", files, {"Liver": np.ones_like(image, bool)})
    corners = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0))
    heights = [float(pydicom.dcmread(file).ImagePositionPatient[2]) for file in files]
    origin = [float(value) for value in pydicom.dcmread(files[0]).ImagePositionPatient]
    contours = [np.array([[origin[0] + x, origin[1] + y, z] for x, y in corners]) for z in heights]
    write_rtstruct(tmp_path / "rt.dcm", {"Spleen": contours})
    for file in files[2:]:
        file.unlink()
    source = open_source("dicom", tmp_path)
    told = {case.volume: read_case(case, source).mended for case in source.cases}
    assert told["seg"] == ("2 of 4 drawn frames lie beyond the scan and are left out",)
    assert told["rt"] == ("2 of 4 contours of Spleen lie beyond the scan and are left out",)


def test_a_torn_annotation_is_rejected_by_name(tmp_path: Path) -> None:
    image = np.where(scan().transpose(DISPLAY) > 0, 60, 0)
    for name in ("whole", "torn"):
        files = write_series(tmp_path / name, image, series=uid(name), patient=name)
        seg = write_seg(tmp_path / name / "seg.dcm", files, {"Liver": image > 0})
    seg.write_bytes(seg.read_bytes()[:200])
    (tmp_path / "notes.txt").write_text("no DICOM, and not named as such")
    source = open_source("dicom", tmp_path)
    assert [(case.volume, bool(case.problem)) for case in source.cases] == [("whole-seg", False), ("torn-seg", True)]
    with pytest.raises(Reject, match=r"seg\.dcm: not readable as DICOM"):
        read_case(source.cases[1], source)


def test_a_couch_drawn_between_the_slices_costs_no_scan(tmp_path: Path) -> None:
    image = scan().transpose(DISPLAY)
    write_series(tmp_path, image, spacing=(1, 1), origin=(0, 0, 0))
    square = np.array([[1.5, 2.5, 6.0], [5.5, 2.5, 6.0], [5.5, 5.5, 6.0], [1.5, 5.5, 6.0]])
    off = [square + np.array([0, 0, height]) for height in (1.5, 4.5)]
    write_rtstruct(tmp_path / "rt.dcm", {"Spleen": [square], "Couch": off})
    source = open_source("dicom", tmp_path)
    volume = read_case(source.cases[0], source)
    assert names(volume.labelled) == {"spleen"}
    assert volume.dropped == {"Couch"}


def test_a_folder_without_annotations_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a", scan())
    with pytest.raises(InputError, match="SEG or RTSTRUCT files beside 1 series, found none"):
        open_source("dicom", tmp_path)


def write_png(root: Path, about: dict, depth: type = np.uint8, names: tuple[str, ...] = ("1", "2", "9", "10")) -> None:
    """Grey n in slice n, and masks of one block each; `names` are the slices', from the feet up."""
    label = blocks([1, 2])
    for folder in ("images/a", "masks/a"):
        (root / folder).mkdir(parents=True)
    for z, name in enumerate(names):
        grey = np.full(SHAPE[1::-1], np.iinfo(depth).max // 3 * z, depth)
        Image.fromarray(grey).save(root / f"images/a/{name}.png")
        picture = Image.fromarray(label[:, :, z].T)
        picture.putpalette((np.arange(768) % 256).astype(np.uint8).tobytes())
        picture.save(root / f"masks/a/{name}.png")
    (root / "labels.yaml").write_text(
        yaml.safe_dump({"labels": {1: "liver", 2: "tumour"}, "spacing": [5, 2, 1]} | about)
    )


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_png(depth: type, tmp_path: Path) -> None:
    write_png(tmp_path, {"window": [-160, 240], "patients": {"a": "anna"}}, depth)
    case, volume = only(open_source("png", tmp_path))
    assert (case.volume, case.patient, volume.modality, volume.spacing) == ("a", "anna", "CT", (5.0, 2.0, 1.0))
    assert volume.orientation == "LPS"
    assert np.unique(volume.image[0]).tolist() == [-160], "slice 1 is black, at the feet"
    assert np.unique(volume.image[3]).tolist() == [240], "slice 10 is white, at the head"
    assert names(volume.labelled) == {"liver"}
    assert volume.dropped == {"tumour"}
    assert np.array_equal(volume.label == BY_NAME["liver"].id, (blocks([1, 2]) == 1).transpose(DISPLAY))


def test_masks_are_the_same_however_small_they_are_saved(tmp_path: Path) -> None:
    """Black and white, where a slice has no second label."""
    write_png(tmp_path, {"window": [-160, 240]})
    whole = only(open_source("png", tmp_path))[1]
    for path in sorted((tmp_path / "masks/a").iterdir())[:2]:
        with Image.open(path) as picture:
            labels = np.asarray(picture)
        Image.fromarray(labels == 1).save(path)
    assert {Image.open(path).mode for path in (tmp_path / "masks/a").iterdir()} == {"1", "P"}
    assert np.array_equal(only(open_source("png", tmp_path))[1].label, whole.label)


def test_a_png_whose_ending_is_in_capitals_is_a_slice(tmp_path: Path) -> None:
    write_png(tmp_path, {"window": [-160, 240]})
    whole = only(open_source("png", tmp_path))[1]
    for folder in ("images", "masks"):
        (tmp_path / folder / "a/9.png").rename(tmp_path / folder / "a/9.PNG")
    assert np.array_equal(only(open_source("png", tmp_path))[1].image, whole.image)


def test_png_slices_from_the_head_down(tmp_path: Path) -> None:
    write_png(tmp_path, {"window": [-160, 240], "first": "superior"}, names=("10", "9", "2", "1"))
    _, volume = only(open_source("png", tmp_path))
    assert [int(v) for v in volume.image[:, 0, 0]] == sorted(int(v) for v in volume.image[:, 0, 0])
    assert np.array_equal(volume.label == BY_NAME["liver"].id, (blocks([1, 2]) == 1).transpose(DISPLAY))


def test_png_needs_a_window_for_ct_but_not_for_mr(tmp_path: Path) -> None:
    write_png(tmp_path, {"modality": "MR"})
    assert only(open_source("png", tmp_path))[1].modality == "MR"
    (tmp_path / "labels.yaml").write_text(yaml.safe_dump({"labels": {1: "liver"}, "spacing": [5, 2, 1]}))
    with pytest.raises(InputError, match="window: expected the HU of black and of white"):
        open_source("png", tmp_path)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"window": [240, -160]}, r"expected the HU of black below that of white, found \[240.0, -160.0\]"),
        ({"window": [-160, 240], "labels": {0: "spleen", 1: "liver"}}, "0 is the background, found spleen"),
    ],
)
def test_a_png_source_is_not_inverted_nor_its_background_an_organ(about: dict, message: str, tmp_path: Path) -> None:
    write_png(tmp_path, about)
    with pytest.raises(InputError, match=message):
        open_source("png", tmp_path)


def test_the_background_may_be_named(tmp_path: Path) -> None:
    write_png(tmp_path, {"window": [-160, 240], "labels": {0: "background", 1: "liver", 2: "tumour"}})
    assert only(open_source("png", tmp_path))[1].dropped == {"tumour"}


def test_an_empty_labels_yaml_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").touch()
    with pytest.raises(InputError, match="expected keys with values, found None"):
        open_source("png", tmp_path)


def test_a_picture_with_a_palette_is_no_ct(tmp_path: Path) -> None:
    write_png(tmp_path, {"window": [-160, 240]})
    with Image.open(tmp_path / "images/a/9.png") as picture:
        picture.quantize(4).save(tmp_path / "images/a/9.png")
    source = open_source("png", tmp_path)
    with pytest.raises(Reject, match=r"9\.png: expected one channel of greys, found mode P"):
        read_case(source.cases[0], source)


def test_a_patients_volume_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_png(tmp_path, {"window": [-160, 240], "patients": {"b": "anna"}})
    with pytest.raises(InputError, match="expected `patients` to name volumes, such as 'a', found b"):
        open_source("png", tmp_path)


def test_a_slice_without_a_mask_is_rejected(tmp_path: Path) -> None:
    write_png(tmp_path, {"window": [-160, 240]})
    (tmp_path / "masks/a/9.png").unlink()
    source = open_source("png", tmp_path)
    with pytest.raises(Reject, match=r"9\.png stand alone"):
        read_case(source.cases[0], source)
