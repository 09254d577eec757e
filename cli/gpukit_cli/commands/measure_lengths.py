"""``gpukit measure distance``: lengths, angles and areas."""

from __future__ import annotations

from typing import Annotated

import typer

from gpukit_cli.commands.measure_options import (
    AnnotationText,
    CalibrationText,
    FormatName,
    FrameText,
    Output,
    TrackingId,
    TrackingUid,
    calibration_given,
    finish,
    named,
    output_format,
)
from gpukit_cli.params import Force, Inputs, Json, point, source_of
from gpukit_cli.progress import Progress

__all__ = ["register"]


def distance(
    inputs: Inputs,
    p1: Annotated[str, typer.Option("--p1", metavar="X,Y", help="Column and row of one end.")],
    p2: Annotated[str, typer.Option("--p2", metavar="X,Y", help="Column and row of the other end.")],
    frame: FrameText = None,
    calibration: CalibrationText = None,
    annotation: AnnotationText = "",
    tracking_id: TrackingId = "",
    tracking_uid: TrackingUid = "",
    output: Output = None,
    form: FormatName = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Distance between two points of a frame."""
    chosen = output_format(output, form, as_json=as_json, force=force)
    a, b, given = point(p1), point(p2), calibration_given(calibration)
    from gpukit.measure.batch import each_frame
    from gpukit.measure.lengths import distance as measure

    with Progress() as progress:
        rows = each_frame(
            source_of(inputs), lambda f: measure(f, a, b, calibration=given), frames=frame, progress=progress
        )
    rows = named(rows, annotation=annotation, tracking_id=tracking_id, tracking_uid=tracking_uid)
    finish(rows, output, chosen, force=force)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit measure``."""
    app.command("distance")(distance)
