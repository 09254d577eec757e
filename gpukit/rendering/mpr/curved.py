"""Curved planes: a volume along a centreline, straightened or stretched."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import array_namespace, move
from gpukit.errors import GeometryError, InputError, SelectionError, TooLargeError
from gpukit.geometry import Grid
from gpukit.ops.sample import sample
from gpukit.rendering.mpr.centerline import check_course, frames_along, smoothed, unrolled, walk
from gpukit.rendering.mpr.components import each, finite
from gpukit.rendering.mpr.planes import INTERPOLATIONS, SLABS, check_interpolation
from gpukit.units import parse_length
from gpukit.volume import Volume

__all__ = ["MODES", "straighten"]

#: Ways to make the surface along a curve flat.
MODES = ("straightened", "stretched")
_MOST_PIXELS = 1 << 26


def straighten(
    volume: Volume,
    centerline: ArrayLike,
    *,
    frame: str = "voxel",
    mode: str = "straightened",
    smoothing: str | float = 0.0,
    width: str | float = 80.0,
    angle: float = 0.0,
    thickness: str | float | None = None,
    slab: str = "mip",
    interpolation: str = "linear",
) -> Volume:
    """Return a surface that follows a centreline, made flat: its start is on top.

    Parameters
    ----------
    volume : Volume
        On any device. Of several phases each is drawn; colours are, unless in a slab.
    centerline : array_like, (n, 3)
        At least two points, joined by a smooth curve.
    frame : {"voxel", "patient"}
        Whether they are voxel indices (i, j, k) or LPS mm.
    mode : {"straightened", "stretched"}
        Straightened: the curve is the middle column, and a plane that turns as little as it can goes with it; what is
        beside the curve keeps its distance from it. Stretched: lines of one direction through the curve, unrolled; the
        curve keeps its bends as seen across that direction, and its length.
    smoothing : str or float
        mm of a Gaussian that the curve is smoothed with along itself; 0 goes through every point.
    width : str or float
        mm across the curve; in a stretched picture on both sides of it together, beyond where it goes itself.
    angle : float
        Degrees by which the plane is turned around the curve (stretched: around the line from its start to its end). At
        0 the right of the picture is, at the start of the curve, as close to the patient's left as it can be.
    thickness : str or float, optional
        A slab in front of and behind the surface instead of the surface.
    slab : {"mip", "minip", "mean"}
        What is shown of a slab.
    interpolation : {"nearest", "linear", "cubic"}
        Between voxels.

    Returns
    -------
    Volume
        One slice of floating values, NaN outside the volume. Its pixels are as wide as the smallest spacing and as high
        to within a row's share (`Volume.grid` has both in mm). The grid is across and along the curve, not in the
        patient; `Volume.notes` says so.

    Raises
    ------
    GeometryError
        A point lies outside the volume.
    InputError, SelectionError
        An argument is out of its domain, or a slab of colours was asked for.
    """
    if slab not in SLABS:
        raise InputError(f"unknown slab {slab!r}", attribute="slab", fix=f"use one of {', '.join(SLABS)}")
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}", attribute="mode", fix=f"use {' or '.join(MODES)}")
    wide, deep = parse_length(width), 0.0 if thickness is None else parse_length(thickness)
    sigma = parse_length(smoothing)
    if not (wide > 0 and deep >= 0 and math.isfinite(angle) and sigma >= 0):
        raise InputError("width and thickness must be positive, the angle finite", attribute="width")
    if deep > 0 and volume.axes.endswith("c") and slab != "mean":
        raise SelectionError("colours have no largest or smallest", attribute="slab", fix="use mean")
    check_interpolation(interpolation)
    pixel = min(volume.grid.spacing)
    curve = walk(_world(volume.grid, centerline, frame), pixel)
    if sigma > 0:
        curve = walk(smoothed(curve, sigma), pixel)
    check_course(curve)
    surface = _flat(curve, angle, wide, pixel) if mode == "straightened" else _unrolled(curve, angle, wide, pixel)
    samples = max(1, math.ceil(deep / pixel - 1e-6))
    layers = ((np.arange(samples) + 0.5) / samples - 0.5) * deep

    def draw(one: Volume) -> Volume:
        picture = _layered(one, surface, layers, SLABS[slab], INTERPOLATIONS[interpolation])
        grid = Grid.from_axes((1, *surface.points.shape[:2]), spacing=(pixel, surface.along, deep or pixel))
        array = array_namespace(picture).reshape(picture, grid.shape)
        return replace(one, array=array, grid=grid, padding=None)

    reformation = each(finite(volume), draw)
    note = f"{mode} along a curve: positions are mm across and along it, not the patient's"
    return replace(reformation, notes=(*volume.notes, note), metadata=_facts(volume, mode, deep, slab, interpolation))


@dataclass(frozen=True, eq=False)
class _Surface:
    """Points of a picture in LPS mm, [row, column, xyz], each row's direction in depth, and mm between rows."""

    points: Any
    depth: Any
    along: float


