"""The wire format of protocol buffers: as much as it takes to find one's way through a message without reading it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["fields"]


def fields(stream: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Number and length of every field of bytes before `end`, the stream at its first byte; the caller skips it.

    Raises
    ------
    ValueError
        It is not such a message, or has a group, a field of a kind that the format has given up and that no program
        writes any more.
    """
    while stream.tell() < end:
        key = _varint(stream)
        if not 8 <= key < 1 << 32:  # readers differ in what they make of longer numbers
            raise ValueError("a field without a number")
        kind = key & 7
        if kind == 0:
            _varint(stream)
        elif kind in (1, 5):
            stream.seek(8 if kind == 1 else 4, 1)
            if stream.tell() > end:
                raise ValueError("a field reaches beyond the end")
        elif kind == 2:
            size = _varint(stream)
            if size > end - stream.tell():
                raise ValueError("a field reaches beyond the end")
            yield key >> 3, size
        else:
            raise ValueError(f"a field of the unknown kind {kind}")


def _varint(stream: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            raise ValueError("ends within a number")
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ValueError("a number without end")
