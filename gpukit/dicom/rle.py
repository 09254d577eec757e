"""RLE Lossless, written (PS3.5 annex G): PackBits row by row, all rows of a frame at once."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["encode_frame", "pack_rows"]

#: Bytes that one PackBits code can stand for (PS3.5 G.3.1).
_LONGEST = 128


def encode_frame(values: NDArray[Any]) -> bytes:
    """One frame of grey values as its RLE fragment: header, and a segment a byte, the most significant byte first.

    Parameters
    ----------
    values : array of uint8 or uint16, ``[row, column]``
        Not empty.

    Returns
    -------
    bytes
        An even number of them.
    """
    rows, columns = values.shape
    width = values.dtype.itemsize
    parts = np.ascontiguousarray(values, values.dtype.newbyteorder(">")).view(np.uint8).reshape(rows, columns, width)
    segments = [pack_rows(np.ascontiguousarray(parts[..., n])) for n in range(width)]
    starts, at = [], 64
    for segment in segments:
        starts.append(at)
        at += len(segment)
    header = struct.pack("<16I", width, *starts, *([0] * (15 - width)))
    return header + b"".join(segments)


def pack_rows(values: NDArray[np.uint8]) -> bytes:
    """Bytes as one RLE segment: no code crosses the end of a row; a zero at the end where that makes it even.

    Parameters
    ----------
    values : contiguous array of uint8, ``[row, column]``
    """
    rows, columns = values.shape
    flat = values.reshape(-1)
    fresh = np.empty(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=fresh[1:])
    fresh.reshape(rows, columns)[:, 0] = True
    start = np.flatnonzero(fresh)
    length = np.diff(start, append=flat.size)
    pieces = -(-length // _LONGEST)
    run = np.repeat(np.arange(start.size), pieces)
    number = np.arange(run.size)
    before = _LONGEST * (number - np.repeat(np.cumsum(pieces) - pieces, pieces))
    length = np.minimum(length[run] - before, _LONGEST)
    start = start[run] + before
    value = flat[start]

    # Single bytes that follow one another in a row share a code, up to 128 of them.
    single = length == 1
    opens = single.copy()
    opens[1:] &= ~single[:-1] | (start[1:] % columns == 0)
    since = number - np.maximum.accumulate(np.where(opens, number, 0))
    opens |= single & (since % _LONGEST == 0)

    size = np.where(single, 1 + opens, 2)
    at = np.cumsum(size) - size
    total = int(size.sum())
    out = np.zeros(total + total % 2, np.uint8)
    repeated = ~single
    out[at[repeated]] = 257 - length[repeated]
    out[at[repeated] + 1] = value[repeated]
    alone, heads = np.flatnonzero(single), np.flatnonzero(opens)
    out[at[alone] + opens[alone]] = value[alone]
    out[at[heads]] = np.diff(np.searchsorted(alone, heads), append=alone.size) - 1
    return out.tobytes()
