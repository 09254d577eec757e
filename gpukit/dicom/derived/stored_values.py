"""Values as the 16-bit numbers that images store, with the slope, intercept and padding that turn them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import InputError

__all__ = ["Stored", "to_stored"]

_INT16, _UINT16 = np.iinfo(np.int16), np.iinfo(np.uint16)
#: The number that stands for "no measurement" where values are fitted; no value is stored as it.
_NOTHING = int(_INT16.min)
_STEPS = int(_INT16.max)  # stored numbers on either side of zero


@dataclass(frozen=True, eq=False)
class Stored:
    """Stored numbers and what they mean: value = slope * stored + intercept.

    Attributes
    ----------
    array : int16 or uint16 array
    slope, intercept : str
        As DICOM writes them (DS, at most 16 characters); exactly what `array` was computed with.
    padding : (int, int) or None
        Lowest and highest stored number that is no measurement.
    is_exact : bool
        Whether every measured value comes back to the last bit.
    """

    array: NDArray[Any]
    slope: str
    intercept: str
    padding: tuple[int, int] | None
    is_exact: bool


def to_stored(array: NDArray[Any], padding: tuple[float, float] | None, *, through_zero: bool = False) -> Stored:
    """Fit values into 16 bits: unchanged where they are whole numbers of 16 bits, else with a slope over their range.

    Parameters
    ----------
    array : array of numbers
        NaN and infinity are no measurement.
    padding : (float, float) or None
        Values in this closed interval are no measurement either.
    through_zero : bool
        The intercept must be 0, as in PET images (PS3.3 C.8.9.4.1.3).

    Returns
    -------
    Stored
        A fitted slope spreads the measured range over 65,535 numbers (for `through_zero` the larger of its ends over
        32,767), so that no value is off by more than half a slope.

    Raises
    ------
    InputError
        The array is no array of real numbers.
    """
    kind = array.dtype.kind
    if kind not in "buif":
        raise InputError(f"values of type {array.dtype} make no image of one value a pixel")
    if kind == "b":
        array = array.astype(np.uint16)
    if kind != "f" and array.size:
        low, high = int(array.min()), int(array.max())
        for info, dtype in ((_INT16, np.int16), (_UINT16, np.uint16)):
            if info.min <= low and high <= info.max and (array.dtype != np.uint16 or dtype == np.uint16):
                return Stored(array.astype(dtype), "1", "0", _whole_padding(padding, info), True)
    values = np.asarray(array, np.float64)
    bad = ~np.isfinite(values)
    if padding is not None:
        bad |= (values >= padding[0]) & (values <= padding[1])
    measured = values[~bad]
    nothing = (_NOTHING, _NOTHING) if measured.size < values.size else None
    if not measured.size:
        return Stored(np.full(values.shape, _NOTHING, np.int16), "1", "0", nothing, True)
    low_, high_ = float(measured.min()), float(measured.max())
    if low_ > _NOTHING and high_ <= _INT16.max and np.array_equal(np.rint(measured), measured):
        return Stored(np.where(bad, _NOTHING, values).astype(np.int16), "1", "0", nothing, True)
    slope, intercept = _fit(low_, high_, through_zero)
    numbers = np.rint((np.where(bad, 0.0, values) - float(intercept)) / float(slope))
    numbers = np.clip(numbers, -_STEPS, _STEPS)  # the last digits of the texts may push an end over by one
    return Stored(np.where(bad, _NOTHING, numbers).astype(np.int16), slope, intercept, nothing, False)


def _whole_padding(padding: tuple[float, float] | None, info: Any) -> tuple[int, int] | None:
    """The whole numbers of the type that lie in the interval."""
    if padding is None:
        return None
    low, high = max(int(np.ceil(padding[0])), int(info.min)), min(int(np.floor(padding[1])), int(info.max))
    return (low, high) if low <= high else None


def _fit(low: float, high: float, through_zero: bool) -> tuple[str, str]:
    if through_zero:
        size = max(abs(low), abs(high))
        return _decimal(size / _STEPS if size > 0 else 1.0), "0"
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    return _decimal(half / _STEPS if half > 0 else 1.0), _decimal(middle)


def _decimal(value: float) -> str:
    """The shortest text of at most 16 characters that is closest to the value."""
    for digits in range(17, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    raise InputError(f"{value:g} cannot be written in 16 characters")  # pragma: no cover
