"""A frame before its window: values after the modality step, padding, its own windows, how high a pixel is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.image.plane import numbers
from gpukit.dicom.image.voi_lut import FUNCTIONS, voi_of_item
from gpukit.dicom.pixels.frames import read_frame
from gpukit.dicom.pixels.image_pixel import describe
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, GpukitError
from gpukit.volume import Voi

if TYPE_CHECKING:
    from gpukit.dicom.image.lut import Table

__all__ = ["FrameValues", "NamedWindow", "frame_values", "mentions", "pixel_aspect", "windows_of"]

#: Bytes of a header that are searched for attributes; a longer one is read through pydicom.
_SEARCHED = 4 << 20
_MODALITY_LUT, _VOI_LUT, _SUPPLEMENTAL = (0x0028, 0x3000), (0x0028, 0x3010), (0x0028, 0x1101)
_BIG_ENDIAN = "1.2.840.10008.1.2.2"


@dataclass(frozen=True)
class NamedWindow:
    """One of an image's own windows.

    Parameters
    ----------
    name : str
        Its explanation in the file; empty without one.
    voi : Voi
        Window or table.
    """

    name: str
    voi: Voi


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameValues:
    """Values of one frame, not windowed yet.

    Parameters
    ----------
    stored : array ``[row, column]``, or ``[row, column, 3]`` uint8 for colour
        Stored values, or what a modality table made of them. The value is ``slope * stored + intercept``.
    slope, intercept : float
        1 and 0 for colour and for tables.
    valid : array of bool ``[row, column]`` or None
        False for padding and for what is not a number; None where every pixel is valid.
    windows : tuple of NamedWindow
        The image's own ones, the first is what it wants.
    full_range : (float, float)
        Values shown black and white where there is no window.
    inverse : bool
        Low values are white (MONOCHROME1, or PresentationLUTShape INVERSE).
    aspect : float
        Height of a pixel by its width.
    possible_range : (float, float)
        Lowest and highest value that the stored bits, or the table, can give.
    lut : tuple of float or None
        Presentation LUT: shades 0 to 1 of shades 0 to 1.
    palette : array of uint8 ``[n, 3]`` or None
        Pseudo-colour of the shades.
    notes : tuple of str
        What could not be used.
    """

    stored: NDArray[Any]
    slope: float = 1.0
    intercept: float = 0.0
    valid: NDArray[np.bool_] | None = None
    windows: tuple[NamedWindow, ...] = ()
    full_range: tuple[float, float] = (0.0, 1.0)
    inverse: bool = False
    aspect: float = 1.0
    possible_range: tuple[float, float] = (0.0, 1.0)
    lut: tuple[float, ...] | None = None
    palette: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_color(self) -> bool:
        """Whether there is nothing to window."""
        return self.stored.ndim == 3

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest valid value."""
        if "range" not in self._kept:
            self._kept["range"] = self._range(self.stored if self.valid is None else self.stored[self.valid])
        low, high = self._kept["range"]
        return low, high

    def percentiles(self, low: float, high: float) -> tuple[float, float]:
        """Values at two percentiles of the valid pixels, in per cent."""
        values = self.stored if self.valid is None else self.stored[self.valid]
        if values.size == 0:
            return self.full_range
        ends = np.percentile(values, [low, high]) * self.slope + self.intercept
        return float(ends.min()), float(ends.max())

    def value_at(self, row: int, column: int) -> float | tuple[int, ...] | None:
        """Value of a pixel; None for padding; red, green and blue of colour."""
        if self.is_color:
            return tuple(int(v) for v in self.stored[row, column])
        if self.valid is not None and not self.valid[row, column]:
            return None
        return float(self.stored[row, column]) * self.slope + self.intercept

    def _range(self, values: NDArray[Any]) -> tuple[float, float]:
        if values.size == 0:
            return self.full_range
        ends = sorted(float(v) * self.slope + self.intercept for v in (values.min(), values.max()))
        return ends[0], ends[1]


