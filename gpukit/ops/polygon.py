"""Which pixels lie inside a polygon."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import device

__all__ = ["check_rings", "crossings", "points_in_polygon", "polygon_mask"]

#: A crossing nearer than this to a pixel centre, relative to the numbers it is computed of, is placed by exact
#: arithmetic; float64 errs by some 1e-15.
_NEAR = 1e-10
#: Points times edges looked at together by `points_in_polygon`: 32 MB of float64.
_CHUNK = 1 << 22


def check_rings(rings: Sequence[ArrayLike]) -> list[NDArray[np.float64]]:
    """Return the rings as float64 arrays (n, 2); a last point that repeats the first is dropped.

    Raises
    ------
    InputError
        A ring has fewer than three points, or they are not finite pairs.
    """
    checked = []
    for ring in rings:
        points = np.asarray(ring, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise InputError("a polygon is a list of finite points (x, y)", attribute="polygon")
        if len(points) > 1 and (points[0] == points[-1]).all():
            points = points[:-1]
        if len(points) < 3:
            raise InputError(f"a polygon has three or more points, not {len(points)}", attribute="polygon")
        checked.append(points)
    return checked


def crossings(
    rings: Sequence[NDArray[np.float64]], shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the edges cross the rows of a frame: row, and first column whose centre is not left of the crossing.

    Parameters
    ----------
    rings : sequence of array, (n, 2)
        As `check_rings` gives them: (column, row).
    shape : tuple of int
        Rows, columns; columns are clipped to 0 and that number.

    Returns
    -------
    tuple of array of int64
        Sorted by row, then column.
    """
    rows, columns = shape
    if not rings:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    upward = start[:, 1] > end[:, 1]  # one direction for all, so that an edge walked both ways cancels to the bit
    low, high = np.where(upward[:, None], end, start), np.where(upward[:, None], start, end)
    # A row j is crossed where low y <= j < high y: each corner belongs to one of its two edges.
    first = np.clip(np.ceil(low[:, 1]), 0, rows).astype(np.int64)
    count = np.maximum(np.clip(np.ceil(high[:, 1]), 0, rows).astype(np.int64) - first, 0)
    edge = np.repeat(np.arange(len(low)), count)
    row = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    a, b = low[edge], high[edge]
    x = a[:, 0] + (row - a[:, 1]) * ((b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1]))
    x = np.clip(x, np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 0], b[:, 0]))
    column = np.ceil(np.clip(x, -1.0, columns + 1.0))
    scale = np.abs(a).max(axis=1) + np.abs(b).max(axis=1) + 1.0
    for n in np.flatnonzero(np.abs(x - np.rint(x)) < _NEAR * scale):
        if -1 <= x[n] <= columns + 1:
            (ax, ay), (bx, by) = ([Fraction(float(v)) for v in point] for point in (a[n], b[n]))
            exact = ax + (int(row[n]) - ay) * (bx - ax) / (by - ay)
            column[n] = -(-exact.numerator // exact.denominator)
    columns_at = np.clip(column, 0, columns).astype(np.int64)
    order = np.lexsort((columns_at, row))
    return row[order], columns_at[order]


@operation(tolerance=0.0)
def polygon_mask(data: Any, rings: Sequence[ArrayLike]) -> Any:
    """Return pixels whose centre lies inside a polygon.

    Parameters
    ----------
    data : array, (..., nj, ni)
        Decides the backend, the device and the frame's size; its values are not looked at.
    rings : sequence of array_like, (n, 2)
        Closed rings of points (column, row), where (0, 0) is the centre of the first pixel. What lies inside an odd
        number of rings is inside (even-odd rule): an inner ring is a hole, and so is one that a keyhole channel, walked
        both ways, joins to the outer ring.

    Returns
    -------
    array of bool, (nj, ni)
        On the device of `data`.

    Raises
    ------
    InputError
        A ring has fewer than three points, or they are not finite.

    Notes
    -----
    A centre exactly on an edge is inside where the polygon lies to its right (or, on a horizontal edge, below it), and
    outside where the polygon lies to its left or above. So polygons that share an edge share no pixel and leave none
    out, and the rectangle from (x, y) to (x + w, y + h) has w times h pixels for whole numbers. The rule is followed
    exactly: crossings near a pixel centre are computed in rational numbers.
    """
    xp = array_namespace(data)
    nj, ni = (int(n) for n in data.shape[-2:])
    row, column = crossings(check_rings(rings), (nj, ni))
    where = device(data)
    most = int(np.bincount(row, minlength=1).max()) if row.size else 0
    table = np.full((nj, max(most, 1)), ni, np.int64)  # a crossing right of the frame turns nothing
    table[row, np.arange(row.size) - np.searchsorted(row, row)] = column
    i = xp.reshape(xp.arange(ni, dtype=xp.int64, device=where), (1, ni))
    turned = xp.zeros((nj, ni), dtype=xp.int64, device=where)
    at = xp.reshape(xp.asarray(table.tolist(), dtype=xp.int64, device=where), table.shape)
    for n in range(table.shape[1]):
        turned = turned + xp.astype(at[:, n : n + 1] <= i, xp.int64)
    return turned % 2 == 1


def points_in_polygon(points: NDArray[np.float64], rings: Sequence[ArrayLike]) -> NDArray[np.bool_]:
    """Return whether points that are not pixel centres lie inside, by the rule of `polygon_mask` (in float64).

    Parameters
    ----------
    points : array, (n, 2)
        (x, y) in the frame of the rings.
    rings : sequence of array_like, (m, 2)
        As in `polygon_mask`.
    """
    checked = check_rings(rings)
    inside = np.zeros(len(points), bool)
    if not checked:
        return inside
    start = np.concatenate(checked)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in checked])
    upward = start[:, 1] > end[:, 1]
    low, high = np.where(upward[:, None], end, start), np.where(upward[:, None], start, end)
    level = low[:, 1] == high[:, 1]
    low, high = low[~level], high[~level]
    slope = (high[:, 0] - low[:, 0]) / (high[:, 1] - low[:, 1])
    step = max(1, _CHUNK // max(1, len(low)))
    for begin in range(0, len(points), step):
        x, y = points[begin : begin + step, :1], points[begin : begin + step, 1:]
        crossed = (low[:, 1] <= y) & (y < high[:, 1]) & (low[:, 0] + (y - low[:, 1]) * slope <= x)
        inside[begin : begin + step] = crossed.sum(axis=1) % 2 == 1
    return inside
