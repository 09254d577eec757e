"""Rulers in mm beside a picture: down its left edge and along its lower one, outside of the pixels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gpukit.files.pillow import font, pillow

__all__ = ["LEFT", "LOWER", "RIGHT", "UPPER", "with_rulers"]

#: Pixels that the rulers take on each side of the picture.
LEFT, RIGHT, UPPER, LOWER = 56, 24, 12, 34
_TICK = 5  # pixels of a mark; those with a number are twice as long
_APART = 24  # pixels between numbers, at least
_SIZE = 11  # of the letters


def with_rulers(picture: NDArray[np.uint8], across: float, along: float, *, centred: bool = True) -> NDArray[np.uint8]:
    """The picture with a ruler in mm down its left edge, from 0 at its first row, and one along its lower edge.

    Parameters
    ----------
    picture : uint8 array, (rows, columns) or (rows, columns, 3)
    across, along : float
        mm of a pixel across columns and along rows.
    centred : bool
        Whether the lower ruler has its 0 in the middle of the columns, else at the first one.

    Returns
    -------
    uint8 array
        `LEFT`, `RIGHT`, `UPPER` and `LOWER` pixels larger; the picture's own are all there.

    Raises
    ------
    DependencyError
        Pillow is missing.
    """
    image_module, draw_module = pillow()
    rows, columns = picture.shape[:2]
    image = image_module.new("L" if picture.ndim == 2 else "RGB", (columns + LEFT + RIGHT, rows + UPPER + LOWER))
    image.paste(image_module.fromarray(picture), (LEFT, UPPER))
    draw, letters = draw_module.Draw(image), font(_SIZE)
    white = 255 if picture.ndim == 2 else (255, 255, 255)
    edge = LEFT - 3
    draw.line((edge, UPPER, edge, UPPER + rows - 1), fill=white)
    for at, value, is_long in _ticks(rows, along, 0.0):
        y = UPPER + at
        draw.line((edge - (2 * _TICK if is_long else _TICK), y, edge, y), fill=white)
        if is_long:
            draw.text((edge - 2 * _TICK - 3, y), f"{value:g}", fill=white, font=letters, anchor="rm")
    edge = UPPER + rows + 2
    draw.line((LEFT, edge, LEFT + columns - 1, edge), fill=white)
    for at, value, is_long in _ticks(columns, across, (columns - 1) / 2 if centred else 0.0):
        x = LEFT + at
        draw.line((x, edge, x, edge + (2 * _TICK if is_long else _TICK)), fill=white)
        if is_long:
            draw.text((x, edge + 2 * _TICK + 2), f"{value:g}", fill=white, font=letters, anchor="mt")
    draw.text((2, UPPER + rows + LOWER - 2), "mm", fill=white, font=letters, anchor="lb")
    return np.asarray(image)


def _ticks(count: int, mm: float, zero: float) -> list[tuple[int, float, bool]]:
    """Pixel, value in mm and whether it has a number, of each mark along `count` pixels."""
    step = _round_step(_APART * mm)
    fine = step / 5
    first, last = math.ceil(-zero * mm / fine - 1e-6), math.floor((count - 1 - zero) * mm / fine + 1e-6)
    marks = []
    for n in range(first, last + 1):
        at = min(max(round(zero + n * fine / mm), 0), count - 1)
        marks.append((at, n * fine if n % 5 else round(n * fine, 9) + 0.0, n % 5 == 0))
    return marks


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, 50 ... that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
