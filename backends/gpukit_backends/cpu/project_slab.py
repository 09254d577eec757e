"""Projections in any direction by compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._mapping import check_affine, check_shape, rows
from gpukit.ops.project import check_method
from gpukit_backends.cpu._spline import reach_of_grid, spline, why_not_order
from gpukit_backends.cpu.library import doubles, library, longs, pointer, type_number, volume, why_not
from gpukit_backends.cpu.pyramid import pyramid
from gpukit_backends.cpu.threads import over_rows

WAYS = {"max": 0, "min": 1, "mean": 2}
#: Fewer samples per voxel than this do not repay building a pyramid.
WORTHWHILE = 0.05


def _declines(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    method: str,
    order: int,
    fill: float,
    padding: Sequence[float] | None,
) -> str | None:
    return why_not(data) or why_not_order(order)


@kernel(declines=_declines)
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
    """Maximum, minimum or mean along the depth of another grid; see `gpukit.ops.project.project_slab`."""
    check_method(method)
    size = check_shape(shape)
    map_ = check_affine(matrix, size)
    interval = check_padding(padding)
    handle = library().handle
    assert handle is not None
    out = np.empty(size[1:], np.float64 if method == "mean" else data.dtype)
    target = type_number(out.dtype)
    view = volume(data, interval)
    m = doubles(*(value for row in rows(map_) for value in row))
    out_size, way = longs(*reversed(size)), WAYS[method]
    if order == 3:
        curve = spline(data, interval, reach_of_grid(map_, size))

        def cubic(begin: int, end: int) -> int:
            failed: int = handle.gpukit_cubic_slab(
                ctypes.byref(view), ctypes.byref(curve.c), int(curve.checked), m, out_size, way, ctypes.c_double(fill),
                pointer(out), target, ctypes.c_int64(begin), ctypes.c_int64(end),
            )  # fmt: skip
            return failed

        over_rows(cubic, size[1])
        return out
    useful = method != "mean" and size[0] > 1 and size[0] * size[1] * size[2] > WORTHWHILE * data.size
    bounds = pyramid(data, view, interval) if useful else None
    bricks = None if bounds is None else pointer(bounds)
    entry = handle.gpukit_slab

    def work(begin: int, end: int) -> int:
        failed: int = entry(
            ctypes.byref(view), bricks, m, out_size, order, way, ctypes.c_double(fill), pointer(out), target,
            ctypes.c_int64(begin), ctypes.c_int64(end),
        )  # fmt: skip
        return failed

    over_rows(work, -(-size[1] // 4))
    return out
