"""Sixel data by a compiled kernel: bands in parallel."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dispatch import kernel
from gpukit.ops.sixel_bands import check_picture
from gpukit_backends.cpu.library import lacks, library, pointer
from gpukit_backends.cpu.threads import over_rows

#: Bands of one call: what they may take at worst is reserved.
_TOGETHER = 16


def _declines(data: Any) -> str | None:
    if not (data.flags.c_contiguous and data.flags.aligned):
        return "the array is not contiguous"
    return lacks("gpukit_sixel_bands")


@kernel(declines=_declines)
def sixel_bands(data: Any) -> NDArray[np.uint8]:
    """Encode a picture of numbered colours; see `gpukit.ops.sixel_bands.sixel_bands`."""
    check_picture(data)
    handle = library().handle
    assert handle is not None
    rows, columns = data.shape
    handle.gpukit_sixel_bands.restype = handle.gpukit_sixel_room.restype = ctypes.c_int64
    room = int(handle.gpukit_sixel_room(ctypes.c_int64(columns)))
    bands = -(-rows // 6)
    pieces: dict[int, NDArray[np.uint8]] = {}

    def work(begin: int, end: int) -> int:
        masks = np.zeros(256 * columns, np.uint8)
        out = np.empty(min(_TOGETHER, end - begin) * room, np.uint8)
        for first in range(begin, end, _TOGETHER):
            last = min(first + _TOGETHER, end)
            length = handle.gpukit_sixel_bands(
                pointer(data), ctypes.c_int64(columns), ctypes.c_int64(rows), ctypes.c_int64(6 * first),
                ctypes.c_int64(min(6 * last, rows)), pointer(masks), pointer(out),
            )  # fmt: skip
            pieces[first] = out[:length].copy()
        return 0

    over_rows(work, bands)
    return np.concatenate([pieces[first] for first in sorted(pieces)])
