"""Histogram on NVIDIA devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._selection import check_like
from gpukit.ops.histogram import check_edges, evenness, real_bounds, whole_bounds
from gpukit_backends.cuda.compile import TYPES, launch


def _declines(data: Any, **_: Any) -> str | None:
    if data.dtype.name not in TYPES or not data.dtype.isnative:
        return f"voxel type {data.dtype} is not compiled"
    return "there are no voxels" if data.size == 0 else None


@kernel(declines=_declines)
def histogram(
    data: Any,
    edges: Sequence[float],
    mask: Any | None = None,
    *,
    padding: Sequence[float] | None = None,
) -> Any:
    """Return counts of the values between successive edges; see `gpukit.ops.histogram.histogram`."""
    cupy = import_module("cupy")
    limits = check_edges(edges)
    if mask is not None:
        check_like(data, mask)
    interval = check_padding(padding)
    low, high = interval or (0.0, 0.0)
    floating = data.dtype.kind == "f"
    bounds = (real_bounds(limits, np.float64) if floating else whole_bounds(limits)).astype(np.float64)
    with cupy.cuda.Device(int(data.device.id)):
        counts = cupy.zeros(bounds.size - 1, cupy.uint64)
        voxels = cupy.ascontiguousarray(data)
        arguments = (
            voxels,
            cupy.uintp(0) if mask is None else cupy.ascontiguousarray(mask.astype(bool)),
            cupy.int32(interval is not None),
            cupy.float64(low),
            cupy.float64(high),
            cupy.asarray(bounds),
            cupy.int64(counts.size),
            cupy.float64(evenness(bounds)),
            cupy.int32(floating and bool(np.isposinf(limits[-1]))),
            counts,
        )
        launch("histogram", "gpukit_bins", voxels, arguments, int(voxels.size))
        return counts.astype(cupy.int64)
