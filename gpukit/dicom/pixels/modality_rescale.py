"""Stored values to output values: slope times stored plus intercept, exact for integers (PS3.3 C.11.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.pixels.image_pixel import FrameDescription
from gpukit.errors import DecodeError

__all__ = ["scale_into", "shift_in_place"]


def shift_in_place(stored: NDArray[Any], intercept: int, out: NDArray[Any], value_range: tuple[int, int]) -> None:
    """Add a whole number to values that lie in `out`'s own memory, seen there as their stored type.

    Parameters
    ----------
    stored : ndarray
        View of `out` as the stored integer type of the same size.
    value_range : tuple of int
        What the stored bits can hold; where that fits, the values need no look.

    Raises
    ------
    DecodeError
        A value would not fit in `out`'s type.
    """
    _require_fit(stored, 1, intercept, out.dtype, value_range)
    if intercept:  # arithmetic modulo 2**bits gives the right value whenever it fits, which was seen to
        bits = out.dtype.itemsize * 8
        view = out.view(f"u{out.dtype.itemsize}")
        np.add(view, view.dtype.type(intercept % (1 << bits)), out=view)


def scale_into(
    values: NDArray[Any], slope: float, intercept: float, out: NDArray[Any], description: FrameDescription
) -> None:
    """``out[...] = slope * values + intercept``.

    Parameters
    ----------
    values : ndarray
        Stored values.
    slope, intercept : float
        Rescale.
    out : ndarray
        Same shape. Integer: the result must be whole and fit. Floating: float64 arithmetic, rounded once.
    description : FrameDescription
        Tells the range of the stored bits.

    Raises
    ------
    DecodeError
        The result is not whole, or does not fit, in an integer type.
    """
    plain = slope == 1 and intercept == 0
    if out.dtype.kind == "f":
        if plain:
            out[...] = values
        else:
            scaled = np.multiply(values, np.float64(slope), dtype=np.float64)
            scaled += np.float64(intercept)
            out[...] = scaled
        return
    if values.dtype.kind == "f":
        _put_whole(values.astype(np.float64) * slope + intercept, out)
        return
    if not (float(slope).is_integer() and float(intercept).is_integer()):
        _put_whole(np.multiply(values, np.float64(slope), dtype=np.float64) + np.float64(intercept), out)
        return
    as_stored = values.dtype == description.dtype and values.ndim == len(description.shape)
    limits = description.value_range if as_stored else None
    _require_fit(values, int(slope), int(intercept), out.dtype, limits)
    if plain:
        out[...] = values.astype(out.dtype, casting="unsafe", copy=False)
    else:
        wide = values.astype(np.int64)
        wide *= int(slope)
        wide += int(intercept)
        out[...] = wide.astype(out.dtype)


def _require_fit(
    values: NDArray[Any], slope: int, intercept: int, dtype: np.dtype[Any], limits: tuple[int, int] | None
) -> None:
    if values.size == 0 or slope == 0:
        limits = (0, 0)
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    first, last = sorted(v * slope + intercept for v in limits) if limits is not None else (low - 1, high + 1)
    # only the end that the stored bits could carry beyond the type costs a look at the values
    if first < low:
        first = int(values.min() if slope > 0 else values.max()) * slope + intercept
    if last > high:
        last = int(values.max() if slope > 0 else values.min()) * slope + intercept
    if first < low or last > high:
        raise DecodeError(
            f"rescaled values from {first} to {last} do not fit {dtype}",
            attribute="RescaleSlope, RescaleIntercept",
            fix="read the series as float32",
        )


def _put_whole(scaled: NDArray[np.float64], out: NDArray[Any]) -> None:
    info = np.iinfo(out.dtype)
    whole = np.rint(scaled)
    if not np.array_equal(whole, scaled) or (scaled.size and (scaled.min() < info.min or scaled.max() > info.max)):
        raise DecodeError(
            f"rescaled values are not whole numbers of type {out.dtype}",
            attribute="RescaleSlope, RescaleIntercept",
            fix="read the series as float32",
        )
    out[...] = whole.astype(out.dtype)
