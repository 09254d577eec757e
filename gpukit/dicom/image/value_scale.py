"""How the stored values of an image become values: which attribute of the header says so, and what it says.

Slope and intercept are those of the rescale attributes (PS3.3 C.11.1), of a real world value mapping (C.7.6.16.2.11),
of a dose grid (C.8.8.3) or of Philips' own scale of MR images. This is the only place that chooses among them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gpukit.errors import FormatError
from gpukit.units import finite_number

__all__ = ["PHILIPS", "PlaneScale", "dose_scale", "mapped_scale", "philips_scale", "rescale"]

#: Source of a scale that Philips' private attribute gives.
PHILIPS = "PhilipsScaleSlope"


@dataclass(frozen=True, slots=True)
class PlaneScale:
    """Value = slope * stored + intercept.

    Parameters
    ----------
    slope, intercept : float
        Finite; the slope is not 0.
    source : str
        Keyword of the attribute that says so; empty where none does and the values are as stored.
    facts : mapping
        RescaleSlope and RescaleIntercept of what the header's window refers to, where the image does not hold them as
        they are to be used.
    notes : tuple of str
        What a user must know.
    """

    slope: float = 1.0
    intercept: float = 0.0
    source: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def rescale(slope: Any, intercept: Any, file: str, *, stored: bool = True) -> PlaneScale:
    """RescaleSlope and RescaleIntercept, 1 and 0 where absent; a slope of 0, which some write for none, is taken as 1.

    Parameters
    ----------
    slope, intercept : object
        Values of the attributes, or None.
    file : str
        For messages.
    stored : bool
        Whether the header scan has them too, so that they need not be among the facts of the frame.

    Raises
    ------
    FormatError
        One of them is not a finite number.
    """
    if slope is None and intercept is None:
        return _NO_SCALE
    if stored and type(slope) is float and type(intercept) is float and slope and math.isfinite(slope + intercept):
        return _stored_scale(slope, intercept)  # of thousands of slices mostly the same
    factor = 1.0 if slope is None else finite_number(slope, file=file, attribute="RescaleSlope")
    offset = 0.0 if intercept is None else finite_number(intercept, file=file, attribute="RescaleIntercept")
    notes: tuple[str, ...] = ()
    if factor == 0:
        factor, stored = 1.0, False
        notes = ("RescaleSlope is 0, which would make every value equal: it was taken as 1",)
    facts = {} if stored else {"RescaleSlope": factor, "RescaleIntercept": offset}
    return PlaneScale(factor, offset, "RescaleSlope", facts, notes)


_NO_SCALE = PlaneScale()


@functools.lru_cache(maxsize=64)
def _stored_scale(slope: float, intercept: float) -> PlaneScale:
    return PlaneScale(slope, intercept, "RescaleSlope")


def philips_scale(shown: PlaneScale, scale: Any) -> PlaneScale:
    """The values that a Philips MR scanner measured.

    Philips rescales each image for display with RescaleSlope (RS) and RescaleIntercept (RI) and keeps its own scale
    slope (SS) in (2005,100E): measured value = (RS * stored + RI) / (RS * SS). Only these compare between images.

    Parameters
    ----------
    shown : PlaneScale
        Of the display.
    scale : object
        (2005,100E), or None; where it is not a positive number, the values are those of the display.
    """
    try:
        factor = float(scale) * shown.slope
    except (TypeError, ValueError):
        return shown
    if not math.isfinite(factor) or factor <= 0:
        return shown
    return replace(shown, slope=shown.slope / factor, intercept=shown.intercept / factor, source=PHILIPS)


def mapped_scale(item: Any, shown: PlaneScale, file: str) -> PlaneScale | None:
    """Slope and intercept of an item of a RealWorldValueMappingSequence; None where it has none (a table, perhaps).

    Raises
    ------
    FormatError
        They are not finite, or the slope is 0.
    """
    slope, intercept = item.get("RealWorldValueSlope"), item.get("RealWorldValueIntercept")
    if slope is None:
        return None
    factor = finite_number(slope, file=file, attribute="RealWorldValueSlope")
    offset = 0.0 if intercept is None else finite_number(intercept, file=file, attribute="RealWorldValueIntercept")
    if factor == 0:
        raise FormatError("a slope of 0 makes every value equal", file=file, attribute="RealWorldValueSlope")
    return PlaneScale(factor, offset, "RealWorldValueMappingSequence", shown.facts)


def dose_scale(scaling: Any, file: str) -> PlaneScale:
    """DoseGridScaling of an RT dose; without it the values are as stored, and have no unit.

    Raises
    ------
    FormatError
        It is not a finite number, or is not positive.
    """
    if scaling is None or scaling == "":
        return PlaneScale(notes=("DoseGridScaling is missing: the values are as stored, not doses",))
    factor = finite_number(scaling, file=file, attribute="DoseGridScaling")
    if factor <= 0:
        raise FormatError(f"a dose grid cannot be scaled by {factor:g}", file=file, attribute="DoseGridScaling")
    return PlaneScale(factor, 0.0, "DoseGridScaling")
