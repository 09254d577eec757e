"""Frames through the pylibjpeg plug-ins: libjpeg (JPEG, JPEG-LS), openjpeg (JPEG 2000, HTJ2K), rle."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels.codestream import Codestream
from gpukit.dicom.pixels.decoders import Availability
from gpukit.dicom.pixels.image_pixel import FrameDescription

_LIBJPEG = {cs.JPEG_BASELINE, cs.JPEG_EXTENDED, cs.JPEG_LOSSLESS, cs.JPEG_LOSSLESS_SV1, cs.JPEG_LS, cs.JPEG_LS_NEAR}
_OPENJPEG = {cs.J2K_LOSSLESS, cs.J2K, cs.HTJ2K_LOSSLESS, cs.HTJ2K_LOSSLESS_RPCL, cs.HTJ2K}


class PylibjpegDecoder:
    """The three packages of pylibjpeg; each syntax needs its own."""

    name = "pylibjpeg"
    device = "cpu"
    syntaxes = MappingProxyType({**dict.fromkeys(_LIBJPEG, 2), **dict.fromkeys((*_OPENJPEG, cs.RLE), 1)})

    def available(self) -> Availability:
        """Whether all three are installed."""
        missing = [n for n in ("libjpeg", "openjpeg", "rle") if find_spec(n) is None]
        if missing:
            return Availability(
                usable=False, reason=f"not installed: {', '.join(missing)}", install="pip install 'pylibjpeg[all]'"
            )
        return Availability(usable=True)

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame; see `gpukit.dicom.pixels.decoders.FrameDecoder`."""
        if frame.syntax == cs.RLE:
            if frame.bits_allocated == 1:
                raise ValueError("1-bit RLE is not for this decoder")

            raw = import_module("rle.rle").decode_frame(data, frame.rows * frame.columns, frame.bits_allocated, "<")
            flat = np.frombuffer(raw, frame.dtype.newbyteorder("<"))
            planes = flat.reshape(frame.samples, frame.rows, frame.columns)
            return planes[0] if frame.samples == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0))
        if frame.syntax in _OPENJPEG:
            import openjpeg

            return np.asarray(openjpeg.decode(data, j2k_format=0))
        import libjpeg

        # colour transform: 0 none, 1 YCbCr
        return np.asarray(libjpeg.decode(data, colour_transform=1 if stream.colour_transform else 0))
