"""Overlay planes (PS3.3 C.9.2): bits over an image, in data of their own or in unused bits of the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.pixels.byte_source import Content
from gpukit.dicom.pixels.image_pixel import NATIVE, describe
from gpukit.dicom.pixels.native import frame_span, swap_in_place
from gpukit.dicom.reader.elements import BIG_ENDIAN
from gpukit.errors import FormatError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["OVERLAY_GROUPS", "OverlayPlane", "overlay_planes", "overlays_of_dataset"]

#: Groups that overlays may have.
OVERLAY_GROUPS = tuple(range(0x6000, 0x6020, 2))


@dataclass(frozen=True, eq=False)
class OverlayPlane:
    """One overlay on one frame.

    Parameters
    ----------
    group : int
        0x6000 to 0x601E, even.
    bits : array of bool, ``[row, column]``
        Of its own size.
    row, column : int
        Of the image, from 0, where its first bit lies; may be negative.
    kind : str
        ``G`` for graphics, ``R`` for a region.
    label : str
        OverlayLabel, or OverlayDescription.
    layer : str
        Graphic layer in which a presentation state activates it; empty without one.
    """

    group: int
    bits: NDArray[np.bool_]
    row: int = 0
    column: int = 0
    kind: str = "G"
    label: str = ""
    layer: str = ""

    def on_image(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """The bits on a frame of that size; what lies outside is cut off."""
        whole = np.zeros((rows, columns), bool)
        top, left = max(0, self.row), max(0, self.column)
        bottom, right = min(rows, self.row + self.bits.shape[0]), min(columns, self.column + self.bits.shape[1])
        if top < bottom and left < right:
            whole[top:bottom, left:right] = self.bits[
                top - self.row : bottom - self.row, left - self.column : right - self.column
            ]
        return whole


def overlay_planes(frame: Frame, notes: list[str] | None = None) -> tuple[OverlayPlane, ...]:
    """The overlays on one frame, in the order of their groups.

    Parameters
    ----------
    frame : Frame
        Any frame.
    notes : list of str, optional
        Gets a line for each overlay that is damaged or without data; those are left out.
    """
    try:
        dataset = frame.header.dataset()
    except FormatError:
        return ()
    return overlays_of_dataset(dataset, frame.index, frame=frame, notes=notes)


def overlays_of_dataset(
    dataset: Dataset, index: int, *, frame: Frame | None = None, notes: list[str] | None = None
) -> tuple[OverlayPlane, ...]:
    """Overlays of a data set for its image frame `index` (from 0); bits within pixels need the `frame`."""
    remarks = notes if notes is not None else []
    results = []
    for group in OVERLAY_GROUPS:
        if not any((group, element) in dataset for element in (0x0010, 0x3000, 0x0102)):
            continue
        try:
            bits = _bits(dataset, group, index, frame)
        except (TypeError, ValueError, IndexError, KeyError, FormatError) as error:
            remarks.append(f"the overlay {group:04X} is damaged: {error}" if str(error) else f"damaged {group:04X}")
            continue
        if bits is None:
            remarks.append(f"the overlay {group:04X} has no data")
            continue
        row, column = _pair(dataset, group, 0x0050, (1, 1))
        label = _text(dataset, group, 0x1500) or _text(dataset, group, 0x0022)
        layer, kind = _text(dataset, group, 0x1001), _text(dataset, group, 0x0040) or "G"
        results.append(OverlayPlane(group, bits, row - 1, column - 1, kind, label, layer))
    return tuple(results)


def _value(dataset: Dataset, group: int, element: int) -> Any:
    item = dataset.get((group, element))
    return None if item is None else item.value


def _text(dataset: Dataset, group: int, element: int) -> str:
    value = _value(dataset, group, element)
    return "" if value is None else str(value).strip()


def _pair(dataset: Dataset, group: int, element: int, default: tuple[int, int]) -> tuple[int, int]:
    value = _value(dataset, group, element)
    if value is None or len(value) != 2:
        return default
    return int(value[0]), int(value[1])


def _bits(dataset: Dataset, group: int, index: int, frame: Frame | None) -> NDArray[np.bool_] | None:
    data = _value(dataset, group, 0x3000)
    position = int(_value(dataset, group, 0x0102) or 0)
    if data is None:
        allocated = int(_value(dataset, group, 0x0100) or 1)
        return None if frame is None or allocated == 1 else _embedded(frame, position)
    rows, columns = int(_value(dataset, group, 0x0010) or 0), int(_value(dataset, group, 0x0011) or 0)
    if min(rows, columns) < 1:
        raise ValueError(f"{columns} x {rows} bits are not possible")
    several = _value(dataset, group, 0x0015)
    count = max(1, int(several or 1))
    first = int(_value(dataset, group, 0x0051) or 1) - 1
    at = index - first if several is not None else 0
    if not 0 <= at < count:
        return np.zeros((1, 1), bool)  # the overlay has nothing on this frame
    size = rows * columns
    raw = np.frombuffer(bytes(data), np.uint8)
    if raw.size * 8 < size * count:
        raise ValueError(f"{raw.size} bytes are not {count} x {rows} x {columns} bits")
    element = dataset[(group, 0x3000)]
    if getattr(dataset, "original_encoding", (None, True))[1] is False and element.VR == "OW":
        raw = raw[: raw.size // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)
    begin = size * at
    bits = np.unpackbits(raw[begin // 8 : (begin + size + 7) // 8], bitorder="little")
    return bits[begin % 8 : begin % 8 + size].reshape(rows, columns).astype(bool)


def _embedded(frame: Frame, position: int) -> NDArray[np.bool_] | None:
    """A bit of each stored word (retired in 2004, and still in files)."""
    header = frame.header
    description = describe(header)
    if header.transfer_syntax not in NATIVE or description.floating or description.samples != 1:
        return None
    if not 0 <= position < description.bits_allocated or description.bits_allocated not in (8, 16, 32):
        raise ValueError(f"bit {position} of {description.bits_allocated} is not possible")
    if description.high_bit - description.bits_stored < position <= description.high_bit:
        return None  # within the value itself
    with Content(header) as content:
        offset, length, _ = frame_span(header, description, frame.index)
        raw = bytearray(length)
        content.read_into(offset, memoryview(raw))
    words = np.frombuffer(raw, np.dtype(f"u{description.bits_allocated // 8}"))
    if header.transfer_syntax == BIG_ENDIAN:
        swap_in_place(words, description)
    return ((words >> position) & 1).astype(bool).reshape(description.rows, description.columns)
