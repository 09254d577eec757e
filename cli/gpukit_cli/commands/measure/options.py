"""Options that the commands of ``gpukit measure`` share, and what they do when the numbers are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.output import emit
from gpukit_cli.params import Force, Json, box, length, numbers, point, uid

if TYPE_CHECKING:
    from gpukit.findings.measurement import Calibration, Row
    from gpukit.findings.write import Format
    from gpukit.measure.region.shapes import Shape

__all__ = [
    "CalibrationText",
    "CircleText",
    "EllipseText",
    "FrameText",
    "Names",
    "OverlayPicture",
    "PolygonPoints",
    "Result",
    "RoiText",
    "calibration_given",
    "shape_given",
]

OverlayPicture = Annotated[
    Path | None,
    typer.Option("--overlay", metavar="PNG", help="Also draw what was measured over the image (one measurement)."),
]
FrameText = Annotated[
    str | None,
    typer.Option(
        "--frame", metavar="LIST", help="Frames of multi-frame files, from 1: 3, 1-4,7 or all [default: all]."
    ),
]
CalibrationText = Annotated[
    str | None,
    typer.Option(
        "--calibration", metavar="MM", help="Size of a pixel in mm, or of its width,height; before what the file says."
    ),
]
RoiText = Annotated[
    str | None,
    typer.Option("--roi", metavar="X,Y,W,H", help="A rectangle: its first column and row, width and height."),
]
#: For a command of class ``command_with_lists(polygon=point)``.
PolygonPoints = Annotated[
    list[str] | None,
    typer.Option("--polygon", metavar="X,Y X,Y ...", help="A polygon: its corners, in order.", show_default=False),
]
EllipseText = Annotated[
    str | None,
    typer.Option(
        "--ellipse", metavar="X,Y,A,B[,DEG]", help="An ellipse: centre, semi-axes, and the angle of A to the columns."
    ),
]
CircleText = Annotated[
    str | None,
    typer.Option("--circle", metavar="X,Y,R", help="A circle: centre and radius in pixels, or such as 100,120,5mm."),
]


@dataclass(frozen=True)
class Names:
    """Names that the user gives a measurement."""

    annotation: Annotated[
        str,
        typer.Option(
            "--annotation", metavar="TEXT", help="Name of the measured thing, in your words.", show_default=False
        ),
    ] = ""
    tracking_id: Annotated[
        str, typer.Option("--tracking-id", metavar="TEXT", help="Name of the finding through time.", show_default=False)
    ] = ""
    tracking_uid: Annotated[
        str,
        typer.Option(
            "--tracking-uid", metavar="UID", parser=uid, help="UID of the finding through time.", show_default=False
        ),
    ] = ""

    def given_to(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with these names."""
        from dataclasses import replace

        from gpukit.findings.compare import segment_number

        segments = {segment_number(row.measurement) for row in rows if row.measurement is not None}
        if self.tracking_uid and len(segments) > 1:
            raise typer.BadParameter(
                f"--tracking-uid is the UID of one finding, and {len(segments)} labels were measured: choose one with "
                "--labels"
            )
        return [
            row
            if row.measurement is None
            else replace(
                row,
                measurement=row.measurement.with_names(
                    label=self.annotation or None, tracking_id=self.tracking_id, tracking_uid=self.tracking_uid
                ),
            )
            for row in rows
        ]


