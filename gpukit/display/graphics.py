"""What is drawn on pictures: figures, words, letters of the patient's sides; and pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.files.pillow import font, pillow

__all__ = ["contact_sheet", "draw_figure", "draw_sides", "draw_words"]

_ARM = 6  # pixels of a cross on each side
_INK = (0, 0, 0)
_SIDES_COLOR = (255, 230, 120)
_SIDES_SIZE = 12  # pixels
#: Pillow's own font has no such glyphs.
_PLAIN = str.maketrans({"²": "2", "³": "3", "µ": "u"})

Color = tuple[int, int, int]


def draw_figure(draw: Any, kind: str, points: NDArray[np.float64], color: Color) -> None:
    """Draw a figure, two pixels wide.

    Parameters
    ----------
    draw : PIL.ImageDraw.ImageDraw
    kind : str
        Type of a graphic (PS3.3 C.10.5.1.2): ``POINT`` and ``MULTIPOINT`` are crosses, all others lines.
    points : array, (n, 2)
        Columns and rows of the picture, circles and ellipses as lines (`gpukit.display.outlines.outline`).
    color : (red, green, blue)
    """
    flat = [(float(x), float(y)) for x, y in points]
    if kind in ("POINT", "MULTIPOINT"):
        for x, y in flat:
            draw.line([(x - _ARM, y), (x + _ARM, y)], fill=color, width=2)
            draw.line([(x, y - _ARM), (x, y + _ARM)], fill=color, width=2)
    else:
        draw.line(flat, fill=color, width=2, joint="curve")


def draw_words(draw: Any, text: str, place: Sequence[float], size: tuple[int, int], color: Color, height: int) -> None:
    """Write words with a dark border, moved so that they are inside the picture.

    Parameters
    ----------
    draw : PIL.ImageDraw.ImageDraw
    text : str
    place : (float, float)
        Column and row of their upper left corner.
    size : (int, int)
        Width and height of the picture.
    color : (red, green, blue)
    height : int
        Of the letters, in pixels.
    """
    words, letters = text.translate(_PLAIN), font(height)
    left, top, right, bottom = draw.textbbox((0, 0), words, font=letters)
    x = min(max(4.0, place[0]), max(4.0, size[0] - (right - left) - 8))
    y = min(max(4.0, place[1]), max(4.0, size[1] - (bottom - top) - 8))
    draw.text((x, y), words, font=letters, fill=color, stroke_width=2, stroke_fill=_INK)


def draw_sides(draw: Any, letters: str, left: int, top: int, width: int, height: int) -> None:
    """Write four letters at the edges of a part of a picture.

    Parameters
    ----------
    draw : PIL.ImageDraw.ImageDraw
    letters : str
        Of the left, right, upper and lower edge, such as ``"RLAP"``; empty where the sides are not known.
    left, top, width, height : int
        The part, in pixels.
    """
    middle, center = top + height // 2, left + width // 2
    spots = (
        (left + 2, middle, "lm"),
        (left + width - 3, middle, "rm"),
        (center, top + 1, "mt"),
        (center, top + height - 2, "mb"),
    )
    for letter, (x, y, anchor) in zip(letters, spots, strict=False):
        draw.text(
            (x, y),
            letter,
            fill=_SIDES_COLOR,
            font=font(_SIDES_SIZE),
            anchor=anchor,
            stroke_width=1,
            stroke_fill=(0, 0, 0),
        )


def contact_sheet(tiles: Sequence[Any], columns: int) -> Any:
    """Put pictures into rows, each in a cell of the largest one's size.

    Parameters
    ----------
    tiles : sequence of PIL.Image.Image
        At least one.
    columns : int
        Pictures in a row, at most.

    Returns
    -------
    PIL.Image.Image
        RGB, black between the pictures.
    """
    image, _ = pillow()
    across = min(columns, len(tiles))
    width, height = max(tile.size[0] for tile in tiles), max(tile.size[1] for tile in tiles)
    sheet = image.new("RGB", (across * width, -(-len(tiles) // across) * height))
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (n % across * width, n // across * height))
    return sheet
