"""A deflated data set, read forward in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO

from gpukit.errors import FormatError, TooLargeError

__all__ = ["Inflater"]

MAX_READ = 2 << 20


class Inflater:
    """Forward reading of a raw deflate stream with bounded memory.

    Parameters
    ----------
    source : callable
        ``source(n, offset)`` gives compressed bytes.
    name : str
        For messages.
    """

    def __init__(self, source: Callable[[int, int], bytes], name: str) -> None:
        self._source = source
        self._name = name
        self._inflater = zlib.decompressobj(-15)
        self._consumed = 0
        self._position = 0
        self._rest = b""

    def read(self, n: int, offset: int) -> bytes:
        """Up to `n` inflated bytes from `offset`, which must not lie before the last one; fewer at the end."""
        if n > MAX_READ:
            raise TooLargeError("a header value is too large", file=self._name)
        buffer = BytesIO()
        skip = offset - self._position
        if skip < 0:
            raise FormatError("a deflated data set cannot be read backwards", file=self._name)
        while buffer.tell() < n:
            if not self._rest and not self._more():
                break
            piece = self._rest[skip : skip + n - buffer.tell()]
            used = min(len(self._rest), skip + len(piece))
            skip -= used - len(piece)
            buffer.write(piece)
            self._rest = self._rest[used:]
            self._position += used
        if skip > 0:
            raise FormatError(
                "the deflated data set ends within an element", file=self._name, fix="copy the file again"
            )
        result = buffer.getvalue()
        self._rest = result + self._rest  # the next window may begin inside this one
        self._position -= len(result)
        return result

    def _more(self) -> bool:
        while not self._inflater.eof:
            source = self._inflater.unconsumed_tail or self._source(1 << 16, self._consumed)
            if not source:
                raise FormatError("the deflated data set is truncated", file=self._name, fix="copy the file again")
            if not self._inflater.unconsumed_tail:
                self._consumed += len(source)
            try:
                self._rest = self._inflater.decompress(source, 1 << 18)
            except zlib.error as error:
                raise FormatError(
                    f"the deflated data set is damaged: {error}", file=self._name, fix="copy the file again"
                ) from error
            if self._rest:
                return True
        return False
