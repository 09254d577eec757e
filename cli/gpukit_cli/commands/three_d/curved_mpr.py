"""``gpukit 3d curved-mpr``: series straightened along a centreline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpukit_cli.commands.series_options import Opening
from gpukit_cli.commands.three_d.output import Target, write
from gpukit_cli.commands.three_d.planes import Interpolation, Preset, Window, picture_file
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import (
    Force,
    Inputs,
    Json,
    length,
)
from gpukit_cli.progress import Progress

__all__ = ["register"]

_ENDINGS = (".png", ".nii", ".nii.gz", ".mha", ".nrrd", ".dcm")
_MODES = ("straightened", "stretched")


@with_groups
def curved_mpr(
    inputs: Inputs,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help=".png, .nii.gz, .mha, .nrrd or .dcm.")],
    centerline: Annotated[
        Path, typer.Option("--centerline", metavar="FILE", help="Points: text, CSV, JSON or a 3D Slicer markups file.")
    ],
    frame: Annotated[
        str | None,
        typer.Option(
            "--frame", metavar="WORD", help="What the points are in: voxel (i,j,k from 0) or patient (LPS mm)."
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="WORD",
            help="straightened (the curve becomes a line) or stretched (it keeps its bends).",
        ),
    ] = "straightened",
    smoothing: Annotated[
        str, typer.Option("--smoothing", metavar="LENGTH", help="Smooths the curve along itself, such as 5mm.")
    ] = "0mm",
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
    contrast: Window,
    scale: Annotated[bool, typer.Option("--scale/--no-scale", help="Rulers in mm beside a PNG.")] = True,
    opening: Opening,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Flatten one series along a centreline, whose start is on top.

    A PNG has rulers in mm beside it: along the curve on its left, across the curve below it.
    """
    if slab is not None and thickness is None:
        raise typer.BadParameter("--slab needs a --thickness")
    if mode not in _MODES:
        raise typer.BadParameter(f"{mode!r} is no mode: there are {', '.join(_MODES)}")
    target = picture_file(output, endings=_ENDINGS, force=force)
    wide, deep = length(width), None if thickness is None else length(thickness)
    sigma = 0.0 if smoothing.strip().rstrip("m").strip() in ("0", "0.0") else length(smoothing)
    from gpukit.errors import InputError
    from gpukit.files.markups import read_centerline
    from gpukit.rendering.mpr.curved import straighten

    points, said = read_centerline(centerline)
    if frame is not None and said is not None and frame != said:
        raise InputError(
            f"the centreline says that it is in the {said} frame", file=centerline, fix="leave --frame out"
        )
    with Progress() as progress:
        volume = opening.one_phase(inputs, progress)
        window = contrast.of(volume, preset=preset)
        made = straighten(
            volume,
            points,
            frame=frame or said or "voxel",
            mode=mode,
            smoothing=sigma,
            width=wide,
            angle=angle,
            thickness=deep,
            slab=slab or "mip",
            interpolation=interpolation,
        )
        asked = window if preset is not None or contrast.is_given else None
        files = write(
            made, Target(target, "dicom" if target.suffix.lower() == ".dcm" else ""), interpolation=interpolation,
            window=window, header_window=asked, force=force, rulers=scale, squares=False,
        )  # fmt: skip
    if not as_json:
        return emit("".join(f"{path}\n" for path in files), summary=True)
    across, along, _ = made.grid.spacing
    report = {
        "path": str(files[0]),
        "paths": [str(path) for path in files],
        "mode": mode,
        "shape": made.grid.shape[1:],
        "pixel_mm": (across, along),
        "across_mm": across * made.grid.shape[2],
        "along_mm": along * (made.grid.shape[1] - 1),
        "origin": _origin(target, scale),
        "window": None if window is None else window.limits,
    }
    return emit(json_text("curved-mpr", report), summary=True)


def _origin(target: Path, scale: bool) -> tuple[int, int]:
    """Column and row of the file's pixel at which the curved plane begins, right of and below its rulers."""
    if not scale or target.suffix.lower() != ".png":
        return 0, 0
    from gpukit.display.ruler import LEFT, UPPER

    return LEFT, UPPER


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command("curved-mpr")(curved_mpr)
