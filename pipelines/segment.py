"""`flans segment`: a scan and sentences in; masks in the scan's own geometry, and pictures, out."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.misc import is_dicom

from corpus.errors import InputError
from corpus.files import file_sha256
from corpus.scans.dicom import DICOM_ENDING, IMAGE_CLASSES, SeriesInfo, read_series, series_and_unread, told_unread
from corpus.scans.intensity import harmonise
from corpus.scans.layouts.png import DEPTHS
from corpus.scans.nifti import read_nifti, usable_forms
from corpus.scans.orientation import from_display, resized, square_pixels, to_display
from corpus.scans.volumes import Grid, Reject
from model.canonicalizer import Pose
from model.checkpoint import WEIGHTS
from model.groups import INVERSE, NAMES
from model.inference import Segmentation, Segmenter
from model.judging import judge
from model.testing.drawing import montage, sides_shown
from pipelines import doubts
from pipelines.answers import open_folder, publish, unfinished
from pipelines.stage import PHANTOM, console, progress
from prompts.pictures import picture

PICTURE_PX = 640
PNG_SPACING = (1.0, 1.0, 1.0)
KINDS = "give a volume as .nii or .nii.gz, a folder with one DICOM series, or one axial slice as .png"
SCAN_NAME = re.compile(r"\S+\.(?:nii|nii\.gz|dcm|png|nrrd)", re.IGNORECASE)
NIFTI_ENDING = re.compile(r"\.(?:nii|(?P<pair>hdr|img))(?:\.(?:gz|bz2))?$", re.IGNORECASE)


@dataclass(frozen=True)
class Scan:
    """A scan to segment: `image` int16 HU-like `[Z, H, W]` in the display frame, pixels square, and spacing (z, y, x)
    mm."""

    image: np.ndarray
    spacing: tuple[float, float, float]
    modality: str = "CT"
    affine: np.ndarray | None = None
    """`[4, 4]`, voxel index to RAS mm; None for a picture."""
    file: Path | None = None
    """The NIfTI file that masks take their header from."""
    series: str = ""
    """A DICOM series' UID."""
    mended: tuple[str, ...] = ()
    pixels: tuple[int, int] | None = None
    """Rows and columns as the file has them, where they were resampled to be square."""

    @property
    def whole_ct(self) -> bool:
        """Whether it is a CT volume, of which the rules of anatomy can say how it lies."""
        return self.affine is not None and self.modality == "CT"


def read_scan(path: Path, level: float, width: float, modality: str = "CT", series: str | None = None) -> Scan:
    """Read a NIfTI volume, a folder with a DICOM series, or a PNG slice whose grey values span a window in HU.

    Args:
        level: The PNG's window in HU.
        width: The same.
        modality: What a NIfTI file is of, CT or MR; a DICOM series says so itself.
        series: Which of a folder's image series: its number in the list that the error shows, or its UID.

    Raises:
        InputError: The scan is missing, unreadable, or none of these.
    """
    path = path.absolute()  # "." has no name to speak of
    check_scan(path, series)
    fix = KINDS if not NIFTI_ENDING.search(path.name) else "give one whole 3D volume: copy or export it again"
    if path.suffix.lower() == ".png":
        try:
            grey = _grey(path)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's of a damaged chunk
            raise InputError(path, f"expected a PNG picture, but {error}", fix) from None
        hu = np.rint(level - width / 2 + grey * width).astype(np.int16)
        return Scan(hu[None], PNG_SPACING)
    found = None
    try:
        if path.is_dir():
            grid, found = _read_folder(path, series)
        else:
            grid = read_nifti(path)
    except Reject as error:
        raise InputError(path, str(error).removeprefix(f"{path.name}: "), fix) from None
    modality, uid = (found.modality, found.uid) if found else (modality, "")
    try:
        harmonised, done = harmonise(grid.array, modality, path.name)
    except Reject as error:
        if not np.isfinite(grid.array).all():
            air = "-1024" if modality == "CT" else "0"
            fix = f"fill these voxels: with {air} where they lie outside the body"
        elif modality == "CT" and not path.is_dir():
            fix = "give the scan itself, not a mask or label map; if it is an MR scan, add --modality MR"
        raise InputError(path, str(error).removeprefix(f"{path.name}: "), fix) from None
    image, own = to_display(harmonised, grid.affine)
    try:
        square, spacing = square_pixels(image, own)
    except Reject as error:
        raise InputError(path, str(error), "correct the voxel sizes in its header") from None
    mended = (*grid.mended, done.removeprefix("HU, ")) if done.startswith("HU, ") else grid.mended
    pixels = None if spacing == own else (image.shape[1], image.shape[2])
    return Scan(square, spacing, modality, grid.affine, None if path.is_dir() else path, uid, mended, pixels)


