"""``gpukit 3d volume``: series as bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpukit_cli.commands import three_d_animate, three_d_curved
from gpukit_cli.commands.three_d_look import (
    Background,
    Camera,
    Oversampling,
    Perspective,
    Size,
    TransferFile,
    TransferName,
    color_of,
    look_of,
    pixels_of,
)
from gpukit_cli.commands.three_d_render import open_volume, picture_file
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
    numbers,
)
from gpukit_cli.progress import Progress

__all__ = ["register"]


def volume(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The picture, .png.")],
    transfer_function: TransferFile = None,
    preset: TransferName = None,
    camera_angle: Camera = "0,0",
    size: Size = "512x512",
    background: Background = "black",
    perspective: Perspective = 0.0,
    oversampling: Oversampling = 1.0,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    keep_tilt: KeepTilt = False,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw one series as a coloured, partly transparent body.

    Without --transfer-function or --preset the modality decides: ct-bone, pet-hot or mr-default.
    """
    azimuth, elevation = numbers(camera_angle, count=2)
    pixels, shade = pixels_of(size), color_of(background)
    target = picture_file(output, endings=(".png",), force=force)
    look = look_of(transfer_function, preset)
    import gpukit

    with Progress() as progress:
        body = open_volume(inputs, device, series, phase, fill_gaps, keep_tilt, skip_damaged, progress)
        progress("drawing", 0, 1)
        picture = gpukit.render(
            body,
            transfer=look,
            azimuth=azimuth,
            elevation=elevation,
            size=pixels,
            background=shade,
            perspective=perspective,
            oversampling=oversampling,
        )
        progress("drawing", 1, 1)
        gpukit.save(picture, target, force=force)
    if as_json:
        emit(
            json_text(
                "volume",
                {
                    "path": str(target),
                    "shape": picture.shape[1:3],
                    "pixel_mm": picture.grid.spacing[0],
                    "camera": {"azimuth": azimuth, "elevation": elevation, "perspective": perspective},
                    "device": picture.device,
                },
            )
        )
    else:
        emit(f"{target}\n")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(volume)
    three_d_animate.register(app)
    three_d_curved.register(app)
