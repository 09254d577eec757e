"""A binary DICOM Segmentation of many segments, written frame by frame without ever being held.

highdicom makes the object, but for one segment of one pixel a plane: all that describes patient, study, geometry,
segments and references is its work and `gpukit.dicom.seg`'s. What the true object has more of is frames, one for each
plane of each segment that has voxels there. Their functional groups differ from those of the one-pixel object in two
numbers, the segment's (twice), so the encoded item of the plane is taken and these are written over. Pixels are packed
plane by plane as they are written (PS3.5 8.1.1, PS3.3 C.8.20.2: bits of consecutive frames without gaps, lowest first).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_binary"]

#: Largest value of a 32-bit length, less the room that padding needs.
_MOST_BYTES = 2**32 - 16
_PER_FRAME, _PIXELS = (0x5200, 0x9230), (0x7FE0, 0x0010)
#: Headers of the two elements that are written over: (0020,9157) UL of two values, (0062,000B) US of one.
_INDEX = struct.pack("<HH2sH", 0x0020, 0x9157, b"UL", 8)
_SEGMENT = struct.pack("<HH2sH", 0x0062, 0x000B, b"US", 2)


def write_binary(
    template: Dataset, plane_of_frame: Sequence[int], numbers: NDArray[Any], segments: int, target: BinaryIO
) -> None:
    """Write the object of which `template` is the one-pixel likeness.

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
    there = np.zeros((len(items), segments + 1), bool)
    for n, plane in enumerate(plane_of_frame):
        there[n] = np.bincount(numbers[plane].reshape(-1), minlength=segments + 1) > 0
    frames = [(segment, n) for segment in range(1, segments + 1) for n in np.flatnonzero(there[:, segment]).tolist()]

    rows, columns = numbers.shape[1:]
    size = (len(frames) * rows * columns + 7) // 8
    padded = size + size % 2
    described = sum(len(items[n]) for _, n in frames)
    if max(padded, described) > _MOST_BYTES:
        raise InputError(
            f"{len(frames)} frames of {rows} x {columns} are more than one DICOM object can hold",
            fix="write a label map (--segmentation-type labelmap), or fewer labels",
        )
    groups = template.PerFrameFunctionalGroupsSequence
    pixels = template.PixelData
    try:
        del template.PerFrameFunctionalGroupsSequence, template.PixelData
        template.Rows, template.Columns, template.NumberOfFrames = rows, columns, len(frames)
        template.save_as(target, enforce_file_format=True)
    finally:
        template.PerFrameFunctionalGroupsSequence, template.PixelData = groups, pixels
    target.write(struct.pack("<HH2sHI", *_PER_FRAME, b"SQ", 0, described))
    for segment, n in frames:
        target.write(items[n].of(segment))
    target.write(struct.pack("<HH2sHI", *_PIXELS, b"OB", 0, padded))
    for block in _packed(frames, plane_of_frame, numbers):
        target.write(block)
    target.write(b"\0" * (padded - size))


class _Item:
    """The encoded functional groups of a frame, and where the segment's number stands in them."""

    def __init__(self, group: Dataset) -> None:
        from pydicom.filebase import DicomBytesIO
        from pydicom.filewriter import write_dataset

        stream = DicomBytesIO()
        stream.is_little_endian, stream.is_implicit_VR = True, False
        write_dataset(stream, group)
        body = stream.getvalue()
        self._bytes = bytearray(struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body)
        self._index = self._find(_INDEX)
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
        struct.pack_into("<I", self._bytes, self._index, segment)
        if self._segment is not None:
            struct.pack_into("<H", self._bytes, self._segment, segment)
        return self._bytes


def _packed(frames: Sequence[tuple[int, int]], plane_of_frame: Sequence[int], numbers: NDArray[Any]) -> Iterator[bytes]:
    """Bits of all frames in turn. Frames that do not fill whole bytes are packed eight at a time, which do."""
    size = numbers.shape[1] * numbers.shape[2]
    together = 1 if size % 8 == 0 else 8
    bits = np.empty((together, size), bool)
    for start in range(0, len(frames), together):
        some = frames[start : start + together]
        for n, (segment, frame) in enumerate(some):
            np.equal(numbers[plane_of_frame[frame]].reshape(-1), segment, out=bits[n])
        yield np.packbits(bits[: len(some)].reshape(-1), bitorder="little").tobytes()
