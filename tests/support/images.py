"""DICOM images with chosen attributes, for tests of what those attributes do to a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    EnhancedXAImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

CLASSES = {
    "CT": CTImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
    "OT": SecondaryCaptureImageStorage,
    "US": UltrasoundImageStorage,
    "XA": EnhancedXAImageStorage,
}


def write_image(
    path: Path, modality: str = "CT", *, rows: int = 64, columns: int = 96, frames: int = 0, **attributes: Any
) -> Path:
    """A file of zeros; `attributes` are set by keyword. `frames` of 0 is a single-frame object."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage if frames and modality == "US" else CLASSES[modality]
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality = modality
    dataset.PatientName, dataset.PatientID = "Secret^Name", "secret-id"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if frames:
        dataset.NumberOfFrames = frames
    dataset.PixelData = np.zeros((max(1, frames), rows, columns), np.uint8).tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


def region(
    bounds: Sequence[int], units: Sequence[int], delta: Sequence[float], *, format: int = 1, flags: int = 0
) -> Dataset:
    """One item of the Sequence of Ultrasound Regions; `bounds` are first and last column, first and last row."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = format, 1, flags
    item.RegionLocationMinX0, item.RegionLocationMaxX1 = bounds[0], bounds[1]
    item.RegionLocationMinY0, item.RegionLocationMaxY1 = bounds[2], bounds[3]
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = map(float, delta)
    return item


def regions(*items: Dataset) -> Items:
    """The sequence of them."""
    return Items(items)
