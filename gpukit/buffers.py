"""Memory for large arrays, used again where a program reads or resamples one series after the other.

A system hands out fresh memory page by page, each zeroed before it is filled: for a large series that costs as much as
reading it, and on a virtual machine many times that. So the memory of the last large arrays that nobody holds any more
is kept and given to the next ones. It is lent back to the system meanwhile (``MADV_FREE``), which takes it without a
word when it needs memory: nothing is held that somebody else could use. Where there is no such memory, new memory is
made ready by a thread of its own while the headers are read (`prepared`).
"""

from __future__ import annotations

import ctypes
import mmap
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["empty", "forget", "prepared"]

#: Smaller arrays come from the C library, which keeps small blocks itself.
SMALLEST = 16 << 20

#: At most three blocks (of a series, what was made of it, and what was needed on the way), the oldest first. A deque,
#: because it is changed by finalizers, which may run at any point of any thread: appending and popping need no lock.
_spare: deque[mmap.mmap] = deque(maxlen=3)


class _Block:
    """Owner of the memory of one array and of all views on it; when the last of these goes, the memory is spare."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._bytes = np.frombuffer(memory, np.uint8)
        self.__array_interface__ = self._bytes.__array_interface__
        weakref.finalize(self, _give_back, memory).atexit = False


def _give_back(memory: mmap.mmap) -> None:
    with suppress(OSError, ValueError):
        memory.madvise(mmap.MADV_FREE)
        _spare.append(memory)  # the oldest goes where there is no room


class _Ahead:
    """New memory whose pages a thread asks the system for."""

    _POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, Linux 5.14; elsewhere refused, and pages come when they're touched

    def __init__(self, memory: mmap.mmap) -> None:
        self.memory: mmap.mmap | None = memory
        threading.Thread(target=self._populate, args=(memory,), name="gpukit-memory", daemon=True).start()

    def _populate(self, memory: mmap.mmap) -> None:
        """One call for all of it: between two, this thread would wait for Python's lock."""
        view = memoryview(memory)  # holds the memory until the thread has ended
        with suppress(OSError, AttributeError, TypeError):
            start = ctypes.addressof(ctypes.c_char.from_buffer(view))
            advise = ctypes.CDLL(None).madvise  # unlike that of mmap, it lets go of Python's lock
            advise(ctypes.c_void_p(start), ctypes.c_size_t(len(view)), self._POPULATE_WRITE)

    def take(self) -> mmap.mmap | None:
        """The memory, once. It may be written to at once; the thread then still works on what lies behind."""
        memory, self.memory = self.memory, None
        return memory


_ahead: ContextVar[list[_Ahead] | None] = ContextVar("gpukit_memory_ahead", default=None)


@contextmanager
def prepared() -> Iterator[Callable[[int], None]]:
    """Within the context, make memory ready for an array that will be asked for.

    Yields
    ------
    callable
        To be called with the bytes of the array as soon as these can be guessed. Does nothing where that does not help.
        A wrong guess costs the time of another processor, and its memory goes back at the end of the context.
    """
    coming: list[_Ahead] = []
    token = _ahead.set(coming)

    def prepare(nbytes: int) -> None:
        if coming or nbytes < SMALLEST or not hasattr(mmap, "MADV_FREE"):
            return
        found = _spared(nbytes)
        if found is not None:
            _spare.append(found)
            return
        memory = _new(nbytes)
        if memory is not None:
            coming.append(_Ahead(memory))

    try:
        yield prepare
    finally:
        _ahead.reset(token)
        for one in coming:
            one.take()


def _fits(memory: mmap.mmap, nbytes: int) -> bool:
    return nbytes <= len(memory) <= 2 * nbytes


def _take(nbytes: int) -> mmap.mmap | None:
    for one in _ahead.get() or ():
        if one.memory is not None and _fits(one.memory, nbytes):
            return one.take()
    return _spared(nbytes) or _new(nbytes)


def _spared(nbytes: int) -> mmap.mmap | None:
    """A spare block of about this size, which is then no longer spare."""
    with suppress(IndexError):
        for _ in range(len(_spare)):
            memory = _spare.popleft()
            if _fits(memory, nbytes):
                return memory
            _spare.append(memory)
    return None


def _new(nbytes: int) -> mmap.mmap | None:
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
