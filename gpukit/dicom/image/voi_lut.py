"""How an image wants to be shown: its first window with the function of it, else its first VOI LUT."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from gpukit.dicom.image.lut import table_of
from gpukit.dicom.image.plane import PROJECTIONS, Plane
from gpukit.errors import FormatError
from gpukit.volume import Voi

__all__ = ["FUNCTIONS", "first_window", "may_have_table", "shown_window", "voi_of", "voi_of_item"]

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def voi_of(plane: Plane, *, tables: bool = True) -> Voi | None:
    """The plane's own window, or the table that stands in its place; None where it names neither.

    A window comes before a table, since of two alternatives readers must choose one and windows are what all of them
    know. A header's numbers belong to the values that it displays: what RescaleSlope and RescaleIntercept make of the
    stored numbers. Where the values of the plane are others (Philips' own scale of MR), window and table are converted
    to them, so that the picture is the same.

    Parameters
    ----------
    plane : Plane
    tables : bool
        Look for a table, which needs the whole header.
    """
    shown = _displayed(plane)
    return None if shown is None else _window(plane, *shown) or (_table(plane, *shown) if tables else None)


def shown_window(plane: Plane) -> dict[str, Any] | None:
    """The attributes of its first window in the plane's values, where those are not the ones the header displays.

    None where they are; empty where no window of the plane's values is known.
    """
    scale = _displayed(plane)
    if scale == (1.0, 0.0):
        return None
    voi = None if scale is None else _window(plane, *scale)
    return {} if voi is None else {
        "WindowCenter": (voi.center,), "WindowWidth": (voi.width,), "VOILUTFunction": voi.function
    }  # fmt: skip


def may_have_table(plane: Plane) -> bool:
    """Whether its header, and so perhaps those of its series, has a VOI LUT and no window."""
    if _window(plane, 1.0, 0.0) is not None:
        return False
    if str(plane.get("Modality", "")) in PROJECTIONS:
        return True
    return _table_item(plane) is not None


def _displayed(plane: Plane) -> tuple[float, float] | None:
    """Factor and offset from the values that the header displays to the plane's; None where that is not known."""
    slope, intercept = (_number(plane.get(keyword)) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope is None:
        if plane.get("PhilipsScaleSlope") is None:
            return 1.0, 0.0
        slope, intercept = 1.0, 0.0
    if slope * plane.slope <= 0:
        return None
    factor = plane.slope / slope
    return factor, plane.intercept - factor * (intercept or 0.0)


def _window(plane: Plane, factor: float, offset: float) -> Voi | None:
    voi = first_window(*(plane.get(keyword) for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction")))
    if voi is None:
        return None
    center, width, function = voi.center, voi.width, voi.function
    if (factor, offset) == (1.0, 0.0):
        return Voi(center, width, function)
    if function == "LINEAR":  # its ends, which LINEAR counts in whole numbers of the values that are displayed
        center, width, function = center - 0.5, width - 1, "LINEAR_EXACT"
    return Voi(factor * center + offset, factor * width, function)


def first_window(center: Any, width: Any, function: Any = None) -> Voi | None:
    """The first usable window of the values of WindowCenter, WindowWidth and VOILUTFunction; None without one.

    An unknown function counts as LINEAR, the default of the standard (PS3.3 C.11.2.1.3).
    """
    name = str(function or "LINEAR").upper()
    if name not in FUNCTIONS:
        name = "LINEAR"
    for c, w in zip(_several(center), _several(width), strict=False):
        if math.isfinite(c) and math.isfinite(w) and (w >= 1 if name == "LINEAR" else w > 0):
            return Voi(c, w, name)
    return None


def _several(value: Any) -> list[float]:
    """Numbers of a value of one or several; NaN for what is not one."""
    parts = value if isinstance(value, (tuple, list)) else [] if value is None else [value]
    return [math.nan if (number := _number(part)) is None else number for part in parts]


def _number(value: Any) -> float | None:
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _table_item(plane: Plane) -> Any:
    if int(plane.get("SamplesPerPixel", 1)) != 1 or str(plane.get("PhotometricInterpretation")) == "PALETTE COLOR":
        return None
    try:
        items = plane.header.dataset().get("VOILUTSequence")
    except FormatError:  # the pixels were read without pydicom, and how they are shown is not worth refusing them
        return None
    return items[0] if items else None


def _table(plane: Plane, factor: float, offset: float) -> Voi | None:
    item = _table_item(plane)
    if item is None:
        return None
    voi = voi_of_item(item, signed=int(plane.get("PixelRepresentation", 0)) == 1)
    return None if voi is None else replace(voi, first=factor * voi.first + offset, step=factor)


def voi_of_item(item: Any, *, signed: bool) -> Voi | None:
    """The VOI LUT of a sequence item, in the values that the header displays; None where it is damaged."""
    table = table_of(item, signed=signed)
    if table is None:
        return None
    most, highest = float((1 << table.bits) - 1), max(table.entries)
    if highest > most:  # more bits are used than the descriptor says
        most = float((1 << int(highest).bit_length()) - 1)
    return Voi(0.0, 0.0, "LUT", tuple(value / most for value in table.entries), float(table.first))