def _grey(path: Path) -> np.ndarray:
    """A picture's greys `[H, W]`, from 0 to 1. What can be seen through is black, whatever colour lies beneath."""
    opened: Image.Image = Image.open(path)
    deep = DEPTHS.get(opened.mode) == 65535  # which Pillow converts to no other mode unharmed
    if opened.has_transparency_data and not deep:
        seen = opened.convert("RGBA")
        opened = Image.alpha_composite(Image.new("RGBA", seen.size, "black"), seen).convert("L")
    brightest = DEPTHS.get(opened.mode)
    pixels = np.asarray(opened if brightest else opened.convert("L"))
    if deep:
        pixels = np.where(pixels == opened.info.get("transparency"), 0, pixels)
    return pixels.astype(np.float64) / (brightest or 255)


def check_scan(path: Path, series: str | None = None) -> None:
    """See that there is something to read, before anything that takes time.

    Raises:
        InputError: There is nothing, a file of another kind, or a series is named where there can't be several.
    """
    if series and not path.is_dir():
        raise InputError("--series", f"expected it with a folder, found it with {path.name}", "leave it out")
    if not path.exists():
        made = "run `dvc repro phantom`, or " if PHANTOM.absolute() in path.parents else ""
        raise InputError(path, "expected a scan, found no such file", f"{made}correct its name")
    try:
        dicom = path.is_file() and (bool(DICOM_ENDING.search(path.name)) or is_dicom(path))
    except OSError as error:
        raise InputError(path, f"expected a scan, but {error.strerror}", "correct its permissions") from None
    if dicom:
        raise InputError(path, "expected a scan, found one file of a DICOM series", f"name its folder: {path.parent}")
    if path.is_file() and not (NIFTI_ENDING.search(path.name) or path.suffix.lower() == ".png"):
        raise InputError(path, "expected a scan, found a file of another kind", KINDS)


def _read_folder(path: Path, wanted: str | None) -> tuple[Grid, SeriesInfo | None]:
    """A folder's image series, the one that is wanted where there are several, and what its headers tell."""
    found, unread = series_and_unread(path)
    images = [series for series in found if series.modality in IMAGE_CLASSES.values()]
    chosen = [series for i, series in enumerate(images, 1) if wanted in (str(i), series.uid)]

    def fix() -> str:
        listed = "; ".join(_told(i, each, path) for i, each in enumerate(images, 1))
        return f"choose a series with --series: {listed}"

    if not images and (volumes := sorted(each.name for each in path.glob("[!.]*.nii*"))):
        named = f"name the scan itself: {', '.join(volumes[:5])}"
        raise InputError(path, "expected a DICOM series in a folder, found NIfTI files", named)
    if wanted and not chosen:
        raise InputError(path, f"no image series {wanted} is there", fix())
    if chosen:
        grid = read_series(chosen[0].files)
        return replace(grid, mended=(*grid.mended, *([told_unread(unread)] if unread else ()))), chosen[0]
    try:
        return read_series(path), next(iter(images), None)
    except Reject as error:
        if len(images) < 2:
            raise
        said = str(error).removeprefix(f"{path.name}: ")
        if said.startswith(one := "expected one image series"):
            said = f"{one}, found {len(images)}"  # each of which is told by what mends it
        raise InputError(path, said, fix()) from None


