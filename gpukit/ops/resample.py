"""Resampling of a volume onto another grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.ops._arrays import as_dtype, check_padding, device, dtype_of, invalid, real_dtype, signed, signed_dtype
from gpukit.ops._interpolate import interpolate
from gpukit.ops._mapping import EDGE, Axes, Matrix, axes_of, check_affine, check_shape, rows
from gpukit.ops._spline import coefficients
from gpukit.ops.sample import check_sample

__all__ = ["resample"]

#: Samples worked on at a time by the reference; bounds its memory, not its result.
CHUNK = 1 << 21


@operation(tolerance=1e-9)
def resample(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
    dtype: Any = None,
) -> Any:
    """Return values of a volume at the voxels of another grid.

    Parameters
    ----------
    data : array, (nk, nj, ni)
        The volume; its type decides the backend.
    matrix : array_like, (4, 4)
        Maps the *output* index (i, j, k, 1) to the *input* index: ``inverse(input affine) @ output affine``. Affine.
    shape : sequence of int
        Output shape (nk, nj, ni).
    order : {0, 1, 3}
        Nearest voxel, trilinear, or cubic B-spline through the voxels (mirrored at the outermost centres).
    fill : float
        Result outside the volume and where there is no measurement.
    padding : (float, float), optional
        Voxels with values in this closed interval are not measurements; NaN never is one.
    dtype : dtype or str, optional
        Type of the result, that of `data` unless given. Integers are rounded half to even and clipped.

    Returns
    -------
    array, `shape`
        On the device of `data`.

    Raises
    ------
    InputError
        An argument is out of its domain.
    GeometryError
        The matrix is not affine or not finite.

    Notes
    -----
    A sample up to half a voxel beyond the outermost voxel centres is inside and takes the border's value, as in ITK.
    Voxels that are not measurements are never blended in: the weights of the others are scaled up to one, and the
    result is `fill` where the nearest voxel is none. Next to such voxels the cubic spline gives way to that linear
    rule.

    A map that only shifts by whole voxels, flips or permutes axes moves values without arithmetic, so it is exact in
    every type. Any other map that keeps axes apart is interpolated one axis at a time.
    """
    xp = array_namespace(data)
    check_sample(data, order)
    out_shape = check_shape(shape)
    map_ = check_affine(matrix, out_shape)
    target = dtype_of(xp, dtype, data)
    interval = check_padding(padding)
    bad = invalid(xp, data, interval)
    if bad is not None and not bool(xp.any(bad)):
        bad = None
    axes = axes_of(map_)
    if axes is not None and axes.exact:
        return _moved(xp, data, bad, axes, out_shape, fill, target)
    data = signed(xp, data)
    if axes is not None and order == 1 and bad is None:
        return _separable(xp, data, axes, out_shape, fill, target)
    if axes is not None:  # one order of blending for all that keeps axes apart, so paths agree to the bit
        data = xp.permute_dims(data, axes.source)
        bad = None if bad is None else xp.permute_dims(bad, axes.source)
        map_ = axes.matrix
    return _general(xp, data, bad, map_, out_shape, order, fill, target)


def _scalar(xp: Any, data: Any, value: float, dtype: Any) -> Any:
    """One value of type `dtype` on the device of `data`."""
    return as_dtype(xp, xp.full((1,), float(value), dtype=real_dtype(xp, data), device=device(data)), dtype)


def _moved(xp: Any, data: Any, bad: Any | None, axes: Axes, shape: tuple[int, ...], fill: float, dtype: Any) -> Any:
    """Shift, flip and permute: values are moved, never computed with."""
    work = signed_dtype(xp, dtype)
    empty = xp.astype(_scalar(xp, data, fill, dtype), work)
    result = xp.empty(shape, dtype=work, device=device(data))
    result[...] = xp.broadcast_to(empty, shape)
    window: list[slice] = []
    same = data.dtype == dtype
    view = xp.permute_dims(signed(xp, data), axes.source)
    missing = None if bad is None else xp.permute_dims(bad, axes.source)
    for axis in range(3):
        scale, offset = int(axes.scale[axis]), int(axes.offset[axis])
        n = view.shape[axis]
        # output index o reads scale * o + offset, which must lie in 0 .. n - 1
        first, last = (-offset, n - 1 - offset) if scale > 0 else (offset - (n - 1), offset)
        first, last = max(first, 0), min(last, shape[axis] - 1)
        if first > last:
            return xp.astype(result, dtype, copy=False)
        a, b = sorted((scale * first + offset, scale * last + offset))
        cut = tuple(slice(a, b + 1) if other == axis else slice(None) for other in range(3))
        view = view[cut]
        missing = None if missing is None else missing[cut]
        if scale < 0:
            view = xp.flip(view, axis=axis)
            missing = None if missing is None else xp.flip(missing, axis=axis)
        window.append(slice(first, last + 1))
    if not same:
        view = xp.astype(as_dtype(xp, xp.astype(view, real_dtype(xp, data)), dtype), work, copy=False)
    if missing is not None:
        view = xp.where(missing, xp.broadcast_to(empty, view.shape), view)
    result[tuple(window)] = view
    return xp.astype(result, dtype, copy=False)


def _blend(xp: Any, data: Any, axis: int, scale: float, offset: float, start: int, stop: int) -> tuple[Any, Any]:
    """Linear interpolation along one axis; also which positions of the result are inside."""
    n, size = data.shape[axis], stop - start
    at = xp.arange(start, stop, dtype=real_dtype(xp, data), device=device(data)) * scale + offset
    ok = (at >= -0.5 - EDGE) & (at <= n - 0.5 + EDGE)
    at = xp.clip(at, 0.0, float(n - 1))
    low = xp.clip(xp.floor(at), 0.0, float(max(n - 2, 0)))
    first = xp.astype(low, xp.int64)
    second = first + 1 if n > 1 else first
    along = [1, 1, 1]
    along[axis] = size
    weight = xp.reshape(at - low, tuple(along))
    a, b = xp.take(data, first, axis=axis), xp.take(data, second, axis=axis)
    a, b = (xp.astype(v, real_dtype(xp, data), copy=False) for v in (a, b))
    return a + weight * (b - a), xp.reshape(ok, tuple(along))


def _separable(xp: Any, data: Any, axes: Axes, shape: tuple[int, ...], fill: float, dtype: Any) -> Any:
    """Trilinear, one axis at a time, in the order of the general rule: slices, rows, columns of the output."""
    view = xp.permute_dims(data, axes.source)
    result = xp.empty(shape, dtype=dtype, device=device(data))
    empty = _scalar(xp, data, fill, dtype)
    chunk = max(1, CHUNK // (view.shape[1] * view.shape[2]))
    for start in range(0, shape[0], chunk):
        stop = min(start + chunk, shape[0])
        value, inside = _blend(xp, view, 0, axes.scale[0], axes.offset[0], start, stop)
        for axis in (1, 2):
            value, ok = _blend(xp, value, axis, axes.scale[axis], axes.offset[axis], 0, shape[axis])
            inside = inside & ok
        result[start:stop, ...] = xp.where(inside, as_dtype(xp, value, dtype), empty)
    return result


def _general(
    xp: Any, data: Any, bad: Any | None, matrix: Matrix, shape: tuple[int, ...], order: int, fill: float, dtype: Any
) -> Any:
    """Any affine map, sample by sample."""
    nk, nj, ni = shape
    real, where = real_dtype(xp, data), device(data)
    spline = coefficients(xp, data, bad) if order == 3 else None
    flat = xp.reshape(data, (-1,))
    missing = None if bad is None else xp.reshape(bad, (-1,))
    result = xp.empty((nk, nj, ni), dtype=dtype, device=where)
    empty = _scalar(xp, data, fill, dtype)
    i = xp.reshape(xp.arange(ni, dtype=real, device=where), (1, 1, ni))
    rows_at_once = max(1, CHUNK // ni)
    for k in range(nk):
        for start in range(0, nj, rows_at_once):
            stop = min(start + rows_at_once, nj)
            j = xp.reshape(xp.arange(start, stop, dtype=real, device=where), (1, stop - start, 1))
            # m0 i + ((m1 j + m2 k) + m3): the compiled kernels add in this order, so coordinates are equal to the bit
            x, y, z = (xp.reshape(m0 * i + ((m1 * j + m2 * float(k)) + m3), (-1,)) for m0, m1, m2, m3 in rows(matrix))
            value, ok = interpolate(xp, flat, missing, data.shape, x, y, z, order=order, spline=spline)
            value = xp.where(ok, as_dtype(xp, value, dtype), empty)
            result[k : k + 1, start:stop, :] = xp.reshape(value, (1, stop - start, ni))
    return result
