"""Lengths with a unit, and the units that voxel values can have."""

from __future__ import annotations

import math
import re
from enum import StrEnum

from gpukit.errors import UnitError

__all__ = ["ValueUnit", "parse_length"]

_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3}
_LENGTH = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµμ]*)\s*")


class ValueUnit(StrEnum):
    """Unit of a volume's values; the text is what results print.

    The names of the PET units are those of DICOM Units (0054,1001), PS3.3 C.8.9.1.1.3.
    """

    NONE = "1"
    HU = "HU"
    BQML = "BQML"
    SUVBW = "SUVbw"
    GML = "GML"
    CNTS = "CNTS"
    CM2ML = "CM2ML"
    PROPCPS = "PROPCPS"
    RGB = "RGB"


def parse_length(text: str | float, *, bare: str = "mm") -> float:
    """Length in mm from text such as ``"20mm"``, ``"2 cm"`` or ``"1.5"``.

    Parameters
    ----------
    text : str or float
        A number with a unit (mm, cm, m, um); a bare number has the unit `bare`.
    bare : str
        The unit of a number without one.

    Returns
    -------
    float
        Millimetres; finite.

    Raises
    ------
    UnitError
        The text is no finite length.
    """
    if isinstance(text, (int, float)):
        value, unit = float(text), bare
    else:
        match = _LENGTH.fullmatch(text)
        if match is None:
            raise UnitError(f"{text!r} is no length", fix="write a number and a unit, such as 20mm or 2cm")
        value, unit = float(match[1]), match[2] or bare
    if unit not in _MILLIMETRES:
        raise UnitError(f"{text!r} has the unknown unit {unit!r}", fix="use mm, cm, m or um")
    if not math.isfinite(value):
        raise UnitError(f"{text!r} is not finite", fix="write a finite number, such as 20mm")
    return value * _MILLIMETRES[unit]
