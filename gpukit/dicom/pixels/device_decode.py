"""Compressed frames decoded in batches into a device's own memory: what crosses is the compressed bytes, once.

While one batch is decoded, a thread reads the next one from its files. What a batch decoder does not take, and what it
cannot decode, goes to the CPU's decoders, which also tell what is wrong with a damaged frame. Stored values become
output values by the rules of `gpukit.dicom.pixels.decoders` and `gpukit.dicom.pixels.modality_rescale`, written here
over the Array API.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from array_api_compat import device as place_of

from gpukit.device import array_namespace, free_memory, move
from gpukit.dicom.pixels.decoders import BatchDecoder, Encoded, batch_decoder_for
from gpukit.dicom.pixels.frames import allocate, decode_into, read_encoded
from gpukit.dicom.pixels.image_pixel import FrameDescription, FrameRef, check_memory, describe
from gpukit.dicom.reader.headers import Progress
from gpukit.errors import DecodeError, FormatError, GpukitError, TooLargeError
from gpukit.prefetch import Ahead
from gpukit.transfers import count_crossing

__all__ = ["decode", "decode_batches", "decode_on", "decoder_on", "scaled", "stored"]

#: Of one batch, and bytes of its frames when decoded, at most (a single frame may be larger).
_FRAMES = 64
_BYTES = 256 << 20


def decode(
    frames: Sequence[FrameRef],
    shape: Sequence[int],
    kinds: Sequence[np.dtype[Any]],
    device: str,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """Frames as one array of the first type that holds their values: on the device where they can be decoded there.

    Parameters
    ----------
    frames, shape, progress
        As for `decode_on`.
    kinds : sequence of dtype
        Tried one after the other.
    device : str
        Full name.
    workers : int or None
        Threads of the CPU's decoders; None chooses.

    Returns
    -------
    array
        In the device's memory, or in main memory.

    Raises
    ------
    DecodeError, FormatError, TooLargeError
        As `gpukit.dicom.pixels.frames.decode_into`.
    """
    decoder = decoder_on(frames, device)
    for kind in kinds[:-1]:
        try:
            return _decode(frames, shape, kind, device, decoder, workers, progress)
        except DecodeError:  # the type does not hold the values, or a frame is damaged, which the next tells again
            continue
    return _decode(frames, shape, kinds[-1], device, decoder, workers, progress)


def _decode(
    frames: Sequence[FrameRef],
    shape: Sequence[int],
    kind: np.dtype[Any],
    device: str,
    decoder: BatchDecoder | None,
    workers: int | None,
    progress: Progress | None,
) -> Any:
    if decoder is not None:
        return decode_on(frames, shape, kind, device, decoder, progress=progress)
    out = allocate(frames, tuple(shape), kind)
    decode_into(frames, out, workers=workers, progress=progress)
    return out


def decoder_on(frames: Sequence[FrameRef], device: str) -> BatchDecoder | None:
    """The batch decoder for these frames on a device, by name; None where they are for the CPU's decoders.

    The first frame speaks for all, because a series is compressed alike: what differs is decoded one by one.
    """
    bare = device.partition(":")[0]
    if not frames or bare == "cpu":
        return None
    first = frames[0]
    found = batch_decoder_for(first.header.transfer_syntax, bare)
    if found is None or any(ref.header.transfer_syntax not in found.syntaxes for ref in frames):
        return None
    try:
        (one,) = read_encoded(first.header, [first.index])
    except GpukitError:
        return None  # the CPU's way tells what is wrong
    return None if _unfit(one.frame) or found.declines(one, device) else found


def decode_on(
    frames: Sequence[FrameRef],
    shape: Sequence[int],
    kind: np.dtype[Any],
    device: str,
    decoder: BatchDecoder,
    *,
    progress: Progress | None = None,
) -> Any:
    """Decode frames of one size into one array on a device, scaled.

    Parameters
    ----------
    frames : sequence of FrameRef
        ``frames[n]`` goes to ``out[n]``.
    shape : sequence of int
        ``[n, rows, columns]`` or ``[n, rows, columns, 3]``.
    kind : dtype
        Of the array; integers must hold every value exactly.
    device : str
        Full name.
    decoder : BatchDecoder
        From `decoder_on`.
    progress : callable or None
        Called as ``progress(done, total)``.

    Returns
    -------
    array
        Of the device's library.

    Raises
    ------
    DecodeError, FormatError, TooLargeError
        As `gpukit.dicom.pixels.frames.decode_into`.
    """
    size = kind.itemsize
    for extent in shape:
        size *= int(extent)
    free = free_memory(device)
    if free is not None and size > 0.9 * free:
        raise TooLargeError(
            f"the pixels need {size / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free on {device}",
            attribute="Rows, Columns, NumberOfFrames", fix="use the device cpu, or fewer files",
        )  # fmt: skip
    out: Any = None
    done = 0
    for numbers, values in decode_batches(frames, device, decoder, kind):
        for n, one in zip(numbers, values, strict=True):
            if isinstance(one, GpukitError):
                raise one
            if tuple(one.shape) != tuple(shape[1:]):
                raise FormatError(
                    f"a frame of shape {tuple(one.shape)} does not fit {tuple(shape[1:])}",
                    file=str(frames[n].header.location), attribute="Rows, Columns",
                )  # fmt: skip
            if out is None:
                xp = array_namespace(one)
                out = xp.empty(tuple(shape), dtype=one.dtype, device=place_of(one))
            out[n] = one
        done += len(numbers)
        if progress is not None:
            progress(done, len(frames))
    return out


def decode_batches(
    frames: Sequence[FrameRef], device: str, decoder: BatchDecoder, kind: np.dtype[Any] | Sequence[np.dtype[Any]]
) -> Iterator[tuple[list[int], list[Any]]]:
    """Batch after batch: the positions of its frames, and for each its scaled values on the device, or its error.

    Parameters
    ----------
    frames : sequence of FrameRef
        Of any sizes.
    device, decoder
        As for `decode_on`.
    kind : dtype, or one for each frame
        Of the values.
    """
    kinds = [kind] * len(frames) if isinstance(kind, np.dtype) else list(kind)
    crossed = 0
    with Ahead(_read(_batches(frames), frames), waiting="decoding") as batches:
        for numbers, read in batches:
            taken = [
                n for n, one in zip(numbers, read, strict=True)
                if isinstance(one, Encoded) and not _unfit(one.frame) and decoder.declines(one, device) is None
            ]  # fmt: skip
            encoded = dict(zip(numbers, read, strict=True))
            crossed += sum(len(encoded[n].data) for n in taken)
            arrays = dict(zip(taken, decoder.decode_batch([encoded[n] for n in taken], device), strict=True))
            yield numbers, [_finished(frames[n], encoded[n], arrays.get(n), kinds[n], device) for n in numbers]
    if crossed:
        count_crossing("cpu", device, crossed)


def _finished(ref: FrameRef, one: Any, array: Any, kind: np.dtype[Any], device: str) -> Any:
    """Output values of one frame on the device, or the error that tells why there are none."""
    if isinstance(one, GpukitError):
        return one
    try:
        if array is not None and not isinstance(array, BaseException):
            values = stored(array, one)
            if ref.region is not None:
                values = values[ref.region[0] : ref.region[1], ref.region[2] : ref.region[3]]
            return scaled(values, ref.slope, ref.intercept, kind, one.frame)
        shape = one.frame.shape
        if one.frame.photometric == "PALETTE COLOR":
            shape = (*shape, 3)
        if ref.region is not None:
            shape = (ref.region[1] - ref.region[0], ref.region[3] - ref.region[2], *shape[2:])
        host = np.empty((1, *shape), kind)
        decode_into([ref], host, workers=1)
        return move(host[0], device)
    except GpukitError as error:
        error.file = error.file or str(ref.header.location)
        return error


def _batches(frames: Sequence[FrameRef]) -> Iterator[list[int]]:
    """Positions of frames, cut into batches that fit together into memory."""
    batch: list[int] = []
    size = 0
    for n, ref in enumerate(frames):
        one = describe(ref.header).nbytes
        if batch and (len(batch) == _FRAMES or size + one > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(n)
        size += one
    if batch:
        yield batch


def _read(batches: Iterator[list[int]], frames: Sequence[FrameRef]) -> Iterator[tuple[list[int], list[Any]]]:
    """Batches with the compressed bytes of each frame, or the error in their place."""
    for numbers in batches:
        read: list[Any] = []
        at = 0
        while at < len(numbers):
            header = frames[numbers[at]].header
            end = at
            while end < len(numbers) and frames[numbers[end]].header is header:
                end += 1
            read += _read_file(header, [frames[n].index for n in numbers[at:end]])
            at = end
        yield numbers, read


def _read_file(header: Any, indices: list[int]) -> list[Any]:
    try:
        for one in dict.fromkeys(indices):
            check_memory(4 * describe(header).nbytes, file=str(header.location), what=f"frame {one + 1}")
        return list(read_encoded(header, indices))
    except GpukitError as error:
        if len(indices) == 1:
            return [error]
    return [read for index in indices for read in _read_file(header, [index])]


def _unfit(frame: FrameDescription) -> bool:
    """Frames whose stored bits lie in a way, or mean something, that `stored` does not know."""
    return (
        frame.floating
        or frame.bits_allocated not in (8, 16)
        or frame.high_bit != frame.bits_stored - 1
        or frame.photometric == "PALETTE COLOR"
        or (frame.samples == 3 and (frame.bits_stored != 8 or frame.signed))
    )


def stored(values: Any, one: Encoded) -> Any:
    """Values of a batch decoder with sign and stored bits corrected, as `pixels.decoders.decode_frame` does.

    Parameters
    ----------
    values : array of unsigned integers, ``[rows, columns]``, ``[rows, columns, 1]`` or ``[rows, columns, 3]``
        The codestream's.
    one : Encoded
        What it was.

    Returns
    -------
    array, ``[rows, columns]`` of int32 or ``[rows, columns, 3]`` of uint8

    Raises
    ------
    DecodeError
        The array is not of the frame's shape.
    """
    xp = array_namespace(values)
    frame = one.frame
    if tuple(values.shape) == (*frame.shape, 1):
        values = values[..., 0]
    if tuple(values.shape) != frame.shape:
        raise DecodeError(f"the decoder gave the shape {tuple(values.shape)}, not {frame.shape}", attribute="PixelData")
    if frame.samples == 3:
        return values
    wide = xp.astype(values, xp.int32)
    if not frame.signed:
        return xp.bitwise_and(wide, _like(wide, (1 << frame.bits_stored) - 1))
    bits = min(frame.bits_stored, one.stream.precision)
    sign = _like(wide, 1 << (bits - 1))
    return xp.bitwise_xor(xp.bitwise_and(wide, _like(wide, (1 << bits) - 1)), sign) - sign


def _like(array: Any, value: int) -> Any:
    xp = array_namespace(array)
    return xp.asarray(value, dtype=array.dtype, device=place_of(array))


def scaled(values: Any, slope: float, intercept: float, kind: np.dtype[Any], frame: FrameDescription) -> Any:
    """``slope * values + intercept`` as an array of another type, by the rules of `pixels.modality_rescale`.

    Raises
    ------
    DecodeError
        The result is not whole, or does not fit, in an integer type.
    """
    xp = array_namespace(values)
    target = getattr(xp, kind.name)
    if frame.samples == 3 and kind == np.uint8 and (slope, intercept) == (1, 0):
        return values
    if kind.kind == "f":
        if (slope, intercept) == (1, 0):
            return xp.astype(values, target)
        return xp.astype(xp.astype(values, xp.float64) * slope + intercept, target)
    info = np.iinfo(kind)
    if float(slope).is_integer() and float(intercept).is_integer():
        first, last = sorted(v * int(slope) + int(intercept) for v in frame.value_range)
        wide = xp.astype(values, xp.int64) * int(slope) + int(intercept)
        if first < info.min or last > info.max:  # only then is a look at the values needed
            first, last = int(xp.min(wide)), int(xp.max(wide))
        if first < info.min or last > info.max:
            raise DecodeError(
                f"rescaled values from {first} to {last} do not fit {kind}",
                attribute="RescaleSlope, RescaleIntercept", fix="read the series as float32",
            )  # fmt: skip
        return xp.astype(wide, target)
    exact = xp.astype(values, xp.float64) * slope + intercept
    whole = xp.round(exact)
    fits = bool(xp.all(whole == exact)) and float(xp.min(exact)) >= info.min and float(xp.max(exact)) <= info.max
    if not fits:
        raise DecodeError(
            f"rescaled values are not whole numbers of type {kind}",
            attribute="RescaleSlope, RescaleIntercept", fix="read the series as float32",
        )  # fmt: skip
    return xp.astype(whole, target)
