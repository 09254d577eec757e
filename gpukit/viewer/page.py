"""One picture of one image as bytes: what ``gpukit viewer FILE`` prints."""

from __future__ import annotations

import os
from typing import Any

from gpukit.display.frames import frame_at
from gpukit.errors import InputError
from gpukit.viewer.compare import beside, window_for_both
from gpukit.viewer.encoding.target import Target, picture_bytes
from gpukit.viewer.info import info_lines
from gpukit.viewer.layout import CELL, Viewport, fit
from gpukit.viewer.options import ViewOptions, choose_window
from gpukit.viewer.picture import Picture
from gpukit.viewer.scene import Scene, open_scene
from gpukit.viewer.text import cut, width_of

__all__ = ["page", "page_of_two", "page_picture", "picture_of_two", "render"]

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
    return page(open_scene(frame_at(os.fspath(path), frame)), chosen, target, size)


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
        size, window, box=box, invert=options.invert, overlays=options.show_overlay or scene.has_layers,
        info=options.show_info,
        cell=target.points,
    )  # fmt: skip
    return picture, lines


def page_of_two(
    one: Scene,
    two: Scene,
    options: ViewOptions,
    target: Target,
    area: tuple[int, int],
    *,
    own_window: bool = False,
) -> bytes:
    """Two images side by side with the lines of each below it, at most `area` cells."""
    picture, lines = picture_of_two(one, two, options, target, area, own_window=own_window)
    text = "".join(cut(line, area[0]) + "\n" for line in lines)
    return picture_bytes(picture, target) + text.encode("utf-8" if target.utf8 else "ascii", "replace")


def picture_of_two(
    one: Scene,
    two: Scene,
    options: ViewOptions,
    target: Target,
    area: tuple[int, int],
    *,
    own_window: bool = False,
) -> tuple[Picture, list[str]]:
    """The picture of `page_of_two` and its lines; the second image has the window of the first one unless told."""
    half = max(1, (area[0] - 1) // 2)
    window = None if one.values.is_color else choose_window(one.values, options, is_ct=one.is_ct)
    other = choose_window(two.values, options, is_ct=two.is_ct) if own_window and not two.values.is_color else None
    windows = window, other if own_window else window_for_both(one, two, window)
    if not two.values.is_color and windows[1] is None:
        windows = window, choose_window(two.values, options, is_ct=two.is_ct)
    texts: list[list[str]] = []
    for scene, chosen in zip((one, two), windows, strict=True):
        texts.append(
            info_lines(
                scene.frame, scene.values, None if chosen is None else chosen.voi, zoom=options.zoom,
                patient=options.patient, window_name="" if chosen is None else chosen.name,
            )
            if options.show_info else []
        )  # fmt: skip
    count = min(max(map(len, texts)), max(0, area[1] - 2))
    pictures = []
    for scene, chosen in zip((one, two), windows, strict=True):
        box = scene.box(Viewport(options.zoom))
        size = fit(
            box[2] - box[0], box[3] - box[1], scene.values.aspect, (half, max(1, area[1] - count)), cell=target.cell,
            points=target.points if target.is_text else None,
        )  # fmt: skip
        pictures.append(
            scene.picture(
                size, chosen, box=box, invert=options.invert, overlays=options.show_overlay or scene.has_layers,
                info=options.show_info, cell=target.points,
            )
        )  # fmt: skip
    height = max(picture.height for picture in pictures)
    whole = beside(*pictures, gap=target.points[0], height=height, right_at=(half + 1) * target.points[0])
    lines = []
    for n in range(count):
        left, right = (cut(text[n], half) if n < len(text) else "" for text in texts)
        lines.append(left + " " * (half + 1 - width_of(left)) + right)
    return whole, lines
