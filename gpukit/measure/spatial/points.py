"""Points that a user gives, checked and brought to a scale: column, row of a frame; i, j, k or LPS mm of a series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.dicom.reader.discovery import Source
from gpukit.dicom.reader.headers import Header
from gpukit.errors import InputError
from gpukit.findings.measurement import Calibration, Graphic
from gpukit.measure.spatial.calibration import calibration_of
from gpukit.measure.spatial.series_space import Space, open_space
from gpukit.volume import SourceInstance, Volume

__all__ = ["Image", "Placed", "place"]

#: What can be measured on: one frame (two coordinates a point) or a series (three).
Image = Source | Header | Frame | Volume | Space
Point = tuple[float, ...]

_SPACE = Calibration("ImagePositionPatient", (1.0, 1.0), ("mm", "mm"), "places of the slices in the patient, in mm")


@dataclass(frozen=True)
class Placed:
    """Points on an image and what they are worth.

    Parameters
    ----------
    points : tuple of points
        (column, row), or LPS mm.
    space : {"pixel", "patient"}
        Which of them.
    calibration : Calibration
        Scale that holds at the points.
    sources : tuple of SourceInstance
        The frame, or the slices nearest to the points.
    frame_of_reference_uid : str
    notes : tuple of str
    """

    points: tuple[Point, ...]
    space: Literal["pixel", "patient"]
    calibration: Calibration
    sources: tuple[SourceInstance, ...]
    frame_of_reference_uid: str = ""
    notes: tuple[str, ...] = ()

    def between(self, first: int, second: int) -> Point:
        """Vector from one point to another, in the units of the calibration."""
        scale = self.calibration.scale if self.space == "pixel" else (1.0, 1.0, 1.0)
        start, end = self.points[first], self.points[second]
        return tuple((b - a) * size for a, b, size in zip(start, end, scale, strict=True))

    def line(self, *numbers: int) -> Graphic:
        """Return a polyline through the points of these numbers; through all of them without any."""
        chosen = self.points if not numbers else tuple(self.points[n] for n in numbers)
        return Graphic("POLYLINE", chosen, self.space)

    def facts(self) -> dict[str, Any]:
        """What every measurement on these points says of itself."""
        return {
            "sources": self.sources,
            "calibration": self.calibration,
            "frame_of_reference_uid": self.frame_of_reference_uid,
            "notes": self.notes,
        }


def place(
    image: Image,
    points: Sequence[Sequence[float]],
    *,
    frame: int | None = None,
    space: str = "voxel",
    calibration: Calibration | None = None,
) -> Placed:
    """Return points on an image.

    Parameters
    ----------
    image : path, Header, Frame, Volume or Space
        One frame for points of two numbers, a series for points of three.
    points : sequence of points
        All (column, row) or all of three numbers.
    frame : int, optional
        1-based frame of a multi-frame file.
    space : {"voxel", "patient"}
        What points of three numbers are: (i, j, k) = (column, row, slice) from 0, or LPS mm.
    calibration : Calibration, optional
        Size of a pixel as the user gives it; for points of a frame.

    Raises
    ------
    InputError
        A point lies outside the image, or is none.
    """
    cleaned = tuple(tuple(float(value) for value in point) for point in points)
    sizes = {len(point) for point in cleaned}
    if sizes not in ({2}, {3}) or not all(math.isfinite(value) for point in cleaned for value in point):
        raise InputError("points need two numbers each (column,row), or three (i,j,k), all of them finite")
    if sizes == {3}:
        return _in_space(image, cleaned, space, frame, calibration)
    if isinstance(image, (Volume, Space)):
        raise InputError("points in a series need three numbers: column,row,slice")
    opened = open_frame(image, frame=frame)
    for x, y in cleaned:
        if not opened.holds((x, y)):
            raise InputError(
                f"the point {x:g},{y:g} lies outside the image of {opened.columns} x {opened.rows} pixels",
                file=opened.file,
            )
    scale = calibration_of(opened, [(x, y) for x, y in cleaned], given=calibration)
    return Placed(cleaned, "pixel", scale, (opened.source,))


def _in_space(
    image: Image, points: tuple[Point, ...], space: str, frame: int | None, calibration: Calibration | None
) -> Placed:
    if isinstance(image, (Header, Frame)) or frame is not None:
        raise InputError("points of three numbers belong to a series, not to a frame")
    if calibration is not None:
        raise InputError(
            "a series knows its place in the patient: no calibration can be given", attribute="calibration"
        )
    if space not in ("voxel", "patient"):
        raise InputError(f"space {space!r} is neither 'voxel' nor 'patient'", attribute="space")
    opened = open_space(image)
    places = tuple(opened.to_patient(point) if space == "voxel" else point for point in points)
    sources = [opened.nearest(point) for point in places]
    return Placed(
        places, "patient", _SPACE, tuple(dict.fromkeys(source for source in sources if source is not None)),
        opened.frame_of_reference_uid, opened.notes,
    )  # fmt: skip
