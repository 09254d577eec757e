"""A DICOM Segmentation of many frames, written frame by frame without ever being held.

The true object has a frame for each plane, of each segment that has voxels there. Their functional groups differ in two
numbers, the segment's (twice), which are written over. Pixels are made plane by plane as they are written: bits (PS3.5
8.1.1, PS3.3 C.8.20.2: of consecutive frames without gaps, lowest first), fractions, or label values, as they are or in
RLE.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gpukit.device import move
from gpukit.dicom.segmentation.seg_header import FrameGroups, Head
from gpukit.errors import InputError

__all__ = ["write_binary", "write_fractional", "write_labelmap"]

#: Largest value of a 32-bit length, less the room that padding needs.
_MOST_BYTES = 2**32 - 16
_PIXELS = (0x7FE0, 0x0010)
_FRAGMENT, _NO_LENGTH = (0xFFFE, 0xE000), 0xFFFFFFFF
_END_OF_FRAGMENTS = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


class Masks:
    """Voxels of segments, from a label map.

    Parameters
    ----------
    array : array of uint8 or uint16, ``[plane, row, column]``
        The label map.
    values : sequence of int
        The label value of each segment.
    """

    def __init__(self, array: NDArray[Any], values: Sequence[int]) -> None:
        self._array, self._values = array, values

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a plane."""
        return int(self._array.shape[-2]), int(self._array.shape[-1])

    def of(self, segment: int, plane: int, first: int, last: int) -> NDArray[np.bool_]:
        """Voxels of a segment, from 0, in the rows from `first` up to `last` of a plane."""
        return np.asarray(self._array[plane, first:last] == self._values[segment])


