"""Triangles of a surface in each of the 256 ways that a cell's eight corners can be inside or outside.

Corner n of a cell lies at (n & 1, n >> 1 & 1, n >> 2 & 1) along (i, j, k), and is inside where bit n of the case is
set. Edges are numbered 4 * axis + place, where the place is the two other coordinates of the edge as bits, the lower
axis first. The table is derived, not typed in: on every face of the cell the inside corners are kept apart, which
depends on that face alone, so neighbours agree and the surface has no holes (the failing of Lorensen and Cline's first
table).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_TRIANGLES", "edge_corners", "triangles"]

#: Triangles of one cell, at most.
MOST_TRIANGLES = 5
Loop = tuple[int, ...]


def edge_corners(edge: int) -> tuple[int, int]:
    """Return the two corners of an edge, the one nearer to the cell's origin first."""
    axis, place = divmod(edge, 4)
    low, high = (n for n in range(3) if n != axis)
    start = (place & 1) << low | (place >> 1) << high
    return start, start | 1 << axis


@functools.cache
def triangles() -> NDArray[np.int8]:
    """(256, 5, 3): edges of the triangles of each case, counter-clockwise from outside; -1 where there are no more."""
    table = np.full((256, MOST_TRIANGLES, 3), -1, np.int8)
    for case in range(256):
        rows = [triangle for loop in _loops(case) for triangle in _filled(loop)]
        if rows:
            table[case, : len(rows)] = rows
    return table


def _faces() -> Iterator[tuple[int, ...]]:
    """Corners of each face, counter-clockwise as seen from outside the cell (i, j, k right-handed)."""
    for axis in range(3):
        u, v = 1 << (axis + 1) % 3, 1 << (axis + 2) % 3
        yield (0, v, u | v, u)
        yield tuple(1 << axis | corner for corner in (0, u, u | v, v))


def _edge_between(a: int, b: int) -> int:
    return next(edge for edge in range(12) if set(edge_corners(edge)) == {a, b})


def _loops(case: int) -> list[Loop]:
    """Return the closed lines in which the surface meets the cell's faces."""
    following: dict[int, int] = {}
    for face in _faces():
        around = [(face[n - 1], face[n]) for n in range(4)]
        crossed = [(a, b) for a, b in around if (case >> a & 1) != (case >> b & 1)]
        for n, (a, b) in enumerate(crossed):
            if case >> b & 1:  # the line comes in here, and the next crossing leaves the same inside corners
                following[_edge_between(a, b)] = _edge_between(*crossed[(n + 1) % len(crossed)])
    loops = []
    while following:
        start, edge = following.popitem()
        loop = [start]
        while edge != start:
            loop.append(edge)
            edge = following.pop(edge)
        low = loop.index(min(loop))
        loops.append(tuple(loop[low:] + loop[:low]))
    return sorted(loops)


def _on_one_face(a: int, b: int) -> bool:
    corners = {*edge_corners(a), *edge_corners(b)}
    return any(corners <= set(face) for face in _faces())


def _filled(loop: Loop) -> list[tuple[int, int, int]]:
    """Triangles that fill a loop, with no inner side in a face of the cell, where a neighbour's could meet it."""
    return next(_fillings(loop))


def _fillings(loop: Loop) -> Iterator[list[tuple[int, int, int]]]:
    if len(loop) == 3:
        yield [(loop[0], loop[1], loop[2])]
        return
    for n in range(2, len(loop)):  # the triangle on the side from the first to the second edge
        rest = [loop[1 : n + 1], (loop[0], *loop[n:])]
        sides = [(loop[1], loop[n])] * (n > 2) + [(loop[0], loop[n])] * (n < len(loop) - 1)
        if any(_on_one_face(a, b) for a, b in sides):
            continue
        for first in _fillings(rest[0]) if n > 2 else iter([[]]):
            for second in _fillings(rest[1]) if n < len(loop) - 1 else iter([[]]):
                yield [(loop[0], loop[1], loop[n]), *first, *second]
