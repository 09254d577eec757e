"""Measurement reports, read: the findings of a TID 1500 SR by any maker, in gpukit's coordinates."""

from __future__ import annotations

import math
from dataclasses import replace
from os import PathLike
from typing import Any

from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import TO_CORNER, Figure, ImageReference, SegmentReference, graphic_points
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.sr.content_item import ContentItem, Reference
from gpukit.dicom.sr.content_tree import is_structured_report, read_content_tree
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.errors import FormatError

__all__ = ["is_structured_report", "read_measurement_report"]

_GROUP = ("125007", "DCM")
_TRACKING_ID, _TRACKING_UID = ("112039", "DCM"), ("112040", "DCM")
_FINDING, _COMMENT, _DERIVATION, _METHOD = ("121071", "DCM"), ("121106", "DCM"), ("121401", "DCM"), ("370129005", "SCT")
_SITES = {("363698007", "SCT"), ("G-C0E3", "SRT")}
_METHODS = {_METHOD, ("G-C036", "SRT")}
_SEGMENT = ("121191", "DCM")
#: SCOORD3D polygons are closed polylines.
_TYPES = {
    "POINT": "POINT",
    "MULTIPOINT": "MULTIPOINT",
    "POLYLINE": "POLYLINE",
    "POLYGON": "POLYLINE",
    "CIRCLE": "CIRCLE",
    "ELLIPSE": "ELLIPSE",
}


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
        The file is not a structured report, has no measurement group, or is damaged.
    TooLargeError
        It has more items, or is nested deeper, than a report can be.
    """
    tree = read_content_tree(path)
    groups = tuple(_group(item, tree.file) for item in tree.root.walk() if item.concept == _GROUP and item.path != (1,))
    if not groups:
        raise FormatError(
            "the report has no measurement group (TID 1500)", file=tree.file, attribute="ContentSequence",
            fix="give a report of measurements",
        )  # fmt: skip
    return groups


def _code(item: ContentItem) -> Code | None:
    return item.codes[0] if item.codes else None


def _group(item: ContentItem, file: str) -> ReportedGroup:
    numbers: list[ReportedNumber] = []
    images: dict[ImageReference, None] = {}
    figures: list[Figure] = []
    sites: list[Code] = []
    facts: dict[str, Any] = {"tracking_uid": ""}
    for child in item.children:
        concept, kind = child.concept, child.value_type
        if kind == "NUM":
            reported = _number(child, file)
            if reported is not None:
                number, references, frame = reported
                numbers.append(number)
                images |= dict.fromkeys(references)
                facts.setdefault("frame_of_reference_uid", frame)
        elif kind in ("SCOORD", "SCOORD3D"):
            figure, references, frame = _figure(child, file)
            figures.append(figure)
            images |= dict.fromkeys(references)
            facts.setdefault("frame_of_reference_uid", frame)
        elif kind == "IMAGE":
            if not child.references:
                continue
            if concept == _SEGMENT:
                facts["segment"] = _segment(child.references[0])
            else:
                images[_image(child.references[0])] = None
        elif concept == _TRACKING_UID:
            facts["tracking_uid"] = child.text
        elif kind == "TEXT" and concept in (_TRACKING_ID, _COMMENT):
            facts["tracking_id" if concept == _TRACKING_ID else "label"] = child.text
        elif kind == "CODE":
            code = _code(child)
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


def _number(item: ContentItem, file: str) -> tuple[ReportedNumber, list[ImageReference], str] | None:
    code, number = item.name, item.number
    if code is None:
        raise FormatError("a number has no name", file=file, attribute="ConceptNameCodeSequence")
    if number is None or (not number.text and number.floating is None):
        return None
    try:
        value = float(number.text) if number.floating is None else number.floating
    except ValueError:
        raise FormatError(
            f"{code.meaning[:40]}: {number.text[:20]!r} is not a number", file=file, attribute="NumericValue"
        ) from None
    if not math.isfinite(value):
        raise FormatError(f"{code.meaning[:40]} is not finite", file=file, attribute="NumericValue")
    figures: list[Figure] = []
    images: list[ImageReference] = []
    frame = ""
    facts: dict[str, Any] = {}
    for child in item.children:
        kind = child.value_type
        if kind in ("SCOORD", "SCOORD3D"):
            figure, references, frame = _figure(child, file)
            figures.append(figure)
            images += references
        elif kind == "IMAGE":
            images += [_image(reference) for reference in child.references[:1]]
        elif kind == "CODE" and (child.concept == _DERIVATION or child.concept in _METHODS):
            facts["derivation" if child.concept == _DERIVATION else "method"] = _code(child)
    unit = number.unit.value if number.unit else "1"
    reported = ReportedNumber(code=code, value=value, unit=unit, figures=tuple(figures), **facts)
    return reported, images, frame


def _figure(item: ContentItem, file: str) -> tuple[Figure, list[ImageReference], str]:
    area = item.coordinates
    if area is None or item.problems:
        raise FormatError(
            item.problems[0] if item.problems else "a region has no points", file=file, attribute="GraphicData"
        )
    if area.type not in _TYPES:
        raise FormatError(f"unknown graphic type {area.type[:20]!r}", file=file, attribute="GraphicType")
    spatial = item.value_type == "SCOORD3D"
    values = [number for point in area.points for number in point]
    points = graphic_points(values, file, dimensions=3 if spatial else 2)
    if spatial:
        return Figure(_TYPES[area.type], points), [], area.frame_of_reference_uid
    moved = tuple((x - TO_CORNER, y - TO_CORNER) for x, y in points)
    references = [
        _image(child.references[0]) for child in item.children if child.value_type == "IMAGE" and child.references
    ]
    return Figure(_TYPES[area.type], moved), references, ""


def _image(reference: Reference) -> ImageReference:
    frame = reference.frames[0] if len(reference.frames) == 1 else None
    return ImageReference(reference.sop_class_uid, reference.sop_instance_uid, frame or None)


def _segment(reference: Reference) -> SegmentReference | None:
    if not reference.segments:
        return None
    return SegmentReference(replace(_image(reference), frame=None), reference.segments[0])
