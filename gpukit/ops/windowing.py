"""VOI windowing: values as shades between black and white (PS3.3 C.11.2.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpukit.device import array_namespace
from gpukit.errors import InputError
from gpukit.ops._arrays import Padding, check_padding, device, invalid, is_floating, real_dtype, signed
from gpukit.volume import Voi

__all__ = ["Window", "apply_voi", "as_voi", "check_voi", "gray_levels", "shades"]

#: Types whose values float32 holds exactly.
_SMALL = ("int8", "uint8", "int16", "uint16", "float16", "bfloat16", "float32")
_MOST = 1e30  # a window beyond this, or narrower than its inverse, needs float64


#: A window as functions take it: a VOI function, or the values shown black and white.
Window = Voi | tuple[float, float]


def as_voi(window: Window) -> Voi:
    """Return the VOI function of a window; of two values the one that is linear between black and white.

    Raises
    ------
    InputError
        The window is empty or not finite.
    """
    if isinstance(window, Voi):
        return check_voi(window)
    low, high = (float(value) for value in window)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InputError(f"the window {window} is empty or not finite", fix="give its lowest and its highest value")
    return Voi(low + (high - low) / 2, high - low, "LINEAR_EXACT")


def check_voi(voi: Voi) -> Voi:
    """Return the window itself.

    Raises
    ------
    InputError
        It is empty, not finite, or names an unknown function.
    """
    if voi.function == "LUT":
        if not voi.lut or not math.isfinite(voi.first) or not math.isfinite(voi.step) or voi.step == 0:
            raise InputError("the VOI LUT is empty or not finite", attribute="VOILUTSequence")
        return voi
    if voi.function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise InputError(f"{voi.function!r} is not a VOI LUT function", attribute="VOILUTFunction")
    least = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0}.get(voi.function, math.ulp(0.0))
    if not (math.isfinite(voi.center) and math.isfinite(voi.width) and voi.width >= least):
        raise InputError(
            f"the window with the center {voi.center:g} and the width {voi.width:g} is empty or not finite",
            attribute="window", fix="give finite numbers and a positive width",
        )  # fmt: skip
    return voi


def apply_voi(data: Any, voi: Voi, *, padding: Sequence[float] | None = None, inverse: bool = False) -> Any:
    """Apply a window or a VOI LUT.

    Parameters
    ----------
    data : array of real numbers, any shape
        Values after the modality's rescaling.
    voi : Voi
        The function, in the unit of `data`. LINEAR, LINEAR_EXACT and SIGMOID are those of PS3.3 C.11.2.1.2 and
        C.11.2.1.3; a window without width is a threshold.
    padding : (float, float), optional
        Values in this closed interval are not measurements.
    inverse : bool
        Show the lowest values white (MONOCHROME1, PS3.3 C.7.6.3.1.2).

    Returns
    -------
    array of float32 or float64, the shape of `data`
        0 is black, 1 is white; on the device of `data`. Padding, NaN and infinite values are 0, also where `inverse`.

    Raises
    ------
    InputError
        The window is empty or not finite.
    """
    check_voi(voi)
    xp = array_namespace(data)
    nothing = _not_measured(xp, data, check_padding(padding))
    values = xp.astype(signed(xp, data), _working_type(xp, data, voi), copy=False)
    if nothing is not None:
        values = xp.where(nothing, xp.zeros_like(values), values)
    levels = shades(xp, values, voi)
    if inverse:
        levels = 1.0 - levels
    return levels if nothing is None else xp.where(nothing, xp.zeros_like(levels), levels)


def gray_levels(shades: Any) -> Any:
    """Shades of 0 to 1 as uint8: 0 to 255, rounded to the nearest level (half to even)."""
    xp = array_namespace(shades)
    return xp.astype(xp.round(shades * 255.0), xp.uint8)


def _working_type(xp: Any, data: Any, voi: Voi) -> Any:
    name = str(data.dtype).rpartition(".")[2]
    low, high = voi.limits
    ordinary = max(abs(low), abs(high)) < _MOST and (high == low or high - low > 1 / _MOST)
    return xp.float32 if name in _SMALL and ordinary else real_dtype(xp, data)


def _not_measured(xp: Any, data: Any, padding: Padding) -> Any | None:
    nothing = invalid(xp, data, padding)
    if not is_floating(xp, data.dtype):
        return nothing
    infinite = xp.isinf(data)
    return infinite if nothing is None else nothing | infinite


def shades(xp: Any, values: Any, voi: Voi) -> Any:
    """Return the function itself, for floating values that are all measured, in the namespace of their library.

    `apply_voi` is this with checks, padding and types. NumPy itself may be the namespace, but for tables and
    thresholds.
    """
    if voi.function == "LUT":
        last = len(voi.lut) - 1
        at = xp.clip(xp.round((values - voi.first) / voi.step), 0, last)
        table = xp.asarray(voi.lut, dtype=values.dtype, device=device(values))
        return xp.reshape(xp.take(table, xp.reshape(xp.astype(at, xp.int64), (-1,)), axis=0), values.shape)
    if voi.function == "SIGMOID":
        exponent = xp.clip((values - voi.center) / voi.width, -20.0, 20.0) * -4.0  # e^80 is within float32
        return 1.0 / (1.0 + xp.exp(exponent))
    low, high = voi.limits
    if low == high:
        return xp.astype(values > low, values.dtype)
    return xp.clip((values - low) / (high - low), 0.0, 1.0)
