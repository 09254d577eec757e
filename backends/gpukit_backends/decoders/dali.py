"""JPEG, JPEG 2000 and HTJ2K frames, many at once, into the memory of an NVIDIA GPU: DALI (nvJPEG, nvJPEG2000).

DALI is made for photographs, so nothing is taken on trust: it gets frames of a kind (codec, samples, precision) only
after it has decoded, on the device in hand, a small image of that kind whose values are known (`proofs`, beside this
file). Where it stretches 12 bits over 16, turns an image or is off by more than JPEG may be, the kind is left to the
CPU's decoders.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import move, resolve
from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels.decoders import Availability, Encoded
from gpukit.extras import install_command

_CODEC = {
    cs.JPEG_BASELINE: "jpeg", cs.J2K_LOSSLESS: "j2k", cs.J2K: "j2k", cs.HTJ2K_LOSSLESS: "htj2k",
    cs.HTJ2K_LOSSLESS_RPCL: "htj2k", cs.HTJ2K: "htj2k",
}  # fmt: skip
_PROOFS = Path(__file__).parent / "proofs"
#: Levels by which a decoded JPEG may differ from the image that went into it at the highest quality: the rounding of
#: two cosine transforms (ITU-T T.83 allows a decoder 1), and of the colour transform in both directions.
_JPEG_TOLERANCE = {1: 2, 3: 5}


class DaliDecoder:
    """NVIDIA DALI's image decoder, in its dynamic mode.

    Parameters
    ----------
    device : str
        Bare name of the device whose arrays it makes; any but ``cuda`` is main memory, where the same calls run on
        DALI's CPU codecs: that is how they are tested without a GPU.
    """

    name = "dali"
    syntaxes = MappingProxyType(dict.fromkeys(_CODEC, 0))

    def __init__(self, device: str = "cuda") -> None:
        self.device = device
        self._lock = threading.Lock()
        self._verdicts: dict[tuple[str, str, int, int], str | None] = {}

    def available(self) -> Availability:
        """Whether DALI is installed (the package is nvidia-dali-cuda130 or -cuda120; the bare name is a decoy)."""
        if find_spec("nvidia") is None or find_spec("nvidia.dali") is None:
            return Availability(usable=False, reason="NVIDIA DALI is not installed", install=install_command("cuda13"))
        return Availability(usable=True)

    def declines(self, one: Encoded, device: str) -> str | None:
        """Why a frame is left to the CPU; see `gpukit.dicom.pixels.decoders.BatchDecoder`."""
        stream, samples = one.stream, one.frame.samples
        if one.frame.syntax not in _CODEC:
            return "another codec"
        if stream.signed:
            return "signed values"
        if samples == 3 and not stream.colour_transform:
            return "colour that is not transformed"
        if not 8 <= stream.precision <= 16:
            return f"values of {stream.precision} bits"
        if one.frame.bits_allocated not in (8, 16) or stream.precision > one.frame.bits_allocated:
            return f"values of {one.frame.bits_allocated} bits"
        return self._verdict(_CODEC[one.frame.syntax], samples, stream.precision, device)

    def decode_batch(self, frames: Sequence[Encoded], device: str) -> list[Any]:
        """Decode into the device's memory; see `gpukit.dicom.pixels.decoders.BatchDecoder`."""
        made: list[Any] = [None] * len(frames)
        alike: dict[tuple[int, bool], list[int]] = {}
        for n, one in enumerate(frames):
            alike.setdefault((one.frame.samples, one.stream.precision > 8), []).append(n)
        for (samples, wide), numbers in alike.items():
            data = [frames[n].data for n in numbers]
            try:
                done: list[Any] = self._decode(data, samples, wide, device)
            except Exception as error:  # one damaged frame ends all of its batch: which is it?
                done = [error] if len(data) == 1 else [self._alone(one, samples, wide, device) for one in data]
            for n, array in zip(numbers, done, strict=True):
                made[n] = array
        return made

    def _alone(self, data: bytes, samples: int, wide: bool, device: str) -> Any:
        try:
            return self._decode([data], samples, wide, device)[0]
        except Exception as error:  # whatever DALI raises: the CPU's decoders will be asked, and tell what is wrong
            return error

    def _decode(self, data: Sequence[bytes], samples: int, wide: bool, device: str) -> list[Any]:
        dynamic = import_module("nvidia.dali.experimental.dynamic")
        types = import_module("nvidia.dali.types")
        kind, _, index = device.partition(":")
        place = f"gpu:{index or 0}" if kind == "cuda" else "cpu"
        with self._lock:  # DALI's own threads do the work; its operators are not to be called by two at once
            images = dynamic.decoders.image(
                dynamic.batch([np.frombuffer(one, np.uint8) for one in data]),
                device=place,
                # never ANY_DATA: DALI 2.4 then writes three samples of a grey JPEG into memory for one
                output_type=types.DALIImageType.RGB if samples == 3 else types.DALIImageType.GRAY,
                dtype=types.DALIDataType.UINT16 if wide else types.DALIDataType.UINT8,
                adjust_orientation=False,  # else EXIF, which has no place in DICOM, could turn or mirror the patient
                jpeg_fancy_upsampling=True,  # chroma as the CPU decoders interpolate it
            )
            return _owned(list(images.evaluate()), device)

    def _verdict(self, codec: str, samples: int, precision: int, device: str) -> str | None:
        """Why frames of this kind are not DALI's on this device; None where it has shown that it is right."""
        key = (device, codec, samples, precision)
        if key not in self._verdicts:
            self._verdicts[key] = self._prove(codec, samples, precision, device)
        return self._verdicts[key]

    def _prove(self, codec: str, samples: int, precision: int, device: str) -> str | None:
        file = _PROOFS / f"{codec}-{samples}x{precision}"
        if not file.is_file():
            return f"{codec} of {samples} x {precision} bits was never compared"
        try:
            made = self._decode([file.read_bytes()], samples, precision > 8, device)[0]
            found = np.asarray(move(made, "cpu")).astype(np.int64)
        except Exception as error:  # DALI without a driver, without memory, of another CUDA: each fails in its own way
            text = str(error).strip()
            return f"DALI does not work here: {text.splitlines()[0] if text else type(error).__name__}"
        wanted = known(samples, precision)
        if found.reshape(-1).shape != wanted.reshape(-1).shape:
            return f"DALI gives {codec} another shape: {found.shape}"
        off = int(np.abs(found.reshape(wanted.shape) - wanted).max())
        if off > (_JPEG_TOLERANCE[samples] if codec == "jpeg" else 0):
            return f"DALI changes the values of {codec} of {samples} x {precision} bits, by up to {off}"
        return None


def known(samples: int, precision: int) -> NDArray[np.int64]:
    """The image in the proofs: a ramp from 0 to the highest value; of colours also mirrored, and turned."""
    ramp = np.arange(1024, dtype=np.int64).reshape(32, 32) * ((1 << precision) - 1) // 1023
    return ramp if samples == 1 else np.stack([ramp, ramp[::-1], ramp.T], axis=-1)


def _owned(images: list[Any], device: str) -> list[Any]:
    """DALI's tensors as arrays of the device's library that own their memory, complete.

    Copied, because DALI uses its memory again by rules of its own streams; and waited for, so that any stream may read.
    """
    backend, _ = resolve(device)
    library = import_module(backend.array_module)
    if backend.array_module != "cupy":
        return [library.from_dlpack(np.array(one)) for one in images]
    with library.cuda.Device(int(device.partition(":")[2] or 0)) as place:
        try:
            shared = [library.from_dlpack(one) for one in images]  # waits for DALI's stream
        except TypeError:  # where the two speak of different versions of DLPack
            place.synchronize()
            shared = [library.asarray(one) for one in images]
        made = [library.array(one, copy=True) for one in shared]
        library.cuda.get_current_stream().synchronize()
    return made
