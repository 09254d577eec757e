"""RT Structure Sets, written (PS3.3 A.19): each label as closed outlines along the faces of its voxels.

Outlines of labels may overlap, as labels do. An outline along faces holds the centres of exactly the label's voxels, so
that a reader who fills it on the same grid gets the same voxels.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gpukit.device import move
from gpukit.dicom.modules.cielab import label_color
from gpukit.dicom.modules.source_frames import plan_planes
from gpukit.dicom.modules.source_header import fit_character_set, is_valid, new_series_number, short_text, source_header
from gpukit.dicom.segmentation.outlines import outlines
from gpukit.errors import InputError
from gpukit.segmentation import Segmentation
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_rtstruct"]

STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY_MANAGEMENT = "1.2.840.10008.3.1.2.3.1"  # the retired class that the standard's text still names for studies
_COPIED = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "PatientIdentityRemoved", "DeidentificationMethod", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)  # fmt: skip


def write_rtstruct(segmentation: Segmentation, target: str | PathLike[str] | BinaryIO) -> None:
    """Write a segmentation as an RT Structure Set, a ROI for each label; labels may overlap.

    Contours are of the type CLOSED_PLANAR, with a keyhole where there is a hole (PS3.3 C.8.8.6.3). A label without a
    voxel is a ROI without contours.

    Parameters
    ----------
    segmentation : Segmentation
        Must have `sources` with a place in the patient. On any device; labels come from it one by one.
    target : path or binary stream
        Where to write. Not atomic: `gpukit.save` is.

    Raises
    ------
    InputError
        No sources, no labels, or images without a place in the patient.
    GeometryError
        Rows and columns of the grid are not perpendicular.
    """
    sources = segmentation.sources
    if not sources:
        raise InputError(
            "an RTSTRUCT must reference the DICOM instances that were segmented, and this volume was not read from any",
            fix="write NIfTI instead",
        )
    if not segmentation.geometry.position:
        raise InputError("an RTSTRUCT needs images with a place in the patient", fix="write a DICOM SEG instead")
    if not segmentation.labels:
        raise InputError("the segmentation has no labels", fix="describe at least one label")
    header = source_header(sources[0])
    _dataset(segmentation, header).save_as(target, enforce_file_format=True)


def _dataset(segmentation: Segmentation, header: Dataset) -> Dataset:
    from pydicom import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    from gpukit.version import __version__

    now = datetime.datetime.now()
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword in _COPIED:
        if keyword in header and (header[keyword].is_empty or is_valid(header[keyword])):
            made.add(header[keyword])
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UID(STORAGE)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    name = segmentation.algorithm.get("name") or "unnamed model"
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", generate_uid(prefix=None)
    made.SeriesNumber, made.InstanceNumber, made.OperatorsName = new_series_number(header), 1, ""
    made.SeriesDescription = short_text(f"Structures: {name}")
    made.Manufacturer = made.ManufacturerModelName = "gpukit"
    made.SoftwareVersions, made.DeviceSerialNumber = __version__, __version__
    made.InstanceCreationDate = made.StructureSetDate = now.strftime("%Y%m%d")
    made.InstanceCreationTime = made.StructureSetTime = now.strftime("%H%M%S")
    made.StructureSetLabel = "SEGMENTATION"
    made.StructureSetDescription = short_text(f"By {name}, not verified")
    made.ApprovalStatus = "UNAPPROVED"
    labels = sorted(segmentation.labels, key=lambda label: label.value)
    planes = plan_planes(segmentation.grid, segmentation.sources, header)
    made.ReferencedFrameOfReferenceSequence = [_referenced_frame(segmentation.sources, header)]
    made.StructureSetROISequence = []
    made.ROIContourSequence = []
    made.RTROIObservationsSequence = []
    for number, label in enumerate(labels, 1):
        roi = Dataset()
        roi.ROINumber, roi.ReferencedFrameOfReferenceUID = number, header.FrameOfReferenceUID
        roi.ROIName, roi.ROIGenerationAlgorithm = short_text(label.name), "AUTOMATIC"
        roi.ROIGenerationDescription = short_text(f"{name} {segmentation.algorithm.get('version') or ''}".strip())
        made.StructureSetROISequence.append(roi)
        drawn = Dataset()
        drawn.ROIDisplayColor, drawn.ReferencedROINumber = list(label_color(label)), number
        contours = _contours(segmentation, np.asarray(move(segmentation.mask(label), "cpu")), planes)
        if contours:
            drawn.ContourSequence = contours
        made.ROIContourSequence.append(drawn)
        seen = Dataset()
        seen.ObservationNumber = seen.ReferencedROINumber = number
        seen.RTROIInterpretedType, seen.ROIInterpreter = "", ""
        seen.ROIObservationLabel = short_text(label.name)[:16]
        seen.RTROIIdentificationCodeSequence = [_code(label.type)]
        made.RTROIObservationsSequence.append(seen)
    words = [word for label in labels for word in (label.name, label.type[2])]
    fit_character_set(made, header.get("SpecificCharacterSet"), [*words, *map(str, segmentation.algorithm.values())])
    return made


def _contours(segmentation: Segmentation, mask: Any, planes: Any) -> list[Dataset]:
    """Contours of all slices of a label."""
    from pydicom import Dataset

    slices = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    found = [(k, ring) for k in slices for ring in outlines(mask[k])]
    contours = []
    for number, (k, ring) in enumerate(found, 1):
        points = segmentation.grid.to_world(np.column_stack((ring, np.full(len(ring), k))))
        one = Dataset()
        if planes.aligned and planes.references[k]:
            one.ContourImageSequence = [_reference(source) for source in planes.references[k]]
        one.ContourGeometricType = "CLOSED_PLANAR"
        one.NumberOfContourPoints, one.ContourNumber = len(points), number
        one.ContourData = [_decimal(value) for value in points.ravel().tolist()]
        contours.append(one)
    return contours


def _decimal(value: float) -> str:
    """A decimal string (DS) of at most 16 bytes: a ten-thousandth of a millimetre is far below any voxel."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _referenced_frame(sources: Sequence[SourceInstance], header: Dataset) -> Dataset:
    from pydicom import Dataset

    series = Dataset()
    series.SeriesInstanceUID = header.SeriesInstanceUID
    series.ContourImageSequence = [_reference(source) for source in dict.fromkeys(sources)]
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_MANAGEMENT, header.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = header.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _reference(source: SourceInstance) -> Dataset:
    from pydicom import Dataset

    made = Dataset()
    made.ReferencedSOPClassUID, made.ReferencedSOPInstanceUID = source.sop_class_uid, source.sop_instance_uid
    if source.frame is not None:
        made.ReferencedFrameNumber = source.frame
    return made


def _code(code: tuple[str, str, str]) -> Dataset:
    from pydicom import Dataset

    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = code[0], code[1], short_text(code[2])
    return made
