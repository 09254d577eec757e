"""Patient, study and document of a structured report: the attributes around its tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from gpukit.dicom.sr.content_item import Code, Observer
from gpukit.dicom.sr.elements import Elements

__all__ = ["evidence_of", "header_of", "observers_of", "predecessors_of", "procedures_of"]

#: Attributes that a document shows, by keyword.
_ATTRIBUTES = {
    "SpecificCharacterSet": 0x00080005, "SOPClassUID": 0x00080016, "SOPInstanceUID": 0x00080018,
    "StudyDate": 0x00080020, "SeriesDate": 0x00080021, "ContentDate": 0x00080023, "StudyTime": 0x00080030,
    "ContentTime": 0x00080033, "AccessionNumber": 0x00080050, "Modality": 0x00080060, "Manufacturer": 0x00080070,
    "InstitutionName": 0x00080080, "InstitutionAddress": 0x00080081, "ReferringPhysicianName": 0x00080090,
    "StudyDescription": 0x00081030, "SeriesDescription": 0x0008103E, "InstitutionalDepartmentName": 0x00081040,
    "PerformingPhysicianName": 0x00081050, "NameOfPhysiciansReadingStudy": 0x00081060, "OperatorsName": 0x00081070,
    "ManufacturerModelName": 0x00081090, "PatientName": 0x00100010, "PatientID": 0x00100020,
    "IssuerOfPatientID": 0x00100021, "PatientBirthDate": 0x00100030, "PatientSex": 0x00100040,
    "PatientAge": 0x00101010, "PatientSize": 0x00101020, "PatientWeight": 0x00101030,
    "DeviceSerialNumber": 0x00181000, "SoftwareVersions": 0x00181020, "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E, "StudyID": 0x00200010, "SeriesNumber": 0x00200011, "InstanceNumber": 0x00200013,
    "CompletionFlag": 0x0040A491, "CompletionFlagDescription": 0x0040A492, "VerificationFlag": 0x0040A493,
    "PreliminaryFlag": 0x0040A496,
}  # fmt: skip
_NAMES = frozenset(
    {
        *("ReferringPhysicianName", "PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName"),
        "PatientName",
    }
)


class _Texts(Protocol):
    def text(self, elements: Elements, tag: int, terms: tuple[str, ...], *, is_name: bool = ...) -> str: ...
    def items(self, elements: Elements, tag: int) -> list[Elements]: ...
    def terms(self, elements: Elements, terms: tuple[str, ...]) -> tuple[str, ...]: ...
    def code(self, elements: Elements, tag: int, terms: tuple[str, ...]) -> Code | None: ...
    def one_code(self, item: Elements, terms: tuple[str, ...]) -> Code: ...
    def pair(self, item: Elements, terms: tuple[str, ...]) -> tuple[str, str]: ...


def header_of(elements: Elements, terms: tuple[str, ...], text: Callable[..., str]) -> Mapping[str, str]:
    """Attributes by keyword; absent and empty ones are absent."""
    values = {
        keyword: text(elements, tag, terms, is_name=keyword in _NAMES).strip() for keyword, tag in _ATTRIBUTES.items()
    }
    return {keyword: value for keyword, value in values.items() if value}


def observers_of(elements: Elements, terms: tuple[str, ...], reader: _Texts) -> tuple[Observer, ...]:
    """Verifiers, authors and participants."""
    observers: list[Observer] = []
    for item in reader.items(elements, 0x0040A073):
        own = reader.terms(item, terms)
        observers.append(
            Observer(
                name=reader.text(item, 0x0040A075, own, is_name=True),
                organization=reader.text(item, 0x0040A027, own),
                date_time=reader.text(item, 0x0040A030, own),
                code=reader.code(item, 0x0040A088, own),
            )
        )
    for tag, role in ((0x0040A078, "author"), (0x0040A07A, "participant")):
        for item in reader.items(elements, tag):
            own = reader.terms(item, terms)
            observers.append(
                Observer(
                    name=reader.text(item, 0x0040A123, own, is_name=True),
                    organization=reader.text(item, 0x00080080, own),
                    date_time=reader.text(item, 0x0040A082, own),
                    role=role,
                )
            )
    for item in reader.items(elements, 0x0040A07C):
        own = reader.terms(item, terms)
        name = reader.text(item, 0x00080080, own)
        if name:
            observers.append(Observer(name="", organization=name, role="custodian"))
    return tuple(observers)


def _referenced(elements: Elements, tag: int, terms: tuple[str, ...], reader: _Texts) -> Iterator[tuple[str, str]]:
    for study in reader.items(elements, tag):
        for series in reader.items(study, 0x00081115):
            for item in reader.items(series, 0x00081199):
                yield reader.pair(item, terms)


def predecessors_of(elements: Elements, terms: tuple[str, ...], reader: _Texts) -> tuple[tuple[str, str], ...]:
    """Documents that this one replaces or continues."""
    return tuple(_referenced(elements, 0x0040A360, terms, reader))


def evidence_of(elements: Elements, terms: tuple[str, ...], reader: _Texts) -> tuple[tuple[str, str], ...]:
    """Instances that the document lists as evidence, each once."""
    current = _referenced(elements, 0x0040A375, terms, reader)
    other = _referenced(elements, 0x0040A385, terms, reader)
    return tuple(dict.fromkeys((*current, *other)))


def procedures_of(elements: Elements, terms: tuple[str, ...], reader: _Texts) -> tuple[Code, ...]:
    """Procedures that were performed, else those of the study."""
    for tag in (0x0040A372, 0x00081032):
        codes = tuple(reader.one_code(item, terms) for item in reader.items(elements, tag))
        codes = tuple(code for code in codes if code.meaning or code.value)
        if codes:
            return codes
    return ()
