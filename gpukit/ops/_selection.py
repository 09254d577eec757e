"""Which voxels take part: the checks and masks that statistics, histograms and morphology share."""

from __future__ import annotations

from typing import Any

from gpukit.device import device_of
from gpukit.errors import InputError
from gpukit.ops._arrays import Padding, invalid, real_dtype

__all__ = ["as_mask", "check_like", "real_values", "selected", "whole"]


def check_like(data: Any, mask: Any) -> None:
    """The mask must have the data's shape and lie on its device: operations never move anything.

    Raises
    ------
    InputError
        It does not.
    """
    if tuple(mask.shape) != tuple(data.shape):
        raise InputError(f"a mask of shape {tuple(mask.shape)} on data of shape {tuple(data.shape)}", attribute="mask")
    ours, theirs = device_of(data), device_of(mask)
    if ours != theirs:
        raise InputError(
            f"the mask is on {theirs}, the data on {ours}", attribute="mask", fix="move one of them with .to(device)"
        )


def as_mask(xp: Any, mask: Any) -> Any:
    """Boolean array: everything that is not zero."""
    return xp.astype(mask, xp.bool, copy=False)


def whole(xp: Any, dtype: Any) -> bool:
    """Return whether a dtype holds whole numbers (booleans count as 0 and 1)."""
    return bool(xp.isdtype(dtype, ("integral", "bool")))


def real_values(xp: Any, data: Any) -> Any:
    """Return the data in working precision; refuses what is not real."""
    if not xp.isdtype(data.dtype, ("integral", "bool", "real floating")):
        raise InputError(f"values must be real numbers, not {data.dtype}")
    return xp.astype(data, real_dtype(xp, data), copy=False)


def selected(xp: Any, values: Any, mask: Any | None, padding: Padding) -> Any | None:
    """Boolean array of the voxels that are measurements inside the mask; None for all of them."""
    missing = invalid(xp, values, padding)
    if mask is None:
        return None if missing is None else ~missing
    inside = as_mask(xp, mask)
    return inside if missing is None else inside & ~missing
