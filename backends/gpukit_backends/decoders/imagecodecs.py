"""Frames through imagecodecs: JPEG, JPEG-LS, JPEG 2000, HTJ2K, JPEG XL, RLE."""

from __future__ import annotations

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


class ImagecodecsDecoder:
    """The codec libraries that imagecodecs brings."""

    name = "imagecodecs"
    device = "cpu"
    syntaxes = MappingProxyType(
        {
            cs.JPEG_BASELINE: 0,
            cs.JPEG_EXTENDED: 0,
            cs.JPEG_LOSSLESS: 0,
            cs.JPEG_LOSSLESS_SV1: 0,
            cs.JPEG_LS: 0,
            cs.JPEG_LS_NEAR: 0,
            cs.J2K_LOSSLESS: 0,
            cs.J2K: 0,
            cs.HTJ2K_LOSSLESS: 0,
            cs.HTJ2K_LOSSLESS_RPCL: 0,
            cs.HTJ2K: 0,
            cs.JXL_LOSSLESS: 0,
            cs.JXL_JPEG: 0,
            cs.JXL: 0,
            cs.RLE: 0,
        }
    )

    def available(self) -> Availability:
        """Whether imagecodecs is installed."""
        if find_spec("imagecodecs") is None:
            return Availability(usable=False, reason="imagecodecs is not installed", install=install_command("codecs"))
        return Availability(usable=True)

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame; see `gpukit.dicom.pixels.decoders.FrameDecoder`."""
        import imagecodecs

        syntax = frame.syntax
        if syntax in (cs.JPEG_BASELINE, cs.JPEG_EXTENDED, cs.JPEG_LOSSLESS, cs.JPEG_LOSSLESS_SV1):
            if frame.samples == 1:
                return np.asarray(imagecodecs.jpeg8_decode(data))
            if stream.lossless or not stream.colour_transform:
                return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"))
            return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="YCBCR", outcolorspace="RGB"))
        if syntax in (cs.JPEG_LS, cs.JPEG_LS_NEAR):
            return np.asarray(imagecodecs.jpegls_decode(data))
        if syntax in (cs.JXL, cs.JXL_LOSSLESS, cs.JXL_JPEG):
            return np.asarray(imagecodecs.jpegxl_decode(data, numthreads=1))
        if syntax == cs.RLE:
            if frame.bits_allocated == 1:
                raise ValueError("1-bit RLE is not for this decoder")
            kind = frame.dtype.newbyteorder("<")
            planes = np.frombuffer(imagecodecs.dicomrle_decode(data, kind), kind)
            if frame.samples == 1:
                return planes.reshape(frame.shape)
            return np.ascontiguousarray(planes.reshape(3, frame.rows, frame.columns).transpose(1, 2, 0))
        # HTJ2K too: the other decoder for it, OpenJPH, hands over what memory held where the data is damaged
        return np.asarray(imagecodecs.jpeg2k_decode(data, planar=False, numthreads=1))
