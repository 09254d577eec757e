"""One picture of one image as bytes: what ``gpukit viewer FILE`` prints."""

from __future__ import annotations

import os
from typing import Any

from gpukit.dicom.image.frame import Frame
from gpukit.display.frame_values import frame_values
from gpukit.display.frames import frame_at
from gpukit.errors import InputError
from gpukit.viewer.encode import Target, picture_bytes
from gpukit.viewer.info import info_lines
from gpukit.viewer.layout import CELL, Viewport, fit
from gpukit.viewer.options import ViewOptions, choose_window
from gpukit.viewer.picture import Picture
from gpukit.viewer.scene import Scene
from gpukit.viewer.text import cut

__all__ = ["page", "page_picture", "render"]

#: Cells where there is no terminal.
AREA = (80, 24)


def render(
    path: str | os.PathLike[str],
    *,
    mode: str = "ansi",
    size: tuple[int, int] = AREA,
    frame: int = 1,
    cell_size: tuple[int, int] = CELL,
    **options: Any,
) -> bytes:
    """One frame as bytes for a terminal.

    Parameters
    ----------
    path : path
        A DICOM file with pixels.
    mode : str
        ``ascii``, ``ansi``, ``iterm2``, ``kitty`` or ``sixel``.
    size : (columns, lines)
        Cells; the picture fits in without distortion.
    frame : int
        1-based.
    cell_size : (width, height)
        Pixels of a cell.
    **options
        Fields of `gpukit.viewer.options.ViewOptions`, such as ``center``, ``width``, ``preset``, ``show_info``.

    Returns
    -------
    bytes
        With a line feed at the end.

    Raises
    ------
    InputError
        An option is not possible, or the file has no such frame, or is not an image.
    DecodeError, FormatError, TooLargeError
        The pixels are damaged or too large.
    """
    chosen = ViewOptions(mode=mode, **options)
    if chosen.mode == "auto":
        raise InputError("the mode auto needs a terminal to ask", attribute="mode", fix="name a mode")
    target = Target(chosen.mode, chosen.quality, chosen.colors, chosen.cells, cell_size)
    return page(Scene(at := frame_at(os.fspath(path), frame), frame_values(at)), chosen, target, size)


def page(scene: Scene, options: ViewOptions, target: Target, area: tuple[int, int]) -> bytes:
    """Picture and lines of information, at most `area` (columns, lines) of cells."""
    picture, lines = page_picture(scene, options, target, area)
    text = "".join(cut(line, area[0]) + "\n" for line in lines)
    return picture_bytes(picture, target) + text.encode("utf-8" if target.utf8 else "ascii", "replace")


def page_picture(
    scene: Scene, options: ViewOptions, target: Target, area: tuple[int, int]
) -> tuple[Picture, list[str]]:
    """The picture of a page, and the lines below it."""
    window = None if scene.values.is_color else choose_window(scene.values, options, is_ct=scene.is_ct)
    lines: list[str] = []
    if options.show_info:
        lines = info_lines(
            scene.frame, scene.values, None if window is None else window.voi, zoom=options.zoom,
            patient=options.patient, window_name="" if window is None else window.name,
        )  # fmt: skip
        lines = lines[: max(0, area[1] - 2)]
    room = (area[0], max(1, area[1] - len(lines)))
    box = scene.box(Viewport(options.zoom))
    size = fit(
        box[2] - box[0], box[3] - box[1], scene.values.aspect, room, cell=target.cell,
        points=target.points if target.is_text else None,
    )  # fmt: skip
    picture = scene.picture(
        size, window, box=box, invert=options.invert, overlays=options.show_overlay, info=options.show_info,
        cell=target.points,
    )  # fmt: skip
    return picture, lines


def scene_of(frame: Frame) -> Scene:
    """A scene of a frame alone."""
    return Scene(frame, frame_values(frame))
