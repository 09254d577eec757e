"""Curved planes: a volume straightened along a centreline."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import array_namespace, move
from gpukit.errors import GeometryError, InputError, TooLargeError
from gpukit.geometry import Grid
from gpukit.ops.sample import sample
from gpukit.render.curve import frames_along, walk
from gpukit.render.planes import INTERPOLATIONS, SLABS, check_volume
from gpukit.units import parse_length
from gpukit.volume import Volume

__all__ = ["straighten"]

_MOST_PIXELS = 1 << 26


def straighten(
    volume: Volume,
    centerline: ArrayLike,
    *,
    frame: str = "voxel",
    width: str | float = 80.0,
    angle: float = 0.0,
    thickness: str | float | None = None,
    slab: str = "mip",
    interpolation: str = "linear",
) -> Volume:
    """A plane that follows a centreline, straightened: the curve is the middle column, its start on top.

    Parameters
    ----------
    volume : Volume
        3D, one value a voxel, on any device.
    centerline : array_like, (n, 3)
        At least two points, joined by a smooth curve.
    frame : {"voxel", "patient"}
        Whether they are voxel indices (i, j, k) or LPS mm.
    width : str or float
        mm across the curve.
    angle : float
        Degrees by which the plane is turned around the curve. At 0 the right of the picture is at the start of the
        curve as close to the patient's left as it can be.
    thickness : str or float, optional
        A slab in front of and behind the plane instead of the plane.
    slab : {"mip", "minip", "mean"}
        What is shown of a slab.
    interpolation : {"nearest", "linear", "cubic"}
        Between voxels.

    Returns
    -------
    Volume
        One slice of floating values in square pixels of the smallest spacing, NaN outside the volume. Its grid is in
        mm across and along the curve, not in the patient; `Volume.notes` says so.

    Raises
    ------
    GeometryError
        A point lies outside the volume.
    InputError, SelectionError
        An argument is out of its domain, or the volume has phases or colours.
    """
    check_volume(volume, interpolation)
    if slab not in SLABS:
        raise InputError(f"there is no slab {slab!r}", attribute="slab", fix=f"use one of {', '.join(SLABS)}")
    wide, deep = parse_length(width), 0.0 if thickness is None else parse_length(thickness)
    if not (wide > 0 and deep >= 0 and math.isfinite(angle)):
        raise InputError("width and thickness must be positive, the angle finite", attribute="width")
    curve = walk(_world(volume.grid, centerline, frame), min(volume.grid.spacing))
    pixel = min(volume.grid.spacing)
    along = float(np.linalg.norm(np.diff(curve, axis=0), axis=1).mean())
    columns, samples = max(1, round(wide / pixel)), max(1, math.ceil(deep / pixel - 1e-6))
    if columns * len(curve) > _MOST_PIXELS:
        raise TooLargeError(f"a picture of {columns} x {len(curve)} pixels is too large", fix="choose a smaller width")
    across, depth = frames_along(curve, angle=angle)
    offsets = (np.arange(columns) - (columns - 1) / 2) * pixel
    plane = curve[:, None, :] + across[:, None, :] * offsets[None, :, None]
    layers = ((np.arange(samples) + 0.5) / samples - 0.5) * deep
    picture = _layered(volume, plane, depth, layers, SLABS[slab], INTERPOLATIONS[interpolation])
    xp = array_namespace(picture)
    grid = Grid.from_axes((1, len(curve), columns), spacing=(pixel, along, deep or pixel))
    note = "straightened along a curve: positions are mm across and along it, not the patient's"
    return replace(volume, array=xp.reshape(picture, grid.shape), grid=grid, padding=None, notes=(*volume.notes, note))


def _world(grid: Grid, centerline: ArrayLike, frame: str) -> Any:
    if frame not in ("voxel", "patient"):
        raise InputError(f"there is no frame {frame!r}", attribute="frame", fix="use voxel or patient")
    points = np.asarray(centerline, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 2 or not np.isfinite(points).all():
        raise InputError("a centreline is at least two points of three finite numbers", attribute="centerline")
    index = points if frame == "voxel" else grid.to_index(points)
    sizes = np.array(grid.shape[::-1])
    outside = ((index < -0.5) | (index > sizes - 0.5)).any(axis=1)
    if outside.any():
        n = int(np.argmax(outside))
        i, j, k = (f"{v:.4g}" for v in index[n])
        raise GeometryError(
            f"point {n + 1} of the centreline, voxel {i},{j},{k}, lies outside the volume of "
            f"{' x '.join(map(str, sizes))} voxels", attribute="centerline", fix="check its frame, voxel or patient",
        )  # fmt: skip
    return grid.to_world(points) if frame == "voxel" else points


def _layered(volume: Volume, plane: Any, depth: Any, layers: Any, method: str, order: int) -> Any:
    """The plane's values, reduced over copies of it that are moved in depth; what is outside takes no part."""
    xp = array_namespace(volume.array)
    result = count = None
    for layer in layers:
        index = volume.grid.to_index(plane + depth[:, None, :] * layer).reshape(-1, 3)
        points = move(index, volume.device)
        value = sample(volume.array, points, order=order, fill=float("nan"), padding=volume.padding)
        ok = ~xp.isnan(value)
        if result is None:
            result, count = value, xp.astype(ok, value.dtype)
            continue
        assert count is not None
        if method == "mean":
            result = xp.where(ok, xp.where(count > 0, result + value, value), result)
        else:
            better = value > result if method == "max" else value < result
            result = xp.where(ok & (better | (count == 0)), value, result)
        count = count + xp.astype(ok, value.dtype)
    return result / xp.clip(count, 1.0, None) if method == "mean" else result
