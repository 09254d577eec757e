"""``gpukit 3d show``: a window to turn a series in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gpukit_cli.commands.series_options import Opening
from gpukit_cli.commands.three_d.appearance_options import (
    Background,
    Camera,
    TransferFile,
    TransferName,
    color_of,
    look_of,
    pixels_of,
)
from gpukit_cli.commands.three_d.planes import Window, picture_file
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit
from gpukit_cli.params import Force, Inputs, numbers
from gpukit_cli.progress import Progress

__all__ = ["register"]

_METHODS = ("volume", "surface", "planes")


@dataclass(frozen=True)
class Scene:
    """Options of the volume or the surface to draw."""

    method: Annotated[str, typer.Option("--method", metavar="WORD", help="volume, surface or planes.")] = "volume"
    transfer_function: TransferFile = None
    preset: TransferName = None
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="VALUE", help="Of --method surface [CT: 200 HU, else Otsu]."),
    ] = None
    mask: Annotated[
        Path | None,
        typer.Option("--mask", metavar="FILE", help="Surfaces of its labels too: SEG, RTSTRUCT, NIfTI, ..."),
    ] = None
    label: Annotated[
        str | None, typer.Option("--label", metavar="LIST", help="Labels of the mask, by number or name [all].")
    ] = None


@dataclass(frozen=True)
class View:
    """From where, and how large."""

    camera_angle: Camera = "0,0"
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Pixels of the window.")] = "900x700"
    background: Background = "black"


@with_groups
def show(
    inputs: Inputs,
    scene: Scene,
    view: View,
    contrast: Window,
    opening: Opening,
    screenshot: Annotated[
        Path | None, typer.Option("--screenshot", metavar="FILE", help="Draw into this PNG, without a window.")
    ] = None,
    force: Force = False,
) -> None:
    """Open a window with one series, to turn with the mouse; `q` closes it. Needs a display, or --screenshot.

    The camera starts at --camera-angle. L, P and S in the corner are the patient's left, back and head.
    """
    azimuth, elevation = numbers(view.camera_angle, count=2)
    pixels, shade = pixels_of(view.size), color_of(view.background)
    if scene.method not in _METHODS:
        raise typer.BadParameter(f"{scene.method!r} is not a method: there are {', '.join(_METHODS)}")
    if (scene.transfer_function or scene.preset) and scene.method != "volume":
        raise typer.BadParameter("a transfer function needs --method volume")
    if scene.threshold is not None and scene.method != "surface":
        raise typer.BadParameter("--threshold needs --method surface")
    if contrast.is_given and scene.method != "planes":
        raise typer.BadParameter("a window needs --method planes")
    if scene.label is not None and scene.mask is None:
        raise typer.BadParameter("--label needs a --mask")
    target = None if screenshot is None else picture_file(screenshot, endings=(".png",), force=force)
    look = look_of(scene.transfer_function, scene.preset)
    from gpukit.rendering.scene.interactive import check_display
    from gpukit.rendering.scene.interactive import show as open_window
    from gpukit_cli.commands.three_d.surface import parts_of_mask

    if target is None:
        check_display()  # before the series is read
    with Progress() as progress:
        volume = opening.open(inputs, progress)
        parts = [] if scene.mask is None else parts_of_mask(scene.mask, scene.label, volume, progress)
        window = contrast.of(volume) if scene.method == "planes" else None
    open_window(
        volume, method=scene.method, transfer=look, threshold=scene.threshold, parts=parts, window=window,
        azimuth=azimuth, elevation=elevation, size=pixels, background=shade, screenshot=target, force=force,
    )  # fmt: skip
    if target is not None:
        emit(f"{target}\n", summary=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(show)
