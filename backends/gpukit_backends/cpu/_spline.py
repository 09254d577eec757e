"""Coefficients of cubic B-splines by compiled kernels, only where they are needed."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.buffers import empty
from gpukit.ops._arrays import Padding, invalid
from gpukit.ops._mapping import Matrix
from gpukit.ops._spline import extended
from gpukit_backends.cpu.library import lacks, library, pointer, volume
from gpukit_backends.cpu.threads import over_rows

__all__ = ["CSpline", "box_of", "pitches", "reach_of_grid", "reach_of_points", "spline", "why_not_order"]

#: Voxels beyond which a value no longer shows in a coefficient: the filter's pole to this power is 1e-23.
MARGIN = 40

_Longs = ctypes.c_int64 * 3
#: Lowest and highest position along i, j, k.
Reach = tuple[NDArray[np.float64], NDArray[np.float64]]


class CSpline(ctypes.Structure):
    """``gk_spline``. Keep the array alive while it is used."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("first", _Longs),
        ("size", _Longs),
        ("full", _Longs),
        ("row", ctypes.c_int64),
        ("plane", ctypes.c_int64),
    )


@dataclass(frozen=True)
class Spline:
    """Coefficients of a box of a volume, and whether some of its voxels are not measurements."""

    coefficients: NDArray[np.float64]
    c: CSpline
    checked: bool


def why_not_order(order: int) -> str | None:
    """Why the kernels do not interpolate in this order, None where they do."""
    if order not in (0, 1, 3):
        return f"order {order} is not compiled"
    return lacks("gpukit_cubic_apart_slices") if order == 3 else None


def reach_of_grid(matrix: Matrix, shape: tuple[int, ...]) -> Reach:
    """Return positions that the voxels of a grid take."""
    ends = np.array([matrix[:3, axis] * (n - 1) for axis, n in enumerate(reversed(shape))])
    return matrix[:3, 3] + np.minimum(ends, 0).sum(axis=0), matrix[:3, 3] + np.maximum(ends, 0).sum(axis=0)


def reach_of_points(points: NDArray[np.float64]) -> Reach:
    """Return positions that points take; those that are not finite count for nothing."""
    finite = points[np.isfinite(points).all(axis=1)]
    return (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (np.zeros(3), np.zeros(3))


def spline(data: NDArray[Any], padding: Padding, reach: Reach) -> Spline:
    """Coefficients for the part of a volume that lies within reach."""
    bad = invalid(np, data, padding)
    if bad is not None and not bad.any():
        bad = None
    if bad is not None:  # what such voxels continue may depend on the mean of all others, so nothing is cut off
        part, first = extended(np, data, bad), [0, 0, 0]
    else:
        part, first = box_of(data, reach)
    row, plane = pitches(part.shape)
    coefficients = _filtered(part, row, plane)
    sizes = _Longs(*reversed(part.shape)), _Longs(*reversed(data.shape))
    return Spline(coefficients, CSpline(coefficients.ctypes.data, _Longs(*first), *sizes, row, plane), bad is not None)


def box_of(data: NDArray[Any], reach: Reach) -> tuple[NDArray[Any], list[int]]:
    """Return the part of a volume whose voxels show in values within reach, and where it begins along i, j, k."""
    first, last = [], []
    for n, low, high in zip(reversed(data.shape), *reach, strict=True):
        first.append(min(max(math.floor(low) - MARGIN, 0), n - 1))
        last.append(max(min(math.ceil(high) + MARGIN + 1, n), first[-1] + 1))
    return data[tuple(slice(a, b) for a, b in zip(reversed(first), reversed(last), strict=True))], first


def pitches(shape: tuple[int, ...]) -> tuple[int, int]:
    """Coefficients from row to row and from plane to plane.

    Neighbouring rows and planes must not fall on the same places of a cache, as they do where rows have 512
    coefficients. So rows are an odd number of cache lines (of eight) apart, planes a third of a way round 64 places.
    """
    row = -(-shape[2] // 8) | 1
    plane = shape[1] * row
    return row * 8, (plane + (21 - plane) % 64) * 8


def _filtered(part: NDArray[Any], row: int, plane: int) -> NDArray[np.float64]:
    """Coefficients of a box in one stretch of memory with these pitches."""
    handle = library().handle
    assert handle is not None
    nk, nj, ni = part.shape
    out = empty((nk * plane,), np.float64)
    view = volume(part, None)

    def slices(begin: int, end: int) -> int:
        failed: int = handle.gpukit_spline_slices(
            ctypes.byref(view), pointer(out), *(ctypes.c_int64(v) for v in (row, plane, begin, end))
        )
        return failed

    def depth(begin: int, end: int) -> int:
        failed: int = handle.gpukit_spline_depth(
            pointer(out), *(ctypes.c_int64(v) for v in (ni, nk, row, plane, begin, end))
        )
        return failed

    over_rows(slices, nk)
    if nk > 1:
        over_rows(depth, nj)
    return out
