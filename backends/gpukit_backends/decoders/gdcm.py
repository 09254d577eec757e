"""Frames through GDCM: JPEG of 8 to 16 bits, JPEG-LS, JPEG 2000, RLE.

GDCM runs in a process of its own, because damaged frames of 12-bit JPEG abort the process that decodes them (a C++
exception that crosses libjpeg). It is asked last, after the decoders that run in this process.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels.codestream import Codestream
from gpukit.dicom.pixels.color_space import ycbcr_to_rgb
from gpukit.dicom.pixels.decoders import Availability
from gpukit.dicom.pixels.image_pixel import FrameDescription
from gpukit.extras import install_command
from gpukit_backends.decoders.worker_process import WorkerPool


class GdcmDecoder:
    """Grassroots DICOM, in worker processes."""

    name = "gdcm"
    device = "cpu"
    syntaxes = MappingProxyType(
        {
            cs.JPEG_BASELINE: 8,
            cs.JPEG_EXTENDED: 8,
            cs.JPEG_LOSSLESS: 8,
            cs.JPEG_LOSSLESS_SV1: 8,
            cs.JPEG_LS: 8,
            cs.JPEG_LS_NEAR: 8,
            cs.J2K_LOSSLESS: 8,
            cs.J2K: 8,
            cs.RLE: 10,
        }
    )

    def __init__(self) -> None:
        self._workers = WorkerPool("gdcm_worker.py")

    def available(self) -> Availability:
        """Whether python-gdcm is installed."""
        if find_spec("gdcm") is None:
            return Availability(usable=False, reason="python-gdcm is not installed", install=install_command("codecs"))
        return Availability(usable=True)

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame; see `gpukit.dicom.pixels.decoders.FrameDecoder`."""
        if frame.bits_allocated not in (8, 16) or frame.floating:
            raise ValueError(f"{frame.bits_allocated} bits are not for this decoder")
        signed = 1 if frame.signed else 0
        request = {
            "rows": frame.rows,
            "columns": frame.columns,
            "syntax": frame.syntax,
            # GDCM undoes the colour transform of JPEG 2000 and leaves that of JPEG, whatever the photometric is
            "photometric": frame.photometric if frame.samples == 1 else "RGB",
            "pixel_format": [frame.samples, frame.bits_allocated, frame.bits_stored, frame.high_bit, signed],
            "planar": frame.planar,
        }
        count = frame.rows * frame.columns * frame.samples
        answer, raw = self._workers.ask(request, data, count * frame.dtype.itemsize)
        width = answer["bits"] // 8
        kind = "i" if answer["signed"] else "u"
        if len(raw) < count * width:
            raise ValueError(f"GDCM gave {len(raw)} of {count * width} bytes")
        flat = np.frombuffer(raw, f"{kind}{width}", count=count)
        if answer["planar"] and frame.samples == 3:
            values = np.ascontiguousarray(flat.reshape(3, frame.rows, frame.columns).transpose(1, 2, 0))
        else:
            values = flat.reshape(frame.shape)
        if stream.colour_transform and frame.syntax in (cs.JPEG_BASELINE, cs.JPEG_EXTENDED):
            return ycbcr_to_rgb(values, "YBR_FULL", stream.precision)
        return values
