"""RLE without any codec package: plain Python, slow, always there; and the only decoder here of 1-bit frames."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels.codestream import Codestream
from gpukit.dicom.pixels.decoders import Availability
from gpukit.dicom.pixels.image_pixel import FrameDescription


class RunLengthDecoder:
    """The packing of PS3.5 annex G."""

    name = "python-rle"
    device = "cpu"
    syntaxes = MappingProxyType({cs.RLE: 9})

    def available(self) -> Availability:
        """Always."""
        return Availability(usable=True)

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame: a segment a byte of each sample, the most significant byte first (PS3.5 G.2)."""
        pixels = frame.rows * frame.columns
        if frame.bits_allocated == 1:  # packed bits, all samples in one segment
            packed = np.frombuffer(_segments(data, 1, (pixels * frame.samples + 7) // 8)[0], np.uint8)
            return np.unpackbits(packed, bitorder="little")[: pixels * frame.samples].reshape(frame.shape)
        width = frame.dtype.itemsize
        segments = _segments(data, frame.samples * width, pixels)
        values = np.empty((pixels, frame.samples, width), np.uint8)
        for n, segment in enumerate(segments):
            values[:, n // width, n % width] = np.frombuffer(segment, np.uint8)
        return values.view(frame.dtype.newbyteorder(">")).reshape(frame.shape)


def _segments(data: bytes, count: int, needed: int) -> list[bytes]:
    """The `count` segments of a frame, each expanded to exactly `needed` bytes."""
    if len(data) < 64 or int.from_bytes(data[:4], "little") != count:
        raise ValueError(f"the RLE header does not tell of {count} segments")
    starts = [int.from_bytes(data[4 + 4 * n : 8 + 4 * n], "little") for n in range(count)]
    ends = [*starts[1:], len(data)]
    if starts[0] < 64 or any(b < a for a, b in zip(starts, ends, strict=True)):
        raise ValueError("the RLE header's offsets are not in order")
    return [_expand(data[a:b], needed) for a, b in zip(starts, ends, strict=True)]


def _expand(segment: bytes, needed: int) -> bytes:
    out = bytearray()
    position = 0
    while len(out) < needed and position < len(segment):
        control = segment[position]
        if control < 128:
            out += segment[position + 1 : position + 2 + control]
            position += control + 2
        elif control > 128:
            out += segment[position + 1 : position + 2] * (257 - control)
            position += 2
        else:
            position += 1
    if len(out) < needed:
        raise ValueError(f"an RLE segment holds {len(out)} of {needed} bytes")
    return bytes(out[:needed])
