"""JPEG and JPEG 2000 frames on an NVIDIA GPU, through DALI (nvJPEG, nvJPEG2000)."""

from __future__ import annotations

from importlib.util import find_spec
from threading import Lock
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom import codestream as cs
from gpukit.dicom.codestream import Codestream
from gpukit.dicom.decoders import Availability
from gpukit.dicom.pixels import FrameDescription


class DaliDecoder:
    """NVIDIA DALI's image decoder; tried first where the pixels go to a CUDA device."""

    name = "dali"
    device = "cuda"
    syntaxes = MappingProxyType({cs.JPEG_BASELINE: 0, cs.J2K_LOSSLESS: 0, cs.J2K: 0, cs.HTJ2K_LOSSLESS: 0, cs.HTJ2K: 0})

    def __init__(self) -> None:
        self._lock = Lock()

    def available(self) -> Availability:
        """Whether DALI is installed (the package is nvidia-dali-cuda130 or -cuda120; the bare name is a decoy)."""
        if find_spec("nvidia") is None or find_spec("nvidia.dali") is None:
            return Availability(False, "NVIDIA DALI is not installed", "pip install nvidia-dali-cuda130")
        return Availability(True)

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame on the GPU; see `gpukit.dicom.decoders.FrameDecoder`."""
        if stream.signed or (frame.samples == 3 and not stream.colour_transform):
            raise ValueError("signed values and untransformed colour are left to the CPU decoders")
        if stream.precision not in (8, 16):  # DALI stretches other depths over the whole range of the type
            raise ValueError(f"{stream.precision} bits are left to the CPU decoders")
        from nvidia.dali import experimental, types

        with self._lock:  # one GPU pipeline; its own threads do the work
            dynamic = experimental.dynamic
            kind = types.DALIDataType.UINT8 if stream.precision <= 8 else types.DALIDataType.UINT16
            output = types.DALIImageType.RGB if frame.samples == 3 else types.DALIImageType.ANY_DATA
            encoded = dynamic.tensor(np.frombuffer(data, np.uint8))
            image = dynamic.decoders.image(
                encoded,
                device="gpu",
                output_type=output,
                dtype=kind,
                adjust_orientation=False,  # else EXIF, which has no place in DICOM, could turn or mirror the patient
                jpeg_fancy_upsampling=True,  # chroma as the CPU decoders interpolate it
            )
            return np.asarray(image.cpu())
