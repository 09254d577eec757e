"""From voxels of a slice to closed outlines along their faces, which hold the centres of exactly these voxels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["outlines"]

#: Steps along i and j, each a quarter turn to the left of the one before.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
_Corners = list[tuple[int, int]]


def outlines(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed outlines of a mask, one for each group of voxels that touch along faces.

    A hole is joined to the outline around it by a channel without width between voxel centres, the keyhole of PS3.3
    C.8.8.6.3, so that every reader finds it, whichever rule it fills by.

    Parameters
    ----------
    mask : array of bool, ``[j, i]``
        A slice.

    Returns
    -------
    list of array, (n, 2)
        Corners (i, j) in voxels, where voxel centres are whole numbers; the first corner is not repeated.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    # faces between a voxel and its neighbour, as steps from corner to corner with the inside to the left
    along = np.diff(padded, axis=0)[:, 1:-1]  # between rows: +1 where the inside begins
    across = np.diff(padded, axis=1)[1:-1, :]
    ways: dict[tuple[int, int], list[int]] = {}
    for row, column in zip(*np.nonzero(along), strict=True):
        j, i = int(row), int(column)
        if along[j, i] > 0:
            ways.setdefault((i, j), []).append(0)
        else:
            ways.setdefault((i + 1, j), []).append(2)
    for row, column in zip(*np.nonzero(across), strict=True):
        j, i = int(row), int(column)
        if across[j, i] > 0:
            ways.setdefault((i, j + 1), []).append(3)
        else:
            ways.setdefault((i, j), []).append(1)
    outer: list[_Corners] = []
    holes: list[_Corners] = []
    while ways:
        corners, turned = _walk(ways, next(iter(ways)))
        (outer if turned > 0 else holes).append(corners)
    for hole in sorted(holes, key=min):  # what lies to the left of a hole is joined before it
        _join(outer, hole)
    return [np.array(corners, float) - 0.5 for corners in outer]


def _join(rings: list[_Corners], hole: _Corners) -> None:
    """Put a hole into the ring around it, by a channel from its leftmost corner to the left."""
    i, j = min(hole)
    best: tuple[int, int, int] | None = None
    for number, ring in enumerate(rings):
        for at, ((a, b), (c, d)) in enumerate(zip(ring, [*ring[1:], ring[0]], strict=True)):
            if a == c and a < i and min(b, d) <= j <= max(b, d) and (best is None or a > best[0]):
                best = a, number, at
    assert best is not None  # a hole lies within a ring
    side, number, at = best
    start = hole.index((i, j))
    around = [*hole[start:], *hole[:start], (i, j)]
    rings[number][at + 1 : at + 1] = [(side, j), *around, (side, j)]


def _walk(ways: dict[tuple[int, int], list[int]], start: tuple[int, int]) -> tuple[_Corners, int]:
    """One outline as its corners, and its quarter turns to the left, four or minus four; its steps are used up."""
    place, heading, first = start, -1, -1
    corners: _Corners = []
    turned = 0
    while True:
        choices = ways.get(place, [])
        if heading < 0:
            following = choices[0]
        else:
            # where two voxels touch at a corner, the turn to the left stays with the voxel at hand
            order = [(heading + 1) % 4, heading, (heading - 1) % 4]
            following = next(way for way in order if way in choices)
        choices.remove(following)
        if not choices:
            del ways[place]
        if heading < 0:
            first = following
        elif following != heading:
            corners.append(place)
            turned += 1 if (following - heading) % 4 == 1 else -1
        heading = following
        place = (place[0] + _STEPS[heading][0], place[1] + _STEPS[heading][1])
        if place == start and _closes(ways, place, heading, first):
            if first != heading:
                corners.append(place)
                turned += 1 if (first - heading) % 4 == 1 else -1
            return corners, turned


def _closes(ways: dict[tuple[int, int], list[int]], place: tuple[int, int], heading: int, first: int) -> bool:
    """Whether the outline ends here: at a corner where two voxels touch, only if the first step is the next one."""
    choices = [*ways.get(place, []), first]
    order = [(heading + 1) % 4, heading, (heading - 1) % 4]
    return next(way for way in order if way in choices) == first
