"""A DICOM Segmentation of many frames, written frame by frame without ever being held.

highdicom makes the object, but of one pixel a plane and, where every segment has frames of its own, for the first one
only: all that describes patient, study, geometry, segments and references is its work and `gpukit.dicom.seg`'s. What
the true object has more of is frames, one for each plane of each segment that has voxels there. Their functional groups
differ from those of the one-pixel object in two numbers, the segment's (twice), so the encoded item of the plane is
taken and these are written over. Pixels are made plane by plane as they are written: bits (PS3.5 8.1.1, PS3.3
C.8.20.2: of consecutive frames without gaps, lowest first), fractions, or label values, as they are or in RLE.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.explicit import encode_item
from gpukit.dicom.rle import encode_frame
from gpukit.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_binary", "write_fractional", "write_labelmap"]

#: Largest value of a 32-bit length, less the room that padding needs.
_MOST_BYTES = 2**32 - 16
_PER_FRAME, _PIXELS = (0x5200, 0x9230), (0x7FE0, 0x0010)
_FRAGMENT, _NO_LENGTH = (0xFFFE, 0xE000), 0xFFFFFFFF
_END_OF_FRAGMENTS = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
#: Headers of the two elements that are written over: (0020,9157) UL of two values, (0062,000B) US of one.
_INDEX = struct.pack("<HH2sH", 0x0020, 0x9157, b"UL", 8)
_SEGMENT = struct.pack("<HH2sH", 0x0062, 0x000B, b"US", 2)


def write_binary(
    template: Dataset, plane_of_frame: Sequence[int], numbers: NDArray[Any], segments: int, target: BinaryIO
) -> None:
    """Write the binary object of which `template` is the one-pixel likeness.

    Parameters
    ----------
    template : Dataset
        Explicit VR little endian, with one frame of segment 1 for each plane that has a voxel of any segment, in the
        order in which the frames of a segment are to stand.
    plane_of_frame : sequence of int
        Index in `numbers` of the plane of each of the template's frames.
    numbers : array of unsigned integers, ``[plane, row, column]``
        Segment numbers; 0 is background.
    segments : int
        How many segments there are; they are numbered from 1.
    target : binary stream
        Written from its current position on; never read or rewound.

    Raises
    ------
    InputError
        The frames are more than one object can hold (4 GiB).
    """
    items = [_Item(group) for group in template.PerFrameFunctionalGroupsSequence]
    rows = [_rows_of(numbers[plane], segments) for plane in plane_of_frame]
    there = np.array([last > 0 for _, last in rows])
    frames = [(segment, n) for segment in range(1, segments + 1) for n in np.flatnonzero(there[:, segment]).tolist()]
    shape = numbers.shape[1:]
    size = (len(frames) * shape[0] * shape[1] + 7) // 8
    _check_size(size, frames, items, shape)
    _write_head(template, shape, frames, items, target)
    _write_native(_packed(frames, plane_of_frame, numbers, rows), size, b"OB", target)


def write_fractional(
    template: Dataset, plane_of_frame: Sequence[int], fractions: NDArray[np.uint8], target: BinaryIO
) -> None:
    """Write the fractional object of which `template` is the one-pixel likeness; see `write_binary`.

    Parameters
    ----------
    template, plane_of_frame, target
        As there.
    fractions : array of uint8, ``[segment, plane, row, column]``
        Of 255; planes of a segment without any are left out.
    """
    items = [_Item(group) for group in template.PerFrameFunctionalGroupsSequence]
    frames = [
        (segment, n)
        for segment, planes in enumerate(fractions, 1)
        for n, plane in enumerate(plane_of_frame)
        if planes[plane].any()
    ]
    shape = fractions.shape[2:]
    size = len(frames) * shape[0] * shape[1]
    _check_size(size, frames, items, shape)
    _write_head(template, shape, frames, items, target)
    blocks = (np.ascontiguousarray(fractions[segment - 1, plane_of_frame[n]]).tobytes() for segment, n in frames)
    _write_native(blocks, size, b"OB", target)


def write_labelmap(
    template: Dataset, plane_of_frame: Sequence[int], values: NDArray[Any], target: BinaryIO, *, compress: bool
) -> None:
    """Write the label map object of which `template` is the one-pixel likeness; see `write_binary`.

    Parameters
    ----------
    template, plane_of_frame, target
        As there; a label map has one frame a plane, of no segment.
    values : array of uint8 or uint16, ``[plane, row, column]``
        Label values.
    compress : bool
        RLE Lossless, with a basic offset table. The compressed frames are held in memory until all are known.
    """
    items = [_Item(group) for group in template.PerFrameFunctionalGroupsSequence]
    frames = [(0, n) for n in range(len(items))]
    shape = values.shape[1:]
    if not compress:
        size = len(frames) * shape[0] * shape[1] * values.itemsize
        _check_size(size, frames, items, shape)
        _write_head(template, shape, frames, items, target)
        little = values.dtype.newbyteorder("<")
        blocks = (np.ascontiguousarray(values[plane], little).tobytes() for plane in plane_of_frame)
        _write_native(blocks, size, b"OB" if values.itemsize == 1 else b"OW", target)
        return
    fragments = [encode_frame(values[plane]) for plane in plane_of_frame]
    _check_size(sum(len(f) + 8 for f in fragments), frames, items, shape)
    _write_head(template, shape, frames, items, target, compressed=True)
    target.write(struct.pack("<HH2sHI", *_PIXELS, b"OB", 0, _NO_LENGTH))
    offsets = np.cumsum([0, *(len(f) + 8 for f in fragments[:-1])]).astype("<u4").tobytes()
    for body in (offsets, *fragments):
        target.write(struct.pack("<HHI", *_FRAGMENT, len(body)))
        target.write(body)
    target.write(_END_OF_FRAGMENTS)


def _check_size(size: int, frames: Sequence[tuple[int, int]], items: Sequence[_Item], shape: tuple[int, ...]) -> None:
    """InputError where pixels or functional groups do not fit their 32-bit lengths."""
    if max(size + size % 2, sum(len(items[n]) for _, n in frames)) > _MOST_BYTES:
        raise InputError(
            f"{len(frames)} frames of {shape[0]} x {shape[1]} are more than one DICOM object can hold",
            fix="write a label map (--segmentation-type labelmap), or fewer labels",
        )


def _write_head(
    template: Dataset,
    shape: tuple[int, ...],
    frames: Sequence[tuple[int, int]],
    items: Sequence[_Item],
    target: BinaryIO,
    *,
    compressed: bool = False,
) -> None:
    """All that comes before the pixels; the template is left as it was."""
    from pydicom.uid import RLELossless

    groups, pixels = template.PerFrameFunctionalGroupsSequence, template.PixelData
    usual = template.file_meta.TransferSyntaxUID
    try:
        del template.PerFrameFunctionalGroupsSequence, template.PixelData
        template.file_meta.TransferSyntaxUID = RLELossless if compressed else usual
        template.Rows, template.Columns, template.NumberOfFrames = *shape, len(frames)
        template.save_as(target, enforce_file_format=True)
    finally:
        template.PerFrameFunctionalGroupsSequence, template.PixelData = groups, pixels
        template.file_meta.TransferSyntaxUID = usual
    described = sum(len(items[n]) for _, n in frames)
    target.write(struct.pack("<HH2sHI", *_PER_FRAME, b"SQ", 0, described))
    for segment, n in frames:
        target.write(items[n].of(segment))


def _write_native(blocks: Iterable[bytes | memoryview], size: int, vr: bytes, target: BinaryIO) -> None:
    """Uncompressed pixels of `size` bytes, made even."""
    target.write(struct.pack("<HH2sHI", *_PIXELS, vr, 0, size + size % 2))
    for block in blocks:
        target.write(block)
    target.write(b"\0" * (size % 2))


class _Item:
    """The encoded functional groups of a frame, and where the segment's number stands in them."""

    def __init__(self, group: Dataset) -> None:
        self._bytes = bytearray(encode_item(group))
        # A label map's frames are of no segment, and have one index.
        self._index = self._find(_INDEX) if _INDEX in self._bytes else None
        # An object of one segment names it once for all frames, not here.
        self._segment = self._find(_SEGMENT) if "SegmentIdentificationSequence" in group else None

    def _find(self, header: bytes) -> int:
        at = self._bytes.find(header)
        if at < 0 or self._bytes.find(header, at + 1) >= 0:
            raise RuntimeError("the functional groups of a frame are not as expected: one segment number, two indices")
        return at + len(header)

    def __len__(self) -> int:
        return len(self._bytes)

    def of(self, segment: int) -> bytearray:
        """The same groups for another segment; valid until the next call."""
        if self._index is not None:
            struct.pack_into("<I", self._bytes, self._index, segment)
        if self._segment is not None:
            struct.pack_into("<H", self._bytes, self._segment, segment)
        return self._bytes


