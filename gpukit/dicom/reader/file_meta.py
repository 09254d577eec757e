"""How a file begins: file meta information, and the encoding of the data set that follows (PS3.10 section 7)."""

from __future__ import annotations

import struct

from gpukit.dicom.reader.attributes import LONG_VRS, SHORT_VRS
from gpukit.dicom.reader.byte_window import Window
from gpukit.dicom.reader.discovery import Location
from gpukit.errors import FormatError

__all__ = ["BIG_ENDIAN", "DEFLATED", "EXPLICIT", "IMPLICIT", "encoding_of", "is_plausible", "read_meta"]

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

_KNOWN = LONG_VRS | SHORT_VRS
_UNDEFINED = 0xFFFFFFFF


def is_plausible(head: bytes) -> bool:
    """Whether bytes can be the first element of a data set without preamble: group 2 or 8, a VR or a sane length."""
    if len(head) < 8:
        return False
    for order in "<>":
        group, element = struct.unpack_from(order + "HH", head)
        if group in (0x0002, 0x0008) and element < 0x3000:
            if head[4:6] in _KNOWN:
                return True
            if group == 8 and struct.unpack_from(order + "I", head, 4)[0] <= 1024:
                return True
    return False


def encoding_of(first: bytes, syntax: str) -> tuple[bool, bool]:
    """(explicit, big endian) of a data set, from its first element: what is there weighs more than what is claimed."""
    explicit = first[4:6] in _KNOWN
    group_little = int.from_bytes(first[:2], "little")
    big = group_little >= 0x0100 and not group_little & 0xFF if syntax in ("", BIG_ENDIAN) else False
    if syntax == BIG_ENDIAN and group_little == 0x0008:
        big = False  # known writers claim big endian and write little
    return explicit, big


def read_meta(window: Window, position: int, meta: dict[int, bytes], location: Location) -> int:
    """Read group 2 (always explicit little endian, PS3.10 7.1) into `meta`; returns where the data set begins.

    Raises
    ------
    FormatError
        The file ends within it.
    """
    while (index := window.at(position, 8)) >= 0:
        group, element = struct.unpack_from("<HH", window.data, index)
        if group != 2:
            break
        vr = window.data[index + 4 : index + 6]
        if vr in LONG_VRS:
            index = window.at(position, 12)
            length = struct.unpack_from("<I", window.data, index + 8)[0] if index >= 0 else _UNDEFINED
            position += 12
        elif vr in _KNOWN:
            length = struct.unpack_from("<H", window.data, index + 6)[0]
            position += 8
        else:  # some write the file meta in implicit VR
            length = struct.unpack_from("<I", window.data, index + 4)[0]
            position += 8
        if length > window.size - position:
            raise FormatError(
                "the file ends within its file meta information", file=str(location), attribute=f"0002,{element:04X}"
            )
        if length <= 1024 and (index := window.at(position, length)) >= 0:
            meta[0x00020000 | element] = bytes(window.data[index : index + length])
        position += length
    return position
