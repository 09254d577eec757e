"""PET series written with pydicom, with every attribute that an SUV needs and any of them changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage

import gpukit
from gpukit.volume import Volume

ROOT = "1.2.826.0.1.3680043.10.1234.7"
DOSE, HALF_LIFE, WEIGHT = 370e6, 6586.2, 70.0
INJECTED = datetime(2024, 5, 17, 10, 0)
SCANNED = datetime(2024, 5, 17, 11, 0)

Change = Callable[[Dataset, Dataset, int], None]


def da(moment: datetime) -> str:
    return f"{moment:%Y%m%d}"


def tm(moment: datetime) -> str:
    return f"{moment:%H%M%S.%f}"


def write_pet(folder: Path, *, change: Change | None = None, slices: int = 3, value: int = 10000) -> list[Path]:
    """Slices of 6 x 5 pixels of `value`, BQML, decay-corrected to the start of the scan an hour after the injection.

    ``change(dataset, radiopharmaceutical, k)`` is called before each file is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k in range(slices):
        d = Dataset()
        d.file_meta = FileMetaDataset()
        d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
        d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.{k + 1}"
        d.ImageType = ["ORIGINAL", "PRIMARY"]
        d.Modality, d.Manufacturer = "PT", "Made"
        d.PatientName, d.PatientID = "Secret^Name", "secret-id"
        d.PatientWeight, d.PatientSize, d.PatientSex = WEIGHT, 1.75, "M"
        d.StudyInstanceUID, d.SeriesInstanceUID = f"{ROOT}.91", f"{ROOT}.92"
        d.FrameOfReferenceUID, d.SeriesNumber, d.InstanceNumber = f"{ROOT}.93", 1, k + 1
        d.SeriesDate, d.SeriesTime = da(SCANNED), tm(SCANNED)
        d.AcquisitionDate, d.AcquisitionTime = da(SCANNED), tm(SCANNED)
        d.FrameReferenceTime, d.ActualFrameDuration = "150000", 300000
        d.Units, d.DecayCorrection = "BQML", "START"
        d.CorrectedImage = ["NORM", "ATTN", "SCAT", "DECY"]
        drug = Dataset()
        drug.RadiopharmaceuticalStartDateTime = f"{INJECTED:%Y%m%d%H%M%S}"
        drug.RadiopharmaceuticalStartTime = tm(INJECTED)
        drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = f"{DOSE:.0f}", HALF_LIFE
        d.RadiopharmaceuticalInformationSequence = Sequence([drug])
        d.ImagePositionPatient, d.ImageOrientationPatient = [0, 0, 3 * k], [1, 0, 0, 0, 1, 0]
        d.PixelSpacing, d.SliceThickness = [4, 4], 3
        d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
        d.Rows, d.Columns, d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 5, 6, 16, 16, 15, 0
        d.RescaleSlope, d.RescaleIntercept = 1, 0
        d.PixelData = np.full((5, 6), value, "<u2").tobytes()
        if change is not None:
            change(d, drug, k)
        path = folder / f"{k}.dcm"
        d.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def pet(folder: Path, change: Change | None = None, **options: Any) -> Volume:
    """The same, opened."""
    return gpukit.open(write_pet(folder, change=change, **options), device="cpu")


def expected(value: float = 10000, *, seconds: float = 3600.0, weight: float = WEIGHT, dose: float = DOSE) -> float:
    """SUVbw by its definition: concentration, divided by the dose that is left per gram."""
    return value / (dose * 2.0 ** (-seconds / HALF_LIFE) / (weight * 1000))
