"""Reformatted planes and projections: `mpr` and `mip`.

A volume whose axes run along the patient's is cut along named planes by indexing alone: voxels are moved, never
blended. Everything else is sampled by `gpukit.ops`. The metadata of a result tell what was done, by DICOM keyword.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.geometry import Grid
from gpukit.ops.resample import resample
from gpukit.rendering.mpr.components import each, finite
from gpukit.rendering.mpr.sampling import named_cut, named_stack, real_type, sampled_cut, sampled_stack
from gpukit.rendering.mpr.view import PLANES, View, is_aligned, turned_normal, view_along, view_of
from gpukit.units import parse_length
from gpukit.volume import Volume

__all__ = ["INTERPOLATIONS", "SLABS", "check_interpolation", "mip", "mpr", "squared"]

#: What remains of the voxels behind one another -> the word of `gpukit.ops.project`.
SLABS = {"mip": "max", "minip": "min", "mean": "mean"}
INTERPOLATIONS = {"nearest": 0, "linear": 1, "cubic": 3}


def mpr(
    volume: Volume,
    *,
    planes: Sequence[str] = ("axial", "coronal", "sagittal"),
    normal: ArrayLike | None = None,
    angles: Sequence[float] | None = None,
    point: ArrayLike | None = None,
    frame: str = "voxel",
    slice: int | None = None,
    position: float | None = None,
    stack: bool = False,
    spacing: str | float | None = None,
    thickness: str | float | None = None,
    slab: str = "mip",
    interpolation: str = "linear",
    square: bool = False,
) -> tuple[Volume, ...]:
    """Return planes of a volume in the patient's frame, whatever the orientation of its acquisition.

    Pictures follow the radiological convention: axial as seen from the feet, coronal from the front, sagittal from the
    patient's left; the patient's right is on the viewer's left, head or front is up.

    Parameters
    ----------
    volume : Volume
        On any device. Of several phases each is cut; colours are cut one by one.
    planes : sequence of {"axial", "coronal", "sagittal"}
        Which planes; not used where `normal` is given.
    normal : array_like, (3,), optional
        One oblique plane instead. Its sign does not matter: the viewer stands where the nearest named plane is seen
        from.
    angles : (float, float), optional
        One oblique plane instead: the one named plane in `planes`, turned by two angles in degrees, -90 to 90. The
        first tips its upper edge away from the viewer (negative: its lower edge), the second then its right edge
        (negative: its left edge). They give the plane only; the picture is turned as for `normal`.
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
    stack : bool
        All planes of the volume in this direction instead of one, away from the viewer.
    spacing : str or float, optional
        ``"3mm"`` or mm between the planes of a stack, which it implies; by default the voxels' own.
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
        One slice each (or a stack), on the volume's device, with its place in the patient; the spacing of a single
        slice is the slab's thickness. Planes along the axes of the volume keep its values and their type, and are then
        the nearest plane of voxels, a slab those whose centres lie in it; a stack whose spacing is not a multiple of
        the voxels' is interpolated in depth only. Others are float with NaN outside (a slab: the volume's type and
        `Volume.padding`), in square pixels of the volume's smallest spacing.

    Raises
    ------
    GeometryError
        The plane does not meet the volume.
    SelectionError
        No such slice, or a slab of colours, which have no largest or smallest.
    InputError
        An argument is out of its domain.
    """
    check_interpolation(interpolation)
    if slab not in SLABS:
        raise InputError(f"unknown slab {slab!r}", attribute="slab", fix=f"use one of {', '.join(SLABS)}")
    if thickness is not None:
        _check_colours(volume, slab)
    depth = 0.0 if thickness is None else _positive(thickness)
    order, method = INTERPOLATIONS[interpolation], SLABS[slab]
    if angles is not None and len(planes) != 1:
        raise InputError("angles turn one plane", attribute="planes", fix="name one plane")
    view = _oblique(volume.grid, planes[0] if planes else "axial", normal, angles, frame)
    if view is not None or depth or not is_aligned(volume.grid):
        volume = finite(volume)
    piled = stack or spacing is not None
    if piled and any(place is not None for place in (point, slice, position)):
        raise InputError("a stack has all planes", attribute="point", fix="leave the place out, or the stack")
    if view is not None and (slice is not None or position is not None):
        raise InputError("an oblique plane is placed by a point", attribute="normal", fix="give a point")
    if view is None and not planes:
        raise InputError("no plane was named", attribute="planes", fix=f"use some of {', '.join(PLANES)}")
    if sum(place is not None for place in (point, slice, position)) > 1:
        raise InputError("point, slice and position exclude one another", attribute="point", fix="give one of them")
    if view is None and len(planes) > 1 and (slice is not None or position is not None):
        raise InputError(
            "a slice or position belongs to one plane", attribute="planes", fix="name one plane, or give a point"
        )
    apart = None if spacing is None else _positive(spacing, "spacing")
    description = _Done("MPR", depth, slab, interpolation)
    images = []
    for name in planes if view is None else ("oblique",):
        if piled:
            cut = _piles(name, view, apart, depth, method, order)
        elif view is not None:
            cut = _cuts(name, view, _point(volume.grid, point, frame), depth, method, order)
        else:
            cut = _cuts(name, None, _centre(volume.grid, name, point, frame, slice, position), depth, method, order)
        one = description.to(each(volume, cut), name)
        images.append(squared(one, interpolation=interpolation) if square else one)
    return tuple(images)


def mip(
    volume: Volume,
    *,
    method: str = "mip",
    plane: str = "axial",
    normal: ArrayLike | None = None,
    angles: Sequence[float] | None = None,
    point: ArrayLike | None = None,
    frame: str = "voxel",
    thickness: str | float | None = None,
    spacing: str | float | None = None,
    interpolation: str = "linear",
    square: bool = False,
) -> Volume:
    """Maximum, minimum or mean along a direction, through the whole volume, a slab, or a slab that slides.

    Parameters
    ----------
    volume : Volume
        On any device. Of several phases each is projected. To project the inside of a mask only, see
        `gpukit.rendering.mpr.masked.masked`.
    method : {"mip", "minip", "mean"}
        What remains of the voxels behind one another; padding takes no part.
    plane : {"axial", "coronal", "sagittal"}
        The plane of the picture.
    normal, angles, point, frame
        As in `mpr`: an oblique direction of view, and a point in the middle of the slab.
    thickness : str or float, optional
        ``"20mm"``, ``"2cm"`` or mm: a slab around `point`, by default around the middle of the volume. None takes all
        of the volume.
    spacing : str or float, optional
        ``"5mm"`` or mm: slabs of that thickness through all of the volume, their middles this far apart.
    interpolation, square
        As in `mpr`. Along the axes of the volume nothing is interpolated.

    Returns
    -------
    Volume
        One slice, or one for each slab, as from `mpr`.

    Raises
    ------
    GeometryError
        The slab does not meet the volume.
    InputError, SelectionError
        An argument is out of its domain, or the volume has colours, which have no largest or smallest.
    """
    volume = finite(volume)
    check_interpolation(interpolation)
    if method not in SLABS:
        raise InputError(f"unknown method {method!r}", attribute="method", fix=f"use one of {', '.join(SLABS)}")
    _check_colours(volume, method)
    depth = None if thickness is None else _positive(thickness)
    order, way = INTERPOLATIONS[interpolation], SLABS[method]
    if spacing is not None and depth is None:
        raise InputError("slabs need a thickness", attribute="thickness", fix="give one, or leave the spacing out")
    if spacing is not None and point is not None:
        raise InputError("sliding slabs go through all of the volume", attribute="point", fix="leave the point out")
    apart = None if spacing is None else _positive(spacing, "spacing")
    view = _oblique(volume.grid, plane, normal, angles, frame)
    if view is None:
        view_of(plane)
    if apart is not None and depth is not None:
        cut = _piles(plane, view, apart, depth, way, order)
    else:
        cut = _cuts(plane, view, _point(volume.grid, point, frame), depth, way, order)
    description = _Done("PROJECTION IMAGE", depth, method, interpolation)
    image = description.to(each(volume, cut), plane if view is None else "oblique")
    return squared(image, interpolation=interpolation) if square else image


def squared(volume: Volume, *, interpolation: str = "linear") -> Volume:
    """Return the same slices in square pixels of their smaller spacing; itself where they are square already."""
    check_interpolation(interpolation)
    si, sj, sk = volume.grid.spacing
    if abs(si / sj - 1.0) < 1e-3:
        return volume
    side = min(si, sj)
    grid = volume.grid.with_spacing((side, side, sk))

    def finer(v: Volume) -> Volume:
        array = resample(
            v.array, v.grid.matrix_from(grid), grid.shape, order=INTERPOLATIONS[interpolation],
            fill=float("nan"), padding=v.padding, dtype=real_type(v.array),
        )  # fmt: skip
        return v.with_array(array, grid=grid)

    return each(volume, finer)


# --- arguments --------------------------------------------------------------------------------------------------------


def check_interpolation(interpolation: str) -> None:
    """InputError for an unknown interpolation."""
    if interpolation not in INTERPOLATIONS:
        raise InputError(
            f"unknown interpolation {interpolation!r}", attribute="interpolation",
            fix=f"use one of {', '.join(INTERPOLATIONS)}",
        )  # fmt: skip


def _check_colours(volume: Volume, method: str) -> None:
    if volume.axes.endswith("c") and method != "mean":
        raise SelectionError("colours have no largest or smallest", attribute="slab", fix="use mean")


def _positive(value: str | float, what: str = "thickness") -> float:
    mm = parse_length(value)
    if not mm > 0:
        raise InputError(f"a {what} must be positive, not {value}", attribute=what)
    return mm


def _oblique(
    grid: Grid, plane: str, normal: ArrayLike | None, angles: Sequence[float] | None, frame: str
) -> View | None:
    """Return the view across a normal or an angled plane; None where neither is given."""
    if angles is not None:
        if normal is not None:
            raise InputError("angles and a normal exclude one another", attribute="angles", fix="give one of them")
        return view_along(turned_normal(plane, angles))
    if normal is None:
        return None
    n = np.asarray(normal, dtype=np.float64)
    if n.shape != (3,):
        raise InputError("a plane's normal is three numbers", attribute="normal")
    return view_along(grid.direction @ n if _is_voxel(frame) else n)


def _point(grid: Grid, point: ArrayLike | None, frame: str) -> Any:
    """Return the point in LPS mm; the middle of the volume where none is given."""
    voxel = _is_voxel(frame)
    if point is None:
        return grid.to_world([(n - 1) / 2 for n in reversed(grid.shape)])
    p = np.asarray(point, dtype=np.float64)
    if p.shape != (3,) or not np.isfinite(p).all():
        raise InputError("a plane's point is three finite numbers", attribute="point")
    return grid.to_world(p) if voxel else p


def _is_voxel(frame: str) -> bool:
    if frame not in ("voxel", "patient"):
        raise InputError(f"unknown frame {frame!r}", attribute="frame", fix="use voxel or patient")
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


def _cuts(
    plane: str, view: View | None, centre: Any, depth: float | None, method: str, order: int
) -> Callable[[Volume], Volume]:
    """What cuts one plane or slab out of one phase or colour."""
    if view is None:
        return lambda volume: named_cut(volume, plane, centre, depth, method, order)
    return lambda volume: sampled_cut(volume, view, centre, depth, method, order)


def _piles(
    plane: str, view: View | None, spacing: float | None, depth: float, method: str, order: int
) -> Callable[[Volume], Volume]:
    """What cuts a stack of them."""
    if view is None:
        return lambda volume: named_stack(volume, plane, spacing, depth, method, order)
    return lambda volume: sampled_stack(volume, view, spacing, depth, method, order)


# --- what was done ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Done:
    """Description of the derivation, for the metadata of the result."""

    kind: str
    depth: float | None  # of a slab in mm; 0 for planes, None for all of the volume
    method: str
    interpolation: str

    def to(self, image: Volume, plane: str) -> Volume:
        """Return the result with its derivation in the metadata, by DICOM keyword."""
        facts = dict(image.metadata)
        words = {"mip": "maximum", "minip": "minimum", "mean": "mean"}
        text = f"{'planes' if self.kind == 'MPR' else 'projection'}, {plane}"
        if self.depth != 0.0:
            text += f", {words[self.method]} of {'everything' if self.depth is None else f'{self.depth:g} mm'}"
        name = ("MPR " if self.kind == "MPR" else f"{self.method.upper()} ") + plane
        if self.depth:
            name += f" {self.depth:g} mm"
            facts["SliceThickness"] = self.depth
        else:
            facts.pop("SliceThickness", None)
        of = str(facts.get("SeriesDescription") or "")
        facts["SeriesDescription"] = f"{name}: {of}" if of else name
        facts["DerivationDescription"] = f"{text}, {self.interpolation} interpolation where resampled"
        contrast = () if self.depth == 0.0 else (words[self.method].upper(),)  # the words of PS3.3 C.8.16.1.4
        facts["ImageType"] = ("DERIVED", "SECONDARY", self.kind, *contrast)
        return replace(image, metadata=facts)
