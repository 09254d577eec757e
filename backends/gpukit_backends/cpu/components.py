"""Connected components by compiled kernels: ranges of slices side by side, then their seams."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.ops.components import check_connectivity
from gpukit_backends.cpu._groups import inside
from gpukit_backends.cpu.library import library, longs, pointer
from gpukit_backends.cpu.threads import over_rows


def _declines(mask: Any, **_: Any) -> str | None:
    if not 0 < mask.size < 2**31:
        return "there are no voxels, or more than a 32-bit number counts"
    return None


@kernel(declines=_declines)
def components(mask: Any, *, connectivity: int = 1) -> tuple[Any, int]:
    """Number the connected parts of a mask; see `gpukit.ops.components.components`."""
    reach = check_connectivity(mask, connectivity)
    handle = library().handle
    assert handle is not None
    voxels = inside(mask)
    assert voxels is not None
    labels = np.empty(mask.shape, np.int32)
    shape = (1,) * (3 - mask.ndim) + mask.shape
    size = longs(*reversed(shape))
    starts: list[int] = []

    def work(begin: int, end: int) -> int:
        starts.append(begin)
        failed: int = handle.gpukit_components_join(
            pointer(voxels), pointer(labels), size, reach, ctypes.c_int64(begin), ctypes.c_int64(end)
        )
        return failed

    over_rows(work, shape[0], least=4)
    for start in starts:
        if start:
            handle.gpukit_components_seam(pointer(voxels), pointer(labels), size, reach, ctypes.c_int64(start))
    handle.gpukit_components_number.restype = ctypes.c_int64
    return labels, int(handle.gpukit_components_number(pointer(labels), ctypes.c_int64(labels.size)))
