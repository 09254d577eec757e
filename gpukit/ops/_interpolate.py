"""Values between voxels: the reference arithmetic that resampling, sampling and projecting share.

All coordinates are flat arrays of input index in working precision, all masks are flat booleans. The compiled kernels
repeat these formulas in the same order of operations, so that their float64 results are equal, not just close.
"""

from __future__ import annotations

from typing import Any

from gpukit.ops._mapping import EDGE
from gpukit.ops._spline import cubic

__all__ = ["inside", "interpolate", "linear", "nearest"]


def inside(x: Any, y: Any, z: Any, shape: tuple[int, int, int]) -> Any:
    """Which samples lie within half a voxel of the outermost centres (ITK's rule)."""
    nk, nj, ni = shape
    ok = (x >= -0.5 - EDGE) & (x <= ni - 0.5 + EDGE)
    ok = ok & (y >= -0.5 - EDGE) & (y <= nj - 0.5 + EDGE)
    return ok & (z >= -0.5 - EDGE) & (z <= nk - 0.5 + EDGE)


def _whole(xp: Any, x: Any, n: int) -> Any:
    return xp.astype(xp.clip(x, 0.0, float(n - 1)), xp.int64)


def _nearest_index(xp: Any, x: Any, y: Any, z: Any, shape: tuple[int, int, int]) -> Any:
    nk, nj, ni = shape
    i = _whole(xp, xp.floor(x + 0.5), ni)
    j = _whole(xp, xp.floor(y + 0.5), nj)
    k = _whole(xp, xp.floor(z + 0.5), nk)
    return (k * nj + j) * ni + i


def _corner(xp: Any, x: Any, n: int) -> tuple[Any, Any, Any]:
    """Lower neighbour, upper neighbour and weight of the upper one, clamped to the outermost centres."""
    x = xp.clip(x, 0.0, float(n - 1))
    low = xp.clip(xp.floor(x), 0.0, float(max(n - 2, 0)))
    a = xp.astype(low, xp.int64)
    b = a + 1 if n > 1 else a
    return a, b, x - low


def nearest(
    xp: Any, data: Any, bad: Any | None, shape: tuple[int, int, int], x: Any, y: Any, z: Any
) -> tuple[Any, Any | None]:
    """Return values of the nearest voxels (halves go up) in the data's own type, and which of them are measurements."""
    at = _nearest_index(xp, x, y, z, shape)
    return xp.take(data, at, axis=0), None if bad is None else ~xp.take(bad, at, axis=0)


def linear(
    xp: Any, data: Any, bad: Any | None, shape: tuple[int, int, int], x: Any, y: Any, z: Any
) -> tuple[Any, Any | None, Any | None]:
    """Trilinear values in working precision, which stand on a measurement, and which have a neighbour that is none.

    ``data`` and ``bad`` are flat. Blends along k, then j, then i. Where a neighbour is not a measurement, its weight is
    left out and the others are scaled up to one; where the nearest voxel is none, neither is the sample.
    """
    nk, nj, ni = shape
    real = x.dtype
    i0, i1, fx = _corner(xp, x, ni)
    j0, j1, fy = _corner(xp, y, nj)
    k0, k1, fz = _corner(xp, z, nk)
    at = {
        (c, b, a): ((k1 if c else k0) * nj + (j1 if b else j0)) * ni + (i1 if a else i0)
        for c in (0, 1)
        for b in (0, 1)
        for a in (0, 1)
    }
    v = {corner: xp.astype(xp.take(data, index, axis=0), real) for corner, index in at.items()}

    def mix(f: Any, low: Any, high: Any) -> Any:
        return low + f * (high - low)

    rows = {(b, a): mix(fz, v[0, b, a], v[1, b, a]) for b in (0, 1) for a in (0, 1)}
    value = mix(fx, mix(fy, rows[0, 0], rows[1, 0]), mix(fy, rows[0, 1], rows[1, 1]))
    if bad is None:
        return value, None, None
    invalid = {corner: xp.take(bad, index, axis=0) for corner, index in at.items()}
    any_lost = invalid[0, 0, 0]
    total = xp.zeros_like(value)
    weight = xp.zeros_like(value)
    for (c, b, a), gone in invalid.items():
        any_lost = any_lost | gone
        w = (fz if c else 1.0 - fz) * (fy if b else 1.0 - fy) * (fx if a else 1.0 - fx)
        w = xp.where(gone, xp.zeros_like(w), w)
        weight = weight + w
        total = total + xp.where(gone, xp.zeros_like(w), w * v[c, b, a])
    valid = ~xp.take(bad, _nearest_index(xp, x, y, z, shape), axis=0)
    safe = xp.where(weight > 0.0, weight, xp.ones_like(weight))
    return xp.where(any_lost, total / safe, value), valid, any_lost


def interpolate(
    xp: Any,
    data: Any,
    bad: Any | None,
    shape: tuple[int, int, int],
    x: Any,
    y: Any,
    z: Any,
    *,
    order: int,
    spline: Any | None = None,
) -> tuple[Any, Any]:
    """Return values in working precision at the samples, and which samples count (inside, on a measurement).

    ``data`` and ``bad`` are flat; `spline` holds the coefficients for order 3. Beside a voxel that is not a measurement
    the spline gives way to the linear rule.
    """
    if order == 0:
        value, valid = nearest(xp, data, bad, shape, x, y, z)
        value = xp.astype(value, x.dtype)
    elif order == 1 or spline is None:
        value, valid, _ = linear(xp, data, bad, shape, x, y, z)
    elif bad is None:
        value, valid = cubic(xp, spline, shape, x, y, z), None
    else:
        value, valid, beside = linear(xp, data, bad, shape, x, y, z)
        value = xp.where(beside, value, cubic(xp, spline, shape, x, y, z))
    ok = inside(x, y, z, shape)
    return value, ok if valid is None else ok & valid
