"""Lengths: the distance between two points, and the length of a line through several."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpukit.dicom.modules.codes import Code
from gpukit.errors import InputError
from gpukit.findings.measurement import Calibration, Measurement, Quantity
from gpukit.measure.spatial.points import Image, Placed, place

__all__ = ["distance", "polyline"]

LENGTH = Code("410668003", "SCT", "Length")
PATH_LENGTH = Code("121211", "DCM", "Path length")
TIME = Code("110858", "DCM", "Time")


def distance(
    image: Image,
    p1: Sequence[float],
    p2: Sequence[float],
    *,
    frame: int | None = None,
    space: str = "voxel",
    calibration: Calibration | None = None,
) -> Measurement:
    """Return the distance between two points.

    sqrt((dx sx)² + (dy sy)²) with the size (sx, sy) of a pixel; between points of a series the distance of their places
    in the patient.

    Parameters
    ----------
    image : path, Header, Frame, Volume or Space
        One frame for points (column, row); a series for points of three numbers.
    p1, p2 : sequence of float
        (column, row) with (0, 0) the centre of the first pixel; or three numbers, see `space`.
    frame : int, optional
        1-based frame of a multi-frame file; needed where there are several.
    space : {"voxel", "patient"}
        What points of three numbers are: (i, j, k) = (column, row, slice) from 0, or LPS mm.
    calibration : Calibration, optional
        Size of a pixel from `gpukit.measure.spatial.calibration.manual`, before all that the file says.

    Returns
    -------
    Measurement
        ``length`` in mm, or in ``{pixels}`` where nothing calibrates the image. In an ultrasound region whose axes have
        different units: ``horizontal``, ``vertical`` and ``slope``.

    Raises
    ------
    InputError
        A point lies outside the image or is none.
    GeometryError
        The points lie in ultrasound regions of different scale.
    """
    placed = place(image, (p1, p2), frame=frame, space=space, calibration=calibration)
    if placed.calibration.units[0] != placed.calibration.units[1]:
        quantities = _components(placed)
    else:
        length = math.hypot(*placed.between(0, 1))
        quantities = (Quantity("length", length, placed.calibration.unit, LENGTH),)
    return Measurement(kind="distance", quantities=quantities, graphics=(placed.line(),), **placed.facts())


def polyline(
    image: Image,
    points: Sequence[Sequence[float]],
    *,
    frame: int | None = None,
    space: str = "voxel",
    calibration: Calibration | None = None,
) -> Measurement:
    """Return the length of a line through two or more points; parameters and errors as `distance`.

    Returns
    -------
    Measurement
        ``length``.
    """
    if len(points) < 2:
        raise InputError(f"a line needs two points or more, not {len(points)}", attribute="points")
    placed = place(image, points, frame=frame, space=space, calibration=calibration)
    unit = placed.calibration.unit
    total = math.fsum(math.hypot(*placed.between(n, n + 1)) for n in range(len(points) - 1))
    return Measurement(
        kind="polyline",
        quantities=(Quantity("length", total, unit, PATH_LENGTH),),
        graphics=(placed.line(),),
        **placed.facts(),
    )


def _components(placed: Placed) -> tuple[Quantity, ...]:
    """What can be said of a line whose axes have different units, as in M-mode (s, mm) or a spectrum (s, cm/s)."""
    across, along = placed.between(0, 1)
    units = placed.calibration.units
    quantities = [
        Quantity("horizontal", abs(across), units[0], _code_of(units[0])),
        Quantity("vertical", abs(along), units[1], _code_of(units[1])),
    ]
    if across != 0 and "{pixels}" not in units:
        # Upwards is positive, as a tracing is read; rows grow downwards.
        quantities.append(Quantity("slope", -along / across, f"{units[1]}/{units[0]}"))
    return tuple(quantities)


def _code_of(unit: str) -> Code | None:
    return {"s": TIME, "mm": LENGTH}.get(unit)
