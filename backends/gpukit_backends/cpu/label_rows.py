"""Rows that labels reach, by compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dispatch import kernel
from gpukit.ops.label_rows import check_labels
from gpukit_backends.cpu.library import lacks, library, longs, pointer
from gpukit_backends.cpu.threads import over_rows


def _declines(data: Any, labels: Sequence[int]) -> str | None:
    if data.dtype not in (np.uint8, np.uint16) or not data.dtype.isnative:
        return f"labels of type {data.dtype} are not compiled"
    return (
        lacks("gpukit_label_rows") if data.flags.c_contiguous and data.flags.aligned else "the array is not contiguous"
    )


@kernel(declines=_declines)
def label_rows(data: Any, labels: Sequence[int]) -> NDArray[np.int32]:
    """First row of each label in each plane, and the row after its last; see `gpukit.ops.label_rows.label_rows`."""
    values = check_labels(data, labels)
    handle = library().handle
    assert handle is not None
    place = table(values, data.itemsize)
    rows = np.zeros((data.shape[0], len(values) + 1, 2), np.int32)
    size = longs(*reversed(data.shape))
    over_rows(lambda begin, end: int(handle.gpukit_label_rows(
        pointer(data), data.itemsize, size, pointer(place), ctypes.c_int64(len(values) + 1), pointer(rows),
        ctypes.c_int64(begin), ctypes.c_int64(end),
    )), data.shape[0])  # fmt: skip
    return rows


def table(values: Sequence[int], width: int) -> NDArray[np.int32]:
    """The place of each label among the labels, by its value of `width` bytes: the last of others, -1 of background."""
    place = np.full(256**width, len(values), np.int32)
    place[0] = -1
    for n, value in enumerate(values):
        if value < place.size:
            place[value] = n
    return place
