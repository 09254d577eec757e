"""The document model as JSON, by ``report.schema.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from gpukit.dicom.modules.codes import Code
from gpukit.dicom.sr.content_item import Coordinates, Reference
from gpukit.documents.json_csv import plain
from gpukit.report.document.images import class_words
from gpukit.report.document.model import (
    Block,
    Document,
    Field,
    FieldList,
    Finding,
    ImageEntry,
    ImageList,
    Measurement,
    MeasurementTable,
    Note,
    RecordTable,
    Region,
    Section,
    Value,
)
from gpukit.report.words.units import shown_unit

__all__ = ["SCHEMA_VERSION", "document_dict", "write_json"]

#: Raised by one when a member changes its meaning or goes away; new members do not count.
SCHEMA_VERSION = 1
_SURROGATE = re.compile("[\ud800-\udfff]")


def write_json(document: Document, *, language: str, measurements: bool, extra: Mapping[str, Any] | None = None) -> str:
    """The document as JSON text.

    Parameters
    ----------
    document : Document
    language : str
        Of the other formats, for programs that show the text.
    measurements : bool
        With the list of measurements.
    extra : mapping, optional
        Further members: a comparison, words added by the user.
    """
    content = {"schema_version": SCHEMA_VERSION, "kind": "report"}
    content |= {**document_dict(document, language=language, measurements=measurements), **(extra or {})}
    return _lines(content)


def _lines(content: Mapping[str, Any]) -> str:
    """JSON with a line for each member and each entry of a list: readable, and written at the speed of C."""
    members = []
    for name, value in content.items():
        if isinstance(value, list) and value:
            entries = ",\n".join(f"    {_dumped(plain(entry))}" for entry in value)
            members.append(f"  {_dumped(name)}: [\n{entries}\n  ]")
        else:
            members.append(f"  {_dumped(name)}: {_dumped(plain(value))}")
    return "{\n" + ",\n".join(members) + "\n}\n"


def _dumped(value: Any) -> str:
    # a lone surrogate has no UTF-8: escaped, it stays what it is
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text if text.isascii() or not _SURROGATE.search(text) else json.dumps(value, allow_nan=False)


def document_dict(document: Document, *, language: str, measurements: bool) -> dict[str, Any]:
    """The document as dictionaries and lists."""
    header = document.header
    result: dict[str, Any] = {
        "files": list(document.files),
        "title": _code(document.title),
        "template": {"identifier": document.template, "stated": document.template_stated}
        if document.template
        else None,
        "banners": list(document.banners),
        "language": document.language or None,
        "output_language": language,
        "patient": _chosen(header, _PATIENT),
        "study": {**_chosen(header, _STUDY), "procedures": [_code(code) for code in document.procedures]},
        "document": _chosen(header, _DOCUMENT),
        "observers": [
            {
                "role": one.role,
                "name": one.name,
                "organization": one.organization,
                "date_time": one.date_time,
                "code": _code(one.code),
            }
            for one in document.observers
        ],
        "predecessors": [{"sop_class_uid": kind, "sop_instance_uid": uid} for kind, uid in document.predecessors],
        "context": [_field(field) for field in document.context],
        "sections": [_section(section) for section in document.sections],
        "findings": [_finding(finding) for finding in document.findings],
        "images": [_image(entry) for entry in document.images],
        "regions": [_region(region) for region in document.regions],
        "deviations": [{"path": path, "attribute": word, "what": what} for path, word, what in document.deviations],
    }
    if measurements:
        result["measurements"] = [_measurement(one) for one in document.measurements]
    return result


_PATIENT = {
    "name": "PatientName",
    "id": "PatientID",
    "issuer": "IssuerOfPatientID",
    "birth_date": "PatientBirthDate",
    "sex": "PatientSex",
    "age": "PatientAge",
    "size": "PatientSize",
    "weight": "PatientWeight",
}
_STUDY = {
    "uid": "StudyInstanceUID",
    "id": "StudyID",
    "description": "StudyDescription",
    "date": "StudyDate",
    "time": "StudyTime",
    "accession_number": "AccessionNumber",
    "referring_physician": "ReferringPhysicianName",
    "performing_physician": "PerformingPhysicianName",
    "reading_physician": "NameOfPhysiciansReadingStudy",
    "operators": "OperatorsName",
    "institution": "InstitutionName",
    "department": "InstitutionalDepartmentName",
    "address": "InstitutionAddress",
}
_DOCUMENT = {
    "sop_class_uid": "SOPClassUID",
    "sop_instance_uid": "SOPInstanceUID",
    "series_uid": "SeriesInstanceUID",
    "series_description": "SeriesDescription",
    "date": "ContentDate",
    "time": "ContentTime",
    "completion": "CompletionFlag",
    "completion_description": "CompletionFlagDescription",
    "verification": "VerificationFlag",
    "preliminary": "PreliminaryFlag",
    "manufacturer": "Manufacturer",
    "model": "ManufacturerModelName",
    "serial_number": "DeviceSerialNumber",
    "software": "SoftwareVersions",
    "character_set": "SpecificCharacterSet",
}


def _chosen(header: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {name: header[keyword] for name, keyword in names.items() if keyword in header}


def _code(code: Code | None) -> dict[str, str] | None:
    return None if code is None else {"value": code.value, "scheme": code.scheme, "meaning": code.meaning}


def _value(value: Value) -> dict[str, Any]:
    result: dict[str, Any] = {"kind": value.kind}
    if value.text:
        result["text"] = value.text
    if value.code is not None:
        result["code"] = _code(value.code)
    if value.kind == "number":
        result["unit"] = _code(value.unit)
        result["shown_unit"] = shown_unit(value.unit)
        result["measurement"] = value.measurement
        if value.qualifier is not None:
            result["qualifier"] = _code(value.qualifier)
    if value.language:
        result["language"] = value.language
    return result


def _field(field: Field) -> dict[str, Any]:
    result: dict[str, Any] = {"name": _code(field.name), "values": [_value(value) for value in field.values]}
    if field.label:
        result["label"] = field.label
    if field.fields:
        result["fields"] = [_field(inner) for inner in field.fields]
    if field.path:
        result["path"] = field.path
    if field.relationship:
        result["relationship"] = field.relationship
    return result


def _section(section: Section) -> dict[str, Any]:
    return {
        "type": "section",
        "title": _field(section.title),
        "path": section.path,
        "context": [_field(field) for field in section.context],
        "blocks": [_block(block) for block in section.blocks],
    }


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, Section):
        return _section(block)
    if isinstance(block, FieldList):
        return {"type": "fields", "fields": [_field(field) for field in block.fields]}
    if isinstance(block, MeasurementTable):
        return {"type": "measurements", "measurements": list(block.measurements)}
    if isinstance(block, RecordTable):
        return {
            "type": "events",
            "name": _code(block.name),
            "events": [
                {
                    "path": record.path,
                    "groups": [
                        {"containers": [_code(name) for name in names], "fields": [_field(field) for field in fields]}
                        for names, fields in record.groups
                    ],
                }
                for record in block.records
            ],
        }
    if isinstance(block, ImageList):
        return {
            "type": "images",
            "images": [{"image": name, "fields": [_field(field) for field in fields]} for name, fields in block.images],
        }
    if isinstance(block, Note):
        return {"type": "note", "level": block.level, "text": block.message.format(**block.arguments)}
    return {"type": "text", "field": _field(block.field)}


def _measurement(one: Measurement) -> dict[str, Any]:
    return {
        "id": one.id,
        "path": one.path,
        "name": _code(one.name),
        "text": one.text,
        "value": one.value,
        "unit": _code(one.unit),
        "shown_unit": shown_unit(one.unit),
        "qualifier": _code(one.qualifier),
        "derivation": _code(one.derivation),
        "method": _code(one.method),
        "finding": _code(one.finding),
        "sites": [_code(site) for site in one.sites],
        "laterality": _code(one.laterality),
        "tracking_id": one.tracking_id,
        "tracking_uid": one.tracking_uid,
        "selection": _code(one.selection),
        "modifiers": [_field(field) for field in one.modifiers],
        "images": list(one.images),
        "regions": list(one.regions),
        "links": list(one.links),
        "section": one.section,
        "containers": [_code(code) for code in one.container],
        "problems": list(one.problems),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "id": one.id,
        "path": one.path,
        "name": _code(one.name),
        "code": _code(one.code),
        "text": one.text,
        "sites": [_code(site) for site in one.sites],
        "laterality": _code(one.laterality),
        "certainty": None if one.certainty is None else _value(one.certainty),
        "tracking_id": one.tracking_id,
        "tracking_uid": one.tracking_uid,
        "measurements": list(one.measurements),
        "images": list(one.images),
        "regions": list(one.regions),
        "language": one.language,
    }


def _image(entry: ImageEntry) -> dict[str, Any]:
    reference: Reference = entry.reference
    result: dict[str, Any] = {
        "id": entry.id,
        "path": entry.path,
        "type": entry.value_type,
        "meanings": [_code(code) for code in entry.names],
        "kind": class_words(reference.sop_class_uid),
        "sop_class_uid": reference.sop_class_uid,
        "sop_instance_uid": reference.sop_instance_uid,
        "frames": list(reference.frames),
        "segments": list(reference.segments),
    }
    if reference.channels:
        result["channels"] = list(reference.channels)
    if reference.presentation_state:
        result["presentation_state"] = reference.presentation_state[1]
    if reference.value_map:
        result["value_map"] = reference.value_map[1]
    return result


def _region(region: Region) -> dict[str, Any]:
    area: Coordinates = region.coordinates
    return {
        "id": region.id,
        "path": region.path,
        "meaning": _code(region.name),
        "graphic_type": area.type,
        "points": [list(point) for point in area.points],
        "space": "patient" if area.frame_of_reference_uid else "image",
        "frame_of_reference_uid": area.frame_of_reference_uid,
        "image": region.image,
        "finding": _code(region.finding),
        "tracking_id": region.tracking_id,
    }
