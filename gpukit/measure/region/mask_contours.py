"""Outlines of a mask's regions, halfway between the pixels inside and those outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.ops.polygon import points_in_polygon

__all__ = ["regions_of"]

Ring = NDArray[np.float64]

#: Marching squares: for the corners of a cell that are inside (1 upper left, 2 upper right, 4 lower right, 8 lower
#: left) the pieces of outline, each from one side of the cell to another, the inside on the left hand as seen on the
#: screen, where rows grow downwards. Two corners that face each other across the cell belong together.
_TOP, _RIGHT, _BOTTOM, _LEFT = range(4)
_PIECES: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((_LEFT, _TOP),), 2: ((_TOP, _RIGHT),), 4: ((_RIGHT, _BOTTOM),), 8: ((_BOTTOM, _LEFT),),
    3: ((_LEFT, _RIGHT),), 6: ((_TOP, _BOTTOM),), 12: ((_RIGHT, _LEFT),), 9: ((_BOTTOM, _TOP),),
    7: ((_LEFT, _BOTTOM),), 14: ((_TOP, _LEFT),), 13: ((_RIGHT, _TOP),), 11: ((_BOTTOM, _RIGHT),),
    5: ((_LEFT, _BOTTOM), (_RIGHT, _TOP)), 10: ((_TOP, _LEFT), (_BOTTOM, _RIGHT)),
}  # fmt: skip
#: Middle of each side, doubled so that it is whole, relative to the upper left corner.
_SIDES = {_TOP: (1, 0), _RIGHT: (2, 1), _BOTTOM: (1, 2), _LEFT: (0, 1)}


def regions_of(mask: NDArray[Any]) -> list[list[Ring]]:
    """Return the connected regions of a mask, each as its outer ring followed by the rings of its holes.

    Parameters
    ----------
    mask : array of bool, (nj, ni)
        Pixels that touch at a corner belong together.

    Returns
    -------
    list of list of array (n, 2)
        Points (column, row), halfway between a pixel inside and its neighbour outside; the first is not repeated.
    """
    rings = list(_rings(np.asarray(mask, bool)))
    areas = [_signed_area(ring) for ring in rings]
    outer = sorted((n for n, area in enumerate(areas) if area > 0), key=lambda n: areas[n])
    regions = {n: [rings[n]] for n in outer}
    for ring, area in zip(rings, areas, strict=True):
        if area < 0:  # a hole: of the smallest region around it
            inside = ring[:1]
            home = next((n for n in outer if points_in_polygon(inside, [rings[n]])[0]), None)
            if home is not None:
                regions[home].append(ring)
    return [regions[n] for n in sorted(outer)]


def _rings(mask: NDArray[np.bool_]) -> Iterator[Ring]:
    padded = np.pad(mask, 1).astype(np.uint8)
    code = padded[:-1, :-1] | padded[:-1, 1:] << 1 | padded[1:, 1:] << 2 | padded[1:, :-1] << 3
    following: dict[tuple[int, int], tuple[int, int]] = {}
    for row, column in np.argwhere((code > 0) & (code < 15)).tolist():
        x, y = 2 * (column - 1), 2 * (row - 1)  # doubled coordinates of the cell's upper left pixel, without the border
        for start, end in _PIECES[int(code[row, column])]:
            (ax, ay), (bx, by) = _SIDES[start], _SIDES[end]
            following[x + ax, y + ay] = (x + bx, y + by)
    while following:
        first, point = following.popitem()
        ring = [first]
        while point != first:
            ring.append(point)
            point = following.pop(point)
        yield np.asarray(ring, np.float64) / 2


def _signed_area(ring: Ring) -> float:
    """Positive where the outline runs counter-clockwise on the screen, as round a region; negative round a hole."""
    x, y = (ring - ring[0]).T
    return float(y @ np.roll(x, -1) - x @ np.roll(y, -1)) / 2
