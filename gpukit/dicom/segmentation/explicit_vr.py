"""Elements, items and sequences in explicit VR little endian, encoded quickly: functional groups and references.

pydicom's writer looks at each element for character sets, ambiguous value representations and private tags, which takes
a millisecond a functional group, and an object has thousands. What there are many of is put together from bytes here;
what is not plain goes to pydicom. All lengths are stated; tags are numbers such as ``0x00081155``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["by_pydicom", "elements", "encode_item", "item", "numbers", "parts", "sequence", "text"]

_NUMBERS = {"US": "H", "UL": "I"}
#: Longest value of an element with a 16-bit length.
_LONGEST = 0xFFFE


def item(body: bytes) -> bytes:
    """A data set as an item of a sequence."""
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """A sequence of encoded items."""
    value = b"".join(items)
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(value)) + value


def numbers(tag: int, vr: str, *values: int) -> bytes:
    """An element of US or UL."""
    value = struct.pack(f"<{len(values)}{_NUMBERS[vr]}", *values)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def text(tag: int, vr: str, value: str) -> bytes | None:
    """An element of text, padded with a space, of UIDs with a NUL (PS3.5 6.2); None where it's not ASCII or long."""
    if not value.isascii() or len(value) > _LONGEST:
        return None
    data = value.encode()
    if len(data) % 2:
        data += b"\0" if vr == "UI" else b" "
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(data)) + data


def elements(encoded: Mapping[int, bytes]) -> bytes:
    """Encoded elements in the order of their tags."""
    return b"".join(encoded[tag] for tag in sorted(encoded))


def parts(dataset: Dataset, character_set: str | list[str] | None = None) -> dict[int, bytes]:
    """Each element of a data set, encoded by pydicom, by its tag.

    Parameters
    ----------
    dataset : Dataset
        Of any elements.
    character_set : str or list of str, optional
        SpecificCharacterSet of the object that it's a part of.
    """
    # a loop over the data set itself gives elements, and decodes each
    return {int(tag): by_pydicom(dataset[tag : int(tag) + 1], character_set) for tag in dataset.keys()}  # noqa: SIM118


def encode_item(dataset: Dataset, character_set: str | list[str] | None = None) -> bytes:
    """A data set as an item of a sequence, header included, encoded by pydicom; parameters as for `parts`."""
    return item(by_pydicom(dataset, character_set))


def by_pydicom(dataset: Dataset, character_set: str | list[str] | None = None) -> bytes:
    """The elements of a data set as pydicom encodes them; parameters as for `parts`."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset, character_set or "ISO_IR 6")
    return stream.getvalue()
