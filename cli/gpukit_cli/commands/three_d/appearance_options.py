"""Shared options of the commands that draw bodies: camera, size, colours and transfer functions as words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.params import numbers

if TYPE_CHECKING:
    from gpukit.rendering.scene.transfer_function import Transfer

__all__ = [
    "Background", "Camera", "Oversampling", "Perspective", "Size", "TransferFile", "TransferName", "color_of",
    "look_of", "pixels_of",
]  # fmt: skip

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


def look_of(file: Path | None, preset: str | None) -> Transfer | None:
    """The transfer function that the options name."""
    if file is not None and preset is not None:
        raise typer.BadParameter("--transfer-function and --preset exclude one another")
    if file is None and preset is None:
        return None
    from gpukit.rendering.scene.transfer_function import find_transfer, names_of_transfers, read_transfer

    if file is not None:
        return read_transfer(file)
    if preset not in names_of_transfers():
        raise typer.BadParameter(f"{preset!r} is not a preset: there are {', '.join(names_of_transfers())}")
    return find_transfer(preset)


def pixels_of(text: str) -> tuple[int, int]:
    """Width and height of ``800x600`` or ``512``."""
    words = text.lower().split("x")
    if len(words) > 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise typer.BadParameter(f"{text!r} is not a size: write 800x600 or 512")
    return int(words[0]), int(words[-1])


def color_of(text: str) -> tuple[float, float, float]:
    """Red, green and blue of a name, ``#rrggbb`` or ``r,g,b``."""
    if text.lower() in _COLORS:
        return _COLORS[text.lower()]
    if text.startswith("#"):
        try:
            red, green, blue = bytes.fromhex(text[1:])
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a colour: write #rrggbb") from None
        return red / 255, green / 255, blue / 255
    red_, green_, blue_ = numbers(text, count=3)
    if not all(0 <= c <= 1 for c in (red_, green_, blue_)):
        raise typer.BadParameter(f"{text!r} is not a colour: red, green and blue are from 0 to 1")
    return red_, green_, blue_
