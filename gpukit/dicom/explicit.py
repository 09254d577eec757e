"""Small data sets of plain values in explicit VR little endian, encoded quickly: functional groups and references.

pydicom's writer looks at each element for character sets, ambiguous value representations and private tags, which takes
a millisecond a functional group, and an object has thousands. What is not plain goes to pydicom.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

__all__ = ["encode_item"]

_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
#: Text; the padding is a space, of UIDs a NUL (PS3.5 6.2).
_TEXTS = {"UI", "DS", "IS", "CS", "SH", "LO", "ST", "LT", "DA", "TM", "DT", "AS"}


def encode_item(dataset: Dataset) -> bytes:
    """A data set as an item of a sequence, header included; all lengths are stated.

    Parameters
    ----------
    dataset : Dataset
        Of any elements.
    """
    try:
        body = _encode(dataset)
    except _NotPlainError:
        body = _by_pydicom(dataset)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


class _NotPlainError(Exception):
    """An element that pydicom is to write."""


def _encode(dataset: Dataset) -> bytes:
    parts = []
    for element in dataset:
        group, number, vr = element.tag >> 16, element.tag & 0xFFFF, str(element.VR)
        if vr == "SQ":
            value = b"".join(encode_item(item) for item in element.value)
            parts.append(struct.pack("<HH2sHI", group, number, b"SQ", 0, len(value)))
        else:
            value = _value(element, vr)
            if len(value) > 0xFFFE:
                raise _NotPlainError
            parts.append(struct.pack("<HH2sH", group, number, vr.encode(), len(value)))
        parts.append(value)
    return b"".join(parts)


def _value(element: DataElement, vr: str) -> bytes:
    value = element.value
    values = [] if value is None else list(value) if element.VM > 1 else [value]
    if vr in _NUMBERS:
        return struct.pack(f"<{len(values)}{_NUMBERS[vr]}", *values)
    if vr not in _TEXTS:
        raise _NotPlainError
    try:
        text = "\\".join(map(str, values)).encode("ascii")
    except UnicodeEncodeError as error:
        raise _NotPlainError from error
    return text + (b"\0" if vr == "UI" else b" ") * (len(text) % 2)


def _by_pydicom(dataset: Dataset) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset)
    return stream.getvalue()
