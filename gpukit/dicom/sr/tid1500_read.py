"""Measurement reports, read: the findings of a TID 1500 SR by any maker, in gpukit's coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import TO_CORNER, Figure, ImageReference, SegmentReference, graphic_points
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_dataset
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.errors import FormatError, GpukitError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["is_structured_report", "read_measurement_report"]

_STORAGE = "1.2.840.10008.5.1.4.1.1.88."
_GROUP = ("125007", "DCM")
_TRACKING_ID, _TRACKING_UID = ("112039", "DCM"), ("112040", "DCM")
_FINDING, _COMMENT, _DERIVATION, _METHOD = ("121071", "DCM"), ("121106", "DCM"), ("121401", "DCM"), ("370129005", "SCT")
_SITES = {("363698007", "SCT"), ("G-C0E3", "SRT")}
_METHODS = {_METHOD, ("G-C036", "SRT")}
_SEGMENT = ("121191", "DCM")
#: A report of this many items is no report, and one nested this deep is an attack.
_MOST_ITEMS, _DEEPEST = 200_000, 60
#: SCOORD3D polygons are closed polylines.
_TYPES = {
    "POINT": "POINT",
    "MULTIPOINT": "MULTIPOINT",
    "POLYLINE": "POLYLINE",
    "POLYGON": "POLYLINE",
    "CIRCLE": "CIRCLE",
    "ELLIPSE": "ELLIPSE",
}


def is_structured_report(sop_class_uid: str) -> bool:
    """Whether instances of this class have a content tree."""
    return sop_class_uid.startswith(_STORAGE)


def read_measurement_report(path: str | PathLike[str] | Location) -> tuple[ReportedGroup, ...]:
    """Measurement groups of a structured report.

    Parameters
    ----------
    path : path or Location
        The SR file.

    Returns
    -------
    tuple of ReportedGroup
        One for each Measurement Group (TID 1410, 1411 and 1501), wherever in the tree it is. Numbers without a value
        are left out. A group without tracking UID has an empty one.

    Raises
    ------
    FormatError
        No SR, one without measurement groups, or a damaged one.
    """
    location = path if isinstance(path, Location) else Location(fspath(path))
    file = str(location)
    dataset = read_dataset(location)
    if not is_structured_report(str(dataset.get("SOPClassUID") or "")):
        raise FormatError("not a structured report", file=file, attribute="SOPClassUID")
    try:
        groups = tuple(_group(item, file) for item in _walk(dataset, file) if _concept(item) == _GROUP)
    except GpukitError:
        raise
    except Exception as error:  # values are converted when they are asked for, and pydicom raises many kinds on damage
        raise FormatError(f"an attribute makes no sense: {error}", file=file) from error
    if not groups:
        raise FormatError(
            "the report has no measurement group (TID 1500)", file=file, attribute="ContentSequence",
            fix="give a report of measurements",
        )  # fmt: skip
    return groups


def _walk(root: Dataset, file: str) -> Iterator[Dataset]:
    """Every content item below `root`, parents first; bounded in number and depth."""
    waiting: list[tuple[Dataset, int]] = [(item, 1) for item in reversed(list(root.get("ContentSequence") or ()))]
    count = 0
    while waiting:
        item, depth = waiting.pop()
        count += 1
        if count > _MOST_ITEMS or depth > _DEEPEST:
            raise FormatError("the report has too many items, or is nested too deep", file=file)
        yield item
        waiting += [(child, depth + 1) for child in reversed(list(item.get("ContentSequence") or ()))]


def _code(sequence: Any) -> Code | None:
    """First item of a code sequence."""
    if not sequence:
        return None
    item = sequence[0]
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return Code(str(value), str(item.get("CodingSchemeDesignator") or ""), str(item.get("CodeMeaning") or ""))


def _concept(item: Dataset) -> tuple[str, str]:
    code = _code(item.get("ConceptNameCodeSequence"))
    return ("", "") if code is None else (code.value, code.scheme)


def _children(item: Dataset) -> list[Dataset]:
    return list(item.get("ContentSequence") or ())


def _group(item: Dataset, file: str) -> ReportedGroup:
    numbers: list[ReportedNumber] = []
    images: dict[ImageReference, None] = {}
    figures: list[Figure] = []
    sites: list[Code] = []
    facts: dict[str, Any] = {"tracking_uid": ""}
    for child in _children(item):
        concept, kind = _concept(child), str(child.get("ValueType") or "")
        if kind == "NUM":
            found = _number(child, file)
            if found is not None:
                number, references, frame = found
                numbers.append(number)
                images |= dict.fromkeys(references)
                facts.setdefault("frame_of_reference_uid", frame)
        elif kind in ("SCOORD", "SCOORD3D"):
            figure, references, frame = _figure(child, file)
            figures.append(figure)
            images |= dict.fromkeys(references)
            facts.setdefault("frame_of_reference_uid", frame)
        elif kind == "IMAGE":
            reference = _image(child)
            if reference is None:
                continue
            if concept == _SEGMENT:
                facts["segment"] = _segment(child, reference)
            else:
                images[reference] = None
        elif concept == _TRACKING_UID:
            facts["tracking_uid"] = str(child.get("UID") or "")
        elif kind == "TEXT" and concept in (_TRACKING_ID, _COMMENT):
            facts["tracking_id" if concept == _TRACKING_ID else "label"] = str(child.get("TextValue") or "")
        elif kind == "CODE":
            code = _code(child.get("ConceptCodeSequence"))
            if code is not None and concept in _SITES:
                sites.append(code)
            elif code is not None and (concept == _FINDING or concept in _METHODS):
                facts["finding" if concept == _FINDING else "method"] = code
    shared = {number.figures for number in numbers if number.figures}
    if len(shared) == 1 and (not figures or {tuple(figures)} == shared):
        # every number was taken from the same figures: they are the group's, whose region may be stated beside them
        figures = list(next(iter(shared)))
        numbers = [replace(number, figures=()) for number in numbers]
    facts["frame_of_reference_uid"] = facts.get("frame_of_reference_uid") or ""
    return ReportedGroup(
        numbers=tuple(numbers), images=tuple(images), figures=tuple(figures), sites=tuple(sites), **facts
    )


def _number(item: Dataset, file: str) -> tuple[ReportedNumber, list[ImageReference], str] | None:
    code, values = _code(item.get("ConceptNameCodeSequence")), item.get("MeasuredValueSequence")
    if code is None:
        raise FormatError("a number has no name", file=file, attribute="ConceptNameCodeSequence")
    if not values:
        return None
    measured = values[0].get("FloatingPointValue")
    value = float(measured if measured is not None else values[0].get("NumericValue"))
    unit = _code(values[0].get("MeasurementUnitsCodeSequence"))
    if not math.isfinite(value):
        raise FormatError(f"{code.meaning[:40]} is not finite", file=file, attribute="NumericValue")
    figures: list[Figure] = []
    images: list[ImageReference] = []
    frame = ""
    facts: dict[str, Any] = {}
    for child in _children(item):
        kind = str(child.get("ValueType") or "")
        if kind in ("SCOORD", "SCOORD3D"):
            figure, references, frame = _figure(child, file)
            figures.append(figure)
            images += references
        elif kind == "IMAGE":
            reference = _image(child)
            images += [] if reference is None else [reference]
        elif kind == "CODE" and (_concept(child) == _DERIVATION or _concept(child) in _METHODS):
            facts["derivation" if _concept(child) == _DERIVATION else "method"] = _code(
                child.get("ConceptCodeSequence")
            )
    number = ReportedNumber(code=code, value=value, unit=unit.value if unit else "1", figures=tuple(figures), **facts)
    return number, images, frame


def _figure(item: Dataset, file: str) -> tuple[Figure, list[ImageReference], str]:
    kind = str(item.get("GraphicType") or "")
    if kind not in _TYPES:
        raise FormatError(f"unknown graphic type {kind[:20]!r}", file=file, attribute="GraphicType")
    spatial = str(item.get("ValueType")) == "SCOORD3D"
    points = graphic_points(item.get("GraphicData"), file, dimensions=3 if spatial else 2)
    if spatial:
        return Figure(_TYPES[kind], points), [], str(item.get("ReferencedFrameOfReferenceUID") or "")
    moved = tuple((x - TO_CORNER, y - TO_CORNER) for x, y in points)
    references = [_image(child) for child in _children(item) if str(child.get("ValueType") or "") == "IMAGE"]
    return Figure(_TYPES[kind], moved), [r for r in references if r is not None], ""


def _image(item: Dataset) -> ImageReference | None:
    sequence = item.get("ReferencedSOPSequence")
    return ImageReference.of(sequence[0]) if sequence else None


def _segment(item: Dataset, reference: ImageReference) -> SegmentReference | None:
    numbers = item.ReferencedSOPSequence[0].get("ReferencedSegmentNumber")
    if numbers is None:
        return None
    first = numbers[0] if type(numbers).__name__ == "MultiValue" else numbers
    return SegmentReference(replace(reference, frame=None), int(first))