class OverlappingMasks(Masks):
    """Voxels of segments, from bit planes.

    Parameters
    ----------
    planes : array of uint8, ``[p, plane, row, column]``
        As in `gpukit.segmentation.Segmentation`.
    order_of : sequence of int
        The number there of each segment.
    """

    def __init__(self, planes: NDArray[np.uint8], order_of: Sequence[int]) -> None:
        super().__init__(planes, order_of)

    def of(self, segment: int, plane: int, first: int, last: int) -> NDArray[np.bool_]:
        """As `Masks.of`."""
        number = self._values[segment]
        return np.asarray((self._array[number // 8, plane, first:last] & (1 << number % 8)) != 0)

    def rows(self) -> NDArray[np.int32]:
        """First row with a voxel and the row behind the last one, ``[plane, segment, 2]``, and one pair of zeros."""
        planes, height = self._array.shape[1:3]
        found = np.zeros((planes, len(self._values) + 1, 2), np.int32)
        for segment in range(len(self._values)):
            for plane in range(planes):
                filled = np.flatnonzero(self.of(segment, plane, 0, height).any(axis=1))
                if filled.size:
                    found[plane, segment] = filled[0], filled[-1] + 1
        return found


def write_binary(
    head: Head,
    order: Sequence[int],
    groups: Sequence[FrameGroups],
    frames: Sequence[tuple[int, int]],
    masks: Masks,
    rows: NDArray[np.int32],
    target: BinaryIO,
) -> None:
    """Write an object of bit planes.

    Parameters
    ----------
    head : Head
        All but frames.
    order : sequence of int
        Planes that have frames, in the order in which the frames of a segment are to stand.
    groups : sequence of FrameGroups
        Functional groups of each of `order`.
    frames : sequence of (int, int)
        Each frame's segment, from 0, and place in `order`.
    masks : Masks
        The voxels of each segment.
    rows : array, ``[plane, segment, 2]``
        `gpukit.ops.label_rows.label_rows` of them.
    target : binary stream
        Written from its current position on; never read or rewound.

    Raises
    ------
    InputError
        The frames are more than one object can hold (4 GiB).
    """
    shape = masks.shape
    size = (len(frames) * shape[0] * shape[1] + 7) // 8
    _write_head(head, shape, frames, groups, size, target)
    _write_native(_packed(frames, order, masks, rows), size, b"OB", target)


def write_fractional(
    head: Head,
    order: Sequence[int],
    groups: Sequence[FrameGroups],
    frames: Sequence[tuple[int, int]],
    fractions: Any,
    order_of: Sequence[int],
    target: BinaryIO,
) -> None:
    """Write an object of probabilities; of each segment the planes are fetched and written before the next one's.

    Parameters
    ----------
    head, order, groups, frames, target
        As of `write_binary`.
    fractions : array of uint8 on any device, ``[label, plane, row, column]``
        Of 255.
    order_of : sequence of int
        The label of each segment.
    """
    shape = fractions.shape[2:]
    size = len(frames) * shape[0] * shape[1]
    _write_head(head, shape, frames, groups, size, target)

    def blocks() -> Iterator[memoryview]:
        held, planes = -1, np.empty(0)
        for segment, at in frames:
            if segment != held:
                held, planes = segment, np.asarray(move(fractions[order_of[segment], ...], "cpu"))
            yield np.ascontiguousarray(planes[order[at]]).reshape(-1).data

    _write_native(blocks(), size, b"OB", target)


def write_labelmap(
    head: Head,
    order: Sequence[int],
    groups: Sequence[FrameGroups],
    array: NDArray[Any],
    fragments: Sequence[bytes] | None,
    target: BinaryIO,
) -> None:
    """Write a label map object, which has one frame a plane.

    Parameters
    ----------
    head, order, groups, target
        As of `write_binary`.
    array : array of uint8 or uint16, ``[plane, row, column]``
        Label values.
    fragments : sequence of bytes or None
        Its planes in RLE Lossless, which are written with a basic offset table; None for label values as they are.
    """
    frames, shape = [(0, at) for at in range(len(order))], array.shape[1:]
    if fragments is None:
        size = len(frames) * shape[0] * shape[1] * array.itemsize
        _write_head(head, shape, frames, groups, size, target)
        little = array.dtype.newbyteorder("<")
        planes = (np.ascontiguousarray(array[plane], little).reshape(-1).view(np.uint8).data for plane in order)
        _write_native(planes, size, b"OB" if array.itemsize == 1 else b"OW", target)
        return
    sizes = [len(fragments[plane]) + 8 for plane in order]
    _write_head(head, shape, frames, groups, sum(sizes), target, compressed=True)
    target.write(struct.pack("<HH2sHI", *_PIXELS, b"OB", 0, _NO_LENGTH))
    offsets = np.cumsum([0, *sizes[:-1]]).astype("<u4").tobytes()
    for body in (offsets, *(fragments[plane] for plane in order)):
        target.write(struct.pack("<HHI", *_FRAGMENT, len(body)))
        target.write(body)
    target.write(_END_OF_FRAGMENTS)


def _write_head(
    head: Head,
    shape: tuple[int, ...],
    frames: Sequence[tuple[int, int]],
    groups: Sequence[FrameGroups],
    size: int,
    target: BinaryIO,
    *,
    compressed: bool = False,
) -> None:
    """All that comes before the pixels.

    Raises
    ------
    InputError
        Pixels or functional groups do not fit their 32-bit lengths.
    """
    described = sum(len(groups[at]) for _, at in frames)
    if max(size + size % 2, described) > _MOST_BYTES:
        raise InputError(
            f"{len(frames)} frames of {shape[0]} x {shape[1]} are more than one DICOM object can hold",
            fix="write a label map (--segmentation-type labelmap), or fewer labels",
        )
    head.write(target, shape, len(frames), described, compressed=compressed)
    for segment, at in frames:
        target.write(groups[at].of(segment + 1))


def _write_native(blocks: Iterable[bytes | memoryview], size: int, vr: bytes, target: BinaryIO) -> None:
    """Uncompressed pixels of `size` bytes, made even."""
    target.write(struct.pack("<HH2sHI", *_PIXELS, vr, 0, size + size % 2))
    for block in blocks:
        target.write(block)
    target.write(b"\0" * (size % 2))


def _packed(
    frames: Sequence[tuple[int, int]],
    order: Sequence[int],
    masks: Masks,
    rows: NDArray[np.int32],
) -> Iterator[bytes | memoryview]:
    """Bits of all frames in turn. Frames that do not fill whole bytes are packed eight at a time, which do."""
    height, width = masks.shape
    if width % 8 == 0:  # whole bytes a row: only the rows that the segment reaches are looked at
        empty, step = memoryview(bytes(height * width // 8)), width // 8
        for segment, at in frames:
            first, last = rows[order[at], segment].tolist()
            yield empty[: first * step]
            bits = masks.of(segment, order[at], first, last)
            yield np.packbits(bits.reshape(-1), bitorder="little").data
            yield empty[last * step :]
        return
    size = height * width
    together = 1 if size % 8 == 0 else 8
    bits = np.empty((together, size), bool)
    for start in range(0, len(frames), together):
        some = frames[start : start + together]
        for k, (segment, at) in enumerate(some):
            bits[k] = masks.of(segment, order[at], 0, height).reshape(-1)
        yield np.packbits(bits[: len(some)].reshape(-1), bitorder="little").tobytes()
