"""`flans segment`: a scan and sentences in; masks in the scan's own geometry, and pictures, out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from corpus.errors import InputError
from corpus.scans.adapters import Reject, load_nifti, to_hu
from corpus.scans.orientation import from_display, to_display
from model.checkpoint import from_pretrained
from model.drawing import montage
from model.groups import IDENTITY, NAMES
from model.inference import Segmentation, Segmenter
from model.text_encoder import build_text_encoder
from pipelines.stage import console, progress
from prompts.pictures import picture

PICTURE_PX = 640
PNG_SPACING = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Scan:
    """A scan to segment: HU `[Z, H, W]` in the display frame, spacing (z, y, x) mm, and its NIfTI image if it was
    one."""

    image: np.ndarray
    spacing: tuple[float, float, float]
    nifti: nib.Nifti1Image | None


def read_scan(path: Path, level: float, width: float) -> Scan:
    """Read a NIfTI volume, or a PNG slice whose grey values span the window given by `level` and `width` in HU.

    Raises:
        InputError: The file is missing, unreadable, or neither.
    """
    fix = "give a CT volume as .nii or .nii.gz in HU, or one axial slice as .png"
    if not path.is_file():
        raise InputError(path.absolute(), "expected a scan, found no such file", fix)
    if path.suffix.lower() == ".png":
        try:
            grey = np.asarray(Image.open(path).convert("L"), np.float64)
        except OSError as error:
            raise InputError(path, f"expected a PNG picture, but {error}", fix) from None
        hu = np.rint(level - width / 2 + grey / 255 * width).astype(np.int16)
        return Scan(hu[None], PNG_SPACING, None)
    try:
        nifti = load_nifti(path)
        hu = to_hu(np.asanyarray(nifti.dataobj), path.name)
    except (Reject, OSError, EOFError, ValueError) as error:
        raise InputError(path, str(error), fix) from None
    image, spacing = to_display(hu, nifti.affine)
    return Scan(image, spacing, nifti)


def segment_scan(path: Path, prompts: Sequence[str], out: Path, checkpoint: Path) -> list[dict]:
    """Answer prompts on one scan and write masks, pictures and answers.json.

    Returns:
        One dictionary a prompt: what was understood, where the files are, and warnings.
    """
    model = from_pretrained(checkpoint)
    scan = read_scan(path, model.params.level_hu, model.params.width_hu)
    segmenter = Segmenter(model, build_text_encoder(model.params.text_encoder))
    request = segmenter.read(prompts)
    with progress("segment", len(scan.image)) as advance:
        result = segmenter.segment(scan.image, request, advance=advance)
    out.mkdir(parents=True, exist_ok=True)
    answers = [_write(i, scan, result, out) for i in range(len(prompts))]
    (out / "answers.json").write_text(json.dumps(answers, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    console.print()
    return answers


def _write(i: int, scan: Scan, result: Segmentation, out: Path) -> dict:
    mask, understood = result.masks[i], result.request.understood[i]
    z, y, x = scan.spacing
    if scan.nifti is None:
        path = out / f"mask_{i + 1}.png"
        Image.fromarray(mask[0].astype(np.uint8) * 255).save(path)
        size = f"{int(mask.sum())} pixels"
    else:
        path = out / f"mask_{i + 1}.nii.gz"
        nib.save(_like(from_display(mask.astype(np.uint8), scan.nifti.affine), scan.nifti), path)
        size = f"{mask.sum() * z * y * x / 1000:.1f} ml"
    drawn = (
        picture(scan.image[0], mask[0], (y, x), PICTURE_PX)
        if len(mask) == 1
        else montage(scan.image, mask, (y, x), PICTURE_PX)
    )
    drawn.save(out / f"overlay_{i + 1}.png")
    return {
        "prompt": result.request.prompts[i],
        "kind": understood.intent.kind,
        "attribute": understood.intent.attribute,
        "organ": result.organs[i],
        "confidence": round(understood.confidence, 4),
        "size": size,
        "mask": str(path),
        "overlay": str(out / f"overlay_{i + 1}.png"),
        "warnings": _warnings(i, mask, result, scan),
    }


def _like(array: np.ndarray, reference: nib.Nifti1Image) -> nib.Nifti1Image:
    """A uint8 image on the reference's grid, its sform and qform codes kept."""
    image = nib.Nifti1Image(array, reference.affine)
    for name in ("sform", "qform"):
        matrix, code = getattr(reference, f"get_{name}")(coded=True)
        if code:
            getattr(image, f"set_{name}")(matrix, int(code))
    return image


def _warnings(i: int, mask: np.ndarray, result: Segmentation, scan: Scan) -> list[str]:
    warnings = []
    understood = result.request.understood[i]
    if understood.intent.kind == "none":
        warnings.append("This doesn't read as a request for a structure, so the mask is empty.")
    elif not mask.any():
        warnings.append("The structure was not found, so the mask is empty.")
    if understood.confidence < 0.5:
        warnings.append("The model is not sure what was asked for.")
    element = int(result.pose.element)
    if not bool(result.pose.sure):
        warnings.append(f"Pose unsure (best guess: {NAMES[element]}): check left and right.")
    elif element != IDENTITY and scan.nifti is not None:
        warnings.append(
            f"The pixels contradict the header: the scan looks turned or mirrored ({NAMES[element]} brings it upright)."
        )
    return warnings
