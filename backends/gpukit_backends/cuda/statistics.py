"""Statistics on NVIDIA devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gpukit.dispatch import kernel
from gpukit.ops._arrays import Padding, check_padding
from gpukit.ops._moments import Moments
from gpukit.ops._selection import check_like
from gpukit.ops.statistics import Statistics, check_labels
from gpukit_backends.cuda.compile import TYPES, launch

#: Threads that each hold a row of moments, and those that merge the rows.
ROWS, FEWER = 1 << 16, 1 << 8
#: Numbers per row: GK_MOMENTS in gk_moments.h.
MOMENTS = 9


def _declines(data: Any, **_: Any) -> str | None:
    if data.dtype.name not in TYPES or not data.dtype.isnative:
        return f"voxel type {data.dtype} is not compiled"
    return "there are no voxels" if data.size == 0 else None


@kernel(declines=_declines)
def statistics(
    data: Any,
    mask: Any | None = None,
    *,
    labels: Sequence[int] | None = None,
    padding: Sequence[float] | None = None,
) -> Statistics | tuple[Statistics, ...]:
    """Return statistics of the voxels inside a mask or of each label; see `gpukit.ops.statistics.statistics`."""
    cupy = import_module("cupy")
    chosen = check_labels(mask, labels)
    interval = check_padding(padding)
    if mask is not None:
        check_like(data, mask)
    with cupy.cuda.Device(int(data.device.id)):
        voxels = cupy.ascontiguousarray(data)
        if chosen is None or mask is None:
            inside = None if mask is None else cupy.ascontiguousarray(mask.astype(bool))
            return Statistics.from_moments(_moments(voxels, inside, interval))
        return tuple(
            Statistics.from_moments(_moments(voxels, cupy.ascontiguousarray(mask == label), interval), label)
            for label in chosen
        )


def _moments(voxels: Any, inside: Any | None, padding: Padding) -> Moments:
    cupy = import_module("cupy")
    low, high = padding or (0.0, 0.0)
    rows = cupy.empty((ROWS, MOMENTS), cupy.float64)
    arguments = (
        voxels,
        cupy.uintp(0) if inside is None else inside,
        cupy.int64(voxels.size),
        cupy.int32(padding is not None),
        cupy.float64(low),
        cupy.float64(high),
        rows,
    )
    launch("statistics", "gpukit_moments", voxels, arguments, ROWS)
    launch("statistics", "gpukit_fold", voxels, (rows, cupy.int64(ROWS)), FEWER)
    launch("statistics", "gpukit_fold", voxels, (rows, cupy.int64(FEWER)), 1)
    row = rows[0].tolist()
    return Moments(int(row[0]), *row[1:])
