"""How often each value of a small integer type occurs, in one pass: all first-order numbers follow from it, exactly."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.ops._arrays import Padding, whole_padding
from gpukit.ops._moments import Moments
from gpukit_backends.cpu.library import library, pointer, type_number
from gpukit_backends.cpu.threads import over_rows, thread_count

__all__ = ["LEAST", "moments", "percentile", "small", "spread", "tally"]

#: Voxels below which another thread does not pay.
LEAST = 1 << 16


def small(data: Any) -> bool:
    """Return whether a value has 8 or 16 bits and there are enough voxels to repay a table of all values."""
    return bool(data.dtype.kind in "iub" and data.dtype.itemsize <= 2 and data.size >= LEAST)


def spread(size: int) -> tuple[int, int]:
    """Return how many tables are filled side by side, and by how many voxels each."""
    tables = max(1, min(thread_count(), size // LEAST))
    return tables, -(-size // tables)


def tally(voxels: NDArray[Any], where: NDArray[np.uint8] | None, padding: Padding) -> tuple[int, NDArray[np.int64]]:
    """Return the lowest value of the type, and how often each value from there on occurs among the measurements.

    `voxels` are flat and of a compiled type of one or two bytes; `where` is zero outside.
    """
    handle = library().handle
    assert handle is not None
    info = np.iinfo(voxels.dtype)
    first, last = int(info.min), int(info.max)
    tables, step = spread(voxels.size)
    table = np.zeros((tables, last - first + 1), np.int64)

    def work(begin: int, end: int) -> int:
        failed = 0
        for t in range(begin, end):
            failed += handle.gpukit_count_values(
                pointer(voxels),
                type_number(voxels.dtype),
                None if where is None else pointer(where),
                pointer(table[t]),
                ctypes.c_int64(t * step),
                ctypes.c_int64(min((t + 1) * step, voxels.size)),
            )
        return failed

    over_rows(work, tables)
    counts = table.sum(axis=0)
    if padding is not None:
        whole = whole_padding(padding, first, last)
        if whole is not None:
            counts[whole[0] - first : whole[1] - first + 1] = 0
    return first, counts


def moments(first: int, counts: NDArray[np.int64]) -> Moments:
    """Return moments of the values: sums in whole numbers, powers of differences from the mean in float64."""
    there = np.flatnonzero(counts)
    if there.size == 0:
        return Moments()
    many, values = counts[there], there + first
    n = int(many.sum())
    wide = n >= 2**31  # squares of 16 bits times that many no longer fit into 63
    exact = (many.astype(object), values.astype(object)) if wide else (many, values)
    total, energy = int((exact[0] * exact[1]).sum()), int((exact[0] * exact[1] * exact[1]).sum())
    mean = total / n
    off = values - mean
    square = off * off
    return Moments(
        n=n,
        mean=mean,
        m2=(n * energy - total * total) / n,  # whole numbers without bounds: nothing is lost
        m3=float((many * square * off).sum()),
        m4=float((many * square * square).sum()),
        total=float(total),
        energy=float(energy),
        low=float(values[0]),
        high=float(values[-1]),
    )


def percentile(first: int, counts: NDArray[np.int64], q: tuple[float, ...]) -> tuple[float, ...]:
    """Return percentiles as `gpukit.ops.statistics.percentiles` defines them; NaN of nothing."""
    there = np.flatnonzero(counts)
    if there.size == 0:
        return tuple(math.nan for _ in q)
    upto = np.cumsum(counts[there])
    n = int(upto[-1])
    places = [(n - 1) * p / 100.0 for p in q]
    lows = [min(int(at), n - 1) for at in places]
    ranks = np.array([[low, min(low + 1, n - 1)] for low in lows], np.int64).reshape(-1, 2)
    neighbours = there[np.searchsorted(upto, ranks, side="right")] + first
    return tuple(
        float(a) if a == b else a + (at - low) * (b - a)
        for (a, b), at, low in zip(neighbours.tolist(), places, lows, strict=True)
    )
