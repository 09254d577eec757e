"""From what a user means by a region to voxels: shapes in a slice, balls, masks of any format, or everything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpukit.device import array_namespace
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.findings.measurement import Graphic
from gpukit.geometry import Grid
from gpukit.measure.region.shapes import Box, Circle, Ellipse, Polygon, Sphere
from gpukit.ops._arrays import device, real_dtype
from gpukit.ops.polygon import polygon_mask
from gpukit.segmentation import Segmentation
from gpukit.volume import SourceInstance, Volume

__all__ = ["Part", "Region", "parts_of"]

#: What can be measured within: nothing is the whole volume, a path is a mask file.
Region = Box | Polygon | Ellipse | Circle | Sphere | Segmentation | str | PathLike[str] | None
Slices = int | Sequence[int] | Literal["all"] | None


@dataclass(frozen=True)
class Part:
    """Voxels to measure: a block of the volume, and which of its voxels count.

    Parameters
    ----------
    values : array, [k, j, i]
        The block, on the volume's device.
    mask : array or None
        Of the block's shape; what is not zero counts. None: all.
    start : tuple of int
        Where the block begins in the volume, (k, j, i).
    grid : Grid
        Of the whole volume.
    name : str
        Of the label, for a mask; else empty.
    label : int or None
        Its value.
    tracking_id, tracking_uid : str
        Name and UID of the label's finding through time.
    acquired : array of bool or None, [a, j, i]
        The label on the acquired slices of a volume with interpolated ones, on the CPU; a as `Volume.acquired_slices`.
    drawn : Box, Polygon, Ellipse or None
        A shape in one or more slices.
    graphics : tuple of Graphic
        What an annotation shows.
    sources : tuple of SourceInstance
        The slices of the block.
    notes : tuple of str
        What a user must know of the region.
    """

    values: Any
    mask: Any | None
    start: tuple[int, int, int]
    grid: Grid
    name: str = ""
    label: int | None = None
    tracking_id: str = ""
    tracking_uid: str = ""
    acquired: NDArray[np.bool_] | None = None
    drawn: Box | Polygon | Ellipse | None = None
    graphics: tuple[Graphic, ...] = ()
    sources: tuple[SourceInstance, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def block_grid(self) -> Grid:
        """Grid of the block."""
        shape = tuple(int(n) for n in self.values.shape)
        return self.grid.crop(self.start, shape)


def parts_of(
    volume: Volume,
    region: Region = None,
    *,
    slice: Slices = None,
    labels: Any = None,
    threshold: float = 0.5,
) -> list[Part]:
    """Return the voxels that a region means, one part a label.

    Parameters
    ----------
    volume : Volume
        3D and grey.
    region : Box, Polygon, Ellipse, Circle, Sphere, Segmentation, path or None
        Shapes lie in a slice; a path is a mask in any format of `gpukit.io.masks.open_mask`; None is everything.
    slice : int, (int, int), "all" or None
        For shapes: index k from 0, the first and last k, or all; may be None where there is only one.
    labels : int, str or several, optional
        Of a mask; all unless given.
    threshold : float
        For fractional masks.

    Raises
    ------
    InputError
        The region lies outside the volume, or holds no voxel centre.
    SelectionError
        A slice must be named, a label does not exist, or the volume has phases.
    """
    if volume.axes != "kji":
        what, fix = ("phases", "choose one with --phase") if "t" in volume.axes else ("colours", None)
        raise SelectionError(f"the volume has several {what}", attribute="axes", fix=fix)
    if isinstance(region, (Box, Polygon, Ellipse, Circle)):
        return [_shape(volume, region, slice)]
    if slice is not None:
        raise InputError("a slice belongs to a shape drawn in it", attribute="slice")
    if isinstance(region, Sphere):
        return [_sphere(volume, region)]
    if region is None:
        return [Part(volume.array, None, (0, 0, 0), volume.grid, sources=volume.sources)]
    if isinstance(region, Segmentation):
        from gpukit.io.masks import chosen_labels

        if not region.grid.same_as(volume.grid, tolerance=1e-3 * min(volume.grid.spacing)):
            raise GeometryError("the mask lies on another grid than the volume", fix="read it with gpukit.io.masks")
        maps: tuple[Segmentation, ...] = (chosen_labels(region, labels),)
    else:
        from gpukit.io.masks import open_masks

        maps = open_masks(region, volume, labels=labels, threshold=threshold)
    parts = [part for one in maps for part in _labelled(volume, one.to(volume.device))]
    if not parts:
        raise InputError("no voxel of the volume is inside the mask", attribute="region")
    return parts


# --- shapes in slices ------------------------------------------------------------------------------------------------


def _shape(volume: Volume, shape: Box | Polygon | Ellipse | Circle, slices: Slices) -> Part:
    k0, k1 = _slices(volume, slices)
    drawn = shape.ellipse(volume.grid.spacing[:2]) if isinstance(shape, Circle) else shape
    _, nj, ni = volume.grid.shape
    x_low, x_high, top, bottom = drawn.bounds
    i0, i1 = max(0, math.ceil(x_low)), min(ni, math.floor(x_high) + 1)
    j0, j1 = max(0, math.ceil(top)), min(nj, math.floor(bottom) + 1)
    if isinstance(drawn, Box):  # half open
        i1, j1 = min(ni, math.ceil(x_high)), min(nj, math.ceil(bottom))
    name = type(shape).__name__.lower()
    if i0 >= i1 or j0 >= j1:
        outside = x_high < -0.5 or x_low > ni - 0.5 or bottom < -0.5 or top > nj - 0.5
        what = f"lies outside the image of {ni} x {nj} pixels" if outside else "holds the centre of no pixel"
        raise InputError(f"the {name} {what}", attribute="region")
    values = volume.array[k0:k1, j0:j1, i0:i1]
    mask = None
    if isinstance(drawn, Polygon):
        mask = polygon_mask(values, [[(x - i0, y - j0) for x, y in drawn.points]])
    elif isinstance(drawn, Ellipse):
        mask = _in_ellipse(values, drawn, i0, j0)
    if mask is not None:
        xp = array_namespace(values)
        if not bool(xp.any(mask)):
            raise InputError(f"the {name} holds the centre of no pixel", attribute="region")
        mask = xp.broadcast_to(xp.reshape(mask, (1, *mask.shape)), values.shape)
    notes = []
    if x_low < -0.5 or x_high > ni - 0.5 or top < -0.5 or bottom > nj - 0.5:
        notes.append("a part of the shape lies outside the image")
    if k1 - k0 > 1:
        notes.append(f"the shape was taken in {k1 - k0} slices, {k0} to {k1 - 1}")
    return Part(
        values, mask, (k0, j0, i0), volume.grid, drawn=drawn, graphics=(drawn.graphic(),),
        sources=_sources(volume, k0, k1), notes=tuple(notes),
    )  # fmt: skip


def _slices(volume: Volume, slices: Slices) -> tuple[int, int]:
    nk = volume.grid.shape[0]
    if slices is None:
        if nk > 1:
            raise SelectionError(
                f"the volume has {nk} slices: which one is the shape in", attribute="slice",
                fix=f"give slice from 0 to {nk - 1}, or all",
            )  # fmt: skip
        return 0, 1
    if isinstance(slices, str):
        if slices != "all":
            raise InputError(f"slice {slices!r} is not a slice", attribute="slice", fix="give a number, two, or all")
        return 0, nk
    ends = [int(slices)] * 2 if isinstance(slices, int) else [int(k) for k in slices]
    if len(ends) != 2 or not 0 <= ends[0] <= ends[1] < nk:
        raise SelectionError(f"there is no slice {slices}: they go from 0 to {nk - 1}", attribute="slice")
    return ends[0], ends[1] + 1


def _in_ellipse(values: Any, ellipse: Ellipse, i0: int, j0: int) -> Any:
    """Return pixels whose centre lies in an ellipse or on it."""
    xp = array_namespace(values)
    _, nj, ni = (int(n) for n in values.shape)
    (ax, ay), (bx, by) = ellipse.axes
    x = xp.reshape(_range(xp, values, ni, i0 - ellipse.x), (1, ni))
    y = xp.reshape(_range(xp, values, nj, j0 - ellipse.y), (nj, 1))
    along_a, along_b = (x * ax + y * ay) / ellipse.a**2, (x * bx + y * by) / ellipse.b**2
    return along_a * along_a + along_b * along_b <= 1 + 1e-12


def _range(xp: Any, like: Any, count: int, offset: float) -> Any:
    """``0 .. count - 1`` plus an offset, in working precision on the device of `like`."""
    return xp.arange(count, dtype=real_dtype(xp, like), device=device(like)) + offset


def _sources(volume: Volume, k0: int, k1: int) -> tuple[SourceInstance, ...]:
    """Sources of the slices; all of them where slices were made anew from several."""
    there = [source for source in volume.sources if k0 <= source.index < k1]
    indices = {source.index for source in volume.sources}
    return tuple(there) if there and indices == set(range(volume.grid.shape[0])) else volume.sources


# --- balls -----------------------------------------------------------------------------------------------------------


def _sphere(volume: Volume, sphere: Sphere) -> Part:
    if not volume.geometry.depth:
        raise GeometryError("a ball needs an image whose place and slice thickness are known", attribute="sphere")
    grid = volume.grid
    centre = np.asarray(sphere.center, float)
    index = grid.to_index(centre) if sphere.space == "patient" else centre
    reach = sphere.radius * np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]), axis=1)
    sizes = np.array(grid.shape[::-1])
    low = np.maximum(0, np.ceil(index - reach - 1e-9)).astype(int)
    high = np.minimum(sizes - 1, np.floor(index + reach + 1e-9)).astype(int) + 1
    if (low >= high).any():
        raise InputError("the sphere holds no voxel of the volume", attribute="sphere")
    start = (int(low[2]), int(low[1]), int(low[0]))
    values = volume.array[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    xp = array_namespace(values)
    along = [_range(xp, values, int(b - a), float(a - c)) for a, b, c in zip(low, high, index, strict=True)]
    i, j, k = (
        xp.reshape(v, tuple(-1 if axis == n else 1 for n in range(3))) for v, axis in zip(along, (2, 1, 0), strict=True)
    )
    square = 0.0
    for row in grid.affine[:3, :3].tolist():
        part = i * row[0] + j * row[1] + k * row[2]
        square = square + part * part
    mask = square <= (sphere.radius * (1 + 1e-9)) ** 2
    if not bool(xp.any(mask)):
        raise InputError("the sphere holds the centre of no voxel", attribute="sphere")
    cut = ((index - reach < -0.5) | (index + reach > sizes - 0.5)).any()
    world = grid.to_world(index)
    notes = ("a part of the sphere lies outside the volume",) if cut else ()
    return Part(
        values, mask, start, grid, sources=_sources(volume, start[0], int(high[2])), notes=notes,
        graphics=(Graphic("POINT", (tuple(float(v) for v in world),), "patient"),),
    )  # fmt: skip


# --- masks -----------------------------------------------------------------------------------------------------------


def _labelled(volume: Volume, segmentation: Segmentation) -> list[Part]:
    xp = array_namespace(volume.array)
    notes = tuple(note for note in segmentation.notes if note not in volume.notes)
    parts = []
    empty = []
    for label in segmentation.labels:
        inside = segmentation.mask(label)
        box = []
        for axis in range(3):
            others = tuple(n for n in range(3) if n != axis)
            there = xp.nonzero(xp.any(inside, axis=others))[0]
            if int(there.shape[0]) == 0:
                break
            box.append((int(there[0]), int(there[-1]) + 1))
        if len(box) < 3:
            empty.append(f"{label.value} ({label.name})")
            continue
        (k0, k1), (j0, j1), (i0, i1) = box
        parts.append(
            Part(
                volume.array[k0:k1, j0:j1, i0:i1],
                inside[k0:k1, j0:j1, i0:i1],
                (k0, j0, i0),
                volume.grid,
                name=label.name,
                label=label.value,
                tracking_id=label.tracking_id,
                tracking_uid=label.tracking_uid,
                acquired=_acquired(segmentation, label.value),
                sources=_sources(volume, k0, k1),
                notes=notes,
            )
        )
    if empty and parts:
        parts[0] = replace(parts[0], notes=(*parts[0].notes, f"left out, without a voxel: label {', '.join(empty)}"))
    return parts


def _acquired(segmentation: Segmentation, value: int) -> NDArray[np.bool_] | None:
    """Return where a label was drawn on acquired slices; None where it was not drawn on those alone."""
    if segmentation.acquired is None:
        return None
    inside: NDArray[np.bool_] = np.asarray(segmentation.acquired) == value
    return inside if inside.any() else None