def _rows_of(plane: NDArray[Any], segments: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First row of each segment in a plane, and the row after its last: 0 and 0 where it is not there.

    Looked at are only the pixels where the number changes, which are few.
    """
    flat = plane.reshape(-1)
    start = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    end = np.concatenate((start[1:], [flat.size])) - 1
    number = flat[start].astype(np.intp)
    first, last = np.zeros(segments + 1, np.intp), np.zeros(segments + 1, np.intp)
    first[number[::-1]] = start[::-1] // plane.shape[1]  # of equal indices the one written last stays
    last[number] = end // plane.shape[1] + 1
    last[0] = 0
    return first, last


def _packed(
    frames: Sequence[tuple[int, int]],
    plane_of_frame: Sequence[int],
    numbers: NDArray[Any],
    rows: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> Iterator[bytes | memoryview]:
    """Bits of all frames in turn. Frames that do not fill whole bytes are packed eight at a time, which do."""
    height, width = numbers.shape[1:]
    if width % 8 == 0:  # whole bytes a row: only the rows that the segment reaches are looked at
        empty, step = memoryview(bytes(height * width // 8)), width // 8
        for segment, n in frames:
            first, last = int(rows[n][0][segment]), int(rows[n][1][segment])
            yield empty[: first * step]
            bits = numbers[plane_of_frame[n], first:last] == segment
            yield np.packbits(bits.reshape(-1), bitorder="little").data
            yield empty[last * step :]
        return
    size = height * width
    together = 1 if size % 8 == 0 else 8
    bits = np.empty((together, size), bool)
    for start in range(0, len(frames), together):
        some = frames[start : start + together]
        for k, (segment, n) in enumerate(some):
            np.equal(numbers[plane_of_frame[n]].reshape(-1), segment, out=bits[k])
        yield np.packbits(bits[: len(some)].reshape(-1), bitorder="little").tobytes()
