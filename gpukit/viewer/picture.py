"""A frame as a picture of a given size, with what lies on it: overlays, graphics, letters and a scale bar."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.viewer.layout import Box

__all__ = ["Label", "Line", "Picture", "burn_labels", "draw_lines"]


@dataclass(frozen=True)
class Label:
    """Words on a picture.

    Parameters
    ----------
    x, y : float
        Points of the picture.
    text : str
        Already clean.
    color : tuple of int
        Red, green, blue.
    anchor : str
        ``l``, ``m`` or ``r``: which end of the words is at `x`.
    """

    x: float
    y: float
    text: str
    color: tuple[int, int, int] = (255, 255, 0)
    anchor: str = "l"


@dataclass(frozen=True, eq=False)
class Line:
    """A line through points of an image.

    Parameters
    ----------
    points : array ``[n, 2]``
        (column, row), 0,0 is the centre of the first pixel.
    color : tuple of int
        Red, green, blue.
    text : str
        Words beside its lowest point; clean.
    filled : bool
        Whether what it encloses is filled.
    is_words : bool
        Only words, which begin at the first point.
    """

    points: NDArray[np.float64]
    color: tuple[int, int, int] = (255, 210, 0)
    text: str = ""
    filled: bool = False
    is_words: bool = False


@dataclass(eq=False)
class Picture:
    """Points of a picture, and the words on it that an encoder writes in its own way."""

    pixels: NDArray[np.uint8]
    labels: list[Label] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Points across."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Points down."""
        return int(self.pixels.shape[0])

    def colored(self) -> NDArray[np.uint8]:
        """The pixels as red, green and blue, from now on."""
        if self.pixels.ndim == 2:
            self.pixels = np.repeat(self.pixels[..., None], 3, axis=2)
        return self.pixels


def draw_lines(picture: Picture, lines: list[Line], box: Box, *, width: int = 1) -> None:
    """Draw lines of the image on its picture; `box` is the part of the image that the picture shows."""
    if not lines:
        return
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(picture.colored())
    draw = ImageDraw.Draw(canvas)
    top, left, bottom, right = box
    scale = np.array([picture.width / (right - left), picture.height / (bottom - top)])
    for line in lines:
        points = (line.points + 0.5 - np.array([left, top])) * scale - 0.5
        flat: list[Any] = [tuple(point) for point in np.clip(points, -1e5, 1e5).tolist()]
        if line.is_words:
            pass
        elif len(flat) == 1:
            (x, y), arm = flat[0], max(1, picture.height // 60)
            draw.line([(x - arm, y), (x + arm, y)], fill=line.color, width=width)
            draw.line([(x, y - arm), (x, y + arm)], fill=line.color, width=width)
        elif line.filled and len(flat) > 2:
            draw.polygon(flat, fill=line.color)
        else:
            draw.line(flat, fill=line.color, width=width)
        if line.text:
            x, y = max(flat, key=lambda point: (point[1], point[0]))
            if 0 <= x < picture.width and 0 <= y < picture.height:
                picture.labels.append(Label(x, y + 1, line.text, line.color))
    picture.pixels = np.asarray(canvas)


def burn_labels(picture: Picture, size: int = 14) -> NDArray[np.uint8]:
    """The pixels with the words drawn on them, for graphics and PNG."""
    if not picture.labels:
        return picture.pixels
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.fromarray(picture.colored())
    draw = ImageDraw.Draw(canvas)
    font: Any = ImageFont.load_default(size=size)
    for label in picture.labels:
        anchor = {"l": "lm", "m": "mm", "r": "rm"}[label.anchor]
        left, top, right, bottom = draw.textbbox((label.x, label.y), label.text, font=font, anchor=anchor)
        x = label.x + max(0, 2 - left) - max(0, right - picture.width + 2)
        y = label.y + max(0, 2 - top) - max(0, bottom - picture.height + 2)
        draw.text((x, y), label.text, font=font, fill=label.color, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(canvas)
