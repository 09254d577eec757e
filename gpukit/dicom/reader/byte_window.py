"""A moving view of a file, so that a header is read without its pixels."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Window"]

_WINDOW = 12 * 1024  # most headers end before this
_MAX_WINDOW = 1 << 20


class Window:
    """A moving view of a file: ``data[p - base]`` is byte p. Grows forward only where asked."""

    __slots__ = ("base", "data", "read", "size")

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self.read = read
        self.size = size
        self.base = 0
        self.data = read(_WINDOW, 0)

    def at(self, position: int, length: int) -> int:
        """Index in `data` of byte `position`, with `length` bytes there; -1 where the file ends before."""
        index = position - self.base
        if index >= 0 and index + length <= len(self.data):
            return index
        if position + length > self.size:
            return -1
        self.data = self.read(max(length, min(_MAX_WINDOW, 2 * len(self.data) + _WINDOW)), position)
        self.base = position
        return 0 if len(self.data) >= length else -1
