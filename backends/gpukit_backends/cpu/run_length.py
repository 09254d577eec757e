"""Packing by runs, by compiled kernels: planes in parallel."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dispatch import kernel
from gpukit.ops.label_rows import check_labels
from gpukit.ops.run_length import check_planes
from gpukit_backends.cpu.label_rows import table
from gpukit_backends.cpu.library import lacks, library, longs, pointer
from gpukit_backends.cpu.threads import over_rows

#: Planes of one call: what they may take at worst is reserved, and that is more than the planes themselves.
_TOGETHER = 16


def _declines(data: Any, labels: Sequence[int] | None) -> str | None:
    if not data.dtype.isnative:
        return "the bytes are swapped"
    return (
        lacks("gpukit_run_length") if data.flags.c_contiguous and data.flags.aligned else "the array is not contiguous"
    )


@kernel(declines=_declines)
def run_length(
    data: Any, labels: Sequence[int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32] | None]:
    """Pack each plane, row by row; see `gpukit.ops.run_length.run_length`."""
    width = check_planes(data)
    handle = library().handle
    assert handle is not None
    planes, rows, columns = data.shape
    # Worst are single bytes between pairs: four bytes for three.
    room = rows * (columns + columns // 3 + 2) + 1
    size = longs(columns, rows, planes)
    lengths = np.zeros(planes * width, np.int64)
    values = [] if labels is None else check_labels(data, labels)
    place = None if labels is None else table(values, width)
    rows_of = np.zeros((planes, len(values) + 1, 2), np.int32)
    packed: dict[int, NDArray[np.uint8]] = {}

    def work(begin: int, end: int) -> int:
        row = np.empty(columns, np.uint8)
        for first in range(begin, end, _TOGETHER):
            last = min(first + _TOGETHER, end)
            out = np.empty(((last - first) * width, room), np.uint8)
            handle.gpukit_run_length(
                pointer(data), width, size, pointer(row), pointer(out), ctypes.c_int64(room), pointer(lengths),
                None if place is None else pointer(place), ctypes.c_int64(len(values) + 1), pointer(rows_of),
                ctypes.c_int64(first), ctypes.c_int64(last),
            )  # fmt: skip
            used = lengths[first * width : last * width].tolist()
            packed[first] = np.concatenate([one[:n] for one, n in zip(out, used, strict=True)])
        return 0

    over_rows(work, planes)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    return np.concatenate([packed[first] for first in sorted(packed)]), starts, None if labels is None else rows_of
