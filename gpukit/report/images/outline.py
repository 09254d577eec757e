"""Lines on a picture, exact to a fraction of a pixel: coordinates count from the corner of the first pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLORS", "draw_lines", "mask_edges", "outline_of"]

#: Colours of regions, in turn; all have contrast to grey.
COLORS = ((255, 209, 0), (0, 200, 255), (255, 96, 96), (120, 230, 90), (255, 140, 255), (255, 160, 60))
_STEPS = 180
_ARM = 6.0


def outline_of(kind: str, points: Any) -> list[NDArray[np.float64]]:
    """Lines ``[n, 2]`` of a graphic, in the coordinates of its points (PS3.3 C.18.6.1.1).

    Points become empty lines of one point, which `draw_lines` shows as a cross.
    """
    array = np.asarray(points, dtype=np.float64)[:, :2]
    if kind in ("POINT", "MULTIPOINT") or len(array) == 1:
        return [array[n : n + 1] for n in range(len(array))]
    angle = np.linspace(0.0, 2.0 * math.pi, _STEPS + 1)[:, None]
    if kind == "CIRCLE" and len(array) >= 2:
        radius = float(np.hypot(*(array[1] - array[0])))
        return [array[0] + radius * np.hstack([np.cos(angle), np.sin(angle)])]
    if kind == "ELLIPSE" and len(array) >= 4:
        centre = (array[0] + array[1]) / 2
        return [centre + np.cos(angle) * (array[1] - array[0]) / 2 + np.sin(angle) * (array[3] - array[2]) / 2]
    if kind == "POLYGON" and not np.array_equal(array[0], array[-1]):
        return [np.vstack([array, array[:1]])]
    return [array]


def draw_lines(
    picture: NDArray[np.uint8], lines: Sequence[NDArray[np.float64]], color: tuple[int, int, int], width: float = 2.0
) -> NDArray[np.uint8]:
    """A colour picture with lines of a width, each with a dark rim.

    Parameters
    ----------
    picture : array of uint8, ``[row, column, 3]``
    lines : sequence of array ``[n, 2]``
        (column, row), (0, 0) the corner of the first pixel. A line of one point is a cross.
    color : tuple of int
    width : float
        In pixels of the picture.
    """
    rows, columns = picture.shape[:2]
    rim = np.zeros((rows, columns), np.float32)
    core = np.zeros((rows, columns), np.float32)
    for line in lines:
        for start, end in _segments(line):
            reach = width / 2 + 2
            low = np.floor(np.minimum(start, end) - reach).astype(int)
            high = np.ceil(np.maximum(start, end) + reach).astype(int)
            x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
            x1, y1 = min(columns, int(high[0])), min(rows, int(high[1]))
            if x0 >= x1 or y0 >= y1:
                continue
            y, x = np.mgrid[y0:y1, x0:x1] + 0.5
            step = end - start
            length = float(step @ step)
            along = (
                np.zeros_like(x)
                if length == 0
                else np.clip(((x - start[0]) * step[0] + (y - start[1]) * step[1]) / length, 0, 1)
            )
            away = np.hypot(x - start[0] - along * step[0], y - start[1] - along * step[1])
            box = np.s_[y0:y1, x0:x1]
            core[box] = np.maximum(core[box], np.clip(width / 2 + 0.5 - away, 0, 1))
            rim[box] = np.maximum(rim[box], np.clip(width / 2 + 1.5 - away, 0, 1))
    result = picture.astype(np.float32)
    result *= (1 - 0.7 * rim)[..., None]
    result = result * (1 - core)[..., None] + np.asarray(color, np.float32) * core[..., None]
    shown: NDArray[np.uint8] = np.rint(result).astype(np.uint8)
    return shown


def _segments(line: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    if len(line) == 1:
        x, y = np.array([_ARM, 0.0]), np.array([0.0, _ARM])
        gap = 0.25
        return [(line[0] + s * gap * a, line[0] + s * a) for a in (x, y) for s in (-1, 1)]
    return [(line[n], line[n + 1]) for n in range(len(line) - 1)]


def mask_edges(mask: NDArray[Any]) -> list[NDArray[np.float64]]:
    """The border of a region of pixels as lines along pixel edges, (column, row) from the corner of the first pixel."""
    padded = np.pad(np.asarray(mask, bool), 1)
    lines: list[NDArray[np.float64]] = []
    across = padded[:-1, 1:-1] != padded[1:, 1:-1]
    for row, column in np.argwhere(across):
        lines.append(np.array([[column, row], [column + 1, row]], float))
    down = padded[1:-1, :-1] != padded[1:-1, 1:]
    for row, column in np.argwhere(down):
        lines.append(np.array([[column, row], [column, row + 1]], float))
    return lines