def _told(number: int, series: SeriesInfo, root: Path) -> str:
    header = pydicom.dcmread(series.files[0], stop_before_pixels=True, specific_tags=["SeriesDescription"])
    description = header.get("SeriesDescription") or ""
    name = " ".join([description] if isinstance(description, str) else map(str, description)).strip()
    called = f' "{name}"' if name else ""
    where = series.folder.relative_to(root)
    return f"{number}{called} ({series.modality}, {len(series.files)} files in {where}, {series.uid})"


def segment_scan(
    path: Path, prompts: Sequence[str], out: Path, checkpoint: Path, modality: str = "CT", series: str | None = None
) -> list[dict]:
    """Answer prompts on one scan and write masks, pictures and answers.json; see `read_scan`.

    Returns:
        One dictionary a prompt: what was understood, where the files are, and warnings.

    Raises:
        InputError: A prompt is empty or a scan's name, the checkpoint or the scan can't be read, or answers can't go to
            `out`; see `open_folder`.
    """
    _check_requests(path, prompts)
    check_scan(path.absolute(), series)
    segmenter = Segmenter.from_pretrained(checkpoint)
    params, sources = segmenter.model.params, segmenter.model.training_record.get("sources", {})
    scan = read_scan(path, params.level_hu, params.width_hu, modality, series)
    scan_sha256 = _known_by(path, scan)
    origin = {"scan_sha256": scan_sha256, "checkpoint_sha256": file_sha256(checkpoint / WEIGHTS)}
    open_folder(out, path, len(prompts), scan_sha256)
    request = segmenter.read(prompts)
    spacing = scan.spacing if scan.whole_ct else None
    judged = judge(scan.image, spacing, None, familiar=False)
    pose = segmenter.pose(scan.image, spacing, scan.affine is not None, judged.rules)
    with progress("segment", len(scan.image)) as advance:
        result = segmenter.segment(scan.image, request, pose, advance)
    posed = segmenter.model.canonicalizer.learns
    of_scan = doubts.of_scan(result, scan.mended, scan.affine is not None, judged, posed)
    of_scan += doubts.of_training(sources, scan.modality)
    with unfinished(out) as place:
        answers = [_write(i, scan, result, place) | origin for i in range(len(prompts))]
        for answer in answers:
            answer["warnings"] += doubts.of_organ(answer["organ"], sources) + of_scan
        open_folder(out, path, len(prompts), scan_sha256)  # somebody may have been at work there, too
        publish(answers, place, out)
    console.print()
    return answers


def _check_requests(scan: Path, prompts: Sequence[str]) -> None:
    """See that there are requests, and no scans among them: of one pattern the shell makes several names.

    Raises:
        InputError: It isn't so.
    """
    where = "flans segment"
    if not all(prompt.strip() for prompt in prompts):
        raise InputError(where, "a request is empty", 'say what to segment, for example "the left kidney"')
    scans = [prompt for prompt in prompts if _names_scan(prompt)]
    if scans and not _exists(scan):
        found = f"expected a scan, found {scan} before {scans[0]}"
        raise InputError(where, found, "name the scan first, then requests")
    if scans:
        raise InputError(where, f"expected a request, found the name of a scan, {scans[0]}", "give one scan at a time")


def _names_scan(prompt: str) -> bool:
    """Whether a request is a file's name, or the path of what is there; a folder may be called "liver"."""
    return bool(SCAN_NAME.fullmatch(prompt.strip())) or (os.sep in prompt and _exists(prompt))


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a request may be too long for a name
        return False


