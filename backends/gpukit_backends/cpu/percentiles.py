"""Percentiles by counting where values have 8 or 16 bits, else by partial sorting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._selection import check_like, real_values, selected
from gpukit.ops.statistics import check_percentages
from gpukit_backends.cpu._groups import flat, inside
from gpukit_backends.cpu._value_counts import percentile, small, tally
from gpukit_backends.cpu.library import library


@kernel()
def percentiles(
    data: Any,
    q: Sequence[float],
    mask: Any | None = None,
    *,
    padding: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """Return values below which percentages of the voxels lie; see `gpukit.ops.statistics.percentiles`."""
    percentages = check_percentages(q)
    if mask is not None:
        check_like(data, mask)
    interval = check_padding(padding)
    if not percentages:
        return ()
    if small(data) and library().handle is not None:
        return percentile(*tally(flat(data), inside(mask), interval), percentages)
    if data.dtype.kind in "bc" or data.dtype == np.float16:
        data = real_values(np, data)
    keep = selected(np, data, mask, interval)
    values = data.reshape(-1) if keep is None else data[keep]
    if values.size == 0:
        return tuple(math.nan for _ in percentages)
    places = [(values.size - 1) * p / 100.0 for p in percentages]
    lows = [min(int(at), values.size - 1) for at in places]
    highs = [min(low + 1, values.size - 1) for low in lows]
    ordered = np.partition(values, sorted({*lows, *highs}))  # a copy: the volume keeps its order
    result = []
    for at, low, high in zip(places, lows, highs, strict=True):
        a, b = float(ordered[low]), float(ordered[high])
        result.append(a if a == b else a + (at - low) * (b - a))
    return tuple(result)
