"""How an image wants to be shown: its first window with the function of it, else its first VOI LUT."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpukit.dicom.image.lut import table_of
from gpukit.dicom.image.plane import PROJECTIONS, Plane
from gpukit.errors import FormatError
from gpukit.volume import SourceInstance, Voi, Volume

__all__ = [
    "FUNCTIONS", "first_window", "frame_of_slice", "header_voi", "is_inverse", "may_have_table", "own_voi",
    "shown_window", "voi_of", "voi_of_item",
]  # fmt: skip

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


# --- of a volume: the window of each slice

#: Pictures whose grid is not the patient's (values of ImageType).
_UNPLACED = {"CURVED MPR", "VOLUME RENDERING", "SURFACE RENDERING"}
_PARALLEL = 0.999  # cosine


def is_inverse(volume: Volume) -> bool:
    """Whether its lowest values are meant to be shown white (MONOCHROME1, PS3.3 C.7.6.3.1.2)."""
    return not volume.axes.endswith("c") and volume.metadata.get("PhotometricInterpretation") == "MONOCHROME1"


def frame_of_slice(volume: Volume, k: int, phase: int = 0) -> SourceInstance | None:
    """The frame that slice k shows; None where it shows several (another plane, a projection)."""
    sources = [source for source in volume.sources if source.phase == phase] or list(volume.sources)
    return _frame_behind(volume, sources, k) if sources else None


def own_voi(volume: Volume, slice: int | None = None, phase: int = 0) -> Voi | None:
    """The window that an image names in its header.

    Parameters
    ----------
    volume : Volume
    slice, phase : int
        Index k and t. The window is that of the frame which slice k shows; where slice k shows several frames (another
        plane, a projection), and for None, that of the frame in the middle of the stack.

    Returns
    -------
    Voi or None
        In the volume's values; None where the header has none. A volume without source images has that of its metadata.
    """
    sources = [source for source in volume.sources if source.phase == phase] or list(volume.sources)
    if not sources:
        return header_voi(volume.metadata)
    at = None if slice is None else _frame_behind(volume, sources, slice)
    return (at or sources[len(sources) // 2]).voi


def _frame_behind(volume: Volume, sources: Sequence[SourceInstance], k: int) -> SourceInstance | None:
    """The frame whose plane is nearest to slice k; None where slices of the volume are not parallel to frames."""
    if len(sources) == 1:
        return sources[0]
    facts = volume.metadata
    if {str(part) for part in facts.get("ImageType") or ()} & _UNPLACED:
        return None
    cosines = facts.get("ImageOrientationPatient")
    if cosines is None:  # without a place, slices are stacked as they came
        same = [source for source in sources if source.index == k]
        return same[0] if len(sources) == volume.grid.shape[0] and same else None
    row, column = np.asarray(cosines[:3], float), np.asarray(cosines[3:6], float)
    acquired = np.cross(row, column)
    normal = np.cross(volume.grid.direction[:, 0], volume.grid.direction[:, 1])
    size = float(np.linalg.norm(acquired) * np.linalg.norm(normal))
    if size == 0 or abs(float(acquired @ normal)) < _PARALLEL * size:
        return None
    heights = np.asarray([source.position for source in sources], float) @ normal
    at = float(volume.grid.to_world((0, 0, k)) @ normal)
    return sources[int(np.abs(heights - at).argmin())]


def header_voi(metadata: Mapping[str, Any]) -> Voi | None:
    """The first usable window of a header's attributes, by DICOM keyword; None without one."""
    return first_window(*(metadata.get(keyword) for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction")))
