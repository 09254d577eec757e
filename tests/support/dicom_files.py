"""DICOM series written from arrays with pydicom, for tests whose truth must be known exactly."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, PositronEmissionTomographyImageStorage

CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
ROOT = "1.2.826.0.1.3680043.10.1234"

Change = Callable[[Dataset, int], None]


def new_slice(pixels: np.ndarray, *, modality: str, series: str, number: int) -> Dataset:
    """A single-frame image without geometry; `number` makes its UID."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CLASSES[modality]
    dataset.SOPInstanceUID = f"{ROOT}.{series}.{number + 1}"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Modality = modality
    dataset.PatientName, dataset.PatientID = "Secret^Name", "secret-id"
    dataset.StudyInstanceUID = f"{ROOT}.9"
    dataset.SeriesInstanceUID = f"{ROOT}.{series}"
    dataset.FrameOfReferenceUID = f"{ROOT}.8"
    dataset.SeriesNumber = int(series.split(".")[-1])
    dataset.InstanceNumber = number + 1
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()
    if len(dataset.PixelData) % 2:
        dataset.PixelData += b"\0"
    return dataset


def ds(values: Any) -> list[str]:
    """Decimal strings as scanners write them: at most 16 characters."""
    texts = []
    for value in np.asarray(values, float).ravel():
        digits = 16
        while len(text := f"{value:.{digits}g}") > 16:
            digits -= 1
        texts.append(text)
    return texts


def write_series(
    folder: Path,
    array: np.ndarray,
    affine: np.ndarray,
    *,
    modality: str = "CT",
    series: str = "1",
    seed: int = 0,
    first: int = 0,
    positions: list[np.ndarray] | None = None,
    change: Change | None = None,
) -> list[Path]:
    """Write ``array[k, j, i]`` as one file a slice, names and instance numbers shuffled.

    Parameters
    ----------
    affine : (4, 4)
        From (i, j, k, 1) to LPS mm; any handedness.
    positions : list, optional
        ImagePositionPatient of each slice instead of the affine's.
    change : callable, optional
        Called as ``change(dataset, k)`` before writing.

    Returns
    -------
    list of Path
        The file of each slice k.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = list(range(len(array)))
    random.Random(seed).shuffle(order)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    paths = []
    for k, pixels in enumerate(array):
        dataset = new_slice(pixels, modality=modality, series=series, number=first + order[k])
        corner = affine[:3, 3] + k * affine[:3, 2] if positions is None else positions[k]
        dataset.ImagePositionPatient = ds(corner)
        dataset.ImageOrientationPatient = ds((affine[:3, :2] / spacing[:2]).T)
        dataset.PixelSpacing = ds([spacing[1], spacing[0]])
        dataset.SliceThickness = "99"  # must not matter
        if change is not None:
            change(dataset, k)
        path = folder / f"s{series}_{first + order[k]:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """Rotation about x, then y, then z, by degrees."""
    a, b, c = np.radians(angles)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x
