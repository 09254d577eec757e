"""``gpukit 3d curved-mpr``: series straightened along a centreline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpukit_cli.commands.three_d_render import Center, Interpolation, Preset, Width, open_volume, picture_file
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import (
    Device,
    FillGaps,
    Force,
    Inputs,
    Json,
    KeepTilt,
    Phase,
    Series,
    SkipDamaged,
    length,
)
from gpukit_cli.progress import Progress

__all__ = ["register"]

_ENDINGS = (".png", ".nii", ".nii.gz", ".mha", ".nrrd")


def curved_mpr(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help=".png, .nii.gz, .mha or .nrrd.")],
    centerline: Annotated[
        Path, typer.Option("--centerline", metavar="FILE", help="Points: text, CSV, JSON or a 3D Slicer markups file.")
    ],
    frame: Annotated[
        str | None,
        typer.Option(
            "--frame", metavar="WORD", help="What the points are in: voxel (i,j,k from 0) or patient (LPS mm)."
        ),
    ] = None,
    width: Annotated[str, typer.Option("--width", metavar="LENGTH", help="Across the curve.")] = "80mm",
    angle: Annotated[float, typer.Option("--angle", metavar="DEGREES", help="Turns the plane around the curve.")] = 0.0,
    thickness: Annotated[
        str | None, typer.Option("--thickness", metavar="LENGTH", help="A slab around the plane, such as 5mm.")
    ] = None,
    slab: Annotated[
        str | None, typer.Option("--slab", metavar="WORD", help="What a slab shows: mip, minip or mean [default: mip].")
    ] = None,
    interpolation: Interpolation = "linear",
    preset: Preset = None,
    window_center: Center = None,
    window_width: Width = None,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    keep_tilt: KeepTilt = False,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Straighten one series along a centreline: the curve is the middle column of the picture, its start on top."""
    if slab is not None and thickness is None:
        raise typer.BadParameter("--slab needs a --thickness")
    target = picture_file(output, endings=_ENDINGS, force=force)
    wide, deep = length(width), None if thickness is None else length(thickness)
    import gpukit
    from gpukit.errors import InputError
    from gpukit.render.curve import read_centerline
    from gpukit.render.curved import straighten
    from gpukit.render.windows import window_of

    points, said = read_centerline(centerline)
    if frame is not None and said is not None and frame != said:
        raise InputError(
            f"the centreline says that it is in the {said} frame", file=centerline, fix="leave --frame out"
        )
    with Progress() as progress:
        volume = open_volume(inputs, device, series, phase, fill_gaps, keep_tilt, skip_damaged, progress)
        window = window_of(volume, preset=preset, center=window_center, width=window_width)
        made = straighten(
            volume,
            points,
            frame=frame or said or "voxel",
            width=wide,
            angle=angle,
            thickness=deep,
            slab=slab or "mip",
            interpolation=interpolation,
        )
        gpukit.save(made, target, window=window if target.suffix.lower() == ".png" else None, force=force)
    across, along, _ = made.grid.spacing
    if as_json:
        size = {"across_mm": across * made.shape[2], "along_mm": along * (made.shape[1] - 1)}
        emit(
            json_text(
                "curved-mpr",
                {"path": str(target), "shape": made.shape[1:], "pixel_mm": (across, along), **size, "window": window},
            )
        )
    else:
        emit(f"{target}\n")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command("curved-mpr")(curved_mpr)
