"""Phases and colours: apply a function of one value a voxel to each of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gpukit.device import array_namespace
from gpukit.ops._arrays import without_infinite
from gpukit.volume import Volume

__all__ = ["each", "finite", "phase_of"]


def each(volume: Volume, do: Callable[[Volume], Volume]) -> Volume:
    """`do` for every phase and every colour of a volume; the results in one volume again.

    Parameters
    ----------
    volume : Volume
        With any axes.
    do : callable
        From a volume of axes ``kji`` to another; its grid must not depend on the values.

    Returns
    -------
    Volume
        With the axes of `volume`. Colours of whole numbers stay so: rounded, and 0 where there is nothing.
    """
    if volume.axes == "kji":
        return do(volume)
    xp = array_namespace(volume.array)
    if volume.axes.startswith("t"):
        volumes = [each(phase_of(volume, t), do) for t in range(volume.array.shape[0])]
        first = volumes[0]
        return replace(
            first, array=xp.stack([one.array for one in volumes]), axes="t" + first.axes, phases=volume.phases,
            sources=volume.sources,
        )  # fmt: skip
    volumes = [do(replace(volume, array=volume.array[..., c], axes="kji")) for c in range(volume.array.shape[-1])]
    array = xp.stack([_as_colour(xp, one.array, volume.array.dtype) for one in volumes], axis=-1)
    return replace(volumes[0], array=array, axes="kjic", padding=None)


def finite(volume: Volume) -> Volume:
    """The volume with NaN in place of infinite voxels, which are not measurements; itself where there are none."""
    array = without_infinite(array_namespace(volume.array), volume.array)
    return volume if array is volume.array else replace(volume, array=array)


def phase_of(volume: Volume, t: int) -> Volume:
    """Phase t of a volume with phases, with the sources that it was made of."""
    name = volume.phases[t : t + 1]
    sources = tuple(source for source in volume.sources if source.phase == t)
    return replace(volume, array=volume.array[t], axes=volume.axes[1:], phases=name, sources=sources or volume.sources)


def _as_colour(xp: Any, array: Any, dtype: Any) -> Any:
    if array.dtype == dtype or xp.isdtype(dtype, "real floating"):
        return array
    info = xp.iinfo(dtype)
    if xp.isdtype(array.dtype, "real floating"):
        array = xp.round(xp.where(xp.isnan(array), xp.zeros_like(array), array))
    return xp.astype(xp.clip(array, int(info.min), int(info.max)), dtype)
