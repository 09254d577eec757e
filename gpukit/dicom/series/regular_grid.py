"""Making a stack even and straight: interpolating missing slices, removing the shear of a tilted gantry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import array_namespace
from gpukit.dicom.image.stack import Levels, Vector
from gpukit.errors import GeometryError, MissingSlicesError
from gpukit.geometry import Grid

__all__ = ["acquired_slices", "even_distances", "fill_gaps", "gap_error", "remove_tilt", "straight_grid"]

#: A slice of the even grid that is within this part of a step of an acquired slice is that slice, unchanged.
_SAME_OF_STEP = 0.01
#: An uneven stack becomes at most this many times as many slices.
_MOST_SLICES = 2


def gap_error(levels: Levels, names: list[str]) -> MissingSlicesError:
    """The error for a stack that is not even: names the files on both sides of its largest gap.

    Parameters
    ----------
    levels : Levels
        Of at least three slices.
    names : list of str
        File of each level.
    """
    steps = levels.steps
    usual = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - usual)))
    odd = int((np.abs(steps - usual) > 0.5 * usual).sum())
    more = f"; {odd - 1} more steps are as odd" if odd > 1 else ""
    missing = round(float(steps[worst]) / usual) - 1
    lacking = "1 slice seems to be missing" if missing == 1 else f"{missing} slices seem to be missing"
    what = lacking if missing > 0 else "the spacing is uneven"
    return MissingSlicesError(
        f"the next slice, {names[worst + 1]}, is {steps[worst]:.4g} mm away where {usual:.4g} mm is usual: "
        f"{what}{more}",
        file=names[worst],
        attribute="ImagePositionPatient",
        fix="add the missing files, or interpolate with --fill-gaps (fill_gaps=True)",
    )


def even_distances(levels: Levels) -> Vector:
    """Distances along the normal of an even grid over the same span, mm.

    The step is the usual one where that meets every slice (slices are missing), otherwise the smallest, as far as
    that does not more than double the number of slices (the spacing varies).
    """
    distances, steps = levels.distances, levels.steps
    span = float(distances[-1] - distances[0])
    usual = float(np.median(steps))
    whole = steps / usual
    if np.abs(whole - np.round(whole)).max() > 0.1:
        usual = max(float(steps.min()), span / (_MOST_SLICES * len(distances) - 1))
    count = max(1, round(span / usual))
    return np.asarray(distances[0] + span * np.arange(count + 1) / count)


def acquired_slices(distances: Vector, even: Vector) -> tuple[float, ...]:
    """Index on an even grid of each acquired slice, ascending.

    Parameters
    ----------
    distances, even : (n,), (m,) array
        Ascending distances along the normal of the acquired slices and of the slices of the grid, mm.

    Returns
    -------
    tuple of float
        A whole number where `fill_gaps` takes the acquired slice unchanged, else the fraction between two slices.
    """
    index = (distances - even[0]) / (even[1] - even[0])
    whole = np.rint(index)
    return tuple(float(value) for value in np.where(np.abs(index - whole) < _SAME_OF_STEP, whole, index))


def fill_gaps(
    array: NDArray[Any], distances: Vector, even: Vector, padding: tuple[float, float] | None
) -> NDArray[Any]:
    """Interpolate slices linearly onto an even grid.

    Parameters
    ----------
    array : ``[t, k, ...]``
        Slices at `distances`.
    distances, even : (n,), (m,) array
        Ascending; where the slices are and where they are wanted, mm.
    padding : tuple or None
        Values that are no measurement: never blended, the nearer slice decides there.

    Returns
    -------
    ``[t, m, ...]`` array of the same type
        A wanted slice within a hundredth of a step of an acquired one is that slice, unchanged.
    """
    out = np.empty((array.shape[0], len(even), *array.shape[2:]), dtype=array.dtype)
    for m, distance in enumerate(even):
        high = int(np.clip(np.searchsorted(distances, distance), 1, len(distances) - 1))
        low = high - 1
        weight = float((distance - distances[low]) / (distances[high] - distances[low]))
        if weight < 0.01 or weight > 0.99:
            out[:, m] = array[:, low if weight < 0.5 else high]
            continue
        below, above = array[:, low], array[:, high]
        mixed = below * (1.0 - weight) + above * weight
        if padding is not None:
            no_value = (below >= padding[0]) & (below <= padding[1]) | (above >= padding[0]) & (above <= padding[1])
            mixed = np.where(no_value, below if weight < 0.5 else above, mixed)
        out[:, m] = np.rint(mixed) if out.dtype.kind in "iu" else mixed
    return out


def straight_grid(grid: Grid) -> Grid:
    """An orthogonal grid over all of a sheared one: same rows and columns, k along the normal.

    Every output slice lies in the plane of an input slice, so that resampling onto it only shifts within slices. The
    slices grow by what the stack drifts, so that nothing is cut off.
    """
    step = grid.affine[:3, 2]
    directions = grid.direction
    normal = np.cross(directions[:, 0], directions[:, 1])
    normal /= np.linalg.norm(normal)
    along = float(step @ normal)
    if along < 0:
        raise GeometryError("a tilted stack whose slices run against its normal")
    drift = grid.inverse[:3, :3] @ (step - along * normal)  # in columns, rows and slices for each slice
    affine = grid.affine.copy()
    affine[:3, 2] = along * normal
    nk, nj, ni = grid.shape
    sizes, start = [], []
    for size, per_slice in ((ni, drift[0]), (nj, drift[1])):
        total = per_slice * (nk - 1)
        if abs(total) < 0.02:  # of a pixel over the whole stack: rounding of the positions
            total = 0.0
        first = math.floor(min(0.0, total))
        sizes.append(math.ceil(max(0.0, total)) - first + size)
        start.append(float(first))
    affine[:3, 3] = grid.to_world((start[0], start[1], 0.0))
    return Grid((nk, sizes[1], sizes[0]), affine)


def remove_tilt(
    array: Any, grid: Grid, target: Grid, axes: str, fill: float, padding: tuple[float, float] | None
) -> Any:
    """Resample an array (linear within slices) from a sheared grid onto `straight_grid` of it, on its device."""
    from gpukit.ops.resample import resample

    matrix = grid.matrix_from(target)
    if axes == "kji":
        return resample(array, matrix, target.shape, order=1, fill=fill, padding=padding)
    xp = array_namespace(array)
    if axes[0] == "t":
        parts = [remove_tilt(array[t, ...], grid, target, axes[1:], fill, padding) for t in range(array.shape[0])]
        return xp.stack(parts, axis=0)
    parts = [remove_tilt(array[..., c], grid, target, "kji", fill, padding) for c in range(array.shape[-1])]
    return xp.stack(parts, axis=-1)
