"""Colour as RGB: YCbCr and palettes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.reader.elements import BIG_ENDIAN
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError

__all__ = ["palette_to_rgb", "ycbcr_to_rgb"]

#: Inverse of the matrix in PS3.3 C.7.6.3.1.2, that is of ITU-R BT.601 at full range.
_FULL = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136286, -0.714136286], [1.0, 1.772, 0.0]])


def ycbcr_to_rgb(values: NDArray[Any], photometric: str, bits: int) -> NDArray[Any]:
    """YBR_FULL(_422) or YBR_PARTIAL_* to RGB.

    Parameters
    ----------
    values : ndarray of unsigned integers, ``[rows, columns, 3]``
        Y, Cb, Cr.
    photometric : str
        PhotometricInterpretation.
    bits : int
        BitsStored: Cb and Cr are centred on half the range.

    Returns
    -------
    ndarray
        Same type and shape, rounded and clipped.
    """
    top = (1 << bits) - 1
    centre = float(1 << (bits - 1))
    ycc = values.astype(np.float64)
    if photometric.startswith("YBR_PARTIAL"):  # black 16, white 235, chroma 16 to 240, of 8 bits
        scale = centre / 128.0
        ycc[..., 0] = (ycc[..., 0] - 16 * scale) * (255.0 / 219.0)
        ycc[..., 1:] = (ycc[..., 1:] - centre) * (255.0 / 224.0)
    else:
        ycc[..., 1:] -= centre
    rgb: NDArray[Any] = np.clip(np.floor(ycc @ _FULL.T + 0.5), 0, top).astype(values.dtype)
    return rgb


def palette_to_rgb(indices: NDArray[Any], header: Header) -> NDArray[np.uint8]:
    """Pixels of a PALETTE COLOR image as 8-bit RGB; 16-bit tables keep their high byte (PS3.3 C.7.6.3.1.5, .6).

    Raises
    ------
    FormatError
        A table is missing, segmented beyond what is there, or shorter than it says.
    """
    table, first = _tables(header)
    position = np.clip(indices.astype(np.int64) - first, 0, len(table) - 1)
    return table[position]


def _tables(header: Header) -> tuple[NDArray[np.uint8], int]:
    kept = header._cache.get("palette")
    if kept is not None:
        result: tuple[NDArray[np.uint8], int] = kept
        return result
    columns = []
    first = 0
    for colour in ("Red", "Green", "Blue"):
        keyword = f"{colour}PaletteColorLookupTableDescriptor"
        dataset = header.dataset()
        try:
            entries, start, bits = (int(v) for v in dataset[keyword].value)
            raw = _table_bytes(header, f"{colour}PaletteColorLookupTableData", bits)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                "the colour table is missing or wrong", file=str(header.location), attribute=keyword
            ) from error
        entries = entries & 0xFFFF or 65536
        if start >= 0x8000 and header.get("PixelRepresentation") == 1:
            start -= 0x10000
        if bits not in (8, 16):
            raise FormatError(f"{bits} bits an entry are not possible", file=str(header.location), attribute=keyword)
        order = ">" if header.transfer_syntax == BIG_ENDIAN else "<"
        if bits == 8 and len(raw) < 2 * entries:
            column = np.frombuffer(raw, np.uint8, count=min(entries, len(raw))).astype(np.uint16) << 8
        else:  # 16-bit words also for 8-bit entries where the data is that long
            column = np.frombuffer(raw, f"{order}u2", count=min(entries, len(raw) // 2)).astype(np.uint16)
            if bits == 8:
                column = column << 8
        if len(column) < entries:
            raise FormatError(
                f"the colour table has {len(column)} of {entries} entries", file=str(header.location), attribute=keyword
            )
        columns.append(column)
        first = start
    if len({len(c) for c in columns}) != 1:
        raise FormatError(
            "the colour tables differ in length",
            file=str(header.location),
            attribute="PaletteColorLookupTableDescriptor",
        )
    wide = np.stack(columns, axis=-1)
    # some writers say 16 bits and fill the low byte only
    table = (wide if wide.max(initial=0) <= 255 else wide >> 8).astype(np.uint8)
    header._cache["palette"] = (table, first)
    return table, first


def _table_bytes(header: Header, keyword: str, bits: int) -> bytes:
    """Entries of a table as the file holds them; a segmented table comes as the plain one that it stands for."""
    dataset = header.dataset()
    if keyword in dataset:
        return bytes(dataset[keyword].value)
    order = ">" if header.transfer_syntax == BIG_ENDIAN else "<"
    words = np.frombuffer(bytes(dataset["Segmented" + keyword].value), np.uint8 if bits == 8 else f"{order}u2")
    entries = _unsegment([int(w) for w in words])
    return np.asarray(entries, np.uint8 if bits == 8 else f"{order}u2").tobytes()


def _unsegment(words: list[int]) -> list[int]:
    """Expand discrete, linear and indirect segments (PS3.3 C.7.9.2); at most 65536 entries."""
    entries: list[int] = []
    starts: list[int] = []

    def expand(position: int, *, indirect: bool) -> int:
        opcode, length = words[position], words[position + 1]
        if opcode == 0:
            entries.extend(words[position + 2 : position + 2 + length])
            return position + 2 + length
        if opcode == 1:
            start, end = entries[-1], words[position + 2]
            entries.extend(round(start + (end - start) * (n + 1) / length) for n in range(length))
            return position + 3
        if opcode == 2 and not indirect:
            first = words[position + 2] | words[position + 3] << 16
            at = starts.index(first)
            for start in starts[at : at + length]:
                expand(start, indirect=True)
            return position + 4
        raise ValueError(f"segment type {opcode} is not possible")

    position = 0
    try:
        while position < len(words) and len(entries) <= 65536:
            starts.append(position)
            position = expand(position, indirect=False)
    except IndexError as error:
        raise ValueError("a segment of the colour table is incomplete") from error
    return entries
