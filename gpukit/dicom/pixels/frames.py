"""Frames of DICOM files, decoded in parallel straight into one preallocated array."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.buffers import empty
from gpukit.dicom.pixels.byte_source import Content
from gpukit.dicom.pixels.codestream import JPEG_LS, JPEG_LS_NEAR, inspect_codestream
from gpukit.dicom.pixels.color_space import palette_to_rgb, ycbcr_to_rgb
from gpukit.dicom.pixels.decoders import Encoded, decode_frame
from gpukit.dicom.pixels.direct_read import finish, is_as_stored, read_straight
from gpukit.dicom.pixels.encapsulated import frame_table, verify_encapsulated
from gpukit.dicom.pixels.image_pixel import NATIVE, FrameDescription, FrameRef, check_memory, describe
from gpukit.dicom.pixels.modality_rescale import scale_into
from gpukit.dicom.pixels.native import are_words, frame_span, native_frame, verify_native
from gpukit.dicom.reader.headers import Header, Progress, times_blocked
from gpukit.errors import FormatError, GpukitError

__all__ = ["FrameRef", "allocate", "decode_into", "frame_format", "read_encoded", "read_frame", "verify"]

_BATCH = 16  # single-frame files a task, at most
_LIGHT = 256 << 10  # bytes of a frame; measured: two threads take four times as long for frames of 80 KiB


def decode_into(
    frames: Sequence[FrameRef],
    out: NDArray[Any],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Decode frames into ``out[n]``, scaled.

    Parameters
    ----------
    frames : sequence of FrameRef
        ``frames[n]`` goes to ``out[n]``.
    out : ndarray, ``[n, rows, columns]`` or ``[n, rows, columns, 3]``
        Integer: scaling is exact and must give whole numbers within the type. Floating: computed in float64, rounded
        once. Colour comes as RGB, whatever the file's photometric interpretation.
    workers : int or None
        Threads; None chooses.
    progress : callable or None
        Called as ``progress(done, total)``.

    Raises
    ------
    DecodeError
        No decoder can read a frame.
    FormatError
        The file holds fewer bytes than its header needs.
    TooLargeError
        The header claims more pixels than its bytes can hold.
    """
    if len(frames) != len(out):
        raise ValueError(f"{len(frames)} frames do not fill an array of {len(out)}")
    tasks = _tasks(frames)
    threads = min(len(tasks), workers or max(2, os.cpu_count() or 1))
    done = 0
    alone = threads <= 1 or (workers is None and _are_light(frames))
    while tasks and alone:
        task = tasks.pop(0)
        before = times_blocked()
        _run(task, frames, out)
        done += len(task)
        if progress is not None:
            progress(done, len(frames))
        # Files on a slow disk or far away are worth threads, which wait together.
        alone = threads <= 1 or (before is not None and (times_blocked() or 0) - before <= len(task) // 2)
    if not tasks:
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="gpukit-decode") as pool:
        pending = {pool.submit(_run, task, frames, out): len(task) for task in tasks}
        try:
            waiting = set(pending)
            while waiting:
                finished, waiting = wait(
                    waiting, return_when=FIRST_EXCEPTION if progress is None else "FIRST_COMPLETED"
                )
                for future in finished:
                    future.result()
                    done += pending[future]
                if progress is not None:
                    progress(done, len(frames))
        except BaseException:  # also Ctrl-C: what has not begun must not run
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def read_frame(header: Header, index: int) -> NDArray[Any]:
    """Values of one frame as stored, no rescale.

    Returns
    -------
    ndarray
        ``[rows, columns]``, or ``[rows, columns, 3]`` RGB for colour and palettes; see `frame_format` for its type.
        MONOCHROME1 is left as it is.

    Raises
    ------
    DecodeError, FormatError, TooLargeError
        As `decode_into`.
    """
    with _blaming(header), Content(header) as content:
        return _Reader(header, content).frame(index)


