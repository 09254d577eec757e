"""Deflated frames (transfer syntax Deflated Image Frame Compression), through Python's own zlib."""

from __future__ import annotations

import zlib
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels.codestream import Codestream
from gpukit.dicom.pixels.decoders import Availability
from gpukit.dicom.pixels.image_pixel import FrameDescription


class ZlibDecoder:
    """Raw deflate, one stream a frame (PS3.5 A.4.13); always there."""

    name = "zlib"
    device = "cpu"
    syntaxes = MappingProxyType({cs.DEFLATED_FRAME: 0})

    def available(self) -> Availability:
        """Always."""
        return Availability(usable=True)

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame; never inflates more than the frame needs."""
        pixels = frame.rows * frame.columns * frame.samples
        needed = (pixels * frame.bits_allocated + 7) // 8
        raw = zlib.decompressobj(-15).decompress(data, needed)
        if len(raw) < needed:
            raise ValueError(f"the stream holds {len(raw)} of {needed} bytes")
        if frame.bits_allocated == 1:
            return np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[:pixels].reshape(frame.shape)
        flat = np.frombuffer(raw, frame.dtype.newbyteorder("<"))
        if frame.planar:
            return np.ascontiguousarray(flat.reshape(3, frame.rows, frame.columns).transpose(1, 2, 0))
        return flat.reshape(frame.shape)