def _known_by(path: Path, scan: Scan) -> str:
    """The sha256 by which answers know a scan: its file's; of a series or a pair, whose voxels don't say where they
    lie, that of all that was read."""
    ending = NIFTI_ENDING.search(path.name)
    if path.is_file() and not (ending and ending["pair"]):
        return file_sha256(path)
    read = scan.modality, scan.series, scan.image.shape, np.asarray(scan.affine).tolist()
    known = sha256(repr(read).encode())
    known.update(scan.image)  # type: ignore[arg-type]
    return known.hexdigest()


def _write(i: int, scan: Scan, result: Segmentation, place: Path) -> dict:
    """Write the mask and the picture of an answer to a folder; what answers.json says of it."""
    mask, understood = result.masks[i], result.request.understood[i]
    if scan.affine is None:
        path, written = place / f"mask_{i + 1}.png", np.count_nonzero(mask)
        Image.fromarray(mask[0].astype(np.uint8) * 255).save(path)
        size = f"{written} pixels"
    else:
        file, path = _nifti(mask, scan), place / f"mask_{i + 1}.nii.gz"
        nib.save(file, path)
        written = np.count_nonzero(file.dataobj)
        size = f"{written * abs(np.linalg.det(scan.affine[:3, :3])) / 1000:.1f} ml"
    y, x = scan.spacing[1:]
    pose, sides = result.pose, _sides(result.pose)
    drawn = (
        picture(scan.image[0], mask[0], (y, x), PICTURE_PX, sides=sides)
        if len(mask) == 1
        else montage(scan.image, mask, (y, x), PICTURE_PX, sides)
    )
    drawn.save(place / f"overlay_{i + 1}.png")
    return {
        "prompt": result.request.prompts[i],
        "kind": understood.intent.kind,
        "asked": understood.intent.target,
        "attribute": understood.intent.attribute,
        "rank": understood.intent.rank,
        "relation": understood.intent.relation,
        "organ": result.organs[i],
        "confidence": round(understood.confidence, 4),
        "surest_pixel": round(float(result.surest[i]), 4),
        "size": size,
        "empty": not written,
        "upright_after": NAMES[int(pose.element)],
        "upright_sure": bool(pose.sure),
        "mask": path.name,
        "overlay": f"overlay_{i + 1}.png",
        "warnings": doubts.of_answer(i, result, empty=not written),
    }


def _sides(pose: Pose) -> dict[str, str]:
    """Where R and L are drawn: at the patient's sides as the pixels have them, and nowhere if the pose is unsure."""
    return sides_shown(INVERSE[int(pose.element)]) if bool(pose.sure) else {}


def _nifti(mask: np.ndarray, scan: Scan) -> nib.Nifti1Image:
    """A mask, bool `[Z, H, W]` as the scan's image, on the grid of the scan's file, uint8. One of a NIfTI file has that
    file's sform and qform, or neither, and its voxel sizes: whatever a program goes by, it lays the mask over the
    file. One of a DICOM series has both, in mm of the scanner."""
    assert scan.affine is not None
    own = resized(mask.astype(np.uint8), scan.pixels, nearest=True) if scan.pixels else mask.astype(np.uint8)
    array = from_display(own, scan.affine)
    if scan.file is None:
        image = nib.Nifti1Image(array, scan.affine)
        image.header.set_xyzt_units("mm")
        image.set_sform(scan.affine, "scanner")
        image.set_qform(scan.affine, "scanner")
        return image
    reference = nib.load(scan.file)
    assert isinstance(reference, nib.Nifti1Pair)  # read_nifti saw to it
    image = nib.Nifti1Image(array, None)  # an affine would be written as an sform
    for key in ("pixdim", "xyzt_units"):
        image.header[key] = reference.header[key]
    for name, matrix in usable_forms(reference.header).items():
        getattr(image, f"set_{name}")(matrix, int(reference.header[f"{name}_code"]))
    return image
