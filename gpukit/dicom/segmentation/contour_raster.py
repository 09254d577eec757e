"""From closed contours in the patient to voxels of a grid: which plane belongs to which slice, in any orientation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import GeometryError
from gpukit.geometry import Grid
from gpukit.ops.polygon import points_in_polygon, polygon_mask

__all__ = ["rasterise"]

Array = NDArray[np.float64]

#: Contours lie on slices where none of their points is farther off than this, in slices.
ON_SLICE = 0.2
#: Voxels tested together against oblique contours; bounds memory.
_CHUNK = 1 << 20
#: Slices or mm: what arithmetic and the 16 digits of a decimal string may be off.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class _Plane:
    """Contours of one plane: where it lies along its normal, and its rings within it."""

    at: float
    rings: list[Array]


def rasterise(contours: Sequence[Array], grid: Grid) -> tuple[NDArray[np.bool_], list[str]]:
    """Voxels whose centre lies inside closed planar contours.

    Contours in one plane are combined by the even-odd rule, so that an inner one is a hole; keyholes need nothing more.

    - Contours in slices of the grid (rows, columns or slices: any of its three axes may be the normal) are drawn in
      these slices, and no others are filled.
    - Contours parallel to the slices, but between them (drawn on another series), stand for a slab half the distance of
      contours to either side; a slice takes the nearest contours whose slab holds it.
    - Oblique contours stand for such slabs too; a voxel belongs to the nearest plane and is tested there.

    Parameters
    ----------
    contours : sequence of array, (n, 3)
        LPS mm.
    grid : Grid
        Where the voxels lie.

    Returns
    -------
    array of bool, [k, j, i]
        On the CPU.
    list of str
        What a user must know of the way.

    Raises
    ------
    GeometryError
        A contour is not planar.
    """
    inside = np.zeros(grid.shape, np.bool_)
    if not contours:
        return inside, []
    indexed = [grid.to_index(contour) for contour in contours]
    axis = _normal_axis(indexed)
    if axis is None:
        return _oblique(contours, grid, inside)
    others = [n for n in range(3) if n != axis]
    planes = _planes([float(p[:, axis].mean()) for p in indexed], [p[:, others] for p in indexed], 2 * ON_SLICE)
    view = np.moveaxis(inside, 2 - axis, 0)  # slices along the normal; then rows and columns of the later axis first
    count = view.shape[0]
    notes: list[str] = []
    if all(abs(plane.at - round(plane.at)) <= ON_SLICE for plane in planes):
        chosen = {round(plane.at): plane for plane in planes}
        step = 1.0
        if len({round(plane.at) for plane in planes}) != len(planes):
            raise GeometryError("contours of two planes lie in one slice", attribute="ContourData")
    else:
        chosen, step = _nearest(planes, count)
        notes.append(
            f"the contours lie between the slices, {step * grid.spacing[axis]:.4g} mm apart: "
            "each slice took the nearest contours"
        )
    lost = sum(not -ON_SLICE - step / 2 <= plane.at <= count - 1 + step / 2 + ON_SLICE for plane in planes)
    for k, plane in chosen.items():
        if 0 <= k < count:
            view[k] = polygon_mask(view[k], plane.rings)
    beyond = sum(_reaches_out(plane, view.shape[1:]) for plane in planes)
    if lost or beyond:
        notes.append(f"contours in {lost + beyond} of {len(planes)} planes reach outside the volume and were cut")
    return inside, notes


def _normal_axis(indexed: Sequence[Array]) -> int | None:
    """The index axis along which no contour extends, k before j before i; None for oblique contours."""
    for axis in (2, 1, 0):
        if all(np.ptp(points[:, axis]) <= 2 * ON_SLICE for points in indexed):
            return axis
    return None


def _planes(at: Sequence[float], rings: Sequence[Array], apart: float) -> list[_Plane]:
    """Contours gathered by plane, in ascending order; planes nearer than `apart` are one."""
    order = np.argsort(at, kind="stable")
    found: list[tuple[list[float], list[Array]]] = []
    for n in order.tolist():
        if found and at[n] - found[-1][0][0] <= apart:
            found[-1][0].append(at[n])
            found[-1][1].append(rings[n])
        else:
            found.append(([at[n]], [rings[n]]))
    return [_Plane(float(np.mean(places)), listed) for places, listed in found]


def _step(planes: Sequence[_Plane], alone: float) -> float:
    """Distance of neighbouring planes: the median, so that skipped ones do not count; `alone` for a single one."""
    return float(np.median(np.diff([plane.at for plane in planes]))) if len(planes) > 1 else alone


def _nearest(planes: Sequence[_Plane], count: int) -> tuple[dict[int, _Plane], float]:
    """For each slice the nearest plane within half a step."""
    step = _step(planes, 1.0)
    places = np.array([plane.at for plane in planes])
    chosen = {}
    for k in range(max(0, int(places[0] - step)), min(count, int(places[-1] + step) + 2)):
        n = int(np.abs(places - k).argmin())
        # Half open, so that slices at half a step from both ends do not count twice; rounding must open no gap between.
        half, off = step / 2, k - places[n]
        if -half - _ROUNDING <= off < half - _ROUNDING or (n + 1 < len(places) and abs(off) <= half + _ROUNDING):
            chosen[k] = planes[n]
    return chosen, step


def _reaches_out(plane: _Plane, shape: tuple[int, ...]) -> bool:
    """Whether a contour leaves the frame by more than half a pixel."""
    points = np.concatenate(plane.rings)
    limit = np.array(shape[::-1], float) - 0.5
    return bool((points < -0.5).any() or (points > limit).any())


def _oblique(contours: Sequence[Array], grid: Grid, inside: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], list[str]]:
    """Contours that no axis of the grid is normal to: voxels are looked up in the planes, point by point."""
    frame = _frame_of(contours)
    placed = [contour @ frame.T for contour in contours]
    smallest = min(grid.spacing)
    for points in placed:
        if np.ptp(points[:, 2]) > 2 * ON_SLICE * smallest:
            raise GeometryError("a contour is not planar, or not parallel to the others", attribute="ContourData")
    planes = _planes([float(p[:, 2].mean()) for p in placed], [p[:, :2] for p in placed], 2 * ON_SLICE * smallest)
    step = _step(planes, smallest)
    places = np.array([plane.at for plane in planes])
    every = np.concatenate(contours)
    reach = np.concatenate([every + s * step * frame[2] for s in (-0.5, 0.5)])
    corners = grid.to_index(reach)
    low = np.clip(np.floor(corners.min(axis=0)), 0, np.array(grid.shape[::-1]) - 1).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, 1, grid.shape[::-1]).astype(int)
    plane_size = int((high[0] - low[0]) * (high[1] - low[1]))
    thick = max(1, _CHUNK // max(1, plane_size))
    for start in range(low[2], high[2], thick):
        k, j, i = np.mgrid[start : min(start + thick, high[2]), low[1] : high[1], low[0] : high[0]]
        index = np.stack([i.ravel(), j.ravel(), k.ravel()], axis=1)
        where = grid.to_world(index) @ frame.T
        nearest = _nearest_of(where[:, 2], places)
        close = np.abs(where[:, 2] - places[nearest]) <= step / 2 + _ROUNDING
        for n in np.unique(nearest[close]).tolist():
            some = np.flatnonzero(close & (nearest == n))
            hit = some[points_in_polygon(where[some, :2], planes[n].rings)]
            inside[index[hit, 2], index[hit, 1], index[hit, 0]] = True
    return inside, [f"the contours are oblique to the volume, {step:.4g} mm apart: each voxel took the nearest plane"]


def _nearest_of(values: Array, places: Array) -> NDArray[np.intp]:
    """Index of the nearest of the ascending places."""
    if len(places) == 1:
        return np.zeros(len(values), np.intp)
    after = np.clip(np.searchsorted(places, values), 1, len(places) - 1)
    return np.where(values - places[after - 1] <= places[after] - values, after - 1, after)


def _frame_of(contours: Sequence[Array]) -> Array:
    """Orthonormal rows: two directions within the planes of the contours, and their normal."""
    spread = sum((np.cov((c - c.mean(axis=0)).T, bias=True) for c in contours), np.zeros((3, 3)))
    return np.asarray(np.linalg.eigh(spread)[1][:, ::-1].T)
