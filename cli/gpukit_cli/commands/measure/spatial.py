"""``gpukit measure distance``, ``polyline``, ``angle``, ``cobb-angle`` and ``area``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.measure.options import (
    CalibrationText,
    CircleText,
    EllipseText,
    FrameText,
    Names,
    OverlayPicture,
    PolygonPoints,
    Result,
    RoiText,
    calibration_given,
    shape_given,
)
from gpukit_cli.groups import with_groups
from gpukit_cli.params import Inputs, Series, command_with_lists, point, source_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.findings.measurement import Calibration, Measurement, Row
    from gpukit.measure.spatial.points import Image

__all__ = ["register"]

SpaceName = Annotated[
    str,
    typer.Option(
        "--space", metavar="WORD", help="What points of three numbers are: voxel (i,j,k) or patient (LPS mm)."
    ),
]
Points = Annotated[
    list[str], typer.Option("--points", metavar="X,Y X,Y ...", help="Points in order, column,row or i,j,k each.")
]


@with_groups
def distance(
    inputs: Inputs,
    *,
    p1: Annotated[str, typer.Option("--p1", metavar="X,Y[,Z]", help="One end: column,row, or i,j,k in a series.")],
    p2: Annotated[str, typer.Option("--p2", metavar="X,Y[,Z]", help="The other end.")],
    space: SpaceName = "voxel",
    frame: FrameText = None,
    series: Series = None,
    calibration: CalibrationText = None,
    names: Names,
    overlay: OverlayPicture = None,
    result: Result,
) -> None:
    """Distance between two points: of every frame for column,row, of every series for i,j,k.

    0,0 is the centre of the first pixel. Each result says where its scale comes from.
    """
    chosen = result.check()
    ends, scale = _points((p1, p2)), calibration_given(calibration)
    from gpukit.measure.spatial.lengths import distance as measure

    rows = _measure(
        inputs, ends, lambda i: measure(i, *ends, space=space, calibration=scale), frame, series, space, scale
    )
    result.write(names.given_to(rows), chosen, overlay=overlay)


@with_groups
def polyline(
    inputs: Inputs,
    *,
    points: Points,
    space: SpaceName = "voxel",
    frame: FrameText = None,
    series: Series = None,
    calibration: CalibrationText = None,
    names: Names,
    overlay: OverlayPicture = None,
    result: Result,
) -> None:
    """Length of a line through several points: of every frame for column,row, of every series for i,j,k."""
    chosen = result.check()
    scale = calibration_given(calibration)
    line = _points(points, least=2)
    from gpukit.measure.spatial.lengths import polyline as measure

    rows = _measure(
        inputs, line, lambda i: measure(i, line, space=space, calibration=scale), frame, series, space, scale
    )
    result.write(names.given_to(rows), chosen, overlay=overlay)


@with_groups
def angle(
    inputs: Inputs,
    *,
    points: Points,
    space: SpaceName = "voxel",
    frame: FrameText = None,
    series: Series = None,
    calibration: CalibrationText = None,
    names: Names,
    overlay: OverlayPicture = None,
    result: Result,
) -> None:
    """Angle: of three points at the second one, of four between the directions 1 to 2 and 3 to 4."""
    chosen = result.check()
    scale = calibration_given(calibration)
    corners = _points(points, least=3, most=4)
    from gpukit.measure.spatial.angles import angle as measure

    rows = _measure(
        inputs, corners, lambda i: measure(i, corners, space=space, calibration=scale), frame, series, space, scale
    )
    result.write(names.given_to(rows), chosen, overlay=overlay)


@with_groups
def cobb(
    inputs: Inputs,
    *,
    points: Points,
    frame: FrameText = None,
    calibration: CalibrationText = None,
    names: Names,
    overlay: OverlayPicture = None,
    result: Result,
) -> None:
    """Cobb's angle between two end plates: two points of one, then two of the other, column,row each."""
    chosen = result.check()
    scale = calibration_given(calibration)
    ends = _points(points, least=4, most=4)
    if len(ends[0]) != 2:
        raise typer.BadParameter("Cobb's angle is measured in a frame: write points as column,row")
    from gpukit.measure.spatial.angles import cobb_angle as measure

    rows = _measure(inputs, ends, lambda i: measure(i, ends, calibration=scale), frame, None, "voxel", scale)
    result.write(names.given_to(rows), chosen, overlay=overlay)


@with_groups
def area(
    inputs: Inputs,
    *,
    polygon: PolygonPoints = None,
    roi: RoiText = None,
    ellipse: EllipseText = None,
    circle: CircleText = None,
    frame: FrameText = None,
    calibration: CalibrationText = None,
    names: Names,
    overlay: OverlayPicture = None,
    result: Result,
) -> None:
    """Area and perimeter of one shape, drawn on every frame; a polygon that crosses itself is refused."""
    chosen = result.check()
    shape, scale = shape_given(roi, polygon, ellipse, circle), calibration_given(calibration)
    assert shape is not None
    from gpukit.measure.batch import each_frame
    from gpukit.measure.spatial.areas import area as measure

    with Progress() as progress:
        rows = each_frame(
            source_of(inputs), lambda f: measure(f, shape, calibration=scale), frames=frame, progress=progress
        )
    result.write(names.given_to(rows), chosen, overlay=overlay)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit measure``."""
    app.command("distance")(distance)
    app.command("polyline", cls=command_with_lists(points=point))(polyline)
    app.command("angle", cls=command_with_lists(points=point))(angle)
    app.command("cobb-angle", cls=command_with_lists(points=point))(cobb)
    app.command("area", cls=command_with_lists(polygon=point))(area)


def _points(texts: Sequence[str], *, least: int = 2, most: int | None = None) -> list[tuple[float, ...]]:
    """Points of one kind, all of two numbers or all of three."""
    points = [point(text) for text in texts]
    if len(points) < least or (most is not None and len(points) > most):
        count = f"{least}" if most == least else f"{least} to {most}" if most else f"{least} or more"
        raise typer.BadParameter(f"--points has {len(points)} points, {count} are needed")
    if len({len(one) for one in points}) != 1:
        raise typer.BadParameter("some points have two numbers, others three")
    return points


def _measure(
    inputs: list[Path],
    points: Sequence[Sequence[float]],
    function: Callable[[Image], Measurement],
    frame: str | None,
    series: str | None,
    space: str,
    scale: Calibration | None,
) -> list[Row]:
    """Rows of every frame, or with points of three numbers of every series."""
    flat = len(points[0]) == 2
    if space not in ("voxel", "patient"):
        raise typer.BadParameter(f"--space {space}: there are voxel and patient")
    if flat and series is not None:
        raise typer.BadParameter("--series is for points of three numbers, column,row,slice")
    if flat and space != "voxel":
        raise typer.BadParameter("--space patient is for points of three numbers, in mm")
    if not flat and frame is not None:
        raise typer.BadParameter("--frame is for points column,row; points of three numbers belong to a series")
    if not flat and scale is not None:
        raise typer.BadParameter("--calibration is for points column,row; a series knows its place in the patient")
    with Progress() as progress:
        if flat:
            from gpukit.measure.batch import each_frame

            return each_frame(source_of(inputs), function, frames=frame, progress=progress)
        from gpukit.measure.batch import each_series

        return each_series(source_of(inputs), function, series=series, progress=progress)
