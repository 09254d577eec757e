"""Coordinates in the patient on the frame that they lie in (PS3.3 C.7.6.2.1.1, backwards)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.sr.content_item import Coordinates
from gpukit.report.images.index import ImageIndex

__all__ = ["frame_of_points", "points_on_frame"]

#: Where an image has no thickness, points may be this far from its plane, mm.
_NEAR = 1.0


def frame_of_points(index: ImageIndex, area: Coordinates) -> Any:
    """The frame nearest to the points, None where all are further away than half their thickness."""
    best: tuple[float, Any] | None = None
    centre = np.mean(np.asarray(area.points, float), axis=0)
    for frame in index.in_space(area.frame_of_reference_uid):
        away = abs(float((centre - np.asarray(frame.plane.position)) @ _normal(frame)))
        if away <= _reach(frame) + 1e-3 and (best is None or away < best[0]):
            best = away, frame
    return None if best is None else best[1]


def points_on_frame(area: Coordinates, frame: Any) -> NDArray[np.float64] | None:
    """(column, row) from the corner of the first pixel; None where the points are not in the frame's plane."""
    plane = frame.plane
    if plane.position is None or plane.orientation is None or plane.spacing is None:
        return None
    offsets = np.asarray(area.points, float) - np.asarray(plane.position)
    if float(np.max(np.abs(offsets @ _normal(frame)))) > 2 * _reach(frame) + 1e-3:
        return None
    along, down = np.asarray(plane.orientation[:3]), np.asarray(plane.orientation[3:])
    # the position is the centre of the first pixel, half a pixel from its corner
    return np.stack([offsets @ along / plane.spacing[1] + 0.5, offsets @ down / plane.spacing[0] + 0.5], axis=1)


def _normal(frame: Any) -> NDArray[np.float64]:
    orientation = np.asarray(frame.plane.orientation, float)
    return np.cross(orientation[:3], orientation[3:])


def _reach(frame: Any) -> float:
    values = [frame.get("SpacingBetweenSlices"), frame.get("SliceThickness")]
    sizes = [abs(float(value)) for value in values if value]
    return max([*sizes, 0.0]) / 2 or _NEAR
