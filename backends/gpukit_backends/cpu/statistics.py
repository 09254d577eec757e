"""Statistics by compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._moments import Moments
from gpukit.ops._selection import check_like
from gpukit.ops.statistics import Statistics, check_labels
from gpukit_backends.cpu._groups import flat, grouped, inside, unsuitable
from gpukit_backends.cpu._value_counts import moments, small, tally
from gpukit_backends.cpu.library import library, pointer, type_number
from gpukit_backends.cpu.threads import over_rows

#: Voxels whose moments are one part. Fixed, so that the result does not depend on the number of threads.
PART = 1 << 18
#: Numbers per group: GK_MOMENTS in gk_moments.h.
MOMENTS = 9
#: Labels at a time; bounds the scratch memory of a thread.
LABELS = 1024


def _declines(data: Any, **_: Any) -> str | None:
    return unsuitable(data)


@kernel(declines=_declines)
def statistics(
    data: Any,
    mask: Any | None = None,
    *,
    labels: Sequence[int] | None = None,
    padding: Sequence[float] | None = None,
) -> Statistics | tuple[Statistics, ...]:
    """Return statistics of the voxels inside a mask or of each label; see `gpukit.ops.statistics.statistics`."""
    chosen = check_labels(mask, labels)
    interval = check_padding(padding)
    if mask is not None:
        check_like(data, mask)
    voxels = flat(data)
    if chosen is None or mask is None:
        if small(data):
            return Statistics.from_moments(moments(*tally(voxels, inside(mask), interval)))
        return Statistics.from_moments(_moments(voxels, inside(mask), 1, interval)[0])
    distinct = tuple(dict.fromkeys(chosen))
    by_label: dict[int, Moments] = {}
    for start in range(0, len(distinct), LABELS):
        some = distinct[start : start + LABELS]
        by_label.update(zip(some, _moments(voxels, grouped(mask, some), len(some), interval), strict=True))
    return tuple(Statistics.from_moments(by_label[label], label) for label in chosen)


def _moments(voxels: Any, group: Any | None, groups: int, padding: tuple[float, float] | None) -> list[Moments]:
    handle = library().handle
    assert handle is not None
    parts = -(-voxels.size // PART)
    out = np.empty((parts, groups, MOMENTS), np.float64)
    low, high = padding or (0.0, 0.0)

    def work(begin: int, end: int) -> int:
        failed: int = handle.gpukit_moments(
            pointer(voxels),
            type_number(voxels.dtype),
            ctypes.c_int64(voxels.size),
            None if group is None else pointer(group),
            int(group is not None and group.dtype.itemsize == 2),
            ctypes.c_int64(groups),
            int(padding is not None),
            ctypes.c_double(low),
            ctypes.c_double(high),
            ctypes.c_int64(PART),
            pointer(out),
            ctypes.c_int64(begin),
            ctypes.c_int64(end),
        )
        return failed

    over_rows(work, parts)
    handle.gpukit_moments_merge(pointer(out), ctypes.c_int64(parts), ctypes.c_int64(groups))
    return [Moments(int(row[0]), *row[1:]) for row in out[0].tolist()]
