"""``gpukit 3d volume``: pictures of series as bodies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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

if TYPE_CHECKING:
    from gpukit.render.transfer import Transfer

__all__ = ["register"]

_COLORS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0), "gray": (0.5, 0.5, 0.5)}

TransferFile = Annotated[
    Path | None,
    typer.Option("--transfer-function", metavar="FILE", help="Colour and opacity by value, as JSON."),
]
TransferName = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help="One that comes with gpukit: ct-bone, ct-soft-tissue, ct-lung, ..."),
]
Camera = Annotated[
    str,
    typer.Option(
        "--camera-angle",
        metavar="AZIMUTH,ELEVATION",
        help="Degrees: 0,0 is before the face, 90,0 sees the left side, 0,90 looks down on the head.",
    ),
]
Size = Annotated[str, typer.Option("--size", metavar="WxH", help="Pixels of the picture, such as 800x600 or 512.")]
Background = Annotated[
    str, typer.Option("--background", metavar="COLOR", help="black, white, gray, #rrggbb or r,g,b from 0 to 1.")
]
Perspective = Annotated[
    float, typer.Option("--perspective", metavar="DEGREES", help="Opening of the camera; 0 is a parallel view.")
]
Oversampling = Annotated[
    float, typer.Option("--oversampling", metavar="N", help="Samples along a ray for each smallest voxel spacing.")
]


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


def look_of(file: Path | None, preset: str | None) -> Transfer | None:
    """The transfer function that the options name."""
    if file is not None and preset is not None:
        raise typer.BadParameter("--transfer-function and --preset exclude one another")
    if file is None and preset is None:
        return None
    from gpukit.render.transfer import find_transfer, names_of_transfers, read_transfer

    if file is not None:
        return read_transfer(file)
    if preset not in names_of_transfers():
        raise typer.BadParameter(f"{preset!r} is no preset: there are {', '.join(names_of_transfers())}")
    return find_transfer(preset)


def pixels_of(text: str) -> tuple[int, int]:
    """Width and height of ``800x600`` or ``512``."""
    words = text.lower().split("x")
    if len(words) > 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise typer.BadParameter(f"{text!r} is no size: write 800x600 or 512")
    return int(words[0]), int(words[-1])


def color_of(text: str) -> tuple[float, float, float]:
    """Red, green and blue of a name, ``#rrggbb`` or ``r,g,b``."""
    if text.lower() in _COLORS:
        return _COLORS[text.lower()]
    if text.startswith("#"):
        try:
            red, green, blue = bytes.fromhex(text[1:])
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no colour: write #rrggbb") from None
        return red / 255, green / 255, blue / 255
    red_, green_, blue_ = numbers(text, count=3)
    if not all(0 <= c <= 1 for c in (red_, green_, blue_)):
        raise typer.BadParameter(f"{text!r} is no colour: red, green and blue are from 0 to 1")
    return red_, green_, blue_
