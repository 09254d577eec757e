"""A sheet of thumbnails: rows that appear as their images are decoded, each with a label; a broken one says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpukit.dicom.image.frame import Frame
from gpukit.errors import GpukitError
from gpukit.viewer.encoding.target import Target, picture_bytes
from gpukit.viewer.layout import fit
from gpukit.viewer.options import ViewOptions, choose_window
from gpukit.viewer.picture import Label, Picture
from gpukit.viewer.scene import open_scene
from gpukit.viewer.text import clean, cut

__all__ = ["SheetCell", "sheet", "sheet_layout"]

#: Smallest thumbnail, in cells, its label included.
_LEAST = (16, 9)


@dataclass(frozen=True)
class SheetCell:
    """One thumbnail.

    Parameters
    ----------
    label : str
        Clean.
    open : callable
        Gives the frame; may raise a GpukitError.
    """

    label: str
    open: Callable[[], Frame]


def sheet_layout(count: int, area: tuple[int, int]) -> tuple[int, int, int]:
    """Thumbnails in a row, and columns and lines of each: all on one page where they are not too small for that."""
    columns, lines = area
    most = max(1, columns // _LEAST[0])
    for across in range(1, most + 1):
        down = -(-count // across)
        if down * _LEAST[1] <= lines and columns // across <= 2.5 * (lines // down):
            return across, columns // across, lines // down
    return most, columns // most, min(max(_LEAST[1], columns // most // 2 + 1), max(_LEAST[1], lines))


def sheet(cells: Sequence[SheetCell], options: ViewOptions, target: Target, area: tuple[int, int]) -> Iterator[bytes]:
    """Rows of a sheet as bytes, each as soon as its thumbnails are decoded; one row is in memory at a time.

    Parameters
    ----------
    cells : sequence of SheetCell
        In their order.
    options : ViewOptions
        Window and what is shown on each.
    target : Target
        For which terminal.
    area : (columns, lines)
        Of a page in cells; sheets may be longer.
    """
    if not cells:
        return
    across, wide, high = sheet_layout(len(cells), area)
    across_points, down_points = target.points
    for first in range(0, len(cells), across):
        row = cells[first : first + across]
        whole: Picture | None = None
        for n, cell in enumerate(row):
            picture = _thumbnail(cell, options, target, wide - 1, high - 1)
            whole = _placed(whole, picture, n * wide * across_points, (high - 1) * down_points)
        assert whole is not None
        labels = "".join(_label(cell.label, wide) for cell in row).rstrip()
        yield picture_bytes(whole, target) + (labels + "\n").encode("utf-8" if target.utf8 else "ascii", "replace")


def _label(text: str, wide: int) -> str:
    shown = cut(text if len(text) < wide else text[: wide - 2] + "~", wide - 1)
    return shown + " " * (wide - len(shown))


def _thumbnail(cell: SheetCell, options: ViewOptions, target: Target, columns: int, lines: int) -> Picture:
    points = target.points
    try:
        scene = open_scene(cell.open())
        window = None if scene.values.is_color else choose_window(scene.values, options, is_ct=scene.is_ct)
        box = scene.area()
        size = fit(
            box[2] - box[0], box[3] - box[1], scene.values.aspect, (columns, lines), cell=target.cell,
            points=points if target.is_text else None,
        )  # fmt: skip
        return scene.picture(size, window, box=box, invert=options.invert, overlays=options.show_overlay, cell=points)
    except (GpukitError, MemoryError) as error:
        words = clean(error.what if isinstance(error, GpukitError) else "too large")
        pixels = np.full((lines * points[1], columns * points[0]), 12, np.uint8)
        picture = Picture(pixels)
        step = max(1, columns - 1)
        for n, at in enumerate(range(0, min(len(words), step * lines), step)):
            label = Label(float(points[0]), (n + 0.5) * points[1], words[at : at + step], (255, 120, 120))
            picture.labels.append(label)
        return picture


def _placed(whole: Picture | None, picture: Picture, at: int, height: int) -> Picture:
    """One more thumbnail to the right of the others."""
    color = picture.pixels.ndim == 3 or (whole is not None and whole.pixels.ndim == 3)
    part = picture.colored() if color else picture.pixels
    canvas = np.zeros((height, at + part.shape[1], *part.shape[2:]), np.uint8)
    labels: list[Label] = []
    if whole is not None:
        before = whole.colored() if color else whole.pixels
        canvas[:, : before.shape[1]] = before[:, : canvas.shape[1]]
        labels += whole.labels
    rows = min(height, part.shape[0])
    canvas[:rows, at:] = part[:rows]
    labels += [replace(label, x=label.x + at) for label in picture.labels]
    return Picture(canvas, labels)
