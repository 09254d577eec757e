"""Reformatted planes and projections: `mpr` and `mip`.

A volume whose axes run along the patient's is cut along named planes by indexing alone: voxels are moved, never
blended. Everything else is sampled by `gpukit.ops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import array_namespace
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.geometry import Grid
from gpukit.ops.project import project, project_slab
from gpukit.ops.resample import resample
from gpukit.render.views import PLANES, View, is_aligned, missed, view_along, view_grid, view_of
from gpukit.units import parse_length
from gpukit.volume import Volume

__all__ = ["INTERPOLATIONS", "SLABS", "check_volume", "mip", "mpr", "squared"]

#: What remains of the voxels behind one another -> the word of `gpukit.ops.project`.
SLABS = {"mip": "max", "minip": "min", "mean": "mean"}
INTERPOLATIONS = {"nearest": 0, "linear": 1, "cubic": 3}


def mpr(
    volume: Volume,
    *,
    planes: Sequence[str] = ("axial", "coronal", "sagittal"),
    normal: ArrayLike | None = None,
    point: ArrayLike | None = None,
    frame: str = "voxel",
    slice: int | None = None,
    position: float | None = None,
    thickness: str | float | None = None,
    slab: str = "mip",
    interpolation: str = "linear",
    square: bool = False,
) -> tuple[Volume, ...]:
    """Planes of a volume in the patient's frame, whatever the orientation of its acquisition.

    Pictures follow the radiological convention: axial as seen from the feet, coronal from the front, sagittal from the
    patient's left; the patient's right is on the viewer's left, head or front is up.

    Parameters
    ----------
    volume : Volume
        3D, one value a voxel, on any device.
    planes : sequence of {"axial", "coronal", "sagittal"}
        Which planes; not used where `normal` is given.
    normal : array_like, (3,), optional
        One oblique plane instead. Its sign does not matter: the viewer stands where the nearest named plane is seen
        from.
    point : array_like, (3,), optional
        A point of the plane (of all planes); the middle of the volume by default.
    frame : {"voxel", "patient"}
        What `normal` and `point` are in. Voxel: `point` is an index (i, j, k) = column, row, slice from 0, and `normal`
        has its components along the directions of i, j and k. Patient: LPS mm.
    slice : int, optional
        Instead of `point`, for one named plane of a volume whose axes run along the patient's: its number from 0,
        counted away from the viewer (axial from the feet, coronal from the front, sagittal from the patient's left).
    position : float, optional
        Instead of `point`, for one named plane: LPS mm along its axis (axial z, coronal y, sagittal x).
    thickness : str or float, optional
        ``"20mm"``, ``"2cm"`` or mm: a slab of that thickness around the plane instead of the plane.
    slab : {"mip", "minip", "mean"}
        What is shown of a slab.
    interpolation : {"nearest", "linear", "cubic"}
        Between voxels; cubic is a B-spline through them.
    square : bool
        Make the pixels square for display, by `interpolation`. Otherwise a plane whose voxels are not square keeps
        them as they are.

    Returns
    -------
    tuple of Volume
        One slice each, on the volume's device, with its place in the patient; the slice spacing is the slab's
        thickness. Planes along the axes of the volume keep its values and their type, and are then the nearest plane of
        voxels, a slab those whose centres lie in it. Others are float with NaN outside (a slab: the volume's type and
        `Volume.padding`), in square pixels of the volume's smallest spacing.

    Raises
    ------
    GeometryError
        The plane does not meet the volume.
    SelectionError
        No such slice, or the volume has phases or colours.
    InputError
        An argument is out of its domain.
    """
    check_volume(volume, interpolation)
    if slab not in SLABS:
        raise InputError(f"there is no slab {slab!r}", attribute="slab", fix=f"use one of {', '.join(SLABS)}")
    depth = 0.0 if thickness is None else _positive(thickness)
    order = INTERPOLATIONS[interpolation]
    if normal is None and not planes:
        raise InputError("no plane was named", attribute="planes", fix=f"use some of {', '.join(PLANES)}")
    made = []
    if normal is not None:
        if slice is not None or position is not None:
            raise InputError("a plane with a normal is placed by a point", attribute="normal", fix="give a point")
        view = view_along(_direction(volume.grid, normal, frame))
        made.append(_sampled(volume, view, _point(volume.grid, point, frame), depth, SLABS[slab], order))
    else:
        if sum(given is not None for given in (point, slice, position)) > 1:
            raise InputError("point, slice and position exclude one another", attribute="point", fix="give one of them")
        if len(planes) > 1 and (slice is not None or position is not None):
            raise InputError(
                "a slice or position belongs to one plane", attribute="planes", fix="name one plane, or give a point"
            )
        for plane in planes:
            centre = _centre(volume.grid, plane, point, frame, slice, position)
            made.append(_named(volume, plane, centre, depth, SLABS[slab], order))
    return tuple(squared(one, interpolation=interpolation) if square else one for one in made)


def mip(
    volume: Volume,
    *,
    method: str = "mip",
    plane: str = "axial",
    normal: ArrayLike | None = None,
    point: ArrayLike | None = None,
    frame: str = "voxel",
    thickness: str | float | None = None,
    interpolation: str = "linear",
    square: bool = False,
) -> Volume:
    """Maximum, minimum or mean along a direction, through the whole volume or a slab.

    Parameters
    ----------
    volume : Volume
        3D, one value a voxel, on any device.
    method : {"mip", "minip", "mean"}
        What remains of the voxels behind one another; padding takes no part.
    plane : {"axial", "coronal", "sagittal"}
        The plane of the picture.
    normal, point, frame
        As in `mpr`: an oblique direction of view, and a point in the middle of the slab.
    thickness : str or float, optional
        ``"20mm"``, ``"2cm"`` or mm: a slab around `point`, by default around the middle of the volume. None takes all
        of the volume.
    interpolation, square
        As in `mpr`. Along the axes of the volume nothing is interpolated.

    Returns
    -------
    Volume
        One slice, as from `mpr`.

    Raises
    ------
    GeometryError
        The slab does not meet the volume.
    InputError, SelectionError
        An argument is out of its domain, or the volume has phases or colours.
    """
    check_volume(volume, interpolation)
    if method not in SLABS:
        raise InputError(f"there is no method {method!r}", attribute="method", fix=f"use one of {', '.join(SLABS)}")
    depth = None if thickness is None else _positive(thickness)
    order = INTERPOLATIONS[interpolation]
    centre = _point(volume.grid, point, frame)
    if normal is not None:
        view = view_along(_direction(volume.grid, normal, frame))
        made = _sampled(volume, view, centre, depth, SLABS[method], order)
    else:
        made = _named(volume, plane, centre, depth, SLABS[method], order)
    return squared(made, interpolation=interpolation) if square else made


def squared(volume: Volume, *, interpolation: str = "linear") -> Volume:
    """The same slices in square pixels of their smaller spacing; itself where they are square already."""
    check_volume(volume, interpolation)
    si, sj, sk = volume.grid.spacing
    if abs(si / sj - 1.0) < 1e-3:
        return volume
    side = min(si, sj)
    grid = volume.grid.with_spacing((side, side, sk))
    array = resample(
        volume.array, volume.grid.matrix_from(grid), grid.shape, order=INTERPOLATIONS[interpolation],
        fill=float("nan"), padding=volume.padding, dtype=_real(volume.array),
    )  # fmt: skip
    return volume.with_array(array, grid=grid)


# --- arguments --------------------------------------------------------------------------------------------------------


def check_volume(volume: Volume, interpolation: str) -> None:
    """SelectionError for phases or colours, InputError for an unknown interpolation."""
    if volume.axes.startswith("t"):
        raise SelectionError("the volume has several phases", attribute="phase", fix="choose one with phase=")
    if volume.axes != "kji":
        raise SelectionError("the volume is in colour, and this shows one value a voxel")
    if interpolation not in INTERPOLATIONS:
        raise InputError(
            f"there is no interpolation {interpolation!r}", attribute="interpolation",
            fix=f"use one of {', '.join(INTERPOLATIONS)}",
        )  # fmt: skip


def _positive(thickness: str | float) -> float:
    value = parse_length(thickness)
    if not value > 0:
        raise InputError(f"a thickness must be positive, not {thickness}", attribute="thickness")
    return value


def _direction(grid: Grid, normal: ArrayLike, frame: str) -> Any:
    n = np.asarray(normal, dtype=np.float64)
    if n.shape != (3,):
        raise InputError("a plane's normal is three numbers", attribute="normal")
    return grid.direction @ n if _is_voxel(frame) else n


def _point(grid: Grid, point: ArrayLike | None, frame: str) -> Any:
    """The point in LPS mm; the middle of the volume where none is given."""
    voxel = _is_voxel(frame)
    if point is None:
        return grid.to_world([(n - 1) / 2 for n in reversed(grid.shape)])
    p = np.asarray(point, dtype=np.float64)
    if p.shape != (3,) or not np.isfinite(p).all():
        raise InputError("a plane's point is three finite numbers", attribute="point")
    return grid.to_world(p) if voxel else p


def _is_voxel(frame: str) -> bool:
    if frame not in ("voxel", "patient"):
        raise InputError(f"there is no frame {frame!r}", attribute="frame", fix="use voxel or patient")
    return frame == "voxel"


def _centre(
    grid: Grid, plane: str, point: ArrayLike | None, frame: str, slice: int | None, position: float | None
) -> Any:
    centre = _point(grid, point, frame)
    view = view_of(plane)
    if position is not None:
        axis = int(np.argmax(np.abs(view.away)))
        centre = centre.copy()
        centre[axis] = float(position)
    if slice is not None:
        if not is_aligned(grid):
            raise GeometryError(
                "the volume is not along the patient's axes, so its planes have no numbers", attribute="slice",
                fix="give a position in mm",
            )  # fmt: skip
        turned, _, _ = grid.reoriented(PLANES[plane])
        if not 0 <= slice < turned.shape[0]:
            raise SelectionError(
                f"there is no {plane} plane {slice}", attribute="slice", fix=f"use 0 to {turned.shape[0] - 1}"
            )
        centre = turned.to_world(((turned.shape[2] - 1) / 2, (turned.shape[1] - 1) / 2, slice))
    return centre


# --- pixels -----------------------------------------------------------------------------------------------------------


def _named(volume: Volume, plane: str, centre: Any, depth: float | None, method: str, order: int) -> Volume:
    view = view_of(plane)
    if is_aligned(volume.grid):
        return _indexed(volume, PLANES[plane], centre, depth, method)
    return _sampled(volume, view, centre, depth, method, order)


def _indexed(volume: Volume, codes: str, centre: Any, depth: float | None, method: str) -> Volume:
    """Voxels along the volume's own axes, moved and reduced but not interpolated."""
    turned, axes, flips = volume.grid.reoriented(codes)
    count = turned.shape[0]
    at, step = float(turned.to_index(centre)[2]), turned.spacing[2]
    if depth is None:
        first, stop = 0, count
    elif not _touches(at, depth / step, count):
        raise missed(volume.grid, centre)
    else:
        half = depth / step / 2
        first, stop = max(0, int(np.ceil(at - half - 1e-6))), min(count, int(np.floor(at + half + 1e-6)) + 1)
        if depth == 0.0 or first >= stop:  # thinner than the distance of slices: the nearest one
            first = min(max(int(np.floor(at + 0.5)), 0), count - 1)
            stop = first + 1
    xp = array_namespace(volume.array)
    along = axes[0]
    start, end = (count - stop, count - first) if flips[0] else (first, stop)
    if stop - first == 1 and method != "mean":
        picture = volume.array[tuple(start if a == along else _ALL for a in range(3))]
    else:
        picture = project(volume.array, along, method=method, start=start, stop=end, padding=volume.padding)
    if axes[1] > axes[2]:
        picture = xp.permute_dims(picture, (1, 0))
    turn = tuple(a for a in (0, 1) if flips[a + 1])
    if turn:
        picture = xp.flip(picture, axis=turn)
    affine = turned.affine.copy()
    affine[:3, 3] = turned.to_world((0, 0, (first + stop - 1) / 2))
    affine[:3, 2] *= stop - first
    return volume.with_array(xp.expand_dims(picture, axis=0), grid=Grid((1, turned.shape[1], turned.shape[2]), affine))


_ALL = slice(None)


def _touches(at: float, width: float, count: int) -> bool:
    """Whether a slab of `width` voxels around index `at` reaches the volume's outer voxels' faces."""
    return at + width / 2 >= -0.5 - 1e-6 and at - width / 2 <= count - 0.5 + 1e-6


def _sampled(volume: Volume, view: View, centre: Any, depth: float | None, method: str, order: int) -> Volume:
    """The plane or slab sampled in square pixels."""
    grid = view_grid(volume.grid, view, centre, thickness=depth)
    matrix = volume.grid.matrix_from(grid)
    if depth == 0.0:
        real = _real(volume.array)
        array = resample(
            volume.array, matrix, grid.shape, order=order, fill=float("nan"), padding=volume.padding, dtype=real
        )
        return volume.with_array(array, grid=grid)
    fill, padding = _nothing(volume)
    picture = project_slab(
        volume.array, matrix, grid.shape, method=method, order=order, fill=fill, padding=volume.padding
    )
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world((0, 0, (grid.shape[0] - 1) / 2))
    affine[:3, 2] *= grid.shape[0]
    xp = array_namespace(picture)
    made = volume.with_array(xp.expand_dims(picture, axis=0), grid=Grid((1, grid.shape[1], grid.shape[2]), affine))
    return made if padding == made.padding else _padded(made, padding)


def _padded(volume: Volume, padding: tuple[float, float] | None) -> Volume:
    from dataclasses import replace

    return replace(volume, padding=padding)


def _nothing(volume: Volume) -> tuple[float, tuple[float, float] | None]:
    """What stands for "no measurement" in a slab of this volume: the value, and the padding that declares it."""
    xp = array_namespace(volume.array)
    if xp.isdtype(volume.array.dtype, "real floating"):
        return float("nan"), volume.padding
    info = xp.iinfo(volume.array.dtype)
    if volume.padding is not None:
        return float(min(max(np.ceil(volume.padding[0]), info.min), info.max)), volume.padding
    if info.min == 0:
        return 0.0, None  # black, which is all that an unsigned picture can say
    return float(info.min), (float(info.min), float(info.min))


def _real(array: Any) -> str:
    """A floating type that holds the values: float32 up to 16 bits."""
    xp = array_namespace(array)
    small = xp.isdtype(array.dtype, "real floating") or xp.iinfo(array.dtype).bits <= 16
    return "float32" if small and array.dtype != getattr(xp, "float64", None) else "float64"
