"""Options of ``gpukit viewer``, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.params import numbers

if TYPE_CHECKING:
    from gpukit.viewer.options import ViewOptions

__all__ = ["Look", "Output", "Shown", "size_of"]


def size_of(text: str | None, name: str) -> tuple[int, int] | None:
    """``80x40`` as two whole numbers above 0."""
    if text is None:
        return None
    first, cross, second = text.lower().partition("x")
    if not (cross and first.isdecimal() and second.isdecimal() and int(first) > 0 and int(second) > 0):
        raise typer.BadParameter(f"{name} {text}: write two numbers above 0 such as 80x40")
    return min(int(first), 10_000), min(int(second), 10_000)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Which frame, in which grey."""

    frame: Annotated[int, typer.Option("--frame", metavar="N", help="Frame of a multi-frame file, from 1.")] = 1
    window_center: Annotated[
        float | None, typer.Option("--window-center", metavar="VALUE", help="Value in the middle of the window.")
    ] = None
    window_width: Annotated[
        float | None, typer.Option("--window-width", metavar="VALUE", help="Width of the window.")
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset", metavar="NAME",
            help="A CT window (lung, bone, brain ...), one of the image's own by name or number, or range.",
        ),
    ] = None  # fmt: skip
    percentile: Annotated[
        str | None, typer.Option("--percentile", metavar="LOW,HIGH", help="Window between two percentiles.")
    ] = None
    invert: Annotated[bool, typer.Option("--invert", help="Turn black and white round.")] = False
    zoom: Annotated[float, typer.Option("--zoom", metavar="FACTOR", help="Enlarge the middle, 1 to 64.")] = 1.0


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown beside and on the pixels."""

    show_info: Annotated[bool, typer.Option("--show-info", help="Patient, study, size, window; letters, scale.")] = (
        False
    )
    show_overlay: Annotated[
        bool, typer.Option("--show-overlay", help="Overlay planes, shutters and graphics on the image.")
    ] = False
    no_patient: Annotated[bool, typer.Option("--no-patient", help="Leave out who the person is.")] = False


@dataclass(frozen=True, kw_only=True)
class Output:
    """For which terminal, and where to."""

    mode: Annotated[str, typer.Option("--mode", metavar="NAME", help="auto, ascii, ansi, iterm2, kitty or sixel.")] = (
        "auto"
    )
    quality: Annotated[str, typer.Option("--quality", metavar="NAME", help="Letters of ascii: low or high.")] = "high"
    color: Annotated[
        str | None, typer.Option("--color", metavar="NAME", help="Colors of ansi: 16, 256 or 24bit [default: asked]")
    ] = None
    cells: Annotated[
        str, typer.Option("--cells", metavar="NAME", help="Cells of ansi: half, quadrant, sextant or braille.")
    ] = "half"
    size: Annotated[
        str | None, typer.Option("--size", metavar="COLUMNSxLINES", help="Cells to fill [default: the terminal]")
    ] = None
    width: Annotated[int | None, typer.Option("--width", metavar="CELLS", help="At most so many columns.")] = None
    height: Annotated[int | None, typer.Option("--height", metavar="CELLS", help="At most so many lines.")] = None
    cell_size: Annotated[
        str | None, typer.Option("--cell-size", metavar="WxH", help="Pixels of a cell [default: asked]")
    ] = None
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the bytes, or a PNG by its name, to a file."),
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False


def view_options(look: Look, shown: Shown, output: Output, mode: str, colors: str) -> ViewOptions:
    """What the toolkit takes."""
    from gpukit.viewer.options import ViewOptions

    percentile = None if look.percentile is None else numbers(look.percentile, count=2)
    return ViewOptions(
        mode=mode, quality=output.quality, colors=colors, cells=output.cells, center=look.window_center,
        width=look.window_width, preset=look.preset, percentile=None if percentile is None else (percentile[0], percentile[1]),
        invert=look.invert, zoom=look.zoom, show_info=shown.show_info, show_overlay=shown.show_overlay,
        patient=not shown.no_patient,
    )  # fmt: skip
