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

__all__ = [
    "MOST_IN_GAP",
    "MOST_OF_STACK",
    "acquired_slices",
    "check_gaps",
    "even_distances",
    "fill_gaps",
    "remove_tilt",
    "straight_grid",
]

#: A slice of the even grid that is within this part of a step of an acquired slice is that slice, unchanged.
_SAME_OF_STEP = 0.01
#: An uneven stack becomes at most this many times as many slices.
_MOST_SLICES = 2


#: What `fill_gaps` interpolates unless the caller allows more: slices in one gap, and their part of the whole stack.
#: One slice is always allowed. What lies in a larger gap is not known from its neighbours.
MOST_IN_GAP = 3
MOST_OF_STACK = 0.1


def check_gaps(levels: Levels, names: list[str], fill: bool | int) -> None:
    """Refuse a stack that is not even, unless its gaps may be interpolated.

    Parameters
    ----------
    levels : Levels
        Of at least three slices.
    names : list of str
        File of each level.
    fill : bool or int
        False refuses every gap. True allows `MOST_IN_GAP` missing slices in a gap, of them at most `MOST_OF_STACK` of
        the stack. A number allows as many missing slices in a gap.

    Raises
    ------
    MissingSlicesError
        Names the files on both sides of the largest gap.
    """
    missing = _missing(levels)
    worst = int(np.argmax(missing))
    within = missing[worst] <= _allowed(levels, missing, worst)
    if not fill:
        raise _gap_error(levels, names, within)
    most = _allowed(levels, missing, worst) if fill is True else int(fill)
    if missing[worst] <= most:
        return
    bound = f"the {MOST_IN_GAP} slices or {MOST_OF_STACK:.0%} of the stack" if fill is True else f"the {most} slices"
    raise MissingSlicesError(
        f"the next slice, {names[worst + 1]}, is {levels.steps[worst]:.4g} mm away: {missing[worst]} slices are "
        f"missing, more than {bound} that may be interpolated in a gap",
        file=names[worst],
        attribute="ImagePositionPatient",
        fix=f"add the missing files, name the files on one side of the gap only, or allow it with --fill-gaps "
        f"--max-gap {missing[worst]} (fill_gaps={missing[worst]})",
    )


def _missing(levels: Levels) -> list[int]:
    """Slices that are missing in each step, if the usual step is the right one."""
    usual = float(np.median(levels.steps))
    return [max(0, round(float(step) / usual) - 1) for step in levels.steps]


def _allowed(levels: Levels, missing: list[int], gap: int) -> int:
    """Slices that may be interpolated in a gap by default."""
    steps = levels.steps
    # Three equal steps in a row are a part of the stack with wider spacing, as in the head, and not a gap.
    runs = [steps[n : n + 3] for n in range(max(0, gap - 2), min(gap, len(steps) - 3) + 1)]
    if any(len(run) == 3 and np.ptp(run) <= 0.1 * float(run.max()) for run in runs):
        return MOST_IN_GAP
    whole = len(steps) + 1 + sum(missing)
    return min(MOST_IN_GAP, max(1, int(MOST_OF_STACK * whole)))


def _gap_error(levels: Levels, names: list[str], within: bool) -> MissingSlicesError:
    """The error for a stack that is not even: names the files on both sides of its largest gap."""
    steps = levels.steps
    usual = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - usual)))
    odd = int((np.abs(steps - usual) > 0.5 * usual).sum())
    more = f"; {odd - 1} more steps are as odd" if odd > 1 else ""
    missing = round(float(steps[worst]) / usual) - 1
    lacking = "1 slice seems to be missing" if missing == 1 else f"{missing} slices seem to be missing"
    what = lacking if missing > 0 else "the spacing is uneven"
    fix = (
        "add the missing files, or interpolate with --fill-gaps (fill_gaps=True)"
        if within
        else "add the missing files, or name the files on one side of the gap only"
    )
    return MissingSlicesError(
        f"the next slice, {names[worst + 1]}, is {steps[worst]:.4g} mm away where {usual:.4g} mm is usual: "
        f"{what}{more}",
        file=names[worst],
        attribute="ImagePositionPatient",
        fix=fix,
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
