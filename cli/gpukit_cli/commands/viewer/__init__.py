"""``gpukit viewer``: look at DICOM images in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.viewer.options import Look, Output, Shown, size_of, view_options
from gpukit_cli.groups import with_groups

if TYPE_CHECKING:
    from gpukit.viewer.encode import Target
    from gpukit.viewer.options import ViewOptions
    from gpukit.viewer.terminal import Terminal

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command()
@with_groups
def viewer(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Files, directories, globs, a DICOMDIR or a zip; - for standard input.",
            show_default=False,
        ),
    ],  # fmt: skip
    look: Look,
    shown: Shown,
    output: Output,
) -> None:
    """Show DICOM images in the terminal, by the best way that it knows: kitty, iTerm2, sixel, colored cells or letters."""
    from gpukit.viewer.terminal import asked

    if output.mode not in ("auto", "ascii", "ansi", "iterm2", "kitty", "sixel"):
        raise typer.BadParameter(f"--mode {output.mode}: use auto, ascii, ansi, iterm2, kitty or sixel")
    with asked(ask=output.mode == "auto" and output.output is None) as terminal:
        options, target, area = _prepare(look, shown, output, terminal)
        _show(inputs, look, options, target, area, output)


def _prepare(
    look: Look, shown: Shown, output: Output, terminal: Terminal
) -> tuple[ViewOptions, Target, tuple[int, int]]:
    """Mode, colours and size, from what was asked for and what the terminal is."""
    from gpukit.viewer.encode import Target
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
        warn("the locale is not UTF-8, so the picture is in letters")
        mode = "ascii"
    colors = output.color or (terminal.colors if terminal.colors != "none" else "24bit")
    cell = size_of(output.cell_size, "--cell-size") or terminal.cell
    columns, lines = size_of(output.size, "--size") or (terminal.columns, max(2, terminal.lines - 1))
    if output.width is not None or output.height is not None:
        for name, value in (("--width", output.width), ("--height", output.height)):
            if value is not None and not 1 <= value <= 10_000:
                raise typer.BadParameter(f"{name} {value}: give 1 to 10000")
        columns, lines = output.width or (10_000 if output.output else columns), output.height or 10_000
        if output.width is None:
            columns = terminal.columns
    options = view_options(look, shown, output, mode, colors)
    target = Target(
        mode, options.quality, options.colors, options.cells, cell,
        shared=mode == "kitty" and terminal.local and terminal.kitty and not terminal.tmux and output.output is None,
        tmux=mode == "kitty" and terminal.tmux, utf8=terminal.utf8,
    )  # fmt: skip
    return options, target, (columns, lines)


def _show(
    inputs: list[Path], look: Look, options: ViewOptions, target: Target, area: tuple[int, int], output: Output
) -> None:
    from gpukit.display.frame_values import frame_values
    from gpukit.display.frames import frame_at
    from gpukit.viewer.page import page
    from gpukit.viewer.scene import Scene
    from gpukit_cli.commands.viewer.writing import write

    frame = frame_at(str(inputs[0]), look.frame)
    write(page(Scene(frame, frame_values(frame)), options, target, area), output)
