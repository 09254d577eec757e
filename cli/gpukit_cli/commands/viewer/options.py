"""Options of ``gpukit viewer``, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.params import numbers

if TYPE_CHECKING:
    from gpukit.viewer.encoding.target import Target
    from gpukit.viewer.options import ViewOptions
    from gpukit.viewer.scene import Companions
    from gpukit.viewer.terminal import Terminal

__all__ = ["Look", "Onto", "Output", "Shown", "Way", "prepare", "size_of"]

MODES = ("auto", "ascii", "ansi", "iterm2", "kitty", "sixel")
#: Cells of a side, at most.
_MOST = 10_000


def size_of(text: str | None, name: str) -> tuple[int, int] | None:
    """``80x40`` as two whole numbers above 0."""
    if text is None:
        return None
    first, cross, second = text.lower().partition("x")
    if not (cross and first.isdecimal() and second.isdecimal() and int(first) > 0 and int(second) > 0):
        raise typer.BadParameter(f"{name} {text}: write two numbers above 0 such as 80x40")
    return min(int(first), _MOST), min(int(second), _MOST)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One picture, a session, a sheet, or two images."""

    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Step, zoom, window by keys and mouse; ? lists them.")
    ] = False
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="A sheet of all images, or all frames of one.")] = False
    compare: Annotated[bool, typer.Option("--compare", help="Two images, or two series, side by side.")] = False
    own_window: Annotated[bool, typer.Option("--own-window", help="With --compare: a window for each image.")] = False

    def check(self, inputs: list[Path]) -> None:
        """Refuse what does not go together."""
        if self.thumbnail and (self.compare or self.interactive):
            raise typer.BadParameter("--thumbnail goes neither with --compare nor with --interactive")
        if self.compare and len(inputs) != 2:
            raise typer.BadParameter(f"--compare needs two inputs, {len(inputs)} were given")
        if self.own_window and not self.compare:
            raise typer.BadParameter("--own-window is for --compare")


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
class Onto:
    """Other objects that are laid on images."""

    presentation: Annotated[
        Path | None, typer.Option("--presentation", metavar="FILE", help="Apply a presentation state.")
    ] = None
    seg: Annotated[
        list[Path] | None, typer.Option("--seg", metavar="FILE", help="Borders of a segmentation; may be repeated.")
    ] = None
    rtstruct: Annotated[
        list[Path] | None, typer.Option("--rtstruct", metavar="FILE", help="Contours of a structure set.")
    ] = None
    measurements: Annotated[
        list[Path] | None,
        typer.Option("--measurements", metavar="FILE", help="Measurements of an SR, a presentation state or JSON."),
    ] = None

    def companions(self) -> Companions:
        """The objects, read."""
        from gpukit.viewer.scene import Companions

        if not (self.presentation or self.seg or self.rtstruct or self.measurements):
            return Companions()
        from gpukit.dicom.pr.apply import read_state
        from gpukit.viewer.companions import Contours, Measurements, SegmentMasks

        lines = [Contours(path) for path in self.rtstruct or ()]
        return Companions(
            None if self.presentation is None else read_state(self.presentation),
            tuple(SegmentMasks(path) for path in self.seg or ()),
            (*lines, *(Measurements(path) for path in self.measurements or ())),
        )


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

    @property
    def is_png(self) -> bool:
        """Whether the file's name asks for a PNG."""
        return self.output is not None and self.output.suffix.lower() == ".png"

    def check(self) -> None:
        """Refuse what is not possible, before anything is read."""
        if self.mode not in MODES:
            raise typer.BadParameter(f"--mode {self.mode}: use {', '.join(MODES)}")
        for name, value in (("--width", self.width), ("--height", self.height)):
            if value is not None and not 1 <= value <= _MOST:
                raise typer.BadParameter(f"{name} {value}: give 1 to {_MOST}")
        size_of(self.size, "--size"), size_of(self.cell_size, "--cell-size")

    def area(self, terminal: Terminal) -> tuple[int, int]:
        """Cells to fill: both sizes mean to fit in, one alone leaves the other free."""
        columns, lines = size_of(self.size, "--size") or (terminal.columns, max(2, terminal.lines - 1))
        if self.width is None and self.height is None:
            return columns, lines
        return self.width or (columns if self.size or terminal.is_tty else _MOST), self.height or _MOST


def prepare(
    look: Look, shown: Shown, output: Output, terminal: Terminal
) -> tuple[ViewOptions, Target, tuple[int, int]]:
    """Mode, colours and size, from what was asked for and what the terminal is."""
    from gpukit.viewer.encoding.target import Target
    from gpukit.viewer.terminal import choose_mode
    from gpukit_cli.failures import warn

    mode = output.mode
    if mode == "auto":
        mode, advice = choose_mode(terminal)
        if output.color is not None and mode == "ascii" and terminal.utf8:
            mode = "ansi"
        if advice:
            warn(advice)
    elif mode == "ansi" and not terminal.utf8 and terminal.is_tty:
        warn("the locale is not UTF-8: the picture is in letters")
        mode = "ascii"
    colors = output.color or (terminal.colors if terminal.colors != "none" else "24bit")
    cell = size_of(output.cell_size, "--cell-size") or terminal.cell
    options = view_options(look, shown, output, mode, colors)
    target = Target(
        mode, options.quality, options.colors, options.cells, cell,
        shared=mode == "kitty" and terminal.local and terminal.kitty and not terminal.tmux and output.output is None,
        compress=not terminal.local, tmux=mode == "kitty" and terminal.tmux, utf8=terminal.utf8,
    )  # fmt: skip
    return options, target, output.area(terminal)


def view_options(look: Look, shown: Shown, output: Output, mode: str, colors: str) -> ViewOptions:
    """What the toolkit takes."""
    from gpukit.viewer.options import ViewOptions

    percentile = None if look.percentile is None else numbers(look.percentile, count=2)
    return ViewOptions(
        mode=mode, quality=output.quality, colors=colors, cells=output.cells, center=look.window_center,
        width=look.window_width, preset=look.preset,
        percentile=None if percentile is None else (percentile[0], percentile[1]),
        invert=look.invert, zoom=look.zoom, show_info=shown.show_info, show_overlay=shown.show_overlay,
        patient=not shown.no_patient,
    )  # fmt: skip
