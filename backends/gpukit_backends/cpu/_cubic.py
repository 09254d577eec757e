"""Resampling by cubic B-splines: three ways, by what the map and the voxels allow."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.buffers import empty
from gpukit.ops._arrays import Padding, invalid
from gpukit.ops._mapping import Axes, Matrix, rows
from gpukit_backends.cpu._spline import box_of, pitches, reach_of_grid, spline
from gpukit_backends.cpu.library import doubles, library, longs, pointer, type_number, volume
from gpukit_backends.cpu.threads import over_rows

__all__ = ["resample_cubic"]

#: Rows and columns of the output may be this many times those of the volume where slices of them are kept.
GROWTH = 2.0


class _Apart(ctypes.Structure):
    """``gk_apart``."""

    _fields_ = (
        ("full", ctypes.c_int64 * 3),
        ("first", ctypes.c_int64 * 3),
        ("at", ctypes.c_int64 * 3),
        ("count", ctypes.c_int64 * 3),
        ("scale", ctypes.c_double * 3),
        ("offset", ctypes.c_double * 3),
    )


def resample_cubic(
    data: NDArray[Any], interval: Padding, matrix: Matrix, axes: Axes | None, fill: float, out: NDArray[Any]
) -> None:
    """Fill `out` with the values of a volume at the voxels of its grid."""
    if axes is not None and not _lost(data, interval) and _apart(data, axes, fill, out):
        return
    handle = library().handle
    assert handle is not None
    size = longs(*reversed(out.shape))
    curve, view = spline(data, interval, reach_of_grid(matrix, out.shape)), volume(data, interval)
    m = doubles(*(value for row in rows(matrix) for value in row))
    count = longs(0, 0, 0)
    tail = ctypes.c_double(fill), pointer(out), type_number(out.dtype)
    if not curve.checked and handle.gpukit_cubic_block(m, size, count):

        def blocks(begin: int, end: int) -> int:
            failed: int = handle.gpukit_cubic_blocks(
                ctypes.byref(curve.c), m, size, count, *tail, ctypes.c_int64(begin), ctypes.c_int64(end)
            )
            return failed

        over_rows(blocks, -(-size[1] // count[1]) * -(-size[2] // count[2]), split=8)
        return

    def one_by_one(begin: int, end: int) -> int:
        failed: int = handle.gpukit_cubic_resample(
            ctypes.byref(view), ctypes.byref(curve.c), int(curve.checked), m, size, *tail, ctypes.c_int64(begin),
            ctypes.c_int64(end),
        )  # fmt: skip
        return failed

    over_rows(one_by_one, size[1] * size[2], least=4)


def _lost(data: NDArray[Any], interval: Padding) -> bool:
    """Return whether some voxels are not measurements."""
    bad = invalid(np, data, interval)
    return bad is not None and bool(bad.any())


def _apart(data: NDArray[Any], axes: Axes, fill: float, out: NDArray[Any]) -> bool:
    """One axis at a time; False where the slices on the way would take too much memory."""
    handle = library().handle
    assert handle is not None
    part, first = box_of(np.transpose(data, axes.source), reach_of_grid(axes.matrix, out.shape))
    full = [data.shape[a] for a in reversed(axes.source)]
    size = longs(*reversed(out.shape))
    none = (ctypes.c_int64 * 3)()
    scale, offset = doubles(*reversed(axes.scale)), doubles(*reversed(axes.offset))
    apart = _Apart(longs(*full), longs(*first), none, none, scale, offset)
    handle.gpukit_cubic_apart_inside(ctypes.byref(apart), size)
    nk, nj, ni = part.shape
    shape = (nk, int(apart.count[1]), int(apart.count[0]))
    if shape[1] * shape[2] > GROWTH * nj * ni:
        return False
    row, plane = pitches(shape)
    slices = empty((nk * plane,), np.float64)
    view = volume(part, None)

    def across(begin: int, end: int) -> int:
        failed: int = handle.gpukit_cubic_apart_slices(
            ctypes.byref(view),
            ctypes.byref(apart),
            pointer(slices),
            *(ctypes.c_int64(v) for v in (row, plane, begin, end)),
        )
        return failed

    def along(begin: int, end: int) -> int:
        failed: int = handle.gpukit_cubic_apart_depth(
            ctypes.byref(apart), pointer(slices), *(ctypes.c_int64(v) for v in (nk, row, plane)), size,
            ctypes.c_double(fill), pointer(out), type_number(out.dtype), ctypes.c_int64(begin), ctypes.c_int64(end),
        )  # fmt: skip
        return failed

    if shape[1] and shape[2]:
        over_rows(across, nk)
    over_rows(along, size[1])
    return True