def _flat(curve: Any, angle: float, wide: float, pixel: float) -> _Surface:
    """Across the curve at each of its points."""
    columns = _columns(wide, pixel, len(curve))
    across, depth = frames_along(curve, angle=angle)
    offsets = (np.arange(columns) - (columns - 1) / 2) * pixel
    fine = walk(curve, pixel / 8)  # its chords are as long as its arcs
    along = float(np.linalg.norm(np.diff(fine, axis=0), axis=1).sum()) / (len(curve) - 1)
    return _Surface(curve[:, None, :] + across[:, None, :] * offsets[None, :, None], depth, along)


def _unrolled(curve: Any, angle: float, wide: float, pixel: float) -> _Surface:
    """Along one direction through the curve."""
    across = _direction(curve, angle)
    fine = walk(curve, pixel / 8)
    rows, places, along = unrolled(fine, across, pixel)
    middle, reach = (places.min() + places.max()) / 2, places.max() - places.min() + wide
    columns = _columns(reach, pixel, len(rows))
    offsets = middle + (np.arange(columns) - (columns - 1) / 2) * pixel
    tangent = np.gradient(rows, axis=0)
    steps = np.diff(rows, axis=0, append=2 * rows[-1:] - rows[-2:-1])
    sizes = np.linalg.norm(tangent, axis=1, keepdims=True)
    tangent = np.where(sizes > 0.1 * along, tangent, steps)  # where the shadow of the curve turns back on itself
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6 * along)
    return _Surface(rows[:, None, :] + across * offsets[None, :, None], np.cross(across, tangent), along)


def _columns(wide: float, pixel: float, rows: int) -> int:
    columns = max(1, round(wide / pixel))
    if columns * rows > _MOST_PIXELS:
        raise TooLargeError(f"a picture of {columns} x {rows} pixels is too large", fix="choose a smaller width")
    return columns


def _direction(curve: Any, angle: float) -> Any:
    """The lines of a stretched picture: as close to the patient's left as they can be across the curve's own course."""
    course = curve[-1] - curve[0]
    if np.linalg.norm(course) < 0.1 * np.linalg.norm(np.diff(curve, axis=0), axis=1).sum():  # it comes back
        course = np.linalg.svd(curve - curve.mean(axis=0), full_matrices=False)[2][0]
    course = course / np.linalg.norm(course)
    across = np.array([1.0, 0.0, 0.0]) if abs(course[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    across -= (across @ course) * course
    across /= np.linalg.norm(across)
    turn = np.radians(angle)
    return np.cos(turn) * across + np.sin(turn) * np.cross(course, across)


def _facts(volume: Volume, mode: str, deep: float, slab: str, interpolation: str) -> dict[str, Any]:
    """Return the metadata with the derivation, by DICOM keyword."""
    facts = dict(volume.metadata)
    of = str(facts.get("SeriesDescription") or "")
    facts["SeriesDescription"] = f"CURVED MPR {mode}" + (f": {of}" if of else "")
    extent = f", {slab} of {deep:g} mm" if deep else ""
    facts["DerivationDescription"] = f"curved reformation, {mode}{extent}, {interpolation} interpolation"
    facts["ImageType"] = ("DERIVED", "SECONDARY", "CURVED MPR")
    facts.pop("SliceThickness", None)
    return facts


def _world(grid: Grid, centerline: ArrayLike, frame: str) -> Any:
    if frame not in ("voxel", "patient"):
        raise InputError(f"unknown frame {frame!r}", attribute="frame", fix="use voxel or patient")
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


def _layered(volume: Volume, surface: _Surface, layers: Any, method: str, order: int) -> Any:
    """Return the surface's values, reduced over copies of it that are moved in depth; what is outside takes no part."""
    xp = array_namespace(volume.array)
    result = count = None
    for layer in layers:
        index = volume.grid.to_index(surface.points + surface.depth[:, None, :] * layer).reshape(-1, 3)
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
