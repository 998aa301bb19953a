"""DICOM files of a synthetic patient, written in all the ways in which scanners and archives write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RTStructureSetStorage,
    generate_uid,
)

FRAME_OF_REFERENCE = generate_uid(entropy_srcs=["frame"])
SERIES = generate_uid(entropy_srcs=["series"])
AXIAL = ((1, 0, 0), (0, 1, 0))
"""ImageOrientationPatient: where rows and columns point, in DICOM's L, P, S."""

Change = Callable[[Dataset], None]


def uid(*parts: object) -> str:
    return generate_uid(entropy_srcs=[str(p) for p in parts])


def write(dataset: Dataset, path: Path, sop_class: str) -> Path:
    """Add what every file needs."""
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid(path.name, dataset.get("SeriesInstanceUID"))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    file = FileDataset(str(path), dataset, file_meta=meta, preamble=b"\0" * 128)
    file.save_as(path, enforce_file_format=True)
    return path


def header(modality: str = "CT", series: str = SERIES, patient: str = "p1") -> Dataset:
    d = Dataset()
    d.PatientID, d.PatientName, d.PatientBirthDate, d.PatientSex = patient, "", "", "O"
    d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = uid("study"), series, FRAME_OF_REFERENCE
    d.StudyID, d.StudyDate, d.StudyTime, d.AccessionNumber, d.ReferringPhysicianName = "1", "", "", "", ""
    d.Modality, d.SeriesNumber, d.InstanceNumber = modality, 1, 1
    d.Manufacturer, d.ManufacturerModelName, d.PositionReferenceIndicator = "", "", ""
    return d


def set_pixels(d: Dataset, stored: np.ndarray) -> None:
    """`[rows, columns]` or `[frames, rows, columns]` as they are, 16 bits, signed or not."""
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = stored.shape[-2:]
    d.BitsAllocated, d.BitsStored, d.HighBit = 16, 16, 15
    d.PixelRepresentation = int(stored.dtype.kind == "i")
    d.PixelData = stored.tobytes()


def number(values: Any) -> list[str]:
    return [f"{float(v):.6f}"[:16] for v in values]


def write_series(
    folder: Path,
    slices: np.ndarray,
    *,
    orientation: Any = AXIAL,
    origin: Any = (-40.0, -50.0, -60.0),
    spacing: tuple[float, float] = (0.8, 0.5),
    step: Any = (0.0, 0.0, 3.0),
    intercept: int = -1024,
    modality: str = "CT",
    series: str = SERIES,
    patient: str = "p1",
    change: Change = lambda d: None,
) -> list[Path]:
    """One file a slice.

    Args:
        slices: `[slice, row, column]` HU, stored unsigned where the intercept makes all of them positive.
        spacing: Between rows, between columns, mm.
        step: From a slice to the next, LPS mm.
        change: Called with each dataset before it is written.
    """
    files = []
    for k, image in enumerate(slices):
        d = header(modality, series, patient)
        d.InstanceNumber, d.ImageType = k + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        stored = image.astype(np.int32) - intercept
        set_pixels(d, stored.astype(np.uint16 if stored.min() >= 0 else np.int16))
        d.ImageOrientationPatient = number(np.ravel(orientation))
        d.ImagePositionPatient = number(np.asarray(origin) + k * np.asarray(step))
        d.PixelSpacing = number(spacing)
        d.SliceThickness = "3"
        if modality == "CT":
            d.RescaleSlope, d.RescaleIntercept, d.RescaleType = "1", str(intercept), "HU"
        change(d)
        # Names say nothing about the order.
        name = f"{uid(series, k)[-12:]}.dcm"
        files.append(write(d, folder / name, CTImageStorage if modality == "CT" else MRImageStorage))
    return files


def write_enhanced(path: Path, slices: np.ndarray, order: list[int], step: float = 3.0) -> Path:
    """One enhanced CT file, its frames in any order; the pixel measures and orientation are shared."""
    d = header()
    d.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    set_pixels(d, (slices[order] + 1024).astype(np.uint16))
    d.NumberOfFrames = len(slices)
    shared, measures, orientation, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = number((0.8, 0.5)), number(np.ravel(AXIAL))
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = "1", "-1024", "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [rescale]
    d.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = number((-40, -50, -60 + k * step))
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    d.PerFrameFunctionalGroupsSequence = frames
    return write(d, path, EnhancedCTImageStorage)


def write_rtstruct(path: Path, rois: dict[str, list[Any]], kind: str = "CLOSED_PLANAR") -> Path:
    """ROIs of contours, each `[N, 3]` LPS mm."""
    d = header("RTSTRUCT", uid("rtstruct"))
    del d.FrameOfReferenceUID
    frame = Dataset()
    frame.FrameOfReferenceUID = FRAME_OF_REFERENCE
    d.ReferencedFrameOfReferenceSequence = [frame]
    d.StructureSetROISequence, d.ROIContourSequence = [], []
    for i, (name, contours) in enumerate(rois.items(), start=7):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = i, name.split("#")[0]
        drawn.ReferencedROINumber = i
        if contours:
            drawn.ContourSequence = []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType = kind
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = number(np.ravel(points))
            drawn.ContourSequence.append(contour)
        d.StructureSetROISequence.append(roi)
        d.ROIContourSequence.append(drawn)
    return write(d, path, RTStructureSetStorage)


def write_seg(path: Path, files: list[Path], masks: dict[str, np.ndarray], kind: str = "BINARY", **more: Any) -> Path:
    """A SEG of masks drawn on a series.

    Args:
        masks: Bool or float `[slice, row, column]`, in the order of the files.
    """
    segments = [
        hd.seg.SegmentDescription(
            segment_number=i,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type="MANUAL",
        )
        for i, name in enumerate(masks, start=1)
    ]
    stacked = np.stack(list(masks.values()), axis=-1)
    if kind == "LABELMAP":
        stacked = (stacked * np.arange(1, len(masks) + 1)).max(axis=-1)
    seg = hd.seg.Segmentation(
        source_images=[pydicom.dcmread(f) for f in files],
        pixel_array=stacked.astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid=uid("seg"),
        series_number=2,
        sop_instance_uid=uid("seg", path.name),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **more,
    )
    seg.save_as(path)
    return path
