"""Projections: many slices become one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import (
    Padding,
    as_dtype,
    check_padding,
    device,
    integer_range,
    invalid,
    is_floating,
    real_dtype,
    signed,
)
from gpukit.ops._interpolate import interpolate
from gpukit.ops._mapping import check_affine, check_shape, rows
from gpukit.ops._spline import coefficients
from gpukit.ops.sample import check_sample

__all__ = ["project", "project_slab"]

METHODS = ("max", "min", "mean")
#: Samples worked on at a time by the reference; bounds its memory, not its result.
CHUNK = 1 << 21


@operation(tolerance=1e-12)
def project(
    data: Any,
    axis: int,
    *,
    method: str = "max",
    start: int = 0,
    stop: int | None = None,
    padding: Sequence[float] | None = None,
) -> Any:
    """Maximum, minimum or mean along an axis of the array: no interpolation.

    Parameters
    ----------
    data : array, (nk, nj, ni)
        The volume; its type decides the backend.
    axis : {0, 1, 2}
        Array axis to project along (0 = slices).
    method : {"max", "min", "mean"}
        What remains of a line of voxels.
    start, stop : int
        Range of slices along `axis`, as in Python: `stop` is left out, None is the end.
    padding : (float, float), optional
        Voxels with values in this closed interval are not measurements and take no part; NaN never does.

    Returns
    -------
    array
        The other two axes in their order. ``max`` and ``min`` keep the type of `data`, ``mean`` is float64 (float32
        where the device has no float64). Where a line holds no measurement: NaN, or for integers the lower end of
        `padding`.

    Raises
    ------
    InputError
        An argument is out of its domain, or the range of slices is empty.
    """
    xp = array_namespace(data)
    begin, end = check_project(data, axis, method, start, stop)
    interval = check_padding(padding)
    cut = tuple(slice(begin, end) if a == axis else slice(None) for a in range(3))
    view = data[cut]
    bad = invalid(xp, view, interval)
    view = signed(xp, view)
    if method == "mean":
        return _mean(xp, view, bad, axis)
    biggest = method == "max"
    reduce = xp.max if biggest else xp.min
    if bad is None:
        return xp.astype(reduce(view, axis=axis), data.dtype, copy=False)
    if is_floating(xp, view.dtype):
        neutral: Any = float("-inf") if biggest else float("inf")
        none: Any = float("nan")
    else:
        neutral = integer_range(xp, view.dtype)[0 if biggest else 1]
        none = _lowest(xp, data, interval)
    where = device(data)
    view = xp.where(bad, xp.full((1,), neutral, dtype=view.dtype, device=where), view)
    empty = xp.all(bad, axis=axis)
    result = xp.where(empty, xp.full((1,), none, dtype=view.dtype, device=where), reduce(view, axis=axis))
    return xp.astype(result, data.dtype, copy=False)


def _lowest(xp: Any, data: Any, padding: Padding) -> int:
    """Return the lowest integer that the padding declares to be no measurement."""
    assert padding is not None
    lowest, highest = integer_range(xp, data.dtype)
    return math.ceil(min(max(padding[0], float(lowest)), float(highest)))


def _mean(xp: Any, view: Any, bad: Any | None, axis: int) -> Any:
    real = real_dtype(xp, view)
    exact = real if is_floating(xp, view.dtype) else xp.int64
    if bad is None:
        total = xp.sum(view, axis=axis, dtype=exact)
        return xp.astype(total, real) / float(view.shape[axis])
    total = xp.sum(xp.where(bad, xp.zeros((1,), dtype=view.dtype, device=device(view)), view), axis=axis, dtype=exact)
    count = xp.astype(xp.sum(xp.astype(~bad, xp.int64), axis=axis), real)
    nothing = xp.full((1,), float("nan"), dtype=real, device=device(view))
    return xp.where(count > 0.0, xp.astype(total, real) / xp.clip(count, 1.0, None), nothing)


def check_project(data: Any, axis: int, method: str, start: int, stop: int | None) -> tuple[int, int]:
    """Return the range of slices as two indices; InputError for an argument out of its domain."""
    check_sample(data, 0)
    if axis not in (0, 1, 2):
        raise InputError(f"axis must be 0, 1 or 2, not {axis}", attribute="axis")
    check_method(method)
    begin, end, _ = slice(start, stop).indices(int(data.shape[axis]))
    if begin >= end:
        raise InputError(
            f"no slice lies between {start} and {stop}: axis {axis} has {data.shape[axis]}", attribute="start"
        )
    return begin, end


def check_method(method: str) -> None:
    """InputError for an unknown way to project."""
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, not {method!r}", attribute="method")


@operation(tolerance=1e-9)
def project_slab(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    method: str = "max",
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
) -> Any:
    """Maximum, minimum or mean of a volume over the depth of another grid, in any direction.

    The picture is what `gpukit.ops.resample.resample` onto that grid followed by a reduction along k would give, but
    the resampled volume never exists.

    Parameters
    ----------
    data : array, (nk, nj, ni)
        The volume; its type decides the backend.
    matrix : array_like, (4, 4)
        Maps the output grid's index (i, j, k, 1) to the input index; k is the direction of view.
    shape : sequence of int
        Output grid (nk, nj, ni): nk samples along each ray.
    method : {"max", "min", "mean"}
        What remains of a ray.
    order : {0, 1, 3}
        Nearest voxel, trilinear or cubic B-spline.
    fill : float
        Result where a ray has no sample that counts.
    padding : (float, float), optional
        Voxels with values in this closed interval are not measurements; NaN never is one. Samples outside the volume,
        or whose nearest voxel is not a measurement, do not take part.

    Returns
    -------
    array, (nj, ni)
        ``max`` and ``min`` in the type of `data` (integers rounded half to even), ``mean`` in float64 (float32 where
        the device has no float64).

    Raises
    ------
    InputError
        An argument is out of its domain.
    GeometryError
        The matrix is not affine or not finite.
    """
    xp = array_namespace(data)
    check_sample(data, order)
    check_method(method)
    nk, nj, ni = check_shape(shape)
    map_ = check_affine(matrix, (nk, nj, ni))
    bad = invalid(xp, data, check_padding(padding))
    if bad is not None and not bool(xp.any(bad)):
        bad = None
    real, where = real_dtype(xp, data), device(data)
    spline = coefficients(xp, data, bad) if order == 3 else None
    flat = xp.reshape(signed(xp, data), (-1,))
    missing = None if bad is None else xp.reshape(bad, (-1,))
    target = real if method == "mean" else data.dtype
    empty = as_dtype(xp, xp.full((1,), float(fill), dtype=real, device=where), target)
    result = xp.empty((nj, ni), dtype=target, device=where)
    i = xp.reshape(xp.arange(ni, dtype=real, device=where), (1, ni))
    rows_at_once = max(1, CHUNK // ni)
    start_value = {"max": float("-inf"), "min": float("inf"), "mean": 0.0}[method]
    for start in range(0, nj, rows_at_once):
        stop = min(start + rows_at_once, nj)
        j = xp.reshape(xp.arange(start, stop, dtype=real, device=where), (stop - start, 1))
        best = xp.full(((stop - start) * ni,), start_value, dtype=real, device=where)
        count = xp.zeros_like(best)
        for k in range(nk):
            x, y, z = (xp.reshape(m0 * i + ((m1 * j + m2 * float(k)) + m3), (-1,)) for m0, m1, m2, m3 in rows(map_))
            value, ok = interpolate(xp, flat, missing, data.shape, x, y, z, order=order, spline=spline)
            count = count + xp.astype(ok, real)
            if method == "mean":
                best = best + xp.where(ok, value, xp.zeros_like(value))
            else:
                better = ok & ((value > best) if method == "max" else (value < best))
                best = xp.where(better, value, best)
        if method == "mean":
            best = best / xp.clip(count, 1.0, None)
        picture = xp.where(count > 0.0, as_dtype(xp, best, target), empty)
        result[start:stop, :] = xp.reshape(picture, (stop - start, ni))
    return result