def read_encoded(header: Header, indices: Sequence[int]) -> list[Encoded]:
    """Compressed frames of one file with what they and the header say of them, which agrees; nothing is decoded.

    Raises
    ------
    DecodeError, FormatError, TooLargeError
        As `decode_into`.
    """
    found = []
    with _blaming(header), Content(header) as content:
        reader = _Reader(header, content)
        d = reader.description
        for index in indices:
            reader.check(index)
            data = reader.encoded(index)
            found.append(Encoded(data, d, inspect_codestream(data, d)))
    return found


def frame_format(header: Header) -> tuple[tuple[int, ...], np.dtype[Any], tuple[float, float]]:
    """Shape and type that `read_frame` gives, and the lowest and highest value that the stored bits can hold.

    Shape is ``(rows, columns)``, or ``(rows, columns, 3)`` for colour, palettes included (these give uint8). The range
    is that of BitsStored, so a caller can choose an output type that holds every rescaled value; infinite for floats.

    Raises
    ------
    FormatError
        The header describes no possible image.
    """
    description = describe(header)
    if description.photometric == "PALETTE COLOR":
        return (*description.shape, 3), np.dtype(np.uint8), (0, 255)
    limits = (float("-inf"), float("inf")) if description.floating else description.value_range
    return description.shape, description.dtype, limits


def verify(header: Header) -> None:
    """Check, without decoding, that the file's bytes can hold the pixels that its header claims.

    Raises
    ------
    FormatError
        The pixels are truncated or their description is impossible.
    TooLargeError
        The header claims far more than its compressed bytes can hold.
    """
    with _blaming(header), Content(header) as content:
        _Reader(header, content)


def allocate(frames: Sequence[FrameRef], shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An uninitialised array for `decode_into`, after a check that files back their claims and that memory is there.

    Raises
    ------
    FormatError, TooLargeError
        As `verify`; or the array does not fit in the free memory.
    """
    for header in {id(f.header): f.header for f in frames}.values():
        description = describe(header)
        if description.nbytes * description.frames > _VERIFY_FROM:  # below that the decoder's own check is early enough
            verify(header)
    nbytes = np.dtype(dtype).itemsize
    for size in shape:
        nbytes *= int(size)
    check_memory(nbytes, file=str(frames[0].header.location) if frames else None)
    return empty(shape, dtype)


_VERIFY_FROM = 64 << 20


class _blaming:  # noqa: N801 - reads as a word in a with statement
    """Put the file's name into errors that were raised without."""

    def __init__(self, header: Header) -> None:
        self._header = header

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GpukitError) and error.file is None:
            error.file = str(self._header.location)


class _Reader:
    """Frames of one open file; checks on creation that the bytes back the header's claim."""

    def __init__(self, header: Header, content: Content) -> None:
        self.header = header
        self.content = content
        self.description: FrameDescription = describe(header)
        self.native = header.transfer_syntax in NATIVE
        if self.native:
            verify_native(header, self.description, content.size)
        else:
            self.table = frame_table(header, self.description, content)
            verify_encapsulated(header, self.description, self.table)

    def frame(self, index: int) -> NDArray[Any]:
        """Stored values of a frame, colour as RGB."""
        d = self.description
        self.check(index)
        if self.native:
            offset, length, skip = frame_span(self.header, d, index)
            words = are_words(self.header, d)
            raw = self._swapped(offset, length) if words else bytearray(length)
            if not words:
                self.content.read_into(offset, memoryview(raw))
            values = native_frame(raw, d, skip)
            if d.samples == 3 and d.photometric.startswith("YBR_"):
                values = ycbcr_to_rgb(values, d.photometric, d.bits_stored)
        else:
            values = decode_frame(self.encoded(index), d)
        if d.photometric == "PALETTE COLOR":
            values = palette_to_rgb(values, self.header)
        return values

    def check(self, index: int) -> None:
        """Whether there is such a frame, and room for it."""
        d = self.description
        if not 0 <= index < d.frames:
            raise FormatError(f"there is no frame {index + 1} of {d.frames}", attribute="NumberOfFrames")
        check_memory(4 * d.nbytes, what="a frame") if d.nbytes > _VERIFY_FROM else None

    def encoded(self, index: int) -> bytes:
        """The codestream of a compressed frame."""
        data = b"".join(self.content.read(offset, length) for offset, length in self.table[index])
        if self.description.syntax in (JPEG_LS, JPEG_LS_NEAR) and data.endswith(b"\xff"):
            # A length rounded down to be even leaves out the second byte of the end marker, after all of the image.
            # Decoders of JPEG-LS notice when anything else is missing.
            data += b"\xd9"
        return data

    def _swapped(self, offset: int, length: int) -> bytearray:
        """Bytes of a frame of 8-bit values whose 16-bit words lie in big-endian order (PS3.5 A.3 with 7.3)."""
        assert self.header.pixels is not None
        lead = (offset - self.header.pixels.offset) & 1
        whole = lead + length + ((lead + length) & 1)
        raw = bytearray(self.content.read(offset - lead, whole).ljust(whole, b"\0"))
        raw[0::2], raw[1::2] = raw[1::2], raw[0::2]
        return raw[lead : lead + length]

    def directly(self, ref: FrameRef, out: NDArray[Any]) -> bool:
        """Read a frame's bytes into `out` itself where they are that array; False where they are not."""
        d = self.description
        if not is_as_stored(ref, d, out) or not out.flags.c_contiguous:
            return False
        offset, _, _ = frame_span(self.header, d, ref.index)
        self.content.read_array(offset, out)
        finish(ref, d, out)
        return True


