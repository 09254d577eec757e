"""Where values cross a level: points on the edges between voxels, and triangles between the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import GeometryError, InputError
from gpukit.ops._arrays import check_padding, device, real_dtype
from gpukit.ops._marching_cubes import triangles
from gpukit.ops.sample import check_sample

__all__ = ["contour"]

#: No point comes closer to a voxel's centre than this share of the edge, or triangles there would collapse to lines.
NEAR = 1e-3


@operation(tolerance=1e-9)
def contour(
    data: Any,
    threshold: float,
    affine: ArrayLike,
    *,
    padding: Sequence[float] | None = None,
) -> tuple[Any, Any]:
    """Return triangles between the voxels of at least a threshold and the others: marching cubes.

    Each edge between a voxel inside and a neighbour outside has one point, where the linear interpolant takes the
    threshold; half way where the neighbour is not a measurement or lies outside the volume, so that the surface is
    closed.
    Where voxels equal the threshold, it is laid half way to the next lower value that occurs, because surfaces through
    voxel centres collapse. Cells are filled by a table that keeps inside corners of a face apart, so that neighbours
    agree (see `gpukit.ops._marching_cubes`).

    Parameters
    ----------
    data : array, (nk, nj, ni)
        The volume; its type decides the backend.
    threshold : float
        Voxels of at least this are inside.
    affine : array_like, (4, 4)
        Maps (i, j, k, 1) to where the points are wanted.
    padding : (float, float), optional
        Voxels with values in this closed interval are outside, and so are voxels that are not finite.

    Returns
    -------
    points : array, (n, 3)
        float64 (float32 where the device has no float64); layer by layer, in each layer those on edges along i, then j,
        then k.
    faces : array of int64, (m, 3)
        Numbers of points, counter-clockwise as seen from outside.

    Raises
    ------
    InputError
        An argument is out of its domain, or there is no surface: nothing is inside, or nothing outside.
    GeometryError
        The affine is singular or not finite.
    """
    matrix = check_contour(data, threshold, affine)
    interval = check_padding(padding)
    xp, where, real = array_namespace(data), device(data), real_dtype(array_namespace(data), data)
    run = level_between(data, threshold, *_bounds(xp, data, threshold, interval), interval)
    table = xp.asarray(triangles().astype(np.int64), device=where)
    if np.linalg.det(matrix[:3, :3]) < 0:
        table = xp.take(table, xp.asarray([0, 2, 1], device=where), axis=2)
    count = int(data.shape[0])
    points: list[Any] = []
    faces: list[Any] = []
    here = _inside(xp, data, -1, threshold, interval)
    flat_ids, start = _numbered(xp, here, 0)
    for layer in range(count + 1):
        above = _inside(xp, data, layer, threshold, interval)
        on_k, start = _number(xp, here != above, start)
        above_ids, after = _numbered(xp, above, start)
        for axis, crossed in enumerate((here[:, :-1] != here[:, 1:], here[:-1, :] != here[1:, :], here != above)):
            points.append(_points(xp, data, crossed, axis, layer - 1, run, interval, matrix, real))
        faces.append(_faces(xp, here, above, (*flat_ids, *above_ids, on_k), table))
        here, flat_ids, start = above, above_ids, after
    return xp.concat(points, axis=0), xp.concat(faces, axis=0)


def check_contour(data: Any, threshold: float, affine: ArrayLike) -> NDArray[np.float64]:
    """Return the affine; errors for what makes no surface."""
    check_sample(data, 0)
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not abs(np.linalg.det(matrix[:3, :3])) > 0:
        raise GeometryError("the affine must be a finite 4 x 4 matrix that is not singular", attribute="affine")
    if not np.isfinite(threshold):
        raise InputError(f"the threshold {threshold} is not finite", attribute="threshold")
    return matrix


def level_between(
    data: Any, threshold: float, inside: float, outside: float, padding: tuple[float, float] | None
) -> float:
    """Where the surface runs, given the lowest value inside and the highest one outside; InputError without either."""
    if np.isfinite(inside) and np.isfinite(outside):
        return (threshold + outside) / 2 if inside == threshold else float(threshold)
    xp = array_namespace(data)
    low, high = np.inf, -np.inf
    for k in range(int(data.shape[0])):
        values, valid = _valid(xp, data, k, padding)
        low = min(low, float(xp.min(xp.where(valid, values, xp.full_like(values, np.inf)))))
        high = max(high, float(xp.max(xp.where(valid, values, xp.full_like(values, -np.inf)))))
    shown = f"go from {low:g} to {high:g}" if low <= high else "are all padding or not finite"
    raise InputError(
        f"there is no surface at {threshold:g}: the values {shown}", attribute="threshold",
        fix="choose a threshold between them" if low < high else None,
    )  # fmt: skip


def _valid(xp: Any, data: Any, k: int, padding: tuple[float, float] | None) -> tuple[Any, Any]:
    """One slice in working precision, and which of its voxels are measurements."""
    values = xp.astype(data[k, :, :], real_dtype(xp, data))
    valid = xp.isfinite(values)
    if padding is not None:
        valid = valid & ~((values >= padding[0]) & (values <= padding[1]))
    return values, valid


def _bounds(xp: Any, data: Any, threshold: float, padding: tuple[float, float] | None) -> tuple[float, float]:
    """Return the lowest value inside and the highest one outside."""
    inside, outside = np.inf, -np.inf
    for k in range(int(data.shape[0])):
        values, valid = _valid(xp, data, k, padding)
        within = valid & (values >= threshold)
        inside = min(inside, float(xp.min(xp.where(within, values, xp.full_like(values, np.inf)))))
        beyond = valid & (values < threshold)
        outside = max(outside, float(xp.max(xp.where(beyond, values, xp.full_like(values, -np.inf)))))
    return inside, outside


def _inside(xp: Any, data: Any, k: int, threshold: float, padding: tuple[float, float] | None) -> Any:
    """Framed by one node that is outside: (nj + 2, ni + 2) of bool."""
    rows, columns = int(data.shape[1]), int(data.shape[2])
    framed = xp.zeros((rows + 2, columns + 2), dtype=xp.bool, device=device(data))
    if 0 <= k < int(data.shape[0]):
        values, valid = _valid(xp, data, k, padding)
        framed[1:-1, 1:-1] = valid & (values >= threshold)
    return framed


def _number(xp: Any, crossed: Any, start: int) -> tuple[Any, int]:
    """Numbers from `start` where true, in row-major order, and the next one."""
    flat = xp.reshape(xp.astype(crossed, xp.int64), (-1,))
    ids = xp.reshape(xp.cumulative_sum(flat) + (start - 1), crossed.shape)
    return ids, start + int(xp.sum(flat))


def _numbered(xp: Any, inside: Any, start: int) -> tuple[tuple[Any, Any], int]:
    """Numbers of the points on the edges of one layer along i and along j."""
    on_i, start = _number(xp, inside[:, :-1] != inside[:, 1:], start)
    on_j, start = _number(xp, inside[:-1, :] != inside[1:, :], start)
    return (on_i, on_j), start


def _points(
    xp: Any,
    data: Any,
    crossed: Any,
    axis: int,
    k: int,
    level: float,
    padding: tuple[float, float] | None,
    matrix: NDArray[np.float64],
    real: Any,
) -> Any:
    rows, columns = xp.nonzero(crossed)
    j, i = xp.astype(rows, xp.int64) - 1, xp.astype(columns, xp.int64) - 1
    first = _values(xp, data, i, j, k, padding, real)
    second = _values(xp, data, i + int(axis == 0), j + int(axis == 1), k + int(axis == 2), padding, real)
    t = (level - first) / (second - first)
    t = xp.where(xp.isnan(t), xp.full_like(t, 0.5), xp.clip(t, NEAR, 1.0 - NEAR))
    place = [xp.astype(i, real), xp.astype(j, real), xp.full_like(t, float(k))]
    place[axis] = place[axis] + t
    x, y, z = place
    world = [((m0 * x + m1 * y) + m2 * z) + m3 for m0, m1, m2, m3 in matrix[:3].tolist()]
    return xp.stack(world, axis=-1)


def _values(xp: Any, data: Any, i: Any, j: Any, k: int, padding: tuple[float, float] | None, real: Any) -> Any:
    """Voxels, NaN where there is none: outside the volume, padding, not finite."""
    nk, nj, ni = (int(n) for n in data.shape)
    nothing = xp.full(i.shape, float("nan"), dtype=real, device=device(data))
    if not 0 <= k < nk:
        return nothing
    there = (i >= 0) & (i < ni) & (j >= 0) & (j < nj)
    flat = xp.reshape(xp.astype(data[k, :, :], real), (-1,))
    values = xp.take(flat, xp.clip(j, 0, nj - 1) * ni + xp.clip(i, 0, ni - 1))
    there = there & xp.isfinite(values)
    if padding is not None:
        there = there & ~((values >= padding[0]) & (values <= padding[1]))
    return xp.where(there, values, nothing)


def _faces(xp: Any, here: Any, above: Any, ids: tuple[Any, ...], table: Any) -> Any:
    """Return triangles of one layer of cells, row by row, in the order of the table."""
    low_i, low_j, high_i, high_j, on_k = ids
    corners = [layer[y : layer.shape[0] - 1 + y, x : layer.shape[1] - 1 + x]
               for layer in (here, above) for y in (0, 1) for x in (0, 1)]  # fmt: skip
    case = sum(xp.astype(corner, xp.int64) * (1 << n) for n, corner in enumerate(corners))
    rows, columns = xp.nonzero((case != 0) & (case != 255))
    rows, columns = xp.astype(rows, xp.int64), xp.astype(columns, xp.int64)

    def at(numbers: Any, dy: int, dx: int) -> Any:
        return xp.take(xp.reshape(numbers, (-1,)), (rows + dy) * int(numbers.shape[1]) + (columns + dx))

    edges = xp.stack(
        [
            at(low_i, 0, 0), at(low_i, 1, 0), at(high_i, 0, 0), at(high_i, 1, 0),
            at(low_j, 0, 0), at(low_j, 0, 1), at(high_j, 0, 0), at(high_j, 0, 1),
            at(on_k, 0, 0), at(on_k, 0, 1), at(on_k, 1, 0), at(on_k, 1, 1),
        ],
        axis=-1,
    )  # fmt: skip
    active = xp.take(xp.reshape(case, (-1,)), rows * int(case.shape[1]) + columns)
    edge = xp.reshape(xp.take(table, active, axis=0), (-1, 3))
    cell = xp.reshape(xp.arange(active.shape[0], device=device(case)), (-1, 1, 1))
    cell = xp.reshape(xp.broadcast_to(cell, (active.shape[0], table.shape[1], 1)), (-1, 1))
    (used,) = xp.nonzero(edge[:, 0] >= 0)
    index = xp.take(cell * 12 + edge, used, axis=0)
    return xp.reshape(xp.take(xp.reshape(edges, (-1,)), xp.reshape(index, (-1,))), (-1, 3))
