"""Frames through GDCM: JPEG of 8 to 16 bits, JPEG-LS, JPEG 2000, RLE."""

from __future__ import annotations

from importlib.util import find_spec
from threading import Lock
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels.codestream import Codestream
from gpukit.dicom.pixels.color_space import ycbcr_to_rgb
from gpukit.dicom.pixels.decoders import Availability
from gpukit.dicom.pixels.image_pixel import FrameDescription


class GdcmDecoder:
    """Grassroots DICOM."""

    name = "gdcm"
    device = "cpu"
    syntaxes = MappingProxyType(
        {
            cs.JPEG_BASELINE: 1,
            cs.JPEG_EXTENDED: 1,
            cs.JPEG_LOSSLESS: 1,
            cs.JPEG_LOSSLESS_SV1: 1,
            cs.JPEG_LS: 1,
            cs.JPEG_LS_NEAR: 1,
            cs.J2K_LOSSLESS: 2,
            cs.J2K: 2,
            cs.RLE: 3,
        }
    )

    def __init__(self) -> None:
        self._quiet = False
        self._lock = Lock()

    def available(self) -> Availability:
        """Whether python-gdcm is installed."""
        if find_spec("gdcm") is None:
            return Availability(usable=False, reason="python-gdcm is not installed", install="pip install python-gdcm")
        return Availability(usable=True)

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame; see `gpukit.dicom.pixels.decoders.FrameDecoder`."""
        import gdcm

        with self._lock:
            if not self._quiet:
                for name in ("WarningOff", "ErrorOff", "DebugOff"):  # its own words would mix with the program's output
                    getattr(gdcm.Trace, name)()
                self._quiet = True
        if frame.bits_allocated not in (8, 16) or frame.floating:
            raise ValueError(f"{frame.bits_allocated} bits are not for this decoder")
        fragment = gdcm.Fragment()
        fragment.SetByteStringValue(data)
        fragments = gdcm.SequenceOfFragments.New()
        fragments.AddFragment(fragment)
        element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
        element.SetValue(fragments.__ref__())
        image = gdcm.Image()
        image.SetNumberOfDimensions(2)
        image.SetDimensions((frame.columns, frame.rows, 1))
        image.SetDataElement(element)
        # GDCM undoes the colour transform of JPEG 2000 and leaves that of JPEG, whatever it is told
        grey = frame.photometric if frame.samples == 1 else "RGB"
        image.SetPhotometricInterpretation(
            gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.GetPIType(grey))
        )
        image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(frame.syntax)))
        image.SetPixelFormat(
            gdcm.PixelFormat(
                frame.samples, frame.bits_allocated, frame.bits_stored, frame.high_bit, 1 if frame.signed else 0
            )
        )
        if frame.planar:
            image.SetPlanarConfiguration(1)
        text = image.GetBuffer()
        if text is None:
            raise ValueError("GDCM gave nothing")
        raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(text)
        width = image.GetPixelFormat().GetBitsAllocated() // 8
        planes = image.GetPlanarConfiguration()
        kind = "i" if image.GetPixelFormat().GetPixelRepresentation() else "u"
        count = frame.rows * frame.columns * frame.samples
        if len(raw) < count * width:
            raise ValueError(f"GDCM gave {len(raw)} of {count * width} bytes")
        flat = np.frombuffer(raw, f"{kind}{width}", count=count)
        if planes and frame.samples == 3:
            values = np.ascontiguousarray(flat.reshape(3, frame.rows, frame.columns).transpose(1, 2, 0))
        else:
            values = flat.reshape(frame.shape)
        if stream.colour_transform and frame.syntax in (cs.JPEG_BASELINE, cs.JPEG_EXTENDED):
            return ycbcr_to_rgb(values, "YBR_FULL", stream.precision)
        return values
