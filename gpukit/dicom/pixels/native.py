"""Pixels that are not compressed: where each frame lies, and its bytes as stored values."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels.image_pixel import FrameDescription
from gpukit.dicom.reader.elements import BIG_ENDIAN
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError

__all__ = ["are_words", "frame_span", "is_direct", "mask_in_place", "native_frame", "swap_in_place", "verify_native"]

_SUBSAMPLED = {"YBR_FULL_422", "YBR_PARTIAL_422"}


def frame_bits(description: FrameDescription, length: int) -> int:
    """Bits of one frame in a value of `length` bytes.

    Cb and Cr of a 4:2:2 image are there for every second column only (PS3.3 C.7.6.3.1.2), unless the value is as long
    as a full one: some writers say 4:2:2 and store all.
    """
    pixels = description.rows * description.columns
    full = pixels * description.samples * description.bits_allocated
    if description.photometric in _SUBSAMPLED and length * 8 < full * description.frames:
        return pixels * 2 * description.bits_allocated
    return full


def verify_native(header: Header, description: FrameDescription, size: int) -> None:
    """Check that the bytes of all frames are there.

    Parameters
    ----------
    size : int
        Bytes of the file (or of the inflated data set).

    Raises
    ------
    FormatError
        They are not.
    """
    span = header.pixels
    assert span is not None
    if span.length is None:
        raise FormatError(
            "the pixels are encapsulated but the transfer syntax is not a compressed one",
            file=str(header.location),
            attribute="TransferSyntaxUID",
        )
    there = max(0, min(span.length, size - span.offset))
    needed = (frame_bits(description, span.length) * description.frames + 7) // 8
    if needed > there:
        d = description
        raise FormatError(
            f"the pixels are truncated: {d.frames} x {d.rows} x {d.columns} x {d.samples} of {d.bits_allocated} bits "
            f"need {needed} bytes and {there} are there",
            file=str(header.location),
            attribute=f"Rows, Columns, {span.keyword}",
            fix="copy the file again",
        )


def frame_span(header: Header, description: FrameDescription, index: int) -> tuple[int, int, int]:
    """(byte offset, bytes, bits to skip in the first byte) of a frame; bits count for 1-bit images only."""
    span = header.pixels
    assert span is not None and span.length is not None
    bits = frame_bits(description, span.length)
    first = bits * index
    start = first // 8
    return span.offset + start, (first + bits + 7) // 8 - start, first % 8


def are_words(header: Header, description: FrameDescription) -> bool:
    """Whether 8-bit values lie in 16-bit words of big-endian order (PS3.5 A.3 with 7.3)."""
    return (
        description.bits_allocated <= 8
        and header.transfer_syntax == BIG_ENDIAN
        and header.pixels is not None
        and header.pixels.vr == "OW"
    )


def is_direct(description: FrameDescription) -> bool:
    """Whether the stored bytes, perhaps swapped and masked in place, are the array ``[rows, columns(, samples)]``."""
    d = description
    return d.bits_allocated >= 8 and not d.planar and (d.samples == 1 or d.photometric == "RGB")


def native_frame(raw: bytearray, description: FrameDescription, skip: int) -> NDArray[Any]:
    """Stored values ``[rows, columns(, 3)]`` of one frame's bytes; `raw` is the caller's own and may be changed."""
    d = description
    if d.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
        return bits[skip : skip + d.rows * d.columns * d.samples].reshape(d.shape)
    flat: NDArray[Any] = np.frombuffer(raw, d.dtype)
    swap_in_place(flat, d)
    if d.samples == 3 and len(flat) < d.rows * d.columns * 3:
        return _expand_422(flat, d)
    if d.planar:
        values: NDArray[Any] = flat.reshape(3, d.rows, d.columns).transpose(1, 2, 0)
    else:
        values = flat.reshape(d.shape)
    mask_in_place(values, d)
    return values


def swap_in_place(values: NDArray[Any], description: FrameDescription) -> None:
    """Bring the bytes of big-endian files into this machine's order."""
    if (description.syntax == BIG_ENDIAN) != (sys.byteorder == "big") and values.dtype.itemsize > 1:
        values.byteswap(inplace=True)


def mask_in_place(values: NDArray[Any], description: FrameDescription) -> None:
    """Keep the stored bits only: shift them down from the high bit, extend the sign, drop overlays above or below."""
    d = description
    if d.floating or d.bits_stored == d.bits_allocated or d.bits_allocated == 1:
        return
    above = d.bits_allocated - 1 - d.high_bit
    below = d.high_bit + 1 - d.bits_stored
    if d.signed:
        if above:
            np.left_shift(values, above, out=values)
        np.right_shift(values, above + below, out=values)
    else:
        if below:
            np.right_shift(values, below, out=values)
        np.bitwise_and(values, values.dtype.type((1 << d.bits_stored) - 1), out=values)


def _expand_422(flat: NDArray[Any], description: FrameDescription) -> NDArray[Any]:
    """Y1 Y2 Cb Cr for each pair of columns, to one YCbCr triple a pixel (chroma repeated)."""
    d = description
    quads = flat.reshape(d.rows, d.columns // 2, 4) if d.columns % 2 == 0 else None
    if quads is None:
        raise FormatError("4:2:2 pixels need an even number of columns", attribute="Columns")
    values = np.empty((d.rows, d.columns, 3), flat.dtype)
    values[:, 0::2, 0] = quads[..., 0]
    values[:, 1::2, 0] = quads[..., 1]
    for first in (0, 1):
        values[:, first::2, 1:] = quads[..., 2:]
    return values
