"""Histogram by compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dispatch import kernel
from gpukit.ops._arrays import Padding, check_padding
from gpukit.ops._selection import check_like
from gpukit.ops.histogram import check_edges, evenness, real_bounds, whole_bounds
from gpukit_backends.cpu._groups import flat, inside, unsuitable
from gpukit_backends.cpu._value_counts import spread, tally
from gpukit_backends.cpu.library import library, pointer, type_number
from gpukit_backends.cpu.threads import over_rows


def _declines(data: Any, **_: Any) -> str | None:
    return unsuitable(data)


@kernel(declines=_declines)
def histogram(
    data: Any,
    edges: Sequence[float],
    mask: Any | None = None,
    *,
    padding: Sequence[float] | None = None,
) -> NDArray[np.int64]:
    """Return counts of the values between successive edges; see `gpukit.ops.histogram.histogram`."""
    limits = check_edges(edges)
    if mask is not None:
        check_like(data, mask)
    interval = check_padding(padding)
    voxels, where = flat(data), inside(mask)
    if voxels.dtype.itemsize <= 2:
        return _by_value(voxels, where, whole_bounds(limits), interval)
    return _by_bin(voxels, where, limits, interval)


def _by_value(
    voxels: NDArray[Any], where: NDArray[np.uint8] | None, bounds: NDArray[np.int64], padding: Padding
) -> NDArray[np.int64]:
    first, counted = tally(voxels, where, padding)
    below = np.concatenate(([0], np.cumsum(counted)))
    return np.diff(below[np.clip(bounds - first, 0, counted.size)])


def _by_bin(
    voxels: NDArray[Any], where: NDArray[np.uint8] | None, limits: NDArray[np.float64], padding: Padding
) -> NDArray[np.int64]:
    handle = library().handle
    assert handle is not None
    floating = voxels.dtype.kind == "f"
    bounds = np.ascontiguousarray(
        real_bounds(limits, np.float64) if floating else whole_bounds(limits), dtype=np.float64
    )
    bins = bounds.size - 1
    tables, step = spread(voxels.size)
    counts = np.zeros((tables, bins), np.int64)
    low, high = padding or (0.0, 0.0)
    even, endless = evenness(bounds), int(floating and np.isposinf(limits[-1]))

    def work(begin: int, end: int) -> int:
        for t in range(begin, end):
            handle.gpukit_count_bins(
                pointer(voxels),
                type_number(voxels.dtype),
                None if where is None else pointer(where),
                int(padding is not None),
                ctypes.c_double(low),
                ctypes.c_double(high),
                pointer(bounds),
                ctypes.c_int64(bins),
                ctypes.c_double(even),
                endless,
                pointer(counts[t]),
                ctypes.c_int64(t * step),
                ctypes.c_int64(min((t + 1) * step, voxels.size)),
            )
        return 0

    over_rows(work, tables)
    total: NDArray[np.int64] = counts.sum(axis=0)
    return total
