"""How an image wants to be shown: its first window with the function of it, else its first VOI LUT."""

from __future__ import annotations

import math
from typing import Any

from gpukit.dicom.image.lut import table_of
from gpukit.dicom.image.plane import PROJECTIONS, Plane
from gpukit.errors import FormatError
from gpukit.volume import Voi

__all__ = ["FUNCTIONS", "voi_of"]

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def voi_of(plane: Plane) -> Voi | None:
    """The plane's own window, or the table that stands in its place; None where it names neither.

    A window comes before a table, since of two alternatives readers must choose one and windows are what all of them
    know. Tables are looked for in projections only: no scanner of slices writes them, and finding one needs the whole
    header.
    """
    return _window(plane) or (_table(plane) if str(plane.get("Modality", "")) in PROJECTIONS else None)


def _window(plane: Plane) -> Voi | None:
    center, width = (_number(plane.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if center is None or width is None:
        return None
    if plane.get("PhilipsScaleSlope") is not None and plane.get("Modality") == "MR":
        # The window is for what Philips displays, RS * stored + RI, and the values are that divided by RS * SS.
        shown = _number(plane.header.get("RescaleSlope"))
        if shown is None or shown * plane.slope <= 0:
            return None
        center, width = center * plane.slope / shown, width * plane.slope / shown
    function = str(plane.get("VOILUTFunction") or "LINEAR").upper()
    if function not in FUNCTIONS:
        function = "LINEAR"
    return Voi(center, width, function) if (width >= 1 if function == "LINEAR" else width > 0) else None


def _number(value: Any) -> float | None:
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _table(plane: Plane) -> Voi | None:
    if int(plane.get("SamplesPerPixel", 1)) != 1 or str(plane.get("PhotometricInterpretation")) == "PALETTE COLOR":
        return None
    try:
        items = plane.header.dataset().get("VOILUTSequence")
    except FormatError:  # the pixels were read without pydicom, and how they are shown is not worth refusing them
        return None
    if not items:
        return None
    table = table_of(items[0], signed=int(plane.get("PixelRepresentation", 0)) == 1)
    if table is None:
        return None
    most = float((1 << table.bits) - 1)
    return Voi(0.0, 0.0, "LUT", tuple(min(value / most, 1.0) for value in table.entries), float(table.first))
