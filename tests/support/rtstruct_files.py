"""RT Structure Sets written with pydicom, for tests whose truth must be known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from support.dicom_files import ROOT, ds

Contours = list[np.ndarray]


def write_rtstruct(
    path: Path,
    rois: dict[str, Contours],
    *,
    numbers: list[int] | None = None,
    frame_of_reference: str = f"{ROOT}.8",
    kind: str = "CLOSED_PLANAR",
) -> Path:
    """A structure set with the named regions; each contour is (n, 3) LPS mm."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.77"
    dataset.Modality = "RTSTRUCT"
    dataset.PatientName = "Secret^Name"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.9", f"{ROOT}.70"
    described, drawn = [], []
    for number, (name, contours) in zip(numbers or range(1, len(rois) + 1), rois.items(), strict=True):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = frame_of_reference
        described.append(roi)
        item = Dataset()
        item.ReferencedROINumber = number
        item.ROIDisplayColor = [255, 0, 128]
        item.ContourSequence = Sequence()
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType = kind if len(points) > 1 else "POINT"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = ds(points)
            item.ContourSequence.append(contour)
        drawn.append(item)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(described), Sequence(drawn)
    dataset.save_as(path, enforce_file_format=True)
    return path


def plane(grid, ring, *, axis: int, at: float) -> np.ndarray:
    """A ring of index points on the plane of a grid where index `axis` is `at`, as LPS mm."""
    points = np.insert(np.asarray(ring, float), axis, at, axis=1)
    return grid.to_world(points)