def _tasks(frames: Sequence[FrameRef]) -> list[list[int]]:
    """Positions of frames, cut into pieces of work: few files together, and a long file in several pieces."""
    by_file: dict[int, list[int]] = {}
    for n, ref in enumerate(frames):
        by_file.setdefault(id(ref.header), []).append(n)
    tasks: list[list[int]] = []
    gathered: list[int] = []
    share = -(-len(frames) // (8 * (os.cpu_count() or 1)))  # small enough that no thread is left with a long rest
    batch, piece = min(_BATCH, share), max(4, share)
    for numbers in by_file.values():
        header = frames[numbers[0]].header
        numbers.sort(key=lambda n: frames[n].index)  # tiles of one mosaic come together
        expanded = header.location.member is not None or (header.pixels and header.pixels.deflated_from is not None)
        if len(numbers) == 1:
            gathered += numbers
            if len(gathered) == batch:
                tasks.append(gathered)
                gathered = []
        elif expanded or any(frames[n].region for n in numbers):
            tasks.append(numbers)
        else:
            tasks += [numbers[a : a + piece] for a in range(0, len(numbers), piece)]
    return [*tasks, gathered] if gathered else tasks


def _are_light(frames: Sequence[FrameRef]) -> bool:
    """Whether frames are so small and plain that threads would wait for Python's lock longer than they work."""
    for header in {id(ref.header): ref.header for ref in frames}.values():
        if header.transfer_syntax not in NATIVE or describe(header).nbytes > _LIGHT:
            return False
    return True


def _run(task: list[int], frames: Sequence[FrameRef], out: NDArray[Any]) -> None:
    """Decode the frames of one task."""
    task = read_straight(task, frames, out)
    at = 0
    while at < len(task):
        header = frames[task[at]].header
        end = at
        while end < len(task) and frames[task[end]].header is header:
            end += 1
        with _blaming(header), Content(header) as content:
            reader = _Reader(header, content)
            last: tuple[int, NDArray[Any]] | None = None
            for n in task[at:end]:
                ref, target = frames[n], out[n]
                if reader.directly(ref, target):
                    continue
                if last is None or last[0] != ref.index:
                    last = (ref.index, reader.frame(ref.index))
                values = last[1]
                if ref.region is not None:
                    values = values[ref.region[0] : ref.region[1], ref.region[2] : ref.region[3]]
                if values.shape != target.shape:
                    raise FormatError(
                        f"a frame of shape {values.shape} does not fit {target.shape}", attribute="Rows, Columns"
                    )
                scale_into(values, ref.slope, ref.intercept, target, reader.description)
        at = end
