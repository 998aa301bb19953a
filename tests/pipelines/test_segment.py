"""What `flans segment` reads, and the geometry that it writes masks in."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import Dataset
from typer.testing import CliRunner

import model.judging
import pipelines.segment
from corpus.errors import InputError
from corpus.scans.pixel_pose import PixelPose, pixel_pose
from model.canonicalizer import known_pose
from model.checkpoint import WEIGHTS
from model.groups import IDENTITY, INVERSE, NAMES, ORDER, act
from model.inference import Segmentation
from model.intent_head import Understanding
from pipelines.cli import app
from pipelines.segment import Scan, _nifti, _sides, _write, read_scan, segment_scan
from pipelines.stage import PHANTOM, make_folder
from prompts.intent import Intent
from tests.corpus.dicom_files import uid, write_series

ARRAY = np.random.default_rng(0).integers(-1000, 1200, (6, 5, 4)).astype(np.int16)
LPS = np.diag([-1.5, -1.5, 4.0, 1.0])


def masked(scan: Scan) -> nib.Nifti1Image:
    return _nifti(scan.image > 0, scan)


def test_a_nifti_file_gets_its_mask_in_its_own_geometry(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ARRAY, np.diag([1.5, -1.5, 3.0, 1.0]))
    image.set_qform(image.affine, 1)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz", 40, 400)
    mask = masked(scan)
    assert np.array_equal(np.asarray(mask.dataobj), ARRAY > 0)
    assert np.allclose(mask.affine, image.affine)
    assert int(mask.header["qform_code"]) == 1
    assert scan.spacing == (3.0, 1.5, 1.5)


def test_a_folder_without_a_series_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty shell variable is the working folder, which has no name of its own."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=rf"^{tmp_path}: expected one image series, found 0"):
        read_scan(Path(), 40, 400)


def test_the_scan_in_a_folder_of_niftis_is_to_be_named(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(ARRAY, LPS), tmp_path / "ct.nii.gz")
    with pytest.raises(InputError, match=r"found NIfTI files\n.*name the scan itself: ct\.nii\.gz"):
        read_scan(tmp_path, 40, 400)


def test_a_dicom_folder_gets_a_nifti_mask_where_it_lies(tmp_path: Path) -> None:
    write_series(tmp_path / "series", ARRAY.transpose(2, 1, 0), spacing=(1.5, 1.5), step=(0, 0, 4.0))
    scan = read_scan(tmp_path / "series", 40, 400)
    assert np.array_equal(scan.image, ARRAY.transpose(2, 1, 0))
    mask = masked(scan)
    axes = nib.orientations.io_orientation(mask.affine)
    assert np.allclose(np.abs(mask.affine[:3, :3]), np.abs(LPS[:3, :3]))
    as_written = nib.orientations.apply_orientation(
        np.asarray(mask.dataobj),
        nib.orientations.ornt_transform(axes, nib.orientations.axcodes2ornt("LPS")),
    )
    assert np.array_equal(as_written, ARRAY > 0)
    assert mask.header.get_xyzt_units()[0] == "mm"
    for form, code in (mask.get_sform(coded=True), mask.get_qform(coded=True)):
        assert code == 1, "in the scanner's coordinates"
        assert np.allclose(form, mask.affine)


def begun(scan: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, str]:
    """Of a scan whose pose is asked for: whether a header may have its say, and what the scan is known by."""
    known: list[str] = []
    asked_of: list[PixelPose] = []

    class Asked(Exception):
        pass

    def pose(image: np.ndarray, spacing: object, header: bool, rules: PixelPose | None) -> None:
        assert [rules] == (asked_of or [None]), "they are asked once, and of CT volumes alone"
        raise Asked(header)

    def asked_once(*seen: Any) -> PixelPose:
        asked_of.append(pixel_pose(*seen))
        return asked_of[-1]

    params = SimpleNamespace(level_hu=40, width_hu=400)
    segmenter = SimpleNamespace(
        model=SimpleNamespace(params=params, training_record={}), read=lambda prompts: None, pose=pose
    )
    monkeypatch.setattr(pipelines.segment.Segmenter, "from_pretrained", lambda checkpoint: segmenter)
    monkeypatch.setattr(pipelines.segment, "open_folder", lambda out, path, n, sha256: known.append(sha256))
    monkeypatch.setattr(pipelines.segment, "file_sha256", lambda path: sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(model.judging, "pixel_pose", asked_once)
    (scan.parent / WEIGHTS).touch()
    with pytest.raises(Asked) as asked:
        segment_scan(scan, ["the liver"], scan.parent / "out", scan.parent)
    return asked.value.args[0], known[0]


def test_a_picture_has_no_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nib.save(nib.Nifti1Image(ARRAY, LPS), tmp_path / "scan.nii")
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "scan.png")
    for name, header in (("scan.nii", True), ("scan.png", False)):
        told, known = begun(tmp_path / name, monkeypatch)
        assert told == header
        assert known == sha256((tmp_path / name).read_bytes()).hexdigest()


def test_a_header_of_its_own_is_not_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, array in (("a", ARRAY), ("b", ARRAY[::-1])):
        nib.save(nib.Nifti1Pair(array, LPS), tmp_path / f"{name}.hdr")
    assert (tmp_path / "a.hdr").read_bytes() == (tmp_path / "b.hdr").read_bytes()
    nib.save(nib.Nifti1Pair(ARRAY, LPS @ np.diag([1, 1, 2, 1])), tmp_path / "c.hdr")
    assert (tmp_path / "a.img").read_bytes() == (tmp_path / "c.img").read_bytes()
    for ending in ("hdr", "img"):
        known = {begun(tmp_path / f"{name}.{ending}", monkeypatch)[1] for name in "abc"}
        assert len(known) == 3, "by its voxels, and by where they lie"


def test_a_series_is_not_known_by_its_pixels_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices, known = ARRAY.transpose(2, 1, 0), []
    for name, step, series in (("a", 4.0, "one"), ("copy", 4.0, "one"), ("b", 2.0, "one"), ("c", 4.0, "other")):
        write_series(tmp_path / name, slices, spacing=(1.5, 1.5), step=(0, 0, step), series=uid(series))
        known.append(begun(tmp_path / name, monkeypatch)[1])
    assert known[0] == known[1]
    assert len(set(known)) == 3


def test_a_picture_of_sixteen_bits_reads_as_one_of_eight(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "rgb.png")
    eight, *others = (read_scan(tmp_path / f"{name}.png", 40, 400).image for name in ("8", "16", "rgb"))
    assert (eight.min(), eight.max()) == (-160, 240)
    assert all(np.array_equal(eight, other) for other in others)


def test_what_can_be_seen_through_in_a_picture_is_air(tmp_path: Path) -> None:
    """As programs write a background that is transparent: white, or any colour, lies beneath."""
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    background = grey < 100
    cut = np.where(background, 0, grey)
    opaque = np.where(background, 0, 255).astype(np.uint8)
    beneath = np.where(background, 255, grey).astype(np.uint8)
    Image.fromarray(cut).save(tmp_path / "cut.png")
    Image.fromarray(np.dstack([beneath] * 3 + [opaque])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([beneath, opaque])).save(tmp_path / "grey.png")
    colours = Image.fromarray(np.where(background, 50, grey).astype(np.uint8))
    colours.save(tmp_path / "one.png", transparency=50)
    colours.convert("P").save(tmp_path / "palette.png", transparency=50)
    Image.fromarray(np.where(background, 12850, cut * np.uint16(257))).save(tmp_path / "16.png", transparency=12850)
    expected = read_scan(tmp_path / "cut.png", 40, 400).image
    for name in ("rgba", "grey", "one", "palette", "16"):
        assert np.array_equal(read_scan(tmp_path / f"{name}.png", 40, 400).image, expected), name


def test_what_a_scan_is_of_has_two_names() -> None:
    result = CliRunner().invoke(app, ["segment", "scan.nii", "the liver", "--modality", "cct"])
    assert result.exit_code == 2
    assert "'cct' is not one of 'ct', 'mr'" in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())


def test_oblong_pixels_are_made_square_and_masks_put_back(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(ARRAY, LPS @ np.diag([2, 1, 1, 1])), tmp_path / "wide.nii")
    scan = read_scan(tmp_path / "wide.nii", 40, 400)
    assert scan.spacing == (4.0, 1.5, 1.5)
    assert scan.image.shape == (4, 5, 12)
    mask = np.asarray(masked(scan).dataobj)
    assert mask.shape == ARRAY.shape
    assert (mask == (ARRAY > 0)).mean() > 0.75, "but for what linear resampling does to noise"


@pytest.mark.parametrize("columns", [slice(0, 5), slice(0, 1)])
def test_what_is_told_of_a_mask_holds_of_its_file(columns: slice, tmp_path: Path) -> None:
    """Between pixels eight times as wide as high, what is narrow can be lost."""
    nib.save(nib.Nifti1Image(ARRAY, LPS @ np.diag([8, 1, 1, 1])), tmp_path / "wide.nii")
    scan = read_scan(tmp_path / "wide.nii", 40, 400)
    mask = np.zeros(scan.image.shape, bool)
    mask[:, 2, columns] = True
    understood = (Understanding(Intent("anatomy", "liver", None, "patient"), 1.0),)
    request: Any = SimpleNamespace(prompts=("the liver",), asked=("the liver",), understood=understood, cut=(False,))
    result = Segmentation(mask[None], ("liver",), request, known_pose(IDENTITY), np.ones(1))
    told = _write(0, scan, result, tmp_path)
    voxels = np.count_nonzero(nib.load(tmp_path / told["mask"]).dataobj)  # type: ignore[attr-defined]
    assert voxels == (0 if columns.stop == 1 else len(mask))
    assert told["size"] == f"{voxels * 8 * 1.5 * 1.5 * 4 / 1000:.1f} ml"
    assert told["empty"] == any("so the mask is empty" in each for each in told["warnings"]) == (voxels == 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.nii.gz", "found no such file\n  To mend it: correct its name$"),
        ("torn.nii.gz", "not a gzip file\n  To mend it: give one whole 3D volume: copy or export it again"),
        ("empty", "To mend it: give a volume"),
        ("photo.jpg", "found a file of another kind\n  To mend it: give a volume"),
        ("slice.dcm", "found one file of a DICOM series\n  To mend it: name its folder: "),
    ],
)
def test_what_is_no_scan_is_refused(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "torn.nii.gz").write_bytes(b"torn")
    (tmp_path / "empty").mkdir()
    (tmp_path / "photo.jpg").write_bytes(b"jpeg")
    (tmp_path / "slice.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(InputError, match=message):
        read_scan(tmp_path / name, 40, 400)


def test_a_phantom_that_is_not_there_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"found no such file\n  To mend it: run `dvc repro phantom`, or correct its"):
        read_scan(PHANTOM / "imagesTr/phantom_001_0000.nii", 40, 400)


@pytest.mark.parametrize("request_", ["", "  \n"])
def test_an_empty_request_is_refused_before_the_scan_is_read(request_: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["segment", str(tmp_path / "none.nii"), "the liver", request_])
    assert result.exit_code == 1
    assert "a request is empty" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one.nii", "two.nii", "the liver"], "found the name of a scan, two.nii"),
        (["one.nii", "the liver", "none.NII.gz"], "found the name of a scan, none.NII.gz"),
        (["one.nii", "liver/series", "the liver"], "found the name of a scan, liver/series"),
        (["one.nii", "liver", "the liver, save it as liver.nii.gz"], "one.nii: "),
        (["the liver", "one.nii"], "found the liver before one.nii"),
        (["the liver " * 500, "one.nii"], "name the scan first"),
        (["one.nii", "the liver. " * 500], "one.nii: "),
    ],
)
def test_a_scan_in_the_place_of_a_request_is_refused(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one.nii", "two.nii"):
        (tmp_path / name).touch()
    (tmp_path / "liver/series").mkdir(parents=True)

    def opened(checkpoint: Path) -> None:
        raise InputError("one.nii", "", "")

    monkeypatch.setattr(pipelines.segment.Segmenter, "from_pretrained", opened)
    result = CliRunner().invoke(app, ["segment", *arguments])
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())


def test_a_torn_picture_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)).save(tmp_path / "s.png")
    content = bytearray((tmp_path / "s.png").read_bytes())
    content[len(content) // 2 :] = b"x" * (len(content) - len(content) // 2)
    (tmp_path / "s.png").write_bytes(content)
    with pytest.raises(InputError, match="expected a PNG picture"):
        read_scan(tmp_path / "s.png", 40, 400)


def test_an_mr_scan_is_told_what_it_lacks(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.abs(ARRAY) // 4, LPS), tmp_path / "mr.nii")
    with pytest.raises(InputError, match="if it is an MR scan, add --modality MR"):
        read_scan(tmp_path / "mr.nii", 40, 400)


def test_a_scan_with_a_hole_is_not_taken_for_mr(tmp_path: Path) -> None:
    holed = ARRAY.astype(np.float32)
    holed[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(holed, LPS), tmp_path / "nan.nii")
    with pytest.raises(InputError, match=r"1 voxels are NaN.*\n.*fill these voxels: with -1024"):
        read_scan(tmp_path / "nan.nii", 40, 400)


def test_a_header_with_an_unknown_unit_is_read_and_kept(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(ARRAY, LPS), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[123] = 7
    (tmp_path / "a.nii").write_bytes(content)
    scan = read_scan(tmp_path / "a.nii", 40, 400)
    assert scan.mended == ("unit of length unknown, taken as mm",)
    assert int(masked(scan).header["xyzt_units"]) == 7


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder to write to, found a file"):
        make_folder(tmp_path / "file")
    with pytest.raises(InputError, match="name another with --out"):
        make_folder(tmp_path / "file/sub")


EDGES = {"leftmost": (1, 0), "rightmost": (1, 2), "topmost": (0, 1), "bottommost": (2, 1)}


@pytest.mark.parametrize("element", range(ORDER), ids=NAMES)
def test_letters_lie_where_the_patients_sides_are(element: int) -> None:
    """A scan shown turned or mirrored, whose pose the canonicalizer has found."""
    upright = torch.zeros(3, 3, dtype=torch.int64)
    upright[EDGES["leftmost"]], upright[EDGES["rightmost"]] = ord("R"), ord("L")
    shown = act(element, upright)
    letters = _sides(known_pose(INVERSE[element]))
    assert letters == {edge: chr(shown[place]) for edge, place in EDGES.items() if shown[place]}
    assert _sides(known_pose(INVERSE[element], sure=False)) == {}


def test_one_of_several_series_is_chosen(tmp_path: Path) -> None:
    slices = ARRAY.transpose(2, 1, 0)
    write_series(tmp_path / "thick", slices, spacing=(1.5, 1.5), step=(0, 0, 4.0))

    def portal(d: Dataset) -> None:
        d.SeriesDescription = "portal 2 mm"

    write_series(tmp_path / "thin", slices, spacing=(1.5, 1.5), step=(0, 0, 2.0), series=uid("thin"), change=portal)
    (tmp_path / "thin/torn.dcm").write_bytes(b"torn")
    listed = rf"with --series: 1 \(CT, 4 files in thick, .*\); 2 \"portal 2 mm\" \(CT, 4 files in thin, {uid('thin')}\)"
    with pytest.raises(InputError, match=listed):
        read_scan(tmp_path, 40, 400)
    assert read_scan(tmp_path, 40, 400, series="1").spacing[0] == 4.0
    thin = read_scan(tmp_path, 40, 400, series=uid("thin"))
    assert thin.spacing[0] == 2.0
    assert any("torn.dcm" in note for note in thin.mended)
    with pytest.raises(InputError, match="expected it with a folder"):
        read_scan(tmp_path / "thin/torn.dcm", 40, 400, series="1")
    with pytest.raises(InputError, match=rf"no image series 3 is there.*\n.*{listed}"):
        read_scan(tmp_path, 40, 400, series="3")


def test_dicom_files_that_are_torn_are_told(tmp_path: Path) -> None:
    write_series(tmp_path / "s", ARRAY.transpose(2, 1, 0), spacing=(1.5, 1.5), step=(0, 0, 4.0))
    (tmp_path / "s/zz_last.dcm").write_bytes(b"torn")
    assert any("zz_last.dcm" in note for note in read_scan(tmp_path / "s", 40, 400).mended)


def test_a_form_that_is_broken_is_not_copied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ARRAY, LPS)
    image.set_sform(LPS, 1)
    image.set_qform(LPS, 1)
    nib.save(image, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[256:268] = np.array([3, 3, 3], "<f4").tobytes()  # quatern_b, c, d: no rotation
    (tmp_path / "a.nii").write_bytes(content)
    mask = masked(read_scan(tmp_path / "a.nii", 40, 400))
    assert np.allclose(mask.affine, LPS)
    assert int(mask.header["sform_code"]) == 1


GEOMETRY = ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "pixdim", "xyzt_units")


@pytest.mark.parametrize("unit", ["mm", "meter", "unknown"])
@pytest.mark.parametrize("sform", [None, LPS], ids=["no orientation", "an sform with other voxel sizes"])
def test_a_mask_says_of_its_place_what_the_scan_says(sform: np.ndarray | None, unit: str, tmp_path: Path) -> None:
    """Where the header leaves room, each program fills it its own way: nibabel takes LAS where ITK takes LPS."""
    metres = 1000 if unit == "meter" else 1
    image = nib.Nifti1Image(ARRAY, None)
    image.header["pixdim"][1:4] = np.array([1.0, 1.0, 2.5]) / metres
    image.header.set_xyzt_units(unit)
    if sform is not None:
        image.header.set_sform(np.diag([1 / metres] * 3 + [1]) @ sform, 1)
    nib.save(image, tmp_path / "scan.nii")
    scan = read_scan(tmp_path / "scan.nii", 40, 400)
    assert scan.spacing == pytest.approx((2.5, 1.0, 1.0) if sform is None else (4.0, 1.5, 1.5))
    nib.save(masked(scan), tmp_path / "mask.nii")
    said, mask = nib.load(tmp_path / "scan.nii"), nib.load(tmp_path / "mask.nii")
    assert np.array_equal(np.asarray(mask.dataobj), ARRAY > 0)
    assert all(np.array_equal(said.header[key], mask.header[key]) for key in GEOMETRY)
