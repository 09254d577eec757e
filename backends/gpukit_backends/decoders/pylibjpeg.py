"""Frames through two plug-ins of pylibjpeg: openjpeg (JPEG 2000, HTJ2K) and rle.

The third plug-in, pylibjpeg-libjpeg (JPEG, JPEG-LS), has the licence GPL-3.0 and is not used: imagecodecs and GDCM
decode all of its transfer syntaxes.
"""

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
from gpukit.extras import install_command

_OPENJPEG = {cs.J2K_LOSSLESS, cs.J2K, cs.HTJ2K_LOSSLESS, cs.HTJ2K_LOSSLESS_RPCL, cs.HTJ2K}


class PylibjpegDecoder:
    """The packages pylibjpeg-openjpeg and pylibjpeg-rle."""

    name = "pylibjpeg"
    device = "cpu"
    syntaxes = MappingProxyType(dict.fromkeys((*_OPENJPEG, cs.RLE), 1))

    def available(self) -> Availability:
        """Whether both are installed."""
        missing = [n for n in ("openjpeg", "rle") if find_spec(n) is None]
        if missing:
            return Availability(
                usable=False, reason=f"not installed: {', '.join(missing)}", install=install_command("codecs")
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
        import openjpeg

        return np.asarray(openjpeg.decode(data, j2k_format=0))
