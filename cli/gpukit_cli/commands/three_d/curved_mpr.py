"""``gpukit 3d curved-mpr``: series straightened along a centreline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from gpukit.volume import Volume

__all__ = ["register"]

_ENDINGS = (".png", ".nii", ".nii.gz", ".mha", ".nrrd", ".dcm")
_MODES = ("straightened", "stretched")


@dataclass(frozen=True)
class Curve:
    """The curve, and the plane along it."""

    centerline: Annotated[
        Path, typer.Option("--centerline", metavar="FILE", help="Points: text, CSV, JSON or a 3D Slicer markups file.")
    ]
    frame: Annotated[
        str | None,
        typer.Option("--frame", metavar="WORD", help="Frame of the points: voxel (i,j,k from 0) or patient (LPS mm)."),
    ] = None
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="WORD",
            help="straightened (the curve becomes a line) or stretched (it keeps its bends).",
        ),
    ] = "straightened"
    smoothing: Annotated[
        str, typer.Option("--smoothing", metavar="LENGTH", help="Smooths the curve along itself, such as 5mm.")
    ] = "0mm"
    width: Annotated[str, typer.Option("--width", metavar="LENGTH", help="Across the curve.")] = "80mm"
    angle: Annotated[float, typer.Option("--angle", metavar="DEGREES", help="Turns the plane around the curve.")] = 0.0


@dataclass(frozen=True)
class Slab:
    """What lies behind one another."""

    thickness: Annotated[
        str | None, typer.Option("--thickness", metavar="LENGTH", help="A slab around the plane, such as 5mm.")
    ] = None
    slab: Annotated[
        str | None,
        typer.Option("--slab", metavar="WORD", help="Reduction of a slab: mip, minip or mean [default: mip]."),
    ] = None
    interpolation: Interpolation = "linear"


@dataclass(frozen=True)
class Shown:
    """How the picture looks."""

    preset: Preset = None
    scale: Annotated[bool, typer.Option("--scale/--no-scale", help="Rulers in mm beside a PNG.")] = True


@with_groups
def curved_mpr(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help=".png, .nii.gz, .mha, .nrrd or .dcm.")],
    curve: Curve,
    slabs: Slab,
    shown: Shown,
    contrast: Window,
    opening: Opening,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Curved planar reformation (CPR): flatten one series along a centreline.

    The start of the centreline is on top. A PNG has rulers in mm beside it: along the curve on its left, across
    the curve below it.
    """
    if slabs.slab is not None and slabs.thickness is None:
        raise typer.BadParameter("--slab needs a --thickness")
    if curve.mode not in _MODES:
        raise typer.BadParameter(f"{curve.mode!r} is not a mode: there are {', '.join(_MODES)}")
    target = picture_file(output, endings=_ENDINGS, force=force)
    wide, deep = length(curve.width), None if slabs.thickness is None else length(slabs.thickness)
    sigma = 0.0 if curve.smoothing.strip().rstrip("m").strip() in ("0", "0.0") else length(curve.smoothing)
    from gpukit.errors import InputError
    from gpukit.files.markups import read_centerline
    from gpukit.rendering.mpr.curved import straighten

    points, file_frame = read_centerline(curve.centerline)
    if curve.frame is not None and file_frame is not None and curve.frame != file_frame:
        raise InputError(
            f"the centreline says that it is in the {file_frame} frame", file=curve.centerline, fix="leave --frame out"
        )
    with Progress() as progress:
        volume = opening.one_phase(inputs, progress)
        window = contrast.of(volume, preset=shown.preset)
        reformation = straighten(
            volume,
            points,
            frame=curve.frame or file_frame or "voxel",
            mode=curve.mode,
            smoothing=sigma,
            width=wide,
            angle=curve.angle,
            thickness=deep,
            slab=slabs.slab or "mip",
            interpolation=slabs.interpolation,
        )
        header_window = window if shown.preset is not None or contrast.is_given else None
        files = write(
            reformation, Target(target, "dicom" if target.suffix.lower() == ".dcm" else ""),
            interpolation=slabs.interpolation, window=window, header_window=header_window, force=force,
            rulers=shown.scale, squares=False,
        )  # fmt: skip
    if not as_json:
        return emit("".join(f"{path}\n" for path in files), summary=True)
    content = {
        **_facts(reformation, files), "mode": curve.mode, "origin": _origin(target, shown.scale),
        "window": None if window is None else window.limits,
    }  # fmt: skip
    return emit(json_text("curved-mpr", content), summary=True)


def _facts(plane: Volume, files: list[Path]) -> dict[str, Any]:
    """Files of the flattened plane, and its size."""
    across, along, _ = plane.grid.spacing
    return {
        "path": str(files[0]), "paths": [str(path) for path in files], "shape": plane.grid.shape[1:],
        "pixel_mm": (across, along), "across_mm": across * plane.grid.shape[2],
        "along_mm": along * (plane.grid.shape[1] - 1),
    }  # fmt: skip


def _origin(target: Path, scale: bool) -> tuple[int, int]:
    """Column and row of the file's pixel at which the curved plane begins, right of and below its rulers."""
    if not scale or target.suffix.lower() != ".png":
        return 0, 0
    from gpukit.display.ruler import LEFT, UPPER

    return LEFT, UPPER


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command("curved-mpr")(curved_mpr)