@dataclass(frozen=True)
class Result:
    """Where measurements go, and in which format."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the result goes [default: standard output]."),
    ] = None
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="text, json, csv, gsps, sr or seg [default: by suffix, else text]."
        ),
    ] = None
    force: Force = False
    as_json: Json = False

    def check(self) -> Format:
        """The format to write, and a check of the output before the work."""
        from gpukit.documents.atomic import check_output
        from gpukit.errors import InputError
        from gpukit.findings.write import format_of

        if self.as_json and self.form not in (None, "json"):
            raise typer.BadParameter(f"--json and --format {self.form} contradict each other")
        try:
            chosen = format_of(self.output, "json" if self.as_json else self.form)
        except InputError as error:
            raise typer.BadParameter(str(error)) from None
        if self.output is not None and str(self.output) != "-":
            check_output(self.output, force=self.force)
        return chosen

    def write(
        self,
        rows: Sequence[Row],
        form: Format,
        *,
        title: str = "",
        values: Mapping[str, Any] | None = None,
        overlay: Path | None = None,
    ) -> None:
        """Write the rows; where one has an error, say so and exit with 1.

        Raises
        ------
        typer.Exit
            With 1, after everything is written, where a row has an error.
        """
        from gpukit.findings.measurement import Options
        from gpukit.findings.write import render, write

        failed = [row for row in rows if row.error]
        if overlay is not None:
            draw_measurement(rows, overlay, force=self.force)
        options = Options(title=title, values=values or {})
        if len(failed) == len(rows) == 1 and not form.binary:  # one input, one error: nothing to keep a table for
            typer.echo(f"Error: {failed[0].file}: {failed[0].error}", err=True)
            raise typer.Exit(1)
        if not (form.binary and len(failed) == len(rows)):
            if self.output is None or str(self.output) == "-":
                emit(render(rows, form, options))
            else:
                write(rows, self.output, form, options=options, force=self.force)
        if failed:
            for row in failed[:5]:
                typer.echo(f"Error: {row.file}: {row.error}", err=True)
            if len(rows) > 1:
                typer.echo(f"{len(failed)} of {len(rows)} measurements failed.", err=True)
            raise typer.Exit(1)


def shape_given(
    roi: str | None = None,
    polygon: Sequence[str] | None = None,
    ellipse: str | None = None,
    circle: str | None = None,
    *,
    needed: bool = True,
) -> Shape | None:
    """The one shape that the options give.

    Raises
    ------
    typer.BadParameter
        None or several are given, or one cannot be read or encloses nothing.
    """
    options = {"--roi": roi, "--polygon": polygon or None, "--ellipse": ellipse, "--circle": circle}
    named = [name for name, value in options.items() if value is not None]
    if len(named) > 1:
        raise typer.BadParameter(f"{' and '.join(named)}: give one shape")
    if not named:
        if needed:
            raise typer.BadParameter(f"no shape is given: use one of {', '.join(options)}")
        return None
    from gpukit.errors import GpukitError
    from gpukit.measure.region.shapes import Box, Ellipse, Polygon

    try:
        if roi is not None:
            return Box(*box(roi))
        if polygon:
            return Polygon([point(text) for text in polygon])
        if ellipse is not None:
            values = numbers(ellipse)
            if len(values) not in (4, 5):
                raise typer.BadParameter(f"{ellipse!r} is not an ellipse: write x,y,a,b or x,y,a,b,degrees")
            return Ellipse(*values)
        return _circle(str(circle))
    except GpukitError as error:
        raise typer.BadParameter(str(error)) from None


def _circle(text: str) -> Shape:
    from gpukit.measure.region.shapes import Circle

    parts = text.split(",")
    if len(parts) != 3:
        raise typer.BadParameter(f"{text!r} is not a circle: write x,y,radius")
    x, y = numbers(",".join(parts[:2]), count=2)
    if parts[2].strip()[-1:].isalpha():
        return Circle(x, y, length(parts[2]), "mm")
    return Circle(x, y, numbers(parts[2], count=1)[0])


def calibration_given(text: str | None) -> Calibration | None:
    """What ``--calibration`` means."""
    if text is None:
        return None
    from gpukit.errors import GpukitError
    from gpukit.measure.spatial.calibration import manual

    values = numbers(text)
    if len(values) not in (1, 2):
        raise typer.BadParameter(f"--calibration {text}: write the size of a pixel in mm, or its width,height")
    try:
        return manual(*values)
    except GpukitError as error:
        raise typer.BadParameter(str(error)) from None


def draw_measurement(rows: Sequence[Row], overlay: Path, *, force: bool) -> None:
    """Draw the only measurement over its image."""
    from gpukit.errors import InputError
    from gpukit.measure.overlay import draw_overlay

    measured = [row.measurement for row in rows if row.measurement is not None]
    if len(measured) != 1:
        raise InputError(
            f"a picture shows one measurement, and there are {len(measured)}", attribute="--overlay",
            fix="give one image and frame",
        )  # fmt: skip
    draw_overlay(measured[0], overlay, force=force)