def frame_values(
    frame: Frame,
    *,
    modality: tuple[float, float] | Table | None = None,
    mask: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> FrameValues:
    """Decode a frame up to its window.

    Parameters
    ----------
    frame : Frame
        Any object with pixels.
    modality : (slope, intercept) or Table, optional
        Instead of the image's own, as a presentation state may say.
    mask : callable, optional
        Applied to the stored values first (mask subtraction).

    Raises
    ------
    FormatError, DecodeError, TooLargeError
        The pixels are damaged, cannot be decoded, or are larger than the file or the machine can hold.
    """
    header = frame.header
    stored = read_frame(header, frame.index)
    if mask is not None:
        stored = mask(stored)
    notes = list(frame.plane.notes)
    aspect = pixel_aspect(frame)
    if stored.ndim == 3:
        if header.get("PhotometricInterpretation") != "PALETTE COLOR" and mentions(header, (0x0028, 0x2000)):
            notes.append("the ICC profile is not applied")
        return FrameValues(stored=_eight_bits(stored, header), aspect=aspect, notes=tuple(notes))
    colored = _supplemental(header, stored)
    if colored is not None:
        return FrameValues(stored=colored, aspect=aspect)
    valid = _valid(frame, stored)
    slope, intercept = _rescale(frame)
    full = _full_range(header, stored)
    table: Table | None = None
    if modality is not None:
        if isinstance(modality, tuple):
            slope, intercept = modality
        else:
            table = modality
    elif header.get("RescaleSlope") is None and mentions(header, _MODALITY_LUT):
        table = _modality_table(header, notes)
    if table is not None:
        entries = np.asarray(table.entries, np.uint16 if table.bits > 8 else np.uint8)
        stored = entries[np.clip(stored.astype(np.int64) - table.first, 0, len(entries) - 1)]
        slope, intercept, full = 1.0, 0.0, (0.0, float((1 << table.bits) - 1))
    windows = windows_of(frame, notes)
    values = FrameValues(
        stored=stored, slope=slope, intercept=intercept, valid=valid, windows=windows, inverse=_is_inverse(header),
        aspect=aspect, notes=tuple(notes),
    )  # fmt: skip
    if full is not None:
        ends = sorted(end * slope + intercept for end in full)
        values = _with(values, full_range=(ends[0], ends[1]))
    else:
        values = _with(values, full_range=values.range)
    possible = full if table is not None else None if stored.dtype.kind == "f" else describe(header).value_range
    if possible is None:
        return _with(values, possible_range=values.range)
    ends = sorted(end * slope + intercept for end in possible)
    return _with(values, possible_range=(ends[0], ends[1]))


def mentions(header: Header, tag: tuple[int, int]) -> bool:
    """Whether a file may have an attribute; False only where it certainly has not.

    The bytes before the pixels are searched for the tag, so that pydicom is not needed to learn that a table or an
    overlay is not there.
    """
    data = _head(header)
    if data is None:
        return True
    group, element = tag
    pattern = group.to_bytes(2, "little") + element.to_bytes(2, "little")
    return pattern in data


def _head(header: Header) -> bytes | None:
    if "head" not in header._cache:
        span = header.pixels
        plain = span is not None and span.deflated_from is None and header.transfer_syntax != _BIG_ENDIAN
        if not plain or span is None or span.offset > _SEARCHED:
            header._cache["head"] = None
        else:
            header._cache["head"] = header.location.read_range(0, span.offset)
    data: bytes | None = header._cache["head"]
    return data


def windows_of(frame: Frame, notes: list[str] | None = None) -> tuple[NamedWindow, ...]:
    """The image's own windows and VOI tables for this frame; windows first.

    Parameters
    ----------
    frame : Frame
        Any frame of grey values.
    notes : list of str, optional
        Gets a line for each window that cannot be used.
    """
    remarks = notes if notes is not None else []
    centers, widths = (_several(frame.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    function = str(frame.get("VOILUTFunction") or "LINEAR").upper()
    if function not in FUNCTIONS:
        remarks.append(f"the VOI LUT function {function[:16]!r} is unknown and taken as LINEAR")
        function = "LINEAR"
    results = []
    names = _explanations(frame) if len(centers) > 1 else ()
    for n, (center, width) in enumerate(zip(centers, widths, strict=False)):
        usable = math.isfinite(center) and (width >= 1 if function == "LINEAR" else width > 0) and math.isfinite(width)
        if usable:
            results.append(NamedWindow(names[n] if n < len(names) else "", Voi(center, width, function)))
        else:
            remarks.append(f"the window {center:g}/{width:g} cannot be used")
    if mentions(frame.header, _VOI_LUT):
        results += _voi_tables(frame.header, remarks)
    return tuple(results)


def pixel_aspect(frame: Frame) -> float:
    """Height of a pixel by its width: PixelAspectRatio, PixelSpacing, ImagerPixelSpacing, in this order."""
    header = frame.header
    pair = numbers(header.get("PixelAspectRatio"), 2)
    if pair is None or min(pair) <= 0:
        pair = frame.plane.spacing
    if pair is None:
        pair = next(
            (
                results
                for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
                if (results := numbers(header.get(keyword), 2)) is not None and min(results) > 0
            ),
            None,
        )
    aspect = pair[0] / pair[1] if pair is not None and min(pair) > 0 else 1.0
    return aspect if 0.01 <= aspect <= 100 else 1.0


def _with(values: FrameValues, **changes: Any) -> FrameValues:
    from dataclasses import replace

    return replace(values, **changes)


def _rescale(frame: Frame) -> tuple[float, float]:
    """Slope and intercept to the values that the image's windows are in."""
    plane = frame.plane
    if plane.get("PhilipsScaleSlope") is None:
        return plane.slope, plane.intercept
    pair = [
        frame.functional("PixelValueTransformationSequence", keyword) or frame.header.get(keyword)
        for keyword in ("RescaleSlope", "RescaleIntercept")
    ] if plane.frames > 1 else [frame.header.get("RescaleSlope"), frame.header.get("RescaleIntercept")]  # fmt: skip
    try:
        slope, intercept = float(pair[0] or 1.0), float(pair[1] or 0.0)
    except (TypeError, ValueError):
        return plane.slope, plane.intercept
    return (slope, intercept) if slope and math.isfinite(slope + intercept) else (1.0, 0.0)


def _full_range(header: Header, stored: NDArray[Any]) -> tuple[float, float] | None:
    """Stored values shown black and white without a window; None where the range of the frame is to be taken.

    Eight bits are a picture already; a segmentation has its own most.
    """
    kind = str(header.get("SegmentationType", "")).upper()
    if kind == "BINARY":
        return 0.0, 1.0
    if kind == "FRACTIONAL":
        return 0.0, float(header.dataset().get("MaximumFractionalValue") or 255)
    if stored.dtype.kind == "f":
        return None
    description = describe(header)
    if description.bits_stored == 1:
        return 0.0, 1.0
    if description.bits_stored <= 8 and not description.signed:
        return 0.0, float((1 << description.bits_stored) - 1)
    return None


def _valid(frame: Frame, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    if stored.dtype.kind == "f":
        finite: NDArray[np.bool_] = np.isfinite(stored)
        value = next(
            (v for k in ("FloatPixelPaddingValue", "DoubleFloatPixelPaddingValue") if (v := frame.get(k)) is not None),
            None,
        )
        if value is not None:
            finite &= stored != stored.dtype.type(value)
        if finite.all():
            return None
        np.copyto(stored, 0, where=~finite) if stored.flags.writeable else None
        return finite
    low = frame.get("PixelPaddingValue")
    if low is None:
        return None
    # The value may be given in either signedness; the header scan gives both that of the pixels.
    low, high = sorted((int(low), int(frame.get("PixelPaddingRangeLimit", low))))
    valid: NDArray[np.bool_] = (stored < low) | (stored > high)
    return None if valid.all() else valid


def _is_inverse(header: Header) -> bool:
    """PresentationLUTShape says it where it is there (PS3.3 C.8.11.3.1.2), else the photometric interpretation."""
    shape = str(header.get("PresentationLUTShape", "")).upper()
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return bool(header.get("PhotometricInterpretation") == "MONOCHROME1")


def _modality_table(header: Header, notes: list[str]) -> Table | None:
    from gpukit.dicom.image.lut import table_of

    items = _sequence(header, "ModalityLUTSequence")
    if not items:
        return None
    table = table_of(items[0], signed=int(header.get("PixelRepresentation", 0)) == 1)
    if table is None:
        notes.append("the modality LUT is damaged and not applied")
    return table


def _voi_tables(header: Header, notes: list[str]) -> list[NamedWindow]:
    results = []
    for item in _sequence(header, "VOILUTSequence"):
        voi = voi_of_item(item, signed=int(header.get("PixelRepresentation", 0)) == 1)
        if voi is None:
            notes.append("a VOI LUT is damaged and not used")
        else:
            results.append(NamedWindow(str(item.get("LUTExplanation") or ""), voi))
    return results


def _sequence(header: Header, keyword: str) -> list[Any]:
    try:
        return list(header.dataset().get(keyword) or ())
    except Exception:  # pydicom cannot read the header; the pixels can still be seen
        return []


def _explanations(frame: Frame) -> tuple[str, ...]:
    try:
        value = frame.functional("FrameVOILUTSequence", "WindowCenterWidthExplanation")
        value = value or frame.header.dataset().get("WindowCenterWidthExplanation")
    except GpukitError:
        return ()
    if value is None:
        return ()
    return (str(value),) if isinstance(value, str) else tuple(str(part) for part in value)


def _several(value: Any) -> list[float]:
    parts = value if isinstance(value, (tuple, list)) else [] if value is None else [value]
    numbers_ = []
    for part in parts:
        try:
            numbers_.append(float(part))
        except (TypeError, ValueError):
            numbers_.append(math.nan)
    return numbers_


def _eight_bits(values: NDArray[Any], header: Header) -> NDArray[np.uint8]:
    """Colour of more than eight bits by its high bits."""
    if values.dtype == np.uint8:
        return values
    bits = describe(header).bits_stored
    return (values >> max(0, bits - 8)).astype(np.uint8) if bits > 8 else values.astype(np.uint8)


def _supplemental(header: Header, stored: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Grey with a supplemental palette (PS3.3 C.7.6.19): what lies at or above its first value is in colour."""
    if str(header.get("PixelPresentation", "")).upper() not in ("COLOR", "MIXED", "COLOR_RANGE"):
        return None
    if not mentions(header, _SUPPLEMENTAL):
        return None
    from gpukit.dicom.pixels.color_space import _tables

    try:
        table, first = _tables(header)
    except FormatError:
        return None
    low = 0 if first > 0 else int(stored.min())
    grey = np.clip((stored.astype(np.float64) - low) * 255.0 / max(1, first - 1 - low), 0, 255)
    rgb = np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=2)
    inside = stored >= first
    rgb[inside] = table[np.clip(stored[inside].astype(np.int64) - first, 0, len(table) - 1)]
    return rgb
