"""Masked volumes: what lies outside a region is not a measurement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpukit.device import array_namespace
from gpukit.errors import GeometryError, SelectionError
from gpukit.ops._arrays import device
from gpukit.rendering.mpr.sampling import real_type
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["masked"]


def masked(volume: Volume, mask: Segmentation) -> Volume:
    """Return the volume with everything outside a mask marked as no measurement, so that no projection sees it.

    Parameters
    ----------
    volume : Volume
        On any device; of several phases each is masked.
    mask : Segmentation
        On the volume's grid and device, as `gpukit.io.masks.open_mask` gives it; every label counts.

    Returns
    -------
    Volume
        Of the same type with `Volume.padding` set, where a value is left to mark with; else floating, with NaN outside.

    Raises
    ------
    GeometryError
        The mask lies on another grid.
    SelectionError
        No voxel lies inside.
    """
    if not mask.grid.same_as(volume.grid):
        raise GeometryError("the mask lies on another grid", attribute="mask", fix="bring it there with open_mask")
    xp = array_namespace(volume.array)
    inside = mask.to(volume.device).array != 0
    if not bool(xp.any(inside)):
        raise SelectionError("the mask holds no voxel of the volume", attribute="mask")
    if volume.axes.endswith("c"):
        inside = xp.expand_dims(inside, axis=-1)
    array, value, padding = _marked(xp, volume)
    nothing = xp.full((1,), value, dtype=array.dtype, device=device(array))
    return replace(volume, array=xp.where(inside, array, nothing), padding=padding)


def _marked(xp: Any, volume: Volume) -> tuple[Any, float, tuple[float, float] | None]:
    """Return an array, a value of its type that stands for no measurement, and the padding that declares it."""
    array = volume.array
    if not xp.isdtype(array.dtype, "real floating"):
        info = xp.iinfo(array.dtype)
        if volume.padding is not None:
            value = int(np.ceil(volume.padding[0]))
            if info.min <= value <= min(info.max, volume.padding[1]):
                return array, value, volume.padding
        else:
            low, high = int(xp.min(array)), int(xp.max(array))
            if low > info.min or high < info.max:
                value = low - 1 if low > info.min else high + 1
                return array, value, (float(value), float(value))
        array = xp.astype(array, getattr(xp, real_type(array)))
    return array, float("nan"), volume.padding
