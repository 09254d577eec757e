"""``gpukit 3d volume``: series as bodies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gpukit_cli.commands.series_options import Opening
from gpukit_cli.commands.three_d import scene_options
from gpukit_cli.commands.three_d.appearance_options import (
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
from gpukit_cli.commands.three_d.planes import picture_file
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import (
    Force,
    Inputs,
    Json,
    numbers,
)
from gpukit_cli.progress import Progress

__all__ = ["register"]


@with_groups
def volume(
    inputs: Inputs,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The picture, .png.")],
    transfer_function: TransferFile = None,
    preset: TransferName = None,
    camera_angle: Camera = "0,0",
    size: Size = "512x512",
    background: Background = "black",
    perspective: Perspective = 0.0,
    oversampling: Oversampling = 1.0,
    clipping: scene_options.Clipping,
    frame: scene_options.Frame = "voxel",
    masked: scene_options.Masked,
    overlay: scene_options.Overlay = None,
    overlay_series: scene_options.OverlaySeries = None,
    overlay_transfer_function: scene_options.OverlayFile = None,
    overlay_preset: scene_options.OverlayName = None,
    opening: Opening,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw one series as a coloured, partly transparent body.

    Without --transfer-function or --preset the modality decides: ct-bone, pet-hot or mr-default; a CT with an
    --overlay has ct-fusion. What does not fit into the device's memory is drawn there in slabs.
    """
    azimuth, elevation = numbers(camera_angle, count=2)
    pixels, shade = pixels_of(size), color_of(background)
    target = picture_file(output, endings=(".png",), force=force)
    look = look_of(transfer_function, preset)
    if frame not in ("voxel", "patient"):
        raise typer.BadParameter(f"{frame!r} is no frame: there are voxel, patient")
    if frame == "patient" and not clipping.is_given:
        raise typer.BadParameter("--frame says what clipping counts in: give --clip-box or --clip-plane with it")
    if overlay is None and (overlay_series or overlay_transfer_function or overlay_preset):
        raise typer.BadParameter("--overlay-series, --overlay-transfer-function and --overlay-preset need --overlay")
    overlay_look = look_of(overlay_transfer_function, overlay_preset)
    masked.check()
    import gpukit
    from gpukit.device import resolve

    target_device = resolve(opening.device)[1]
    with Progress() as progress:
        # In main memory first: what is larger than the device goes there in slabs.
        body = replace(opening, device="cpu").open(inputs, progress)
        cut = clipping.planes(body, frame)
        found = masked.open(body)
        shades = None if found is None else masked.colors(found)
        second = None
        if overlay is not None:
            second = replace(opening, series=overlay_series, phase=None, device="cpu").open(overlay, progress)
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
            clip=cut,
            mask=found,
            mask_mode=masked.mask_mode or "overlay",
            label_colors=shades,
            label_opacity=0.3 if masked.label_opacity is None else masked.label_opacity,
            overlay=second,
            overlay_transfer=overlay_look,
            device=target_device,
        )
        progress("drawing", 1, 1)
        for note in picture.notes[len(body.notes) :]:
            warn(note)
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
            ),
            summary=True,
        )
    else:
        emit(f"{target}\n", summary=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(volume)
