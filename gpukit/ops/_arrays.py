"""Shared parts of the operations on arrays: working precision, conversion back, and voxels without a measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpukit.errors import InputError

__all__ = [
    "Padding",
    "as_dtype",
    "check_padding",
    "device",
    "dtype_of",
    "integer_range",
    "invalid",
    "is_floating",
    "real_dtype",
    "signed",
    "signed_dtype",
    "whole_padding",
    "without_infinite",
]

#: Values lo to hi (both included) are not measurements.
Padding = tuple[float, float] | None


def device(array: Any) -> Any:
    """Device of an array, in its own library's terms."""
    from array_api_compat import device as get

    return get(array)


def real_dtype(xp: Any, array: Any) -> Any:
    """float64, or float32 where the array's device has no float64 (Apple's MPS)."""
    return xp.float32 if str(device(array)).partition(":")[0] == "mps" else xp.float64


def is_floating(xp: Any, dtype: Any) -> bool:
    """Return whether a dtype is of real floating point."""
    return bool(xp.isdtype(dtype, "real floating"))


def dtype_of(xp: Any, dtype: Any, data: Any) -> Any:
    """Return the namespace's dtype for None (that of `data`), for a name such as ``"int16"``, or for a dtype of it."""
    if dtype is None:
        return data.dtype
    if isinstance(dtype, str):
        scalar = getattr(xp, dtype, None)
        if scalar is None:
            raise InputError(f"unknown array type {dtype!r}", attribute="dtype")
        return scalar
    return dtype


def as_dtype(xp: Any, values: Any, dtype: Any) -> Any:
    """Real values as `dtype`: integers are rounded half to even and clipped to their range, NaN becomes 0."""
    if is_floating(xp, dtype):
        return xp.astype(values, dtype, copy=False)
    if xp.isdtype(dtype, "bool"):
        return values >= 0.5
    info = xp.iinfo(dtype)
    low, high = float(info.min), float(info.max)
    if high >= 2.0**53:  # the largest float64 that still fits; the next one up would overflow
        high = float(info.max - 1023 if info.max < 2**63 else info.max - 2047)
    if values.dtype == xp.float32 and high >= 2.0**24:
        high = float(2**31 - 128) if high < 2.0**32 else high
    values = xp.where(xp.isnan(values), xp.zeros_like(values), values)
    return xp.astype(xp.clip(xp.round(values), low, high), dtype)


def signed_dtype(xp: Any, dtype: Any) -> Any:
    """Return the signed type that holds a wide unsigned one (uint64 by its bits); any other type as it is."""
    if dtype == xp.uint8 or not xp.isdtype(dtype, "unsigned integer"):
        return dtype
    return xp.int32 if dtype == xp.uint16 else xp.int64


def signed(xp: Any, data: Any) -> Any:
    """Wide unsigned integers as signed ones: torch stores such types, but does not index, flip or compare them."""
    return xp.astype(data, signed_dtype(xp, data.dtype), copy=False)


def integer_range(xp: Any, dtype: Any) -> tuple[int, int]:
    """Return the lowest and the highest value of an integer type; a boolean counts as 0 and 1."""
    if xp.isdtype(dtype, "bool"):
        return 0, 1
    info = xp.iinfo(dtype)
    return int(info.min), int(info.max)


def check_padding(padding: Sequence[float] | None) -> Padding:
    """Return the interval as two floats in order, or None."""
    if padding is None:
        return None
    low, high = (float(v) for v in padding)
    if not low <= high:
        raise InputError(f"padding must be (lowest, highest), not ({low:g}, {high:g})", attribute="padding")
    return low, high


def whole_padding(padding: tuple[float, float], lowest: int, highest: int) -> tuple[int, int] | None:
    """The whole numbers of an interval (its ends may be infinite) that a type of this range holds; None for none."""
    low, high = (min(max(end, lowest - 1.0), highest + 1.0) for end in padding)
    first, last = max(math.ceil(low), lowest), min(math.floor(high), highest)
    return (first, last) if first <= last else None


def without_infinite(xp: Any, data: Any) -> Any:
    """The data with NaN in place of infinite values, which are not measurements; itself where there are none."""
    if not is_floating(xp, data.dtype):
        return data
    infinite = xp.isinf(data)
    if not bool(xp.any(infinite)):
        return data
    return xp.where(infinite, xp.asarray(math.nan, dtype=data.dtype, device=device(data)), data)


def invalid(xp: Any, data: Any, padding: Padding) -> Any | None:
    """Return the mask of the voxels that are not measurements, or None where there can be none."""
    mask = xp.isnan(data) if is_floating(xp, data.dtype) else None
    if padding is None:
        return mask
    low, high = padding
    if not is_floating(xp, data.dtype):
        lowest, highest = integer_range(xp, data.dtype)
        whole = whole_padding((low, high), lowest, highest)
        if whole is None:
            return None
        low, high = whole
        data = xp.astype(data, xp.uint8) if xp.isdtype(data.dtype, "bool") else signed(xp, data)
        if (
            highest >= 2**63
        ):  # by its bits a value from 2^63 on is negative: the sign's bit turned over restores the order
            data, low, high = data ^ -(2**63), low - 2**63, high - 2**63
    padded = (data >= low) & (data <= high)
    return padded if mask is None else mask | padded
