"""Memory for the pixels of a series, used again where a program reads one series after the other.

A system hands out fresh memory page by page, each zeroed before it is filled: for a large series that costs as much as
reading it. So the memory of the last large array that nobody holds any more is kept and given to the next one. It is
lent back to the system meanwhile (``MADV_FREE``), which takes it without a word when it needs memory: nothing is held
that somebody else could use.
"""

from __future__ import annotations

import mmap
import weakref
from collections import deque
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["empty", "forget"]

#: Smaller arrays come from the C library, which keeps small blocks itself.
SMALLEST = 16 << 20

#: At most one block. A deque, because it is changed by finalizers, which may run at any point of any thread: its
#: appending and popping need no lock.
_spare: deque[mmap.mmap] = deque(maxlen=1)


class _Block:
    """Owner of the memory of one array and of all views on it; when the last of these goes, the memory is spare."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._bytes = np.frombuffer(memory, np.uint8)
        self.__array_interface__ = self._bytes.__array_interface__
        weakref.finalize(self, _give_back, memory).atexit = False


def _give_back(memory: mmap.mmap) -> None:
    with suppress(OSError, ValueError):
        memory.madvise(mmap.MADV_FREE)
        _spare.append(memory)  # the one that was there before goes


def _take(nbytes: int) -> mmap.mmap | None:
    with suppress(IndexError):
        memory = _spare.pop()
        if nbytes <= len(memory) <= 2 * nbytes:
            return memory
    with suppress(OSError, ValueError):
        memory = mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError, AttributeError):
            memory.madvise(mmap.MADV_HUGEPAGE)
        return memory
    return None


def forget() -> None:
    """Give spare memory back to the system for good."""
    _spare.clear()


def empty(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An uninitialised C-contiguous array, as `numpy.empty`.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        Of its elements.
    """
    kind = np.dtype(dtype)
    nbytes = prod(int(size) for size in shape) * kind.itemsize
    memory = _take(nbytes) if nbytes >= SMALLEST and hasattr(mmap, "MADV_FREE") else None
    if memory is None:
        return np.empty(shape, kind)
    array: NDArray[Any] = np.asarray(_Block(memory))[:nbytes].view(kind).reshape(shape)
    return array
