"""Random access to the bytes of one file while its frames are read: on disk, in a zip, or deflated."""

from __future__ import annotations

import os
import zlib
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels.image_pixel import check_memory
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, InputNotFoundError

__all__ = ["Content"]


class Content:
    """Bytes of the data set that `header.pixels` points into. A context manager; safe to share between threads.

    Parameters
    ----------
    header : Header
        Of the file. A plain file is opened and read piece by piece; a member of a zip, or a deflated data set, is
        expanded in memory, where it cannot exceed the bounds of deflate and of this machine.

    Attributes
    ----------
    size : int
        Bytes.
    """

    def __init__(self, header: Header) -> None:
        self._file = str(header.location)
        self._memory: memoryview | None = None
        self._descriptor = -1
        span = header.pixels
        if span is not None and span.deflated_from is not None:
            with header.location.open() as stream:
                stream.seek(span.deflated_from)
                limit = span.offset + (span.length if span.length is not None else 0)
                self._memory = memoryview(_inflate(stream.read(), limit, self._file))
        elif header.location.member is not None:
            with header.location.open() as stream:
                self._memory = memoryview(stream.read())
        else:
            try:
                self._descriptor = os.open(header.location.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            except OSError as error:
                raise InputNotFoundError(f"cannot be read: {error.strerror}", file=self._file) from error
        self.size = len(self._memory) if self._memory is not None else os.fstat(self._descriptor).st_size

    def __enter__(self) -> Content:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._memory = None

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end."""
        length = max(0, min(length, self.size - offset))
        if self._memory is not None:
            return bytes(self._memory[offset : offset + length])
        buffer = bytearray(length)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_array(self, offset: int, array: NDArray[Any]) -> None:
        """Fill a C-contiguous array from `offset`."""
        self.read_into(offset, array.reshape(-1).view(np.uint8).data)

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target` from `offset`.

        Raises
        ------
        FormatError
            The file ends before, or cannot be read.
        """
        length = len(target)
        if self._memory is not None:
            piece = self._memory[offset : offset + length]
            if len(piece) == length:
                target[:] = piece
                return
        else:
            done = 0
            try:
                while done < length:  # one call hands over at most 2 GiB
                    got = _read_at(self._descriptor, target[done:], offset + done)
                    if got <= 0:
                        break
                    done += got
            except OSError as error:
                raise FormatError(f"cannot be read: {error.strerror}", file=self._file) from error
            if done == length:
                return
        raise FormatError(
            "the file ends within its pixels", file=self._file, attribute="PixelData", fix="copy it again"
        )


if hasattr(os, "preadv"):

    def _read_at(descriptor: int, target: memoryview, offset: int) -> int:
        return os.preadv(descriptor, [target], offset)

else:  # Windows
    from threading import Lock

    _lock = Lock()

    def _read_at(descriptor: int, target: memoryview, offset: int) -> int:
        with _lock:
            os.lseek(descriptor, offset, os.SEEK_SET)
            piece = os.read(descriptor, len(target))
        target[: len(piece)] = piece
        return len(piece)


def _inflate(data: bytes, limit: int, file: str) -> bytes:
    """The first `limit` bytes of a raw deflate stream."""
    limit = min(limit, 1040 * len(data) + 64)  # deflate cannot expand further
    check_memory(limit, file=file, what="the inflated pixels")
    try:
        return zlib.decompressobj(-15).decompress(data, limit)
    except zlib.error as error:
        raise FormatError(f"the deflated data set is damaged: {error}", file=file, fix="copy the file again") from error
