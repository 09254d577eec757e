"""Masks and label maps as the kernels of statistics and histogram take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit_backends.cpu.library import type_number

__all__ = ["flat", "grouped", "inside", "unsuitable"]


def unsuitable(data: Any) -> str | None:
    """Why the voxels cannot be handed to a kernel, or None."""
    if type_number(data.dtype) is None and data.dtype != np.bool_ and data.dtype != np.int8:
        return f"voxel type {data.dtype} is not compiled"
    return "there are no voxels" if data.size == 0 else None


def flat(data: NDArray[Any]) -> NDArray[Any]:
    """Return the voxels in C order in a compiled type, aligned; copied only where they do not lie so already."""
    kind = {"bool": "uint8", "int8": "int16"}.get(data.dtype.name, data.dtype)
    return np.require(data, kind, ("C_CONTIGUOUS", "ALIGNED")).reshape(-1)


def inside(mask: NDArray[Any] | None) -> NDArray[np.uint8] | None:
    """Return the mask as bytes, zero outside."""
    if mask is None:
        return None
    return np.ascontiguousarray(mask if mask.dtype == np.bool_ else mask != 0).reshape(-1).view(np.uint8)


def grouped(mask: NDArray[Any], labels: Sequence[int]) -> NDArray[Any]:
    """For each voxel the place of its label among `labels`, counted from 1; 0 for other labels. Labels are distinct."""
    kind = np.uint8 if len(labels) < 2**8 else np.uint16
    values = np.ascontiguousarray(mask if mask.dtype.kind in "iub" else mask.astype(np.int64)).reshape(-1)
    if values.dtype.itemsize > 2:  # too many values for a table over all of them
        order = np.argsort(np.asarray(labels))
        ordered = np.asarray(labels, dtype=np.int64)[order]
        at = np.minimum(np.searchsorted(ordered, values), len(labels) - 1)
        place = (order + 1).astype(kind)[at]
        place[ordered[at] != values] = 0
        return place
    limits = np.iinfo(np.uint8 if values.dtype == np.bool_ else values.dtype)
    table = np.zeros(int(limits.max) - int(limits.min) + 1, kind)
    for place_of, label in enumerate(labels, start=1):
        if limits.min <= label <= limits.max:
            table[label] = place_of  # a negative label counts from the table's end, as a negative voxel does
    groups: NDArray[Any] = table[values.view(np.uint8) if values.dtype == np.bool_ else values]
    return groups
