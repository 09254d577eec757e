"""The PDF as a DICOM object in the study of its report (Encapsulated PDF, PS3.3 A.45.1)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

from gpukit.dicom.sr.content_item import ContentTree
from gpukit.errors import FormatError
from gpukit.version import __version__

__all__ = ["wrap_pdf"]

_CLASS: Any = "1.2.840.10008.5.1.4.1.1.104.1"
_KEPT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
    "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
)  # fmt: skip
_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def wrap_pdf(content: bytes, trees: Sequence[ContentTree], *, title: str) -> bytes:
    """An Encapsulated PDF.

    Parameters
    ----------
    content : bytes
        The PDF.
    trees : sequence of ContentTree
        The reports it was made of; patient and study are those of the last one, all are its sources.
    title : str
        Document title.

    Raises
    ------
    FormatError
        The report has no study.
    """
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    tree = trees[-1]
    header = tree.header
    if not header.get("StudyInstanceUID"):
        raise FormatError("the report has no study to put a PDF into", file=tree.file, attribute="StudyInstanceUID")
    # the same report and the same PDF have the same UIDs: sending it again makes no second copy
    entropy = [header.get("SOPInstanceUID", ""), content.hex()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes values: patient data has no place in a log
        result = Dataset()
        result.SpecificCharacterSet = "ISO_IR 192"
        for keyword in _EMPTY:
            setattr(result, keyword, "")
        for keyword in _KEPT:
            if keyword in header:
                setattr(result, keyword, header[keyword])
        result.SOPClassUID = _CLASS
        result.SOPInstanceUID = generate_uid(prefix=None, entropy_srcs=[*entropy, "instance"])
        result.SeriesInstanceUID = generate_uid(prefix=None, entropy_srcs=[*entropy, "series"])
        result.Modality = "DOC"
        result.ConversionType = "WSD"
        result.SeriesNumber = 9001
        result.InstanceNumber = 1
        result.SeriesDescription = "Report as PDF"
        result.Manufacturer = "gpukit"
        result.ManufacturerModelName = "gpukit"
        result.DeviceSerialNumber = "0"
        result.SoftwareVersions = __version__
        result.ContentDate = header.get("ContentDate") or header.get("StudyDate", "")
        result.ContentTime = header.get("ContentTime") or header.get("StudyTime", "")
        result.AcquisitionDateTime = ""
        result.BurnedInAnnotation = "YES"
        result.DocumentTitle = title[:1024]
        result.ConceptNameCodeSequence = _title_code(tree)
        result.SourceInstanceSequence = _sources(trees)
        result.MIMETypeOfEncapsulatedDocument = "application/pdf"
        result.EncapsulatedDocumentLength = len(content)
        result.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
        result.file_meta = FileMetaDataset()
        result.file_meta.MediaStorageSOPClassUID = _CLASS
        result.file_meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
        result.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        stream = io.BytesIO()
        result.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _title_code(tree: ContentTree) -> list[object]:
    from pydicom import Dataset

    name = tree.root.name
    if name is None or not (name.value and name.scheme and name.meaning) or len(name.value) > 16:
        return []
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = name.value, name.scheme[:16], name.meaning[:64]
    return [item]


def _sources(trees: Sequence[ContentTree]) -> list[object]:
    from pydicom import Dataset

    items: list[object] = []
    for tree in trees:
        if tree.header.get("SOPInstanceUID"):
            item = Dataset()
            item.ReferencedSOPClassUID = tree.header["SOPClassUID"]
            item.ReferencedSOPInstanceUID = tree.header["SOPInstanceUID"]
            items.append(item)
    return items
