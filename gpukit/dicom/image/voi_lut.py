"""How an image wants to be shown: its first window with the function of it, else its first VOI LUT."""

from __future__ import annotations

import math
from typing import Any

from gpukit.dicom.image.lut import table_of
from gpukit.dicom.image.plane import PROJECTIONS, Plane
from gpukit.errors import FormatError
from gpukit.volume import Voi

__all__ = ["FUNCTIONS", "may_have_table", "shown_window", "voi_of"]

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
    center, width = (_number(plane.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if center is None or width is None:
        return None
    function = str(plane.get("VOILUTFunction") or "LINEAR").upper()
    if function not in FUNCTIONS:
        function = "LINEAR"
    if not (width >= 1 if function == "LINEAR" else width > 0):
        return None
    if (factor, offset) == (1.0, 0.0):
        return Voi(center, width, function)
    if function == "LINEAR":  # its ends, which LINEAR counts in whole numbers of the values that are displayed
        center, width, function = center - 0.5, width - 1, "LINEAR_EXACT"
    return Voi(factor * center + offset, factor * width, function)


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
    table = table_of(item, signed=int(plane.get("PixelRepresentation", 0)) == 1)
    if table is None:
        return None
    most = float((1 << table.bits) - 1)
    entries = tuple(min(value / most, 1.0) for value in table.entries)
    return Voi(0.0, 0.0, "LUT", entries, factor * table.first + offset, factor)
