"""Resampling by compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.buffers import empty
from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding, dtype_of
from gpukit.ops._mapping import axes_of, check_affine, check_shape, rows
from gpukit_backends.cpu._cubic import resample_cubic
from gpukit_backends.cpu._spline import why_not_order
from gpukit_backends.cpu.library import doubles, library, longs, pointer, type_number, volume, why_not
from gpukit_backends.cpu.threads import over_rows

#: Samples by which work is shared out at least: fewer are computed before another thread has woken up.
LITTLE = 1 << 17


def _declines(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    order: int,
    fill: float,
    padding: Sequence[float] | None,
    dtype: Any,
) -> str | None:
    if (reason := why_not(data) or why_not_order(order)) is not None:
        return reason
    if dtype is not None and type_number(dtype) is None:
        return f"voxel type {dtype} is not compiled"
    axes = axes_of(check_affine(matrix, check_shape(shape)))
    if axes is not None and axes.exact:
        return "whole voxels are moved, nothing is computed"
    return None


@kernel(declines=_declines)
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
    """Return values of a volume at the voxels of another grid; see `gpukit.ops.resample.resample`."""
    size = check_shape(shape)
    map_ = check_affine(matrix, size)
    interval = check_padding(padding)
    handle = library().handle
    assert handle is not None
    out = empty(size, np.dtype(dtype_of(np, dtype, data)))
    target = type_number(out.dtype)
    out_size = longs(*reversed(size))
    axes = axes_of(map_)
    if order == 3:
        resample_cubic(data, interval, map_, axes, fill, out)
        return out
    if axes is not None and order == 1 and interval is None:
        view = volume(data, None, axes.source)
        scale, offset = doubles(*reversed(axes.scale)), doubles(*reversed(axes.offset))
        if out.dtype == data.dtype and size[1] >= 2 and handle.gpukit_resample_planes_take(ctypes.byref(view)):

            def bands(begin: int, end: int) -> int:
                failed: int = handle.gpukit_resample_planes(
                    ctypes.byref(view), scale, offset, out_size, ctypes.c_double(fill), pointer(out),
                    ctypes.c_int64(begin), ctypes.c_int64(end),
                )  # fmt: skip
                return failed

            over_rows(bands, size[1], least=16)
            return out
        entry = handle.gpukit_resample_axes

        def separable(begin: int, end: int) -> int:
            failed: int = entry(
                ctypes.byref(view),
                scale,
                offset,
                out_size,
                ctypes.c_double(fill),
                pointer(out),
                target,
                ctypes.c_int64(begin),
                ctypes.c_int64(end),
            )
            return failed

        over_rows(separable, size[0] * size[1], least=min(64, size[1]))
        return out
    view = volume(data, interval) if axes is None else volume(data, interval, axes.source)
    m = doubles(*(value for row in rows(map_ if axes is None else axes.matrix) for value in row))
    general_entry = handle.gpukit_resample

    def general(begin: int, end: int) -> int:
        failed: int = general_entry(
            ctypes.byref(view),
            m,
            out_size,
            order,
            ctypes.c_double(fill),
            pointer(out),
            target,
            ctypes.c_int64(begin),
            ctypes.c_int64(end),
        )
        return failed

    over_rows(general, size[0] * size[1], least=max(16, LITTLE // size[2]))
    return out
