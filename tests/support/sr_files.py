"""Structured reports made item by item, for tests whose truth must be known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

ROOT = "1.2.826.0.1.3680043.10.1234"
BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
COMPREHENSIVE_3D = "1.2.840.10008.5.1.4.1.1.88.34"
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"

Code = tuple[str, str, str]
FINDING: Code = ("121071", "DCM", "Finding")


def code_item(code: Code) -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def content(
    kind: str, name: Code | None, relationship: str = "CONTAINS", *, children: Sequence[Dataset] = ()
) -> Dataset:
    """A content item without its value."""
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, kind
    if name is not None:
        item.ConceptNameCodeSequence = [code_item(name)]
    if children:
        item.ContentSequence = list(children)
    return item


def text(name: Code | None, words: str, relationship: str = "CONTAINS", **more: Any) -> Dataset:
    """A TEXT item."""
    item = content("TEXT", name, relationship, **more)
    item.TextValue = words
    return item


def coded(name: Code, value: Code, relationship: str = "CONTAINS", **more: Any) -> Dataset:
    """A CODE item."""
    item = content("CODE", name, relationship, **more)
    item.ConceptCodeSequence = [code_item(value)]
    return item


def number(name: Code, value: str | None, unit: str = "mm", relationship: str = "CONTAINS", **more: Any) -> Dataset:
    """A NUM item; None leaves the measured value out."""
    item = content("NUM", name, relationship, **more)
    item.MeasuredValueSequence = []
    if value is not None:
        measured = Dataset()
        measured.NumericValue = value
        measured.MeasurementUnitsCodeSequence = [code_item((unit, "UCUM", unit))]
        item.MeasuredValueSequence = [measured]
    return item


def container(name: Code | None, *children: Dataset, relationship: str = "CONTAINS") -> Dataset:
    """A CONTAINER item."""
    item = content("CONTAINER", name, relationship, children=children)
    item.ContinuityOfContent = "SEPARATE"
    return item


def image(
    class_uid: str, uid: str, relationship: str = "CONTAINS", *, frames: Sequence[int] = (), **more: Any
) -> Dataset:
    """An IMAGE item."""
    item = content("IMAGE", more.pop("name", None), relationship)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = class_uid, uid
    if frames:
        reference.ReferencedFrameNumber = list(frames)
    if "segment" in more:
        reference.ReferencedSegmentNumber = more["segment"]
    if "state" in more:
        state = Dataset()
        state.ReferencedSOPClassUID, state.ReferencedSOPInstanceUID = more["state"]
        reference.ReferencedSOPSequence = [state]
    item.ReferencedSOPSequence = [reference]
    return item


def region(
    kind: str,
    points: Sequence[float],
    *children: Dataset,
    name: Code = ("111030", "DCM", "Image Region"),
    relationship: str = "CONTAINS",
) -> Dataset:
    """An SCOORD item; points count from the corner of the first pixel."""
    item = content("SCOORD", name, relationship, children=children)
    item.GraphicType, item.GraphicData = kind, list(points)
    return item


def report(
    *children: Dataset,
    sop_class: str = COMPREHENSIVE,
    title: Code = ("18748-4", "LN", "Diagnostic Imaging Report"),
    **header: Any,
) -> Dataset:
    """A whole document; keywords replace attributes of its header."""
    dataset = container(title, *children)
    del dataset.RelationshipType
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"{ROOT}.77.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.77", f"{ROOT}.77.2"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Modality, dataset.Manufacturer = "SR", "tests"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = (
        "Doe^Jane",
        "P1",
        "19700101",
        "F",
    )
    dataset.StudyDate, dataset.StudyTime, dataset.ContentDate, dataset.ContentTime = (
        "20260102",
        "101112",
        "20260102",
        "101112",
    )
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    for keyword, value in header.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write a document as explicit VR little endian."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", COMPREHENSIVE)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", f"{ROOT}.1")
    dataset.save_as(path, enforce_file_format=True)
    return path
