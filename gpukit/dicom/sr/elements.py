"""The data set of a structured report as nested dictionaries: every encoding of PS3.5, bounded, without conversion.

A report is small and all of it is needed, so the file is read at once; what it claims is compared with what is there.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from gpukit.dicom.reader.discovery import Location
from gpukit.errors import FormatError, TooLargeError

__all__ = ["MAX_BYTES", "Elements", "RawDocument", "read_document"]

#: Tag to raw bytes, or to the items of a sequence.
Elements = dict[int, Any]

#: A larger file is not a report: the largest known ones have 3 MB.
MAX_BYTES = 256 << 20
_MAX_VALUE = 16 << 20
_MAX_ELEMENTS = 4_000_000
#: Sequences in sequences: 60 levels of content items, each with codes and references below it.
_MAX_DEPTH = 70

_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_KNOWN = _LONG | frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
#: Sequences that a report has; without their VR (implicit, UN) they are known by their tags.
_SEQUENCES = frozenset(
    {
        *(0x00081111, 0x00081115, 0x00081199, 0x0008114A, 0x00081140, 0x00081032, 0x00080051, 0x00081084),
        *(0x00400008, 0x0040A043, 0x0040A073, 0x0040A078, 0x0040A07A, 0x0040A07C, 0x0040A088, 0x0040A168),
        *(0x0040A195, 0x0040A300, 0x0040A301, 0x0040A360, 0x0040A370, 0x0040A372, 0x0040A375, 0x0040A385),
        *(0x0040A504, 0x0040A525, 0x0040A730, 0x0040A992, 0x004008EA, 0x0040E008, 0x00700317, 0x00081250),
        *(
            0x0008114B,
            0x0040A170,
            0x00400275,
            0x00400260,
            0x0008010C,
            0x00081072,
            0x00081052,
            0x00081049,
            0x00081062,
            0x00101002,
            0x00080082,
            0x00321064,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class RawDocument:
    """A file's data set.

    Parameters
    ----------
    elements : dict
        Tag to bytes (text padded as in the file) or list of item dictionaries.
    is_big_endian : bool
        Byte order of binary values.
    file : str
        For messages.
    """

    elements: Elements
    is_big_endian: bool
    file: str


def read_document(location: Location) -> RawDocument:
    """Read a whole data set.

    Raises
    ------
    FormatError
        The file is damaged or is not DICOM.
    TooLargeError
        The file, or one of its values, is larger than any report.
    """
    file = str(location)
    with location.open() as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        head = stream.read(132)
        if size > MAX_BYTES and _may_be_dicom(head):
            raise TooLargeError(
                f"the file has {size} bytes: a structured report has {MAX_BYTES >> 20} MiB at most",
                file=file, attribute="ContentSequence", fix="check which file this is",
            )  # fmt: skip
        if not _may_be_dicom(head):
            raise FormatError("is not a DICOM file", file=file, fix="name a DICOM structured report")
        data = head + stream.read(MAX_BYTES)
    position = 132 if head[128:132] == b"DICM" else 0
    syntax, position = _meta(data, position, file)
    if syntax == _DEFLATED:
        data, position = _inflated(data[position:], file), 0
    if len(data) < position + 8:
        raise FormatError("the file ends before its data set", file=file, fix="copy the file again")
    explicit = data[position + 4 : position + 6] in _KNOWN
    big = syntax == _BIG_ENDIAN and data[position : position + 2] != b"\x08\x00"
    parser = _Parser(data, file, big=big)
    elements, _ = parser.data_set(position, len(data), explicit=explicit, depth=0, is_root=True)
    return RawDocument(elements, big, file)


def _may_be_dicom(head: bytes) -> bool:
    if head[128:132] == b"DICM":
        return True
    if len(head) < 8:
        return False
    group, _ = struct.unpack_from("<HH", head)
    if group not in (2, 8):
        return False
    return head[4:6] in _KNOWN or struct.unpack_from("<I", head, 4)[0] <= 1024


def _meta(data: bytes, position: int, file: str) -> tuple[str, int]:
    """Transfer syntax UID, and where the data set begins."""
    syntax = ""
    while len(data) >= position + 8 and data[position : position + 2] == b"\x02\x00":
        element = struct.unpack_from("<H", data, position + 2)[0]
        vr = data[position + 4 : position + 6]
        if vr in _LONG and len(data) >= position + 12:
            length = struct.unpack_from("<I", data, position + 8)[0]
            position += 12
        elif vr in _KNOWN:
            length = struct.unpack_from("<H", data, position + 6)[0]
            position += 8
        else:
            length = struct.unpack_from("<I", data, position + 4)[0]
            position += 8
        if length > len(data) - position:
            raise FormatError(
                "the file ends within its file meta information", file=file, attribute=f"0002,{element:04X}",
                fix="copy the file again",
            )  # fmt: skip
        if element == 0x0010:
            syntax = data[position : position + length].rstrip(b"\0 ").decode("ascii", "replace")
        position += length
    return syntax, position


def _inflated(data: bytes, file: str) -> bytes:
    try:
        inflater = zlib.decompressobj(-15)
        result = inflater.decompress(data, MAX_BYTES + 1)
    except zlib.error as error:
        raise FormatError(f"the deflated data set is damaged: {error}", file=file, fix="copy the file again") from error
    if len(result) > MAX_BYTES:
        raise TooLargeError(
            f"the deflated data set expands to more than {MAX_BYTES >> 20} MiB", file=file, attribute="ContentSequence"
        )
    return result


class _Parser:
    """The walk over one buffer."""

    def __init__(self, data: bytes, file: str, *, big: bool) -> None:
        order = ">" if big else "<"
        self.data, self.file, self.left = data, file, _MAX_ELEMENTS
        self.explicit = struct.Struct(order + "HH2sH").unpack_from
        self.implicit = struct.Struct(order + "HHI").unpack_from
        self.long = struct.Struct(order + "I").unpack_from

    def data_set(
        self, position: int, end: int, *, explicit: bool, depth: int, is_root: bool = False
    ) -> tuple[Elements, int]:
        """Elements from `position`, up to `end` or an item delimiter; and where they end."""
        if depth > _MAX_DEPTH:
            raise TooLargeError(
                f"sequences are nested deeper than {_MAX_DEPTH} levels", file=self.file, attribute="ContentSequence",
                fix="check who wrote the file",
            )  # fmt: skip
        elements: Elements = {}
        data, tag = self.data, 0
        while position + 8 <= end:
            if explicit:
                group, element, vr, length = self.explicit(data, position)
                tag = group << 16 | element
                if group == 0xFFFE:
                    length = self.long(data, position + 4)[0]
                    position += 8
                elif vr in _LONG:
                    if position + 12 > end:
                        raise self._truncated(tag)
                    length = self.long(data, position + 8)[0]
                    position += 12
                elif vr in _KNOWN:
                    position += 8
                else:  # an implicit element in an explicit data set, as known writers make them
                    length = self.long(data, position + 4)[0]
                    vr = b""
                    position += 8
            else:
                group, element, length = self.implicit(data, position)
                tag, vr = group << 16 | element, b""
                position += 8
            if group == 0xFFFE:
                if tag == _ITEM_END:
                    return elements, position
                if length == 0:
                    continue
                raise FormatError(
                    f"byte {position - 8}: an item stands outside a sequence", file=self.file, fix="copy the file again"
                )
            self.left -= 1
            if self.left < 0:
                raise TooLargeError("the file has too many elements", file=self.file, attribute="ContentSequence")
            if vr == b"SQ" or length == _UNDEFINED or (vr in (b"", b"UN") and tag in _SEQUENCES):
                if tag >= 0x7FE00008 and is_root:
                    break  # pixels: not a report, which its class will tell
                limit = end if length == _UNDEFINED else position + length
                if limit > end:
                    raise self._truncated(tag)
                inner = explicit and vr != b"UN"
                elements[tag], position = self.sequence(position, limit, tag, length == _UNDEFINED, inner, depth + 1)
                continue
            if length > end - position:
                raise self._truncated(tag)
            if length > _MAX_VALUE and tag != 0x7FE00010:
                raise TooLargeError(
                    f"the value has {length} bytes: {_MAX_VALUE >> 20} MiB at most are read",
                    file=self.file, attribute=_name(tag), fix="check who wrote the file",
                )  # fmt: skip
            if length <= _MAX_VALUE:
                elements[tag] = data[position : position + length]
            position += length
        if is_root and position < end and any(data[position:end]):
            raise self._truncated(tag)
        return elements, min(max(position, 0), end) if is_root else position

    def sequence(
        self, position: int, end: int, tag: int, undefined: bool, explicit: bool, depth: int
    ) -> tuple[list[Elements], int]:
        """Items of a sequence, and where it ends."""
        items: list[Elements] = []
        data = self.data
        while position + 8 <= end:
            group, element, length = self.implicit(data, position)
            head = group << 16 | element
            position += 8
            if head == _SEQUENCE_END:
                return items, position
            if head != _ITEM:
                raise FormatError(
                    f"byte {position - 8}: an item was expected in a sequence, not ({group:04X},{element:04X})",
                    file=self.file, attribute=_name(tag), fix="copy the file again",
                )  # fmt: skip
            limit = end if length == _UNDEFINED else position + length
            if limit > end:
                raise self._truncated(tag)
            inner = explicit or data[position + 4 : position + 6] in _KNOWN  # UN may hold explicit items
            item, after = self.data_set(position, limit, explicit=inner, depth=depth)
            if length == _UNDEFINED and data[after - 8 : after - 4] not in (b"\xfe\xff\x0d\xe0", b"\xff\xfe\xe0\x0d"):
                raise self._truncated(tag)
            position = after if length == _UNDEFINED else limit
            items.append(item)
        if undefined or position < end:
            raise self._truncated(tag)
        return items, position

    def _truncated(self, tag: int) -> FormatError:
        return FormatError(
            "the file ends within this attribute: it is truncated or damaged",
            file=self.file, attribute=_name(tag), fix="copy the file again",
        )  # fmt: skip


def _name(tag: int) -> str:
    """Keyword of a tag, asked for only in messages."""
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag) or f"{tag >> 16:04X},{tag & 0xFFFF:04X}"
