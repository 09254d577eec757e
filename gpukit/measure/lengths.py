"""Distance between points of a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpukit.dicom.headers import Header
from gpukit.dicom.inputs import Source
from gpukit.errors import InputError
from gpukit.measure.calibration import calibration_of
from gpukit.measure.images import Frame, open_frame
from gpukit.measure.results import Calibration, Code, Graphic, Measurement, Quantity

__all__ = ["distance"]

LENGTH = Code("410668003", "SCT", "Length")


def distance(
    image: Source | Header | Frame,
    p1: Sequence[float],
    p2: Sequence[float],
    *,
    frame: int | None = None,
    calibration: Calibration | None = None,
) -> Measurement:
    """Distance between two points (column, row) of a frame."""
    opened = open_frame(image, frame=frame)
    for point in (p1, p2):
        if len(point) != 2 or not all(map(math.isfinite, point)):
            raise InputError(f"{tuple(point)} is no point of a frame", attribute="point")
    a, b = (float(p1[0]), float(p1[1])), (float(p2[0]), float(p2[1]))
    scale = calibration_of(opened, (a, b), given=calibration)
    length = math.hypot((b[0] - a[0]) * scale.scale[0], (b[1] - a[1]) * scale.scale[1])
    return Measurement(
        kind="distance",
        quantities=(Quantity("length", length, scale.unit, LENGTH),),
        graphics=(Graphic("POLYLINE", (a, b)),),
        sources=(opened.source,),
        calibration=scale,
    )
