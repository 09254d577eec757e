"""The walk over a file's elements: explicit and implicit VR, both byte orders, deflated, with or without file meta.

Only the bytes of the header are read, in windows; a value that is not wanted is stepped over. Nothing that the file
claims is believed before it is compared with the file's size: no length can make this module allocate or loop.
Structure is that of PS3.5 section 7 and PS3.10 section 7.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from gpukit.dicom.reader.attributes import BY_TAG, ESSENTIAL, LONG_VRS, PER_FRAME, SHARED, SHORT_VRS
from gpukit.dicom.reader.byte_window import Window
from gpukit.dicom.reader.deflated import Inflater
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.file_meta import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, encoding_of, is_plausible, read_meta
from gpukit.dicom.reader.frame_groups import GroupReader, Raw, Unreadable
from gpukit.errors import FormatError, InputNotFoundError

__all__ = [
    "BIG_ENDIAN",
    "DEFLATED",
    "EXPLICIT",
    "IMPLICIT",
    "LONG_VRS",
    "SHORT_VRS",
    "Found",
    "NotDicomError",
    "read_elements",
]

#: JPIP and such keep a deflated data set too, but reference pixels elsewhere.
_DEFLATED_SETS = {DEFLATED, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}

_KNOWN = LONG_VRS | SHORT_VRS
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_PIXEL_GROUP_END = 0x7FE00010

_GROUPS = frozenset({SHARED, PER_FRAME})

_MAX_VALUE = 1 << 18  # bytes of a wanted value; the longest are vectors of a few thousand numbers
_MAX_DEPTH = 32
_MAX_ELEMENTS = 4_000_000


class NotDicomError(FormatError):
    """The file does not begin as a DICOM file does."""


@dataclass(slots=True)
class Found:
    """What the walk found, undecoded.

    Parameters
    ----------
    transfer_syntax : str
        UID; for a file without one, that of the encoding which was recognised.
    values : list of (int, str, bytes)
        Tag, VR as the file gives it (empty for implicit), raw value.
    meta : dict
        Raw values of group 2 by tag.
    pixels : tuple or None
        (keyword, offset, length, VR); length `None` for undefined.
    big_endian : bool
        Byte order of the data set.
    deflated_from : int or None
        Byte of the file at which a deflated data set begins; offsets then count inflated bytes.
    group_spans : dict
        Offset and length of the sequences of functional groups by tag, where these are still to be read.
    group_items : dict
        Their raw items by tag, where they had to be read to find their end.
    """

    transfer_syntax: str
    values: list[tuple[int, str, bytes]] = field(default_factory=list)
    meta: dict[int, bytes] = field(default_factory=dict)
    pixels: tuple[str, int, int | None, str] | None = None
    big_endian: bool = False
    deflated_from: int | None = None
    group_spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    group_items: dict[int, list[Raw]] = field(default_factory=dict)


def read_elements(location: Location, groups: GroupReader | None = None) -> Found:
    """Walk a file up to its pixels.

    Parameters
    ----------
    location : Location
        The file.
    groups : GroupReader, optional
        Reads functional groups; of the scan, so that files of a series share what it learnt.

    Raises
    ------
    NotDicomError
        It is no DICOM file.
    FormatError
        It is damaged: names the attribute and the byte.
    """
    groups = groups or GroupReader()
    if location.member is not None:
        with location.open() as stream:
            return _read_stream(stream, location, groups)
    try:
        descriptor = os.open(location.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise InputNotFoundError(f"cannot be read: {error.strerror}", file=location.path) from error
    try:
        size = os.fstat(descriptor).st_size
        if not hasattr(os, "pread"):
            with os.fdopen(os.dup(descriptor), "rb") as stream:
                return _read_stream(stream, location, groups)
        return _read(Window(lambda n, offset: os.pread(descriptor, n, offset), size), location, groups)
    except OSError as error:
        raise InputNotFoundError(f"cannot be read: {error.strerror}", file=location.path) from error
    finally:
        os.close(descriptor)


def _read_stream(stream: BinaryIO, location: Location, groups: GroupReader) -> Found:
    size = stream.seek(0, os.SEEK_END)

    def read(n: int, offset: int) -> bytes:
        stream.seek(offset)
        return stream.read(n)

    return _read(Window(read, size), location, groups)


def _read(window: Window, location: Location, groups: GroupReader) -> Found:
    found = Found("")
    head = window.data
    if head[128:132] == b"DICM" and (head[132:134] == b"\2\0" or not is_plausible(head)):
        start = 132
    elif is_plausible(head):
        start = 0
    else:
        raise NotDicomError("is not a DICOM file", file=str(location), fix="name DICOM files only")
    position = read_meta(window, start, found.meta, location)
    syntax = found.meta.get(0x00020010, b"").rstrip(b"\0 ").decode("ascii", "replace")
    if syntax in _DEFLATED_SETS:
        window = _inflated(window, position, location)
        found.deflated_from, position = position, 0
    index = window.at(position, 8)
    if index < 0:
        if start == 0 and not found.meta:
            raise NotDicomError("is not a DICOM file", file=str(location), fix="name DICOM files only")
        raise FormatError("the file ends before its data set", file=str(location), fix="copy the file again")
    explicit, big = encoding_of(window.data[index : index + 8], syntax)
    found.transfer_syntax = syntax or (BIG_ENDIAN if big else EXPLICIT if explicit else IMPLICIT)
    found.big_endian = big
    _Walker(window, found, location, groups, explicit=explicit, big=big).run(position)
    return found


def _inflated(window: Window, position: int, location: Location) -> Window:
    """A window on the inflated data set; only what the walk asks for is inflated, and only a window of it is kept."""
    inflater = Inflater(lambda n, offset: window.read(n, position + offset), str(location))
    return Window(inflater.read, 1 << 62)


class _Walker:
    """The walk itself. One per file; keeps the count of elements."""

    def __init__(
        self, window: Window, found: Found, location: Location, groups: GroupReader, *, explicit: bool, big: bool
    ) -> None:
        self.window = window
        self.groups = groups
        self.found = found
        self.location = location
        self.explicit = explicit
        self.order = ">" if big else "<"
        self.left = _MAX_ELEMENTS

    def run(self, position: int) -> None:
        """Read the root data set up to the pixels."""
        window, found, explicit = self.window, self.found, self.explicit
        header = struct.Struct(self.order + ("HH2sH" if explicit else "HHI"))
        unpack, long_length = header.unpack_from, struct.Struct(self.order + "I").unpack_from
        size, wanted, keep = window.size, BY_TAG, found.values.append
        data, base, end = window.data, window.base, window.base + len(window.data)
        while position + 8 <= size:
            if position + 12 > end or position < base:
                if (index := window.at(position, min(12, size - position))) < 0:
                    break  # the end of a deflated stream, whose size is not known before
                data, base = window.data, window.base
                end = base + len(data)
            else:
                index = position - base
            start = position
            if explicit:
                group, element, vr, length = unpack(data, index)
                if vr in LONG_VRS:
                    if position + 12 > size:
                        raise self._truncated(group << 16 | element, start)
                    length = long_length(data, index + 8)[0]
                    position += 12
                elif vr in _KNOWN:
                    position += 8
                else:
                    vr, length, position = self._odd_vr(group << 16 | element, vr, index, data, position)
            else:
                group, element, length = unpack(data, index)
                vr = b""
                position += 8
            tag = group << 16 | element
            if tag in _PIXELS:
                found.pixels = (
                    _PIXELS[tag],
                    position,
                    None if length == _UNDEFINED else length,
                    vr.decode("ascii", "replace"),
                )
                return
            if tag > _PIXEL_GROUP_END:
                if group == 0xFFFE and length == 0:
                    continue  # a stray delimiter
                if group >= 0x7FE0 and tag != 0xFFFCFFFC and length != _UNDEFINED and position + length > size:
                    raise self._truncated(tag, start)
                return
            if length == _UNDEFINED:
                if tag in _GROUPS and (end_of := self._functional_groups(tag, position, None)) is not None:
                    position = end_of
                    continue
                position = self._skip_undefined(position, tag, implicit=not explicit or vr == b"UN", depth=1)
                if tag in wanted:
                    keep((tag, "SQ", b"\1"))
                continue
            following = position + length
            if following > size:
                raise self._truncated(tag, start)
            if tag in wanted:
                if wanted[tag].vr == "SQ":
                    if length:
                        keep((tag, "SQ", b"\1"))
                elif length <= _MAX_VALUE:
                    if following > end:
                        if (index := window.at(position, length)) < 0:
                            raise self._truncated(tag, start)
                        data, base = window.data, window.base
                        end = base + len(data)
                    if length:
                        keep((tag, vr.decode("ascii", "replace"), data[position - base : following - base]))
                elif wanted[tag].keyword in ESSENTIAL:
                    raise FormatError(
                        f"the value has {length} bytes", file=str(self.location), attribute=wanted[tag].keyword
                    )
            elif element < 0x100 and group & 1 and element >= 0x10 and length <= 64:
                if following > end:
                    if (index := window.at(position, length)) < 0:
                        raise self._truncated(tag, start)
                    data, base = window.data, window.base
                    end = base + len(data)
                keep((tag, "LO", data[position - base : following - base]))
            elif group == 0x5200 and tag in _GROUPS:
                self._functional_groups(tag, position, length)
            position = following
        if position < size < 1 << 62 and any(window.read(size - position, position)):
            raise self._truncated(0, position)

    def _functional_groups(self, tag: int, position: int, length: int | None) -> int | None:
        """Note where functional groups lie, and read them where that is not enough; the byte after them, or None."""
        if self.order == ">":
            return None
        if length is not None and self.found.deflated_from is None and self.location.member is None:
            self.found.group_spans[tag] = position, length
            return position + length
        try:
            read = self.groups.read(
                self.window.read, position, length, explicit=self.explicit, size=self.window.size
            )  # fmt: skip
        except Unreadable:
            return None
        self.found.group_items[tag] = read.items
        return read.end

    def _odd_vr(self, tag: int, vr: bytes, index: int, data: bytes, position: int) -> tuple[bytes, int, int]:
        """An element whose VR is none: an implicit one in an explicit data set, or an unknown VR."""
        if vr.isalpha() and vr.isupper():  # PS3.5 6.2: unknown VRs have the long form where the reserved field is 0
            if data[index + 6 : index + 8] == b"\0\0" and position + 12 <= self.window.size:
                length = struct.unpack_from(self.order + "I", data, index + 8)[0]
                if length <= self.window.size - position - 12:
                    return b"UN", length, position + 12
            return b"UN", struct.unpack_from(self.order + "H", data, index + 6)[0], position + 8
        if tag >> 16 == 0xFFFE:
            return b"UN", struct.unpack_from(self.order + "I", data, index + 4)[0], position + 8
        length = struct.unpack_from(self.order + "I", data, index + 4)[0]
        if length != _UNDEFINED and length > self.window.size - position - 8:  # neither: take the short form
            length = struct.unpack_from(self.order + "H", data, index + 6)[0]
        return b"", length, position + 8

    def _skip_undefined(self, position: int, tag: int, *, implicit: bool, depth: int) -> int:
        """Step over a sequence of undefined length; returns the byte after its delimiter."""
        pair = struct.Struct(self.order + "HHI").unpack_from
        window = self.window
        while True:
            self._count(tag, position, depth)
            if (index := window.at(position, 8)) < 0:
                raise self._truncated(tag, position)
            group, element, length = pair(window.data, index)
            position += 8
            item = group << 16 | element
            if item == _SEQUENCE_END:
                return position
            if item != _ITEM:
                raise FormatError(
                    f"byte {position - 8}: an item was expected in a sequence, not ({group:04X},{element:04X})",
                    file=str(self.location),
                    attribute=_name(tag),
                )
            if length == _UNDEFINED:
                position = self._skip_item(position, tag, implicit=implicit, depth=depth)
            elif position + length > window.size:
                raise self._truncated(tag, position)
            else:
                position += length

    def _skip_item(self, position: int, tag: int, *, implicit: bool, depth: int) -> int:
        """Step over the elements of an item of undefined length; returns the byte after its delimiter."""
        window, size = self.window, self.window.size
        if implicit and self.explicit and (index := window.at(position, 8)) >= 0:
            # within UN the items should be implicit (PS3.5 6.2.2), but some writers keep the explicit form
            implicit = window.data[index + 4 : index + 6] not in _KNOWN
        unpack = struct.Struct(self.order + ("HHI" if implicit else "HH2sH")).unpack_from
        long_length = struct.Struct(self.order + "I").unpack_from
        while True:
            self._count(tag, position, depth)
            if (index := window.at(position, min(12, max(8, size - position)))) < 0:
                raise self._truncated(tag, position)
            data = window.data
            vr = b""
            if implicit:
                group, element, length = unpack(data, index)
                position += 8
            else:
                group, element, vr, length = unpack(data, index)
                if group == 0xFFFE:
                    length = long_length(data, index + 4)[0]
                    position += 8
                elif vr in LONG_VRS:
                    if len(data) < index + 12:
                        raise self._truncated(tag, position)
                    length = long_length(data, index + 8)[0]
                    position += 12
                elif vr in _KNOWN:
                    position += 8
                else:
                    vr, length, position = self._odd_vr(group << 16 | element, vr, index, data, position)
            if group == 0xFFFE and element == 0xE00D:
                return position
            if length == _UNDEFINED:
                position = self._skip_undefined(
                    position, group << 16 | element, implicit=implicit or vr == b"UN", depth=depth + 1
                )
            elif position + length > size:
                raise self._truncated(group << 16 | element, position)
            else:
                position += length

    def _count(self, tag: int, position: int, depth: int) -> None:
        self.left -= 1
        if self.left < 0 or depth > _MAX_DEPTH:
            what = "sequences are nested too deeply" if depth > _MAX_DEPTH else "the header has too many elements"
            raise FormatError(f"byte {position}: {what}", file=str(self.location), attribute=_name(tag))

    def _truncated(self, tag: int, position: int) -> FormatError:
        return FormatError(
            f"the file ends within the element at byte {position}: it is truncated or damaged",
            file=str(self.location),
            attribute=_name(tag) if tag else None,
            fix="copy the file again",
        )


def _name(tag: int) -> str:
    wanted = BY_TAG.get(tag)
    return wanted.keyword if wanted else f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
