"""The brick pyramid of a volume: built by a kernel, kept beside the array where that is safe."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit_backends.cpu.library import Volume, library, pointer
from gpukit_backends.cpu.threads import over_rows

__all__ = ["BRICK", "frozen", "pyramid"]

#: Cells along each edge of a brick: GK_BRICK in gk_pyramid.h.
BRICK = 8

_kept: dict[tuple[int, Any], NDArray[np.float32]] = {}


def frozen(data: NDArray[Any]) -> bool:
    """Whether nobody can write to the array's memory through NumPy: only then may anything be remembered about it."""
    array: Any = data
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return True


def pyramid(data: NDArray[Any], view: Volume, padding: tuple[float, float] | None) -> NDArray[np.float32]:
    """Return the lowest and highest measurement of each brick, ``(nbk, nbj, nbi, 2)``.

    Kept until the array goes, if the array is read-only (``array.flags.writeable = False``); a writable one could have
    changed since, so its pyramid is built for each call.
    """
    key = (id(data), padding)
    keep = frozen(data)
    if keep and key in _kept:
        return _kept[key]
    bricks = tuple(-(-n // BRICK) for n in data.shape)
    bounds = np.empty((*bricks, 2), np.float32)
    handle = library().handle
    assert handle is not None
    entry = handle.gpukit_pyramid

    def build(begin: int, end: int) -> int:
        failed: int = entry(ctypes.byref(view), pointer(bounds), ctypes.c_int64(begin), ctypes.c_int64(end))
        return failed

    over_rows(build, bricks[0] * bricks[1])
    if keep:
        _kept[key] = bounds
        weakref.finalize(data, _kept.pop, key, None)
    return bounds
