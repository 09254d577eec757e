"""Lengths with a unit, the units that voxel values can have, and numbers of headers, which must be finite."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from enum import StrEnum
from os import PathLike

from gpukit.errors import FormatError, UnitError

__all__ = ["ValueUnit", "finite_number", "finite_numbers", "parse_length"]

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
    GY = "Gy"
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


def finite_number(value: object, *, file: str | PathLike[str] | None = None, attribute: str | None = None) -> float:
    """The finite number that a header states: every number of every header passes here before it is used.

    Parameters
    ----------
    value : object
        A number, or text that is one.
    file, attribute
        For the message.

    Raises
    ------
    FormatError
        It is not a number, or it is infinite or NaN.
    """
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    try:
        number = float(str(text).strip() if isinstance(text, str) else text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or (isinstance(text, str) and "_" in text):
        raise FormatError(f"{str(text).strip()[:32]!r} is not a number", file=file, attribute=attribute,
                          fix="correct the file")  # fmt: skip
    if not math.isfinite(number):
        raise FormatError(f"the value {number} is not finite", file=file, attribute=attribute, fix="correct the file")
    return number


def finite_numbers(
    values: Iterable[object], count: int | None = None, *, file: str | PathLike[str] | None = None,
    attribute: str | None = None,
) -> tuple[float, ...]:  # fmt: skip
    """As `finite_number`, of several values, which must be `count` where that is given."""
    numbers = tuple(finite_number(value, file=file, attribute=attribute) for value in values)
    if count is not None and len(numbers) != count:
        raise FormatError(
            f"{len(numbers)} numbers where {count} are needed", file=file, attribute=attribute, fix="correct the file"
        )
    return numbers
