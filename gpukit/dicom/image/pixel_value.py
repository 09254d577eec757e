"""What stored values become: number type, unit and padding of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.device import array_namespace
from gpukit.dicom.image.plane import Plane
from gpukit.dicom.pixels.frames import frame_format
from gpukit.units import ValueUnit

__all__ = ["corner_padding", "declared_padding", "is_colour", "mark_padding", "output_types", "value_unit"]

_INTEGERS = (np.uint8, np.int16, np.uint16, np.int32)
#: Air is -1000 HU and the lowest number of the usual 12-bit range is -1024; a constant below that is no measurement.
_LOWEST_CT = -1024


def is_colour(plane: Plane) -> bool:
    """Whether its frames decode to red, green and blue."""
    photometric = str(plane.get("PhotometricInterpretation", ""))
    return int(plane.get("SamplesPerPixel", 1)) > 1 or photometric == "PALETTE COLOR"


def output_types(planes: Sequence[Plane]) -> tuple[np.dtype[Any], ...]:
    """Number types for the values of the planes, in the order in which to try them.

    Where every slope is 1 and every intercept whole, the smallest of uint8, int16, uint16 and int32 that holds every
    value that the stored bits allow; float32 otherwise (float64 for stored numbers that float32 would round). Scanners
    that declare 16 bits seldom use them all: a CT of 16 bits with an intercept of -1024 would need 32 bits by its
    header alone, so that int16 is tried first there. Decoding refuses a value that does not fit.
    """
    first = planes[0]
    _, stored, _ = frame_format(first.header)
    if is_colour(first):
        return (stored,)
    if stored.kind == "f":
        return (np.dtype(np.float64 if stored.itemsize > 4 else np.float32),)
    lowest, highest = 0.0, 0.0
    for plane in planes:
        if plane.slope != 1 or plane.intercept != round(plane.intercept):
            return (np.dtype(np.float32),)
        _, _, (low, high) = frame_format(plane.header)
        lowest, highest = min(lowest, low + plane.intercept), max(highest, high + plane.intercept)
    fitting = [np.dtype(kind) for kind in _INTEGERS if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max]
    wide = fitting[0] if fitting else np.dtype(np.float64)
    if stored.itemsize == 2 and wide == np.int32:
        return np.dtype(np.int16), wide
    return (wide,)


def value_unit(plane: Plane) -> tuple[str, str]:
    """Unit of the values, and a remark where the file leaves it open (else empty)."""
    if is_colour(plane):
        return ValueUnit.RGB, ""
    modality = str(plane.get("Modality", ""))
    if modality == "CT":
        # RescaleType is required only where the values are not HU (PS3.3 C.8.2.1), and localizers are not.
        kind = str(plane.get("RescaleType", "HU")).upper()
        if kind != "HU" or "LOCALIZER" in plane.kind:
            return ValueUnit.NONE, ""
        if not plane.scale_source or (plane.scale_source == "RescaleSlope" and plane.get("RescaleIntercept") is None):
            return ValueUnit.NONE, "no rescale intercept: the values are taken as they are, not as HU"
        return ValueUnit.HU, ""
    if modality == "PT":
        units = str(plane.get("Units", "")).upper()
        if units == "GML":
            # SUVType is body weight where it is absent (PS3.3 C.8.9.1).
            weight = str(plane.get("SUVType", "BW") or "BW").upper() == "BW"
            return (ValueUnit.SUVBW if weight else ValueUnit.GML), ""
        if units in set(ValueUnit):
            return ValueUnit(units), ""
    if modality == "RTDOSE" and plane.scale_source and str(plane.get("DoseUnits", "")).upper() == "GY":
        return ValueUnit.GY, ""
    return ValueUnit.NONE, ""


def declared_padding(planes: Sequence[Plane]) -> tuple[float, float] | None:
    """Values that PixelPaddingValue (and PixelPaddingRangeLimit) become; None without them, or where they differ."""
    found = {_padding_of(plane) for plane in planes} - {None}
    return next(iter(found)) if len(found) == 1 else None


def mark_padding(array: Any, planes: Sequence[Plane]) -> tuple[Any, str]:
    """Voxels of padding as NaN where the padding, one stored value, has another value in other slices.

    Parameters
    ----------
    array : ``[n, rows, columns]``
        Values of the planes, on any device.
    planes : sequence of Plane
        As many.

    Returns
    -------
    array
        Itself where nothing is to be marked; else floating (changed in place where it was).
    str
        What a user must know, or empty.
    """
    pairs = [_padding_of(plane) for plane in planes]
    if len(set(pairs) - {None}) < 2:
        return array, ""
    xp = array_namespace(array)
    if not xp.isdtype(array.dtype, "real floating"):
        array = xp.astype(array, xp.float32 if array.dtype.itemsize <= 2 else xp.float64)
    kind = np.float32 if array.dtype == xp.float32 else np.float64
    for n, pair in enumerate(pairs):
        if pair is None:
            continue
        # the values were rounded to the array's type in the same way
        low, high = float(kind(pair[0])), float(kind(pair[1]))
        plane = array[n, ...]
        array[n, ...] = xp.where((plane >= low) & (plane <= high), xp.full_like(plane, float("nan")), plane)
    return array, "the padding has another value in each slice: its voxels are NaN"


def _padding_of(plane: Plane) -> tuple[float, float] | None:
    pair = _stored_padding(plane)
    if pair is None:
        return None
    low, high = sorted(plane.slope * value + plane.intercept for value in pair)
    return low, high


def _stored_padding(plane: Plane) -> tuple[float, float] | None:
    for keyword in ("FloatPixelPaddingValue", "DoubleFloatPixelPaddingValue"):
        if (value := plane.get(keyword)) is not None:
            return float(value), float(value)
    value = plane.get("PixelPaddingValue")
    if value is None or is_colour(plane):
        return None
    # The header scan has given both the signedness of the pixels, whatever their VR said.
    return float(value), float(plane.get("PixelPaddingRangeLimit", value))


def corner_padding(array: Any) -> tuple[float, float] | None:
    """A constant far below air in all four corners of every slice of a CT: padding that no attribute declares.

    Parameters
    ----------
    array : ``[..., k, j, i]``
        HU, on any device.
    """
    corners = array[..., :: max(1, array.shape[-2] - 1), :: max(1, array.shape[-1] - 1)]
    first = corners[(0,) * corners.ndim]
    value = float(first)
    if value < _LOWEST_CT and bool((corners == first).all()):
        return value, value
    return None
