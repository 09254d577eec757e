"""Angles: at a vertex, between two lines, and Cobb's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpukit.dicom.modules.codes import Code
from gpukit.errors import InputError
from gpukit.findings.measurement import Calibration, Measurement, Quantity
from gpukit.measure.spatial.points import Image, Placed, place

__all__ = ["angle", "cobb_angle"]

ANGLE = Code("1483009", "SCT", "Angle")
COBB = Code("285285000", "SCT", "Cobb angle")
_SQUARE = "the image is not calibrated: its pixels are taken to be square"

Point = tuple[float, ...]


def angle(
    image: Image,
    points: Sequence[Sequence[float]],
    *,
    frame: int | None = None,
    space: str = "voxel",
    calibration: Calibration | None = None,
) -> Measurement:
    """Return the angle at a vertex, or between two lines.

    Computed in millimetres, so that pixels that are not square do not distort it.

    Parameters
    ----------
    image, frame, space, calibration
        As for `gpukit.distance`.
    points : three or four points
        Three: an end, the vertex, another end. Four: the ends of one line, then those of the other; the angle is that
        between the directions first to second and third to fourth.

    Returns
    -------
    Measurement
        ``angle`` in degrees, 0 to 180; for two lines also ``supplementary_angle``, 180 less it.

    Raises
    ------
    InputError
        There are not three or four points, two ends of a line are one point, or a point lies outside the image.
    """
    if len(points) not in (3, 4):
        raise InputError(f"an angle needs three or four points, not {len(points)}", attribute="points")
    placed = place(image, points, frame=frame, space=space, calibration=calibration)
    _ = placed.calibration.unit  # axes of different units have no angle
    if len(points) == 3:
        value = _between(_side(placed, 1, 0), _side(placed, 1, 2))
        quantities, graphics = [Quantity("angle", value, "deg", ANGLE)], [placed.line()]
    else:
        value = _between(_side(placed, 0, 1), _side(placed, 2, 3))
        quantities = [Quantity("angle", value, "deg", ANGLE), Quantity("supplementary_angle", 180.0 - value, "deg")]
        graphics = [placed.line(0, 1), placed.line(2, 3)]
    return Measurement(kind="angle", quantities=tuple(quantities), graphics=tuple(graphics), **_facts(placed))


def cobb_angle(
    image: Image,
    points: Sequence[Sequence[float]],
    *,
    frame: int | None = None,
    calibration: Calibration | None = None,
) -> Measurement:
    """Cobb's angle between two end plates, each drawn as a line, in whichever direction.

    Both lines are taken to run to the same side of the spine, that is of the line which joins their midpoints, so that
    angles above 90 degrees are measured too and turning or mirroring the image changes nothing. Where an end plate runs
    along that line its side cannot be told, and the smaller angle between the lines is given.

    Source: J. R. Cobb, Outline for the study of scoliosis, Instructional Course Lectures 5 (1948), 261-275.

    Parameters
    ----------
    image, frame, calibration
        As for `gpukit.distance`.
    points : four points (column, row)
        The ends of one end plate, then those of the other.

    Returns
    -------
    Measurement
        ``cobb_angle`` in degrees, 0 to 180.

    Raises
    ------
    InputError
        There are not four points, two ends of a line are one point, or a point lies outside the image.
    """
    if len(points) != 4 or any(len(point) != 2 for point in points):
        raise InputError("Cobb's angle needs four points of a frame: two of each end plate", attribute="points")
    placed = place(image, points, frame=frame, calibration=calibration)
    _ = placed.calibration.unit
    upper, lower = _side(placed, 0, 1), _side(placed, 2, 3)
    first, second = placed.between(0, 2), placed.between(1, 3)
    spine = ((first[0] + second[0]) / 2, (first[1] + second[1]) / 2)
    sides = [spine[0] * line[1] - spine[1] * line[0] for line in (upper, lower)]
    value = _between(upper, lower)
    reach = [1e-9 * math.hypot(*spine) * math.hypot(*line) for line in (upper, lower)]
    if any(abs(side) <= limit for side, limit in zip(sides, reach, strict=True)):
        value = min(value, 180.0 - value)
    elif (sides[0] > 0) != (sides[1] > 0):
        value = 180.0 - value
    return Measurement(
        kind="cobb_angle",
        quantities=(Quantity("cobb_angle", value, "deg", COBB),),
        graphics=(placed.line(0, 1), placed.line(2, 3)),
        **_facts(placed),
    )


def _facts(placed: Placed) -> dict[str, Any]:
    facts = placed.facts()
    if not placed.calibration.is_calibrated and placed.calibration.source != "PixelAspectRatio":
        facts["notes"] = (*placed.notes, _SQUARE)
    return facts


def _side(placed: Placed, start: int, end: int) -> Point:
    vector = placed.between(start, end)
    if not any(vector):
        raise InputError("two points of an angle are the same: they give no direction", attribute="points")
    return vector


def _between(u: Point, v: Point) -> float:
    """Degrees between two vectors, exact also near 0 and 180 (W. Kahan: 2 atan2(|u/|u| - v/|v||, |u/|u| + v/|v||))."""
    long_u, long_v = math.hypot(*u), math.hypot(*v)
    less = math.hypot(*(a / long_u - b / long_v for a, b in zip(u, v, strict=True)))
    more = math.hypot(*(a / long_u + b / long_v for a, b in zip(u, v, strict=True)))
    return math.degrees(2 * math.atan2(less, more))
