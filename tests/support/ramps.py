"""Series of ramps, and what gpukit derives of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

import gpukit as gk

__all__ = ["derived_of", "write_ramps"]

Change = Callable[[Dataset, int], None]


def write_ramps(
    folder: Path, change: Change | None = None, *, sop: str = CTImageStorage, modality: str = "CT", count: int = 1,
    placed: bool = False, size: tuple[int, int] = (64, 48),
) -> Path:  # fmt: skip
    """Slices of a ramp; `change` edits each."""
    folder.mkdir(exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for k in range(count):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = sop, generate_uid()
        image.Modality, image.PatientID, image.PatientName, image.StudyID = modality, "P1", "Ramp^One", "1"
        image.StudyInstanceUID, image.SeriesInstanceUID, image.SeriesNumber = study, series, 1
        image.InstanceNumber = k + 1
        if placed:
            image.FrameOfReferenceUID = frame
            image.ImagePositionPatient, image.ImageOrientationPatient = [-24, -32, 2.0 * k], [1, 0, 0, 0, 1, 0]
            image.PixelSpacing, image.SliceThickness = [1, 1], 2
        image.Rows, image.Columns, image.SamplesPerPixel = *size, 1
        image.PhotometricInterpretation = "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
        y, x = np.mgrid[: size[0], : size[1]]
        image.PixelData = ((7 * x + 5 * y + k) % 4096).astype("<u2").tobytes()
        if change is not None:
            change(image, k)
        image.save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)
    return folder


def derived_of(source: Path, target: Path, **mpr: Any) -> list[pydicom.Dataset]:
    """The plane or stack of a series, written as DICOM and read by pydicom."""
    (made,) = gk.mpr(gk.open(source), planes=mpr.pop("planes", ("axial",)), stack=True, **mpr)
    gk.save(made, target, format="dicom")
    return [pydicom.dcmread(file) for file in sorted(target.glob("*.dcm"))]
