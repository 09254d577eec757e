"""Frames whose bytes are the array, all but a shift: read by many files at once, without a look at each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from gpukit.dicom.pixels.image_pixel import NATIVE, FrameDescription, FrameRef, describe
from gpukit.dicom.pixels.modality_rescale import shift_in_place
from gpukit.dicom.pixels.native import are_words, frame_span, is_direct, mask_in_place, swap_in_place, verify_native
from gpukit.dicom.reader.elements import BIG_ENDIAN
from gpukit.errors import GpukitError
from gpukit.ops.read_rows import read_rows

__all__ = ["finish", "is_as_stored", "read_straight"]

_ENDLESS = 2**62


def is_as_stored(ref: FrameRef, description: FrameDescription, out: NDArray[Any]) -> bool:
    """Whether the frame's bytes, swapped, masked and shifted in place where need be, are the array `out`."""
    d = description
    return (
        d.syntax in NATIVE
        and ref.region is None
        and is_direct(d)
        and d.photometric != "PALETTE COLOR"
        and d.shape == out.shape
        and d.dtype.itemsize == out.dtype.itemsize
        and d.floating == (out.dtype.kind == "f")
        and not are_words(ref.header, d)
        and 0 <= ref.index < d.frames
        and ref.slope == 1
        and float(ref.intercept).is_integer()
        and not (d.floating and ref.intercept != 0)
    )


def finish(ref: FrameRef, description: FrameDescription, out: NDArray[Any]) -> None:
    """Make output values of the bytes of a frame for which `is_as_stored` holds.

    Raises
    ------
    DecodeError
        As `gpukit.dicom.pixels.modality_rescale.shift_in_place`.
    """
    stored = out.view(description.dtype)
    swap_in_place(stored, description)
    mask_in_place(stored, description)
    if not description.floating:
        shift_in_place(stored, int(ref.intercept), out, description.value_range)


def read_straight(task: list[int], frames: Sequence[FrameRef], out: NDArray[Any]) -> list[int]:
    """Fill ``out[n]`` for those n of a task where that takes no more than reading; give back the others.

    Frames of files that cannot be read so are among the others: read one by one, they tell what is wrong.
    """
    if not out.flags.c_contiguous:
        return task
    rows: list[int] = []
    paths: list[str] = []
    offsets: list[int] = []
    unfinished: list[int] = []
    others: list[int] = []
    verdicts: dict[tuple[Any, ...], tuple[bool, bool]] = {}  # the files of a series are alike: one look is enough
    for n in task:
        ref = frames[n]
        header, span = ref.header, ref.header.pixels
        if ref.region is None and span is not None and header.location.member is None:
            description = describe(header)
            key = (description, ref.slope, ref.intercept, span.length, span.vr, span.deflated_from)
            if key not in verdicts:
                verdicts[key] = _judge(ref, description, out[n])
            fits, as_it_is = verdicts[key]
            if fits and 0 <= ref.index < description.frames:
                rows.append(n)
                paths.append(header.location.path)
                offsets.append(frame_span(header, description, ref.index)[0] if ref.index else span.offset)
                if not as_it_is:
                    unfinished.append(n)
                continue
        others.append(n)
    failed = set(read_rows(out, rows, paths, offsets)) if rows else set()
    for n in unfinished:
        if n not in failed:
            _finish_named(frames[n], out[n])
    return [n for n in task if n in failed or n in others] if failed else others


def _judge(ref: FrameRef, description: FrameDescription, out: NDArray[Any]) -> tuple[bool, bool]:
    """Whether frames like this one are to be read straight, and whether nothing is to be done to them after."""
    header, span = ref.header, ref.header.pixels
    if span is None or span.deflated_from is not None or span.length is None:
        return False, False
    first = FrameRef(header, 0, ref.slope, ref.intercept)
    if not is_as_stored(first, description, out):
        return False, False
    try:
        verify_native(header, description, _ENDLESS)  # whether the file is as long, reading it tells
    except GpukitError:
        return False, False
    d = description
    whole = d.bits_stored == d.bits_allocated and (d.syntax != BIG_ENDIAN or d.bits_allocated == 8)
    as_it_is = whole and sys.byteorder == "little" and ref.intercept == 0 and d.dtype == out.dtype
    return True, as_it_is


def _finish_named(ref: FrameRef, out: NDArray[Any]) -> None:
    try:
        finish(ref, describe(ref.header), out)
    except GpukitError as error:
        if error.file is None:
            error.file = str(ref.header.location)
        raise
