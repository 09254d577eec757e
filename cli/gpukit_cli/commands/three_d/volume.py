"""``gpukit 3d volume``: series as bodies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

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


@dataclass(frozen=True)
class Appearance:
    """How the body looks, and from where."""

    transfer_function: TransferFile = None
    preset: TransferName = None
    camera_angle: Camera = "0,0"
    size: Size = "512x512"
    background: Background = "black"
    perspective: Perspective = 0.0
    oversampling: Oversampling = 1.0


@dataclass(frozen=True)
class SecondSeries:
    """A series that is drawn with the first."""

    overlay: scene_options.Overlay = None
    overlay_series: scene_options.OverlaySeries = None
    overlay_transfer_function: scene_options.OverlayFile = None
    overlay_preset: scene_options.OverlayName = None

    def check(self) -> None:
        """Options that would do nothing are mistakes."""
        if self.overlay is None and (self.overlay_series or self.overlay_transfer_function or self.overlay_preset):
            raise typer.BadParameter(
                "--overlay-series, --overlay-transfer-function and --overlay-preset need --overlay"
            )


@with_groups
def volume(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The picture, .png.")],
    look: Appearance,
    clipping: scene_options.Clipping,
    masked: scene_options.Masked,
    second: SecondSeries,
    opening: Opening,
    frame: scene_options.Frame = "voxel",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Volume rendering: draw one series as a coloured, partly transparent body.

    Without --transfer-function or --preset the modality decides: ct-bone, pet-hot or mr-default; a CT with an
    --overlay has ct-fusion. What does not fit into the device's memory is drawn there in slabs.
    """
    azimuth, elevation = numbers(look.camera_angle, count=2)
    target = picture_file(output, endings=(".png",), force=force)
    if frame not in ("voxel", "patient"):
        raise typer.BadParameter(f"{frame!r} is not a frame: there are voxel, patient")
    if frame == "patient" and not clipping.is_given:
        raise typer.BadParameter("--frame says what clipping counts in: give --clip-box or --clip-plane with it")
    second.check()
    masked.check()
    options: dict[str, Any] = {
        "transfer": look_of(look.transfer_function, look.preset), "azimuth": azimuth, "elevation": elevation,
        "size": pixels_of(look.size), "background": color_of(look.background), "perspective": look.perspective,
        "oversampling": look.oversampling,
        "overlay_transfer": look_of(second.overlay_transfer_function, second.overlay_preset),
    }  # fmt: skip
    import gpukit
    from gpukit.device import resolve

    options["device"] = resolve(opening.device)[1]
    with Progress() as progress:
        # In main memory first: what is larger than the device goes there in slabs.
        body = replace(opening, device="cpu").open(inputs, progress)
        mask = masked.open(body)
        overlay = None
        if second.overlay is not None:
            reading = replace(opening, series=second.overlay_series, phase=None, device="cpu")
            overlay = reading.open(second.overlay, progress)
        progress("drawing", 0, 1)
        picture = gpukit.render(
            body,
            clip=clipping.planes(body, frame),
            mask=mask,
            mask_mode=masked.mask_mode or "overlay",
            label_colors=None if mask is None else masked.colors(mask),
            label_opacity=0.3 if masked.label_opacity is None else masked.label_opacity,
            overlay=overlay,
            **options,
        )
        progress("drawing", 1, 1)
        for note in picture.notes[len(body.notes) :]:
            warn(note)
        gpukit.save(picture, target, force=force)
    if not as_json:
        return emit(f"{target}\n", summary=True)
    camera = {"azimuth": azimuth, "elevation": elevation, "perspective": look.perspective}
    size = {"shape": picture.shape[1:3], "pixel_mm": picture.grid.spacing[0]}
    return emit(
        json_text("volume", {"path": str(target), **size, "camera": camera, "device": picture.device}), summary=True
    )


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(volume)
