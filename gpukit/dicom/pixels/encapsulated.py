"""Compressed pixels: which bytes of the file belong to which frame (PS3.5 section A.4)."""

from __future__ import annotations

import struct
from itertools import pairwise

from gpukit.dicom.pixels.byte_source import Content
from gpukit.dicom.pixels.image_pixel import FrameDescription
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, TooLargeError

__all__ = ["FrameSpans", "frame_table", "verify_encapsulated"]

#: (offset, length) of each fragment of one frame.
FrameSpans = list[tuple[int, int]]

#: How codestreams begin: JPEG and JPEG-LS, JPEG 2000, JP2, JPEG XL bare and boxed. Tells frames apart where there is no
#: offset table and frames have several fragments.
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP", b"\xff\x0a", b"\x00\x00\x00\x0cJXL")

#: Decoded bytes that a frame may have whatever its compressed size, and the ratio allowed beyond. A blank image of
#: 512 x 512 shrinks some 3000:1 in JPEG 2000.
_FREE_BYTES = 64 << 20
_MAX_RATIO = 6000


def frame_table(header: Header, description: FrameDescription, content: Content) -> list[FrameSpans]:
    """Fragments of every frame.

    A fragment each where there are as many as frames; else by the basic offset table where that is consistent; else by
    the markers at which codestreams begin.

    Raises
    ------
    FormatError
        The items are damaged, or are fewer than the frames.
    """
    kept: list[FrameSpans] | None = header._cache.get("frame_table")
    if kept is not None:
        return kept
    file = str(header.location)
    table, fragments = _walk(header, content)
    frames = description.frames
    if not fragments:
        raise FormatError("there is no compressed frame", file=file, attribute="PixelData")
    if frames == 1:
        result = [fragments]
    elif len(fragments) == frames:
        result = [[f] for f in fragments]
    elif len(fragments) < frames:
        raise FormatError(
            f"there are {len(fragments)} compressed fragments for {frames} frames",
            file=file,
            attribute="NumberOfFrames",
            fix="copy the file again",
        )
    else:
        starts = _by_table(table, fragments, frames) or _by_marker(fragments, frames, content)
        if starts is None:
            raise FormatError(
                f"{len(fragments)} fragments cannot be assigned to {frames} frames: the offset table does not fit",
                file=file,
                attribute="PixelData",
            )
        result = [fragments[a:b] for a, b in zip(starts, [*starts[1:], len(fragments)], strict=True)]
    header._cache["frame_table"] = result
    return result


def _walk(header: Header, content: Content) -> tuple[list[int], FrameSpans]:
    """Basic offset table (offsets from the first fragment's item) and all fragments."""
    span = header.pixels
    assert span is not None
    file = str(header.location)
    order = "<"
    position, end = span.offset, content.size
    if span.length is not None:
        end = min(end, span.offset + span.length)
    fragments: FrameSpans = []
    table: list[int] | None = None
    after_fragment = False
    while position + 8 <= end:
        head = content.read(position, 9)
        if after_fragment and head[:2] != b"\xfe\xff" and head[1:3] == b"\xfe\xff":
            # PS3.5 A.4 wants even lengths: a writer that pads a fragment of odd length may not count the byte
            position += 1
            head = content.read(position, 8)
            if len(head) < 8:
                break
        group, element, length = struct.unpack(order + "HHI", head[:8])
        if (group, element) == (0xFFFE, 0xE0DD):
            break
        if (group, element) != (0xFFFE, 0xE000):
            raise FormatError(
                f"byte {position}: a fragment of compressed pixels was expected", file=file, attribute="PixelData"
            )
        position += 8
        if length > end - position:
            raise FormatError(
                f"the pixels are truncated: a fragment of {length} bytes has {end - position}",
                file=file,
                attribute="PixelData",
                fix="copy the file again",
            )
        if table is None:
            raw = content.read(position, length // 4 * 4)
            table = list(struct.unpack(f"{order}{len(raw) // 4}I", raw))
        else:
            fragments.append((position, length))
            after_fragment = True
        position += length
    return table or [], fragments


def _by_table(table: list[int], fragments: FrameSpans, frames: int) -> list[int] | None:
    """First fragment of each frame from the basic offset table, or None where that is empty or wrong."""
    if len(table) != frames:
        return None
    origin = fragments[0][0] - 8
    number = {offset - 8 - origin: n for n, (offset, _) in enumerate(fragments)}
    starts = [number.get(offset, -1) for offset in table]
    if starts[0] != 0 or any(b <= a for a, b in pairwise(starts)):
        return None
    return starts


def _by_marker(fragments: FrameSpans, frames: int, content: Content) -> list[int] | None:
    starts = [
        n for n, (offset, length) in enumerate(fragments) if content.read(offset, min(8, length)).startswith(_STARTS)
    ]
    return starts if len(starts) == frames and starts[0] == 0 else None


def verify_encapsulated(header: Header, description: FrameDescription, table: list[FrameSpans]) -> None:
    """Refuse a header that claims far more pixels than its compressed bytes can hold.

    Raises
    ------
    TooLargeError
        For some frame.
    """
    claimed = description.nbytes
    if claimed <= _FREE_BYTES:
        return
    for number, spans in enumerate(table):
        there = sum(length for _, length in spans)
        if claimed > _MAX_RATIO * max(1, there):
            raise TooLargeError(
                f"frame {number + 1} claims {description.rows} x {description.columns} pixels and has {there} "
                "compressed bytes",
                file=str(header.location),
                attribute="Rows, Columns",
                fix="get the file anew from its source",
            )
