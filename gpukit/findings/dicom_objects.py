"""Measurements as DICOM objects: presentation states and measurement reports."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gpukit.dicom.modules.codes import Code as ReportedCode
from gpukit.dicom.modules.graphics import Annotation, Figure, ImageReference, SegmentReference
from gpukit.dicom.modules.source_header import source_header
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.errors import InputError
from gpukit.findings.measurement import Graphic, Measurement, Options, Quantity, Row
from gpukit.findings.text import amount
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["TOOL", "caption", "write_gsps", "write_sr"]

#: Web viewers built on Cornerstone3D choose the tool that draws a measurement by its tracking identifier.
TOOL = "Cornerstone3DTools@^0.1.0:"
_KINDS = {"distance": "Length", "bidirectional": "Bidirectional", "angle": "Angle", "cobb_angle": "CobbAngle"}
#: Coding scheme of concepts that no public scheme has.
_PRIVATE = "99GPUKIT"
_MOST_IN_CAPTION = 3


def write_gsps(rows: Sequence[Row], path: Path, options: Options) -> None:
    """Presentation state with every measurement drawn on its image; for `gpukit.findings.write.FORMATS`."""
    from gpukit.dicom.pr.gsps_write import write_gsps as write

    measured = _measured(rows)
    annotations = [annotation for one in measured for annotation in _annotations(one)]
    headers = _headers(measured)
    words = options.title or next((one.label for one in measured if one.label), "") or "Measurements"
    write(annotations, headers, path, description=words)


def write_sr(rows: Sequence[Row], path: Path, options: Options) -> None:
    """Measurement report (TID 1500) with a group for each measurement; for `gpukit.findings.write.FORMATS`."""
    from gpukit.dicom.sr.tid1500_write import write_measurement_report

    measured = _measured(rows)
    groups = [_group(one) for one in measured]
    headers = _headers(measured)
    for group in groups:
        if group.segment is not None and group.segment.image.sop_instance_uid not in headers:
            raise InputError("the measured segment's object is not at hand", fix="write JSON instead")
    write_measurement_report(
        groups, headers, path, description=options.title or "Measurements", observer=options.values.get("observer")
    )


def caption(measured: Measurement) -> str:
    """Return the caption of a measurement: its label and first numbers."""
    words = [f"{_words(q)} {amount(_rounded(q))}" for q in measured.quantities[:_MOST_IN_CAPTION]]
    if len(measured.quantities) == 1:
        words = [amount(_rounded(measured.quantities[0]))]
    return ": ".join(filter(None, (measured.label, ", ".join(words))))


def _words(quantity: Quantity) -> str:
    return quantity.name.replace("_", " ")


def _rounded(quantity: Quantity) -> Quantity:
    """To as many digits as fit a picture; the exact number is in the other outputs."""
    value = quantity.value if isinstance(quantity.value, int) else float(f"{quantity.value:.5g}")
    return Quantity(quantity.name, value, quantity.unit, quantity.code)


def _measured(rows: Iterable[Row]) -> list[Measurement]:
    return [row.measurement for row in rows if row.measurement is not None]


def _headers(measured: Sequence[Measurement]) -> dict[str, Dataset]:
    """Return the header of every image referred to, and of the segmentation that a region came from."""
    headers: dict[str, Dataset] = {}
    for one in measured:
        for source in one.sources:
            if not source.path:
                raise InputError(
                    "the measured images are not at hand: their headers are needed", fix="measure again on the images"
                )
            if source.sop_instance_uid not in headers:
                header = source_header(source)
                if "SOPInstanceUID" not in header or "SOPClassUID" not in header:
                    header.SOPInstanceUID, header.SOPClassUID = source.sop_instance_uid, source.sop_class_uid
                headers[source.sop_instance_uid] = header
        segment = segment_of(one)
        if segment is not None and segment[1]:
            image = segment[0].image
            place = SourceInstance(image.sop_class_uid, image.sop_instance_uid, segment[1])
            headers.setdefault(image.sop_instance_uid, source_header(place))
    return headers


def segment_of(measured: Measurement) -> tuple[SegmentReference, str] | None:
    """Return the DICOM segment that was measured, and the file that it is in."""
    facts = (measured.extra or {}).get("segment")
    if isinstance(facts, SegmentReference):  # read from a report
        return facts, ""
    if not isinstance(facts, Mapping) or not facts.get("sop_instance_uid"):
        return None
    image = ImageReference(str(facts["sop_class_uid"]), str(facts["sop_instance_uid"]))
    return SegmentReference(image, int(facts["number"])), str(facts.get("path") or "")


def _references(measured: Measurement) -> tuple[ImageReference, ...]:
    return tuple(ImageReference(s.sop_class_uid, s.sop_instance_uid, s.frame) for s in measured.sources)


def _uid(measured: Measurement) -> str:
    from pydicom.uid import generate_uid

    return measured.tracking_uid or str(generate_uid(prefix=None))


def _annotations(measured: Measurement) -> list[Annotation]:
    flat = [graphic for graphic in measured.graphics if graphic.space == "pixel"]
    if not flat or not measured.sources:
        raise InputError(
            f"this {measured.kind} has nothing that can be drawn on one image", attribute="format",
            fix="write --format sr or json",
        )  # fmt: skip
    return [
        Annotation(
            image=_references(measured)[0],
            figures=tuple(Figure(graphic.type, graphic.points) for graphic in flat),
            text=caption(measured),
            tracking_id=measured.tracking_id or measured.label or measured.kind,
            tracking_uid=_uid(measured),
        )
    ]


def _group(measured: Measurement) -> ReportedGroup:
    figures = _figures(measured)
    numbers = [_number(quantity) for quantity in measured.quantities if quantity.value == quantity.value]
    if not numbers:
        raise InputError(f"this {measured.kind} has no number to report")
    if measured.kind == "bidirectional" and len(figures) == 2:
        numbers = [
            ReportedNumber(code=n.code, value=n.value, unit=n.unit, figures=(figure,))
            for n, figure in zip(numbers, figures, strict=False)
        ]
        figures = ()
    drawn = figures or any(number.figures for number in numbers)
    segment = segment_of(measured)
    return ReportedGroup(
        numbers=tuple(numbers),
        tracking_uid=_uid(measured),
        tracking_id=TOOL + _tool(measured) if drawn and not measured.tracking_id else measured.tracking_id,
        label=measured.label,
        images=_references(measured),
        figures=figures,
        frame_of_reference_uid=measured.frame_of_reference_uid,
        segment=None if segment is None else segment[0],
    )


def _number(quantity: Quantity) -> ReportedNumber:
    if quantity.code is not None:
        code = ReportedCode(*quantity.code)
    else:
        # 16 characters at most, the same for the same name everywhere
        code = ReportedCode(f"M{zlib.crc32(quantity.name.encode()):08X}", _PRIVATE, _words(quantity))
    return ReportedNumber(code=code, value=float(quantity.value), unit=quantity.unit)


def _figures(measured: Measurement) -> tuple[Figure, ...]:
    """Return the graphics, in the layout that viewers expect of the kind."""
    graphics = measured.graphics
    if measured.kind == "angle" and len(graphics) == 1 and len(graphics[0].points) == 3:
        a, vertex, b = graphics[0].points
        return (Figure("POLYLINE", (a, vertex, vertex, b)),)
    if measured.kind in ("angle", "cobb_angle") and len(graphics) == 2:
        return (Figure("POLYLINE", (*graphics[0].points, *graphics[1].points)),)
    return tuple(Figure(graphic.type, graphic.points) for graphic in graphics)


def _tool(measured: Measurement) -> str:
    if measured.kind in _KINDS:
        return _KINDS[measured.kind]
    if not measured.graphics:
        return "PlanarFreehandROI"
    first = measured.graphics[0]
    if first.type == "ELLIPSE":
        return "EllipticalROI"
    if first.type == "CIRCLE":
        return "CircleROI"
    if first.type == "POINT":
        return "Probe"
    return "RectangleROI" if _is_box(first) else "PlanarFreehandROI"


def _is_box(graphic: Graphic) -> bool:
    points = graphic.points
    if len(points) != 5 or points[0] != points[-1]:
        return False
    return len({p[0] for p in points}) == 2 and len({p[1] for p in points}) == 2
