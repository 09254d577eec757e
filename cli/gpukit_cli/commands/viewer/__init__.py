"""``gpukit viewer``: look at DICOM images in the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.viewer.options import Look, Onto, Output, Shown, Way, prepare
from gpukit_cli.groups import with_groups

if TYPE_CHECKING:
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
    ],
    way: Way,
    look: Look,
    shown: Shown,
    onto: Onto,
    output: Output,
) -> None:
    """Show DICOM images in the terminal, as well as it can: kitty, iTerm2, sixel, colored cells or letters."""
    from gpukit.viewer.terminal import asked

    way.check(inputs)
    output.check()
    ask = output.mode == "auto" and output.output is None
    with _named(inputs) as paths, asked(ask=ask or way.interactive) as terminal:
        if way.thumbnail:
            _thumbnails(paths, look, shown, output, terminal)
        elif way.interactive:
            _interactive(paths, way, look, shown, onto, output, terminal)
        elif way.compare:
            _compare(paths, way, look, shown, onto, output, terminal)
        else:
            _one(paths, look, shown, onto, output, terminal)


@contextlib.contextmanager
def _named(inputs: list[Path]) -> Iterator[list[str]]:
    """Paths of the inputs, standard input among them."""
    names = [str(path) for path in inputs]
    if "-" not in names:
        yield names
        return
    from gpukit.viewer.sources import standard_input

    with standard_input() as path:
        yield [path if name == "-" else name for name in names]


def _one(paths: list[str], look: Look, shown: Shown, onto: Onto, output: Output, terminal: Terminal) -> None:
    from gpukit.viewer.page import page
    from gpukit.viewer.scene import open_scene
    from gpukit.viewer.sources import open_stack
    from gpukit_cli.commands.viewer.writing import document_of, note_problems, offer, write, write_png
    from gpukit_cli.failures import warn

    if document_of(paths, output):
        return
    options, target, area = prepare(look, shown, output, terminal)
    stack = open_stack(paths)
    note_problems(stack)
    frame = stack.at(look.frame)
    scene = open_scene(frame, onto.companions())
    if shown.show_overlay:
        offer(frame, onto)
    if output.is_png:
        write_png(scene, options, output, area)
    else:
        write(page(scene, options, target, area), output)
    for note in scene.shown.notes:
        warn(f"{frame.file}: {note}")


def _thumbnails(paths: list[str], look: Look, shown: Shown, output: Output, terminal: Terminal) -> None:
    from gpukit.viewer.sheet import sheet
    from gpukit_cli.commands.viewer.writing import sheet_cells, write_pieces

    options, target, area = prepare(look, shown, output, terminal)
    write_pieces(sheet(sheet_cells(paths), options, target, area), output)


def _compare(
    paths: list[str], way: Way, look: Look, shown: Shown, onto: Onto, output: Output, terminal: Terminal
) -> None:
    from gpukit.viewer.page import page_of_two
    from gpukit.viewer.scene import open_scene
    from gpukit.viewer.sources import open_stack
    from gpukit_cli.commands.viewer.writing import write, write_pixels

    options, target, area = prepare(look, shown, output, terminal)
    one, two = open_stack(paths[:1]), open_stack(paths[1:])
    frame = one.at(look.frame)
    other = two.frame(two.nearest(frame, look.frame - 1, len(one)))
    scenes = open_scene(frame, onto.companions()), open_scene(other)
    if output.is_png:
        from dataclasses import replace

        from gpukit.viewer.page import picture_of_two
        from gpukit.viewer.picture import burn_labels

        picture, _ = picture_of_two(*scenes, options, replace(target, mode="kitty"), area, own_window=way.own_window)
        write_pixels(burn_labels(picture), output)
        return
    write(page_of_two(*scenes, options, target, area, own_window=way.own_window), output)


def _interactive(
    paths: list[str], way: Way, look: Look, shown: Shown, onto: Onto, output: Output, terminal: Terminal
) -> None:
    from gpukit.errors import InputError
    from gpukit.viewer.session.session import Session
    from gpukit.viewer.sources import open_stack

    if not terminal.is_tty:
        raise InputError("--interactive needs a terminal", attribute="interactive", fix="leave it out for pipes")
    options, target, _ = prepare(look, shown, output, terminal)
    stacks = [open_stack(paths[:1]), open_stack(paths[1:])] if way.compare else [open_stack(paths)]
    stacks[0].at(look.frame)
    session = Session(
        stacks, options, target, terminal, companions=onto.companions(), first=look.frame - 1,
        own_window=way.own_window,
    )  # fmt: skip
    session.run()
