"""Lookup tables of images: a descriptor of three numbers and the entries, as modality and VOI LUTs have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.plane import Plane
from gpukit.errors import FormatError

__all__ = ["Table", "apply_modality_tables", "has_modality_table", "table_notes", "table_of"]

#: More entries than 16 bits can count are none.
_MOST_ENTRIES = 1 << 16


@dataclass(frozen=True)
class Table:
    """A table (PS3.3 C.11.1.1.1): the entry of the first mapped value and all below, to that of the last and above.

    Parameters
    ----------
    entries : tuple of int
        What values become.
    first : int
        The value that the first entry belongs to.
    bits : int
        Of an entry.
    """

    entries: tuple[int, ...]
    first: int
    bits: int


def table_of(item: Any, *, signed: bool) -> Table | None:
    """The table of a sequence item; None where it is not one.

    The first mapped value has the sign of the pixels, whatever the VR of the descriptor says (PS3.3 C.11.1.1.1).
    """
    described, data = item.get("LUTDescriptor"), item.get("LUTData")
    if described is None or data is None or len(described) != 3:
        return None
    count, first, bits = (int(value) for value in described)
    count %= _MOST_ENTRIES
    count = count or _MOST_ENTRIES
    if signed and first >= 1 << 15:
        first -= 1 << 16
    entries = _entries(data, count, bits)
    return None if entries is None else Table(tuple(entries), first, bits)


def _entries(data: Any, count: int, bits: int) -> list[int] | None:
    """The table's numbers, from words, or from bytes of either packing; None where it is not one."""
    if not (1 <= bits <= 16 and 2 <= count <= _MOST_ENTRIES):
        return None
    if isinstance(data, (bytes, bytearray)):
        if len(data) in (count, count + 1) and bits <= 8:
            return list(data[:count])
        if len(data) < 2 * count:
            return None
        return [int.from_bytes(data[2 * n : 2 * n + 2], "little") for n in range(count)]
    values = [int(value) for value in data] if hasattr(data, "__iter__") else []
    return values[:count] if len(values) >= count else None


#: The note where a table was used although slope and intercept, which would change nothing, stand beside it.
TABLE_NOTE = "the Modality LUT was applied: RescaleSlope 1 and RescaleIntercept 0 beside it say nothing"


def has_modality_table(plane: Plane) -> bool:
    """Whether its stored values become values by a Modality LUT: it has one, and no slope and intercept that count."""
    return _modality_item(plane) is not None


def table_notes(plane: Plane) -> tuple[str, ...]:
    """Notes on a Modality LUT that is, or is not, applied."""
    if plane.get("ModalityLUTSequence") is None:
        return ()
    if has_modality_table(plane):
        return () if plane.get("RescaleSlope") is None else (TABLE_NOTE,)
    if (plane.slope, plane.intercept) != (1.0, 0.0):
        return ("the image has a Modality LUT and a RescaleSlope: the slope and intercept were applied",)
    return ()


def _modality_item(plane: Plane) -> Any:
    if plane.get("ModalityLUTSequence") is None or (plane.slope, plane.intercept) != (1.0, 0.0):
        return None
    if int(plane.get("SamplesPerPixel", 1)) != 1 or plane.get("PhotometricInterpretation") == "PALETTE COLOR":
        return None
    try:
        items = plane.header.dataset().get("ModalityLUTSequence")
    except FormatError:  # what pydicom cannot read may still have pixels that can be
        return None
    return items[0] if items else None


def apply_modality_tables(array: NDArray[Any], planes: list[Plane]) -> NDArray[Any]:
    """Stored values ``[n, rows, columns]`` through each plane's own table.

    Raises
    ------
    FormatError
        A plane has a damaged one, or none where another plane has one.
    """
    made = np.empty(array.shape, np.uint16)
    for n, plane in enumerate(planes):
        item = _modality_item(plane)
        table = None if item is None else table_of(item, signed=int(plane.get("PixelRepresentation", 0)) == 1)
        if table is None:
            what = (
                "the table is damaged" if item is not None else "it has no table, and another image of the series has"
            )
            raise FormatError(what, file=plane.name, attribute="ModalityLUTSequence")
        entries = np.asarray(table.entries, np.uint16)
        at = np.clip(array[n].astype(np.int64) - table.first, 0, len(entries) - 1)
        made[n] = entries[at]
    return made
