"""The contract of frame decoders, which are plug-ins, and the choice among them.

A decoder turns the compressed bytes of one frame into stored values in main memory; a batch decoder turns those of many
into stored values in a device's own memory (`gpukit.dicom.pixels.device_decode` uses it). Both are found through the
entry-point group ``gpukit.decoders``; the built-in ones register in the same way. For each transfer syntax a decoder
states a rank, that is its place in the measured order of speed; the lowest is tried first, and when one fails the next
is tried.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels.codestream import RLE, Codestream, inspect_codestream, verify_segment_lengths
from gpukit.dicom.pixels.color_space import ycbcr_to_rgb
from gpukit.dicom.pixels.image_pixel import FrameDescription
from gpukit.dicom.pixels.native import mask_in_place
from gpukit.errors import DecodeError, DependencyError, GpukitError
from gpukit.extras import install_command
from gpukit.plugins import Availability, load_plugins

__all__ = [
    "Availability",
    "BatchDecoder",
    "Encoded",
    "FrameDecoder",
    "batch_decoder_for",
    "decode_frame",
    "decoders",
    "decoders_for",
    "encapsulated_syntaxes",
]

ENTRY_POINT_GROUP = "gpukit.decoders"


@runtime_checkable
class FrameDecoder(Protocol):
    """What a plug-in must offer. One object serves all threads."""

    #: Such as ``imagecodecs``.
    name: str
    #: Transfer syntax UID to rank: 0 is the fastest known decoder of that syntax.
    syntaxes: Mapping[str, int]
    #: Bare name of the device on which it decodes: ``cpu`` for all that run on the host.
    device: str

    def available(self) -> Availability:
        """Whether it can run here. Must not raise, and be quick when asked again."""
        ...

    def decode(self, data: bytes, frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
        """Decode one frame.

        Parameters
        ----------
        data : bytes
            The codestream.
        frame : FrameDescription
            What the file says.
        stream : Codestream
            What the codestream says; its size has been compared with that of `frame`.

        Returns
        -------
        ndarray
            ``[rows, columns]`` or ``[rows, columns, 3]``, any integer type, as the codestream holds them: no rescale,
            no sign extension. Colour of the JPEG and JPEG 2000 families and of JPEG XL comes as RGB where
            ``stream.colour_transform`` says that the codestream is transformed; any other colour comes as stored.

        Raises
        ------
        Exception
            Any; the next decoder is then tried.
        """
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """One compressed frame.

    Parameters
    ----------
    data : bytes
        The codestream.
    frame : FrameDescription
        What the file says of it.
    stream : Codestream
        What the codestream says; its size has been compared with that of `frame`.
    """

    data: bytes
    frame: FrameDescription
    stream: Codestream


@runtime_checkable
class BatchDecoder(Protocol):
    """A plug-in that decodes many frames at once into the memory of a device. One object serves all threads."""

    #: As of `FrameDecoder`.
    name: str
    syntaxes: Mapping[str, int]
    #: Bare name of the device whose memory it fills, such as ``cuda``.
    device: str

    def available(self) -> Availability:
        """Whether it can run here. Must not raise, and be quick when asked again."""
        ...

    def declines(self, one: Encoded, device: str) -> str | None:
        """Why a frame is left to the CPU's decoders, or None where it is taken.

        Taken is only what comes out as the codestream holds it, bit for bit where it is one without loss.
        """
        ...

    def decode_batch(self, frames: Sequence[Encoded], device: str) -> list[Any]:
        """Decode frames that were not declined.

        Parameters
        ----------
        frames : sequence of Encoded
            Of any sizes.
        device : str
            Full name of the device, such as ``cuda:0``.

        Returns
        -------
        list
            For each frame an array of the device's library, ``[rows, columns]`` or ``[rows, columns, 3]`` of unsigned
            integers, that owns its memory and is finished; or the exception where the frame cannot be decoded.
        """
        ...


@functools.cache
def decoders() -> tuple[FrameDecoder | BatchDecoder, ...]:
    """Every decoder that an entry point offers."""
    return load_plugins(ENTRY_POINT_GROUP, FrameDecoder, BatchDecoder, kind="decoder")


def encapsulated_syntaxes() -> frozenset[str]:
    """Transfer syntaxes that some decoder knows, usable or not."""
    return frozenset(syntax for decoder in decoders() for syntax in decoder.syntaxes)


@functools.lru_cache(maxsize=256)
def decoders_for(syntax: str) -> tuple[FrameDecoder, ...]:
    """Usable decoders of a transfer syntax into main memory, fastest first.

    Raises
    ------
    DecodeError
        No decoder knows the transfer syntax.
    DependencyError
        One does, but none is installed; says what to install.
    """
    known = [d for d in decoders() if syntax in d.syntaxes]
    if not known:
        raise DecodeError(
            f"no decoder knows the transfer syntax {syntax}",
            attribute="TransferSyntaxUID",
            fix="convert the file to another transfer syntax",
        )
    frames = [d for d in known if isinstance(d, FrameDecoder)]
    usable = [d for d in frames if d.available().usable]
    if not usable:
        states = [d.available() for d in frames]
        raise DependencyError(
            f"no installed decoder reads the transfer syntax {syntax}",
            attribute="TransferSyntaxUID",
            fix=f"run: {next((s.install for s in states if s.install), install_command('codecs'))}",
        )
    return tuple(sorted(usable, key=lambda d: d.syntaxes[syntax]))


def batch_decoder_for(syntax: str, device: str) -> BatchDecoder | None:
    """The fastest usable decoder of a transfer syntax into the memory of `device` (a bare name); None without one."""
    usable = [
        d for d in decoders()
        if isinstance(d, BatchDecoder) and d.device == device and syntax in d.syntaxes and d.available().usable
    ]  # fmt: skip
    return min(usable, key=lambda d: d.syntaxes[syntax], default=None)


def decode_frame(data: bytes, frame: FrameDescription, *, only: FrameDecoder | None = None) -> NDArray[Any]:
    """Decode one compressed frame to stored values in main memory; colour becomes RGB.

    Parameters
    ----------
    data : bytes
        The codestream.
    frame : FrameDescription
        What the file says of it.
    only : FrameDecoder or None
        Use this decoder, none else (for comparisons).

    Raises
    ------
    DecodeError
        The codestream is not of the size that the file says, or every decoder failed; each reason is given.
    """
    stream = inspect_codestream(data, frame)
    reasons: list[str] = []
    for decoder in (only,) if only is not None else decoders_for(frame.syntax):
        if reasons and frame.syntax == RLE:
            verify_segment_lengths(data, frame)  # a decoder that others disagree with may leave voxels as they were
        try:
            values = np.asarray(decoder.decode(data, frame, stream))
            if values.shape == (*frame.shape, 1):
                values = values[..., 0]
            if values.shape != frame.shape:
                raise ValueError(f"gave shape {values.shape}, not {frame.shape}")
            return _stored(values, frame, stream)
        except GpukitError as error:
            reasons.append(f"{decoder.name}: {error.what}")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # whatever a codec library raises, a panic in Rust too: the next may do better
            reasons.append(
                f"{decoder.name}: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
            )
    raise DecodeError(
        f"the frame cannot be decoded ({'; '.join(reasons)})",
        attribute="PixelData",
        fix="the compressed data is damaged",
    )


def _stored(values: NDArray[Any], frame: FrameDescription, stream: Codestream) -> NDArray[Any]:
    """Codestream values in the type that the file states, sign and stored bits made right, colour as RGB."""
    if frame.bits_allocated == 1:
        return values.astype(np.uint8)
    if frame.samples == 3 and frame.photometric.startswith("YBR_") and not stream.colour_transform:
        values = ycbcr_to_rgb(values, frame.photometric, frame.bits_stored)
    target = frame.dtype
    if frame.floating:
        return values if values.dtype == target else values.astype(target)
    if (
        values.dtype == target
        and frame.bits_stored == frame.bits_allocated
        and not (frame.signed and stream.precision and stream.precision < frame.bits_stored and not stream.signed)
    ):
        return values
    if values.dtype.kind == "f":
        raise DecodeError("the codestream holds floating values")
    result: NDArray[Any] = values.astype(target, copy=True, casting="unsafe")  # keeps the bit pattern
    if frame.signed and stream.precision and not stream.signed and stream.precision < frame.bits_stored:
        lift = target.itemsize * 8 - stream.precision
        result <<= target.type(lift)
        result >>= target.type(lift)
    elif not frame.signed and stream.signed and stream.precision:
        result &= target.type((1 << min(stream.precision, frame.bits_stored)) - 1)
    if stream.high_aligned or not frame.signed or frame.high_bit == frame.bits_stored - 1:
        mask_in_place(result, frame)
    return result
