"""RLE without any codec package: through pydicom, and 1-bit frames, which no other decoder here takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom import codestream as cs
from gpukit.dicom.codestream import Codestream
from gpukit.dicom.decoders import Availability
from gpukit.dicom.pixels import FrameDescription


class PydicomRleDecoder:
    """pydicom's RLE decoder, in Python: slow, always there."""

    name = "pydicom"
    device = "cpu"
    syntaxes = {cs.RLE: 9}

    def available(self) -> Availability:
        """Always: pydicom is a base dependency."""
        return Availability(True)

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame (PS3.5 annex G): planes of bytes, most significant first, each sample in turn."""
        pixels = frame.rows * frame.columns
        if frame.bits_allocated == 1:
            # one segment of packed bits
            bits = np.unpackbits(np.frombuffer(_segment(data, (pixels * frame.samples + 7) // 8), np.uint8), bitorder="little")
            return bits[: pixels * frame.samples].reshape(frame.shape)
        from pydicom.pixels.decoders.rle import _rle_decode_frame

        raw = _rle_decode_frame(data, frame.rows, frame.columns, frame.samples, frame.bits_allocated, "<")
        planes = np.frombuffer(raw, frame.dtype.newbyteorder("<")).reshape(frame.samples, frame.rows, frame.columns)
        return planes[0] if frame.samples == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0))


def _segment(data: bytes, needed: int) -> bytes:
    """The only segment of an RLE frame (header of 64 bytes, PS3.5 G.5), expanded to at most `needed` bytes."""
    position, out = int.from_bytes(data[4:8], "little"), bytearray()
    if int.from_bytes(data[:4], "little") != 1 or position < 64:
        raise ValueError("a 1-bit RLE frame has one segment")
    while len(out) < needed and position < len(data):
        control = data[position]
        if control < 128:
            out += data[position + 1 : position + 2 + control]
            position += control + 2
        else:
            if control > 128:
                out += data[position + 1 : position + 2] * (257 - control)
            position += 2 if control > 128 else 1
    if len(out) < needed:
        raise ValueError(f"the segment holds {len(out)} of {needed} bytes")
    return bytes(out)
