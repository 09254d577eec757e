"""Planes packed by the runs in their rows, as PackBits and DICOM's RLE do (PS3.5 G.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import device
from gpukit.ops.label_rows import label_rows

__all__ = ["check_planes", "run_length"]

#: Bytes that one code can stand for.
_LONGEST = 128


def check_planes(data: Any) -> int:
    """Return bytes of a value.

    Raises
    ------
    InputError
        Not three axes of uint8 or uint16 with something in them.
    """
    xp = array_namespace(data)
    wide = getattr(xp, "uint16", None)  # not every library has it
    width = 1 if data.dtype == xp.uint8 else 2 if wide is not None and data.dtype == wide else 0
    if data.ndim != 3 or not width or 0 in data.shape:
        raise InputError("what is packed has three axes of uint8 or uint16, none of them empty", attribute="data")
    return width


@operation(tolerance=0.0)
def run_length(data: Any, labels: Sequence[int] | None = None) -> tuple[Any, Any, Any]:
    """Pack each plane, row by row: runs of two and more bytes are repeated, single ones are literal.

    Parameters
    ----------
    data : array of uint8 or uint16, ``[plane, row, column]``
        Its type decides the backend.
    labels : sequence of int, optional
        Label values, ascending, from 1: in the same look at the pixels also find what
        `gpukit.ops.label_rows.label_rows` finds of them.

    Returns
    -------
    packed : array of uint8, (n,)
        Segments, one for each byte of a value and each plane in turn, the most significant byte first. No code crosses
        the end of a row; a zero at the end where that makes a segment's length even.
    starts : array of int64, (planes * bytes + 1,)
        Where each segment begins; the last is where all end.
    rows : array of int32, ``[plane, len(labels) + 1, 2]``, or None
        `gpukit.ops.label_rows.label_rows`, where `labels` are given. All on the device of `data`.

    Raises
    ------
    InputError
        The array or the labels are not such.
    """
    xp = array_namespace(data)
    width = check_planes(data)
    rows = None if labels is None else label_rows(data, labels)
    segments = []
    for k in range(data.shape[0]):
        values = xp.astype(data[k, ...], xp.int64)
        segments += [_pack(xp, (values >> (8 * n)) % 256) for n in range(width - 1, -1, -1)]
    sizes = xp.asarray([0, *(one.shape[0] for one in segments)], dtype=xp.int64, device=device(data))
    return xp.concat(segments), xp.cumulative_sum(sizes), rows


def _pack(xp: Any, values: Any) -> Any:
    """One segment, from bytes ``[row, column]``."""
    columns, where = values.shape[1], device(values)
    flat = xp.reshape(values, (-1,))
    true = xp.ones((1,), dtype=xp.bool, device=where)
    fresh = xp.concat((true, flat[1:] != flat[:-1])) | (xp.arange(flat.shape[0], device=where) % columns == 0)
    start = xp.nonzero(fresh)[0]
    end = xp.asarray([flat.shape[0]], dtype=start.dtype, device=where)
    length = xp.concat((start[1:], end)) - start
    # Long runs in pieces of as much as a code can stand for.
    pieces = (length + _LONGEST - 1) // _LONGEST
    run = xp.repeat(xp.arange(start.shape[0], device=where), pieces)
    number = xp.arange(run.shape[0], device=where)
    before = _LONGEST * (number - xp.take(xp.cumulative_sum(pieces) - pieces, run))
    length = xp.clip(xp.take(length, run) - before, max=_LONGEST)
    start = xp.take(start, run) + before
    # Single bytes that follow one another in a row share a code, up to 128 of them.
    single = length == 1
    opens = ~single | xp.concat((true, ~single[:-1])) | (start % columns == 0)
    head = xp.nonzero(opens)[0]
    group = xp.cumulative_sum(xp.astype(opens, xp.int64)) - 1
    opens = opens | ((number - xp.take(head, group)) % _LONGEST == 0)
    head = xp.nonzero(opens)[0]
    # Each code: how many bytes it takes, its first byte, and where the others come from.
    after = xp.concat((head[1:], xp.asarray([number.shape[0]], dtype=head.dtype, device=where)))
    alone = xp.take(single, head)
    size = xp.where(alone, after - head + 1, 2)
    first = xp.where(alone, after - head - 1, 257 - xp.take(length, head))
    at = xp.cumulative_sum(size) - size
    place = xp.arange(int(xp.sum(size)), device=where)
    code = xp.searchsorted(at, place, side="right") - 1
    since = place - xp.take(at, code)
    source = xp.take(start, xp.take(head, code)) + xp.clip(since - 1, min=0)
    packed = xp.astype(xp.where(since == 0, xp.take(first, code), xp.take(flat, source)), xp.uint8)
    even = xp.zeros((packed.shape[0] % 2,), dtype=xp.uint8, device=where)
    return xp.concat((packed, even))
