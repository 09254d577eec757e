"""Stated measurements, measured again on their images: whether the number follows from the pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.dicom.modules.codes import Code
from gpukit.dicom.reader.discovery import Source, discover
from gpukit.dicom.reader.headers import Header, scan
from gpukit.errors import GpukitError, InputError
from gpukit.findings.measurement import Detail, Graphic, Measurement, Quantity, Row
from gpukit.measure.region.shapes import Ellipse, Polygon, Shape
from gpukit.measure.spatial.angles import angle, cobb_angle
from gpukit.measure.spatial.areas import area
from gpukit.measure.spatial.lengths import distance, polyline

__all__ = ["measure_again"]

#: Called as ``progress(stage, done, total)``.
Progress = Callable[[str, int, int], None]


def measure_again(rows: Sequence[Row], images: Source, *, progress: Progress | None = None) -> list[Row]:
    """Measure what was read once more, on the images that it refers to.

    Parameters
    ----------
    rows : sequence of Row
        From `gpukit.findings.read.read_measurements`.
    images : path, glob or several of them
        Where the referenced images are; files that nothing refers to are passed over.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    list of Row
        For each row with something drawn in pixels the new measurement, with the stated values (``stated_NAME``) and
        how much the new ones differ (``difference_NAME``) among its details; an error where the image is not there or
        the figure is of no kind that can be measured.
    """
    scanned = scan(discover(images), progress=None if progress is None else lambda d, n: progress("headers", d, n))
    by_uid = {str(header.get("SOPInstanceUID", "")): header for header in scanned.headers}
    measurements = []
    for number, row in enumerate(rows):
        measurements.append(_again(row, by_uid))
        if progress is not None:
            progress("measuring", number + 1, len(rows))
    return measurements


def _again(row: Row, by_uid: dict[str, Header]) -> Row:
    original = row.measurement
    if original is None:
        return row
    try:
        frame = _frame(original, by_uid)
        fresh = _measured(original, frame)
    except GpukitError as error:
        return replace(row, measurement=None, error=str(error))
    details = [*fresh.details, *_compared(original, fresh, row.file)]
    merged = replace(
        fresh, label=original.label, tracking_id=original.tracking_id, tracking_uid=original.tracking_uid,
        details=tuple(details),
    )  # fmt: skip
    return Row(file=frame.file, frame=frame.number, measurement=merged)


def _frame(original: Measurement, by_uid: dict[str, Header]) -> Frame:
    if not original.sources:
        raise InputError("the measurement refers to no image")
    source = original.sources[0]
    header = by_uid.get(source.sop_instance_uid)
    if header is None:
        raise InputError(
            "the measured image is not among the given ones", attribute="ReferencedSOPInstanceUID",
            fix="give the series that was measured on",
        )  # fmt: skip
    return open_frame(header, frame=source.frame)


def _measured(original: Measurement, frame: Frame) -> Measurement:
    graphics = original.graphics
    if not graphics or any(graphic.space != "pixel" for graphic in graphics):
        raise InputError("only what was drawn on one image can be measured again", attribute="GraphicData")
    points = [point for graphic in graphics for point in graphic.points]
    first = graphics[0]
    if original.kind == "bidirectional" and len(graphics) == 2:
        lines = [distance(frame, *graphic.points[:2]) for graphic in graphics]
        names = ("long_axis", "short_axis")
        return replace(
            lines[0], kind="bidirectional", graphics=graphics,
            quantities=tuple(
                Quantity(name, line.value, line.unit, _code_of(original, name))
                for name, line in zip(names, lines, strict=True)
            ),
        )  # fmt: skip
    if original.kind == "cobb_angle" and len(points) == 4:
        return cobb_angle(frame, points)
    if original.kind == "angle" and len(points) in (3, 4):
        return angle(frame, points)
    if first.type in ("CIRCLE", "ELLIPSE") or (first.type == "POLYLINE" and first.points[0] == first.points[-1]):
        return area(frame, _shape(first))
    if first.type == "POLYLINE":
        return distance(frame, *points) if len(points) == 2 else polyline(frame, points)
    raise InputError(f"a {first.type} has no size to measure", attribute="GraphicType")


def _shape(graphic: Graphic) -> Shape:
    """Return the shape that a closed figure is."""
    points = [(float(p[0]), float(p[1])) for p in graphic.points]
    if graphic.type == "CIRCLE":
        (x, y), rim = points[0], points[1]
        radius = math.dist((x, y), rim)
        return Ellipse(x, y, radius, radius)
    if graphic.type == "ELLIPSE":
        a, b, c, d = points
        return Ellipse(
            (a[0] + b[0]) / 2, (a[1] + b[1]) / 2, math.dist(a, b) / 2, math.dist(c, d) / 2,
            math.degrees(math.atan2(b[1] - a[1], b[0] - a[0])),
        )  # fmt: skip
    return Polygon(points)


def _code_of(original: Measurement, name: str) -> Code | None:
    return original.quantity(name).code if name in original else None


def _compared(original: Measurement, fresh: Measurement, file: str) -> list[Detail]:
    """Stated values, and what is left when they are taken off the new ones."""
    details = []
    for quantity in original.quantities:
        if quantity.name in fresh:
            new = fresh.quantity(quantity.name)
            details.append(Detail(f"stated_{quantity.name}", quantity.value, quantity.unit, file))
            if new.unit == quantity.unit:
                details.append(
                    Detail(f"difference_{quantity.name}", new.value - quantity.value, quantity.unit, "computed")
                )
    return details
