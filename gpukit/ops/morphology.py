"""Shapes grown, shrunk and filled, in millimetres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import device, real_dtype
from gpukit.ops._selection import as_mask
from gpukit.ops.components import components

__all__ = [
    "Ball",
    "check_structure",
    "check_spacing",
    "close",
    "dilate",
    "distance",
    "erode",
    "fill_holes",
    "open_",
]

#: A voxel centre belongs to a ball up to this part of the radius beyond it: rounding must not decide about the voxels
#: that lie exactly on the surface, in float32 neither.
SLACK = 1e-5
#: Distances between voxel centres in mm whose squares, times the square of an axis' length, are numbers in float32.
_SMALLEST, _LARGEST = 1e-9, 1e9

Ball = tuple[float, tuple[float, ...]]


def check_spacing(mask: Any, spacing: Sequence[float] | None) -> tuple[float, ...]:
    """Return distances between voxel centres by *array* axis, from those by index (i, j, k).

    Raises
    ------
    InputError
        There are not as many as axes, or one is outside 1e-9 to 1e9 mm.
    """
    if spacing is None:
        raise InputError("millimetres need the distances between voxel centres", attribute="spacing")
    sizes = tuple(float(s) for s in spacing)
    if len(sizes) != mask.ndim or not all(_SMALLEST <= s <= _LARGEST for s in sizes):
        raise InputError(
            f"spacing must be {mask.ndim} lengths between {_SMALLEST:g} and {_LARGEST:g} mm, not {sizes}",
            attribute="spacing",
        )
    return sizes[::-1]


def check_structure(
    mask: Any, radius_mm: float | None, spacing: Sequence[float] | None, structure: ArrayLike | None
) -> Ball | NDArray[np.bool_]:
    """What to grow by: a ball (radius, spacing by array axis) or a structuring element.

    Raises
    ------
    InputError
        Both or none were given, or one is malformed.
    """
    if (radius_mm is None) == (structure is None):
        raise InputError("give either a radius in mm or a structuring element", attribute="radius_mm")
    if structure is not None:
        element = np.asarray(structure, dtype=bool)
        if element.ndim != mask.ndim or any(n % 2 == 0 for n in element.shape):
            raise InputError(f"a structuring element has {mask.ndim} odd sizes", attribute="structure")
        return element
    assert radius_mm is not None
    radius = float(radius_mm)
    if not (math.isfinite(radius) and radius >= 0):
        raise InputError(f"a radius is a length of 0 mm or more, not {radius}", attribute="radius_mm")
    return radius, check_spacing(mask, spacing)


def _along(ndim: int, axis: int, cut: slice) -> tuple[slice, ...]:
    return tuple(cut if a == axis else slice(None) for a in range(ndim))


def _squared_distance(xp: Any, mask: Any, spacing: tuple[float, ...], reach: float) -> Any:
    """Squared distance to the nearest voxel of the mask; infinite where it is further than `reach` along an axis.

    Exact and separable: the smallest of (distance so far) + (step along the axis) squared, one axis after the other.
    """
    empty = xp.zeros(mask.shape, dtype=real_dtype(xp, mask), device=device(mask))
    squared = xp.where(mask, empty, empty + math.inf)
    for axis, size in enumerate(spacing):
        n = mask.shape[axis]
        best = xp.asarray(squared, copy=True)
        for step in range(1, n):
            cost = (step * size) ** 2
            if step * size > reach or cost >= float(xp.max(best)):
                break
            ahead, behind = _along(mask.ndim, axis, slice(step, None)), _along(mask.ndim, axis, slice(None, n - step))
            best[ahead] = xp.minimum(best[ahead], squared[behind] + cost)
            best[behind] = xp.minimum(best[behind], squared[ahead] + cost)
        squared = best
    return squared


def check_mask(mask: Any) -> None:
    """One to three axes, or an `InputError`."""
    if not 1 <= mask.ndim <= 3:
        raise InputError(f"a mask has one to three axes, not {mask.ndim}")


@operation(tolerance=1e-6)
def distance(mask: Any, *, spacing: Sequence[float]) -> Any:
    """Euclidean distance from each voxel inside a mask to the nearest voxel outside it, in mm.

    Parameters
    ----------
    mask : array, one to three axes
        Everything that is not zero is inside; its type decides the backend.
    spacing : sequence of float
        Distances between voxel centres in mm along the index axes (i, j, k), as `gpukit.geometry.Grid.spacing` has
        them: the *last* array axis comes first.

    Returns
    -------
    array of float32, the shape of `mask`
        Between voxel centres; 0 outside the mask, infinite where no voxel is outside. What lies beyond the array is
        not looked at.

    Raises
    ------
    InputError
        The spacing does not fit the array.
    """
    xp = array_namespace(mask)
    check_mask(mask)
    sizes = check_spacing(mask, spacing)
    if math.prod(mask.shape) == 0:
        return xp.zeros(mask.shape, dtype=xp.float32, device=device(mask))
    return xp.astype(xp.sqrt(_squared_distance(xp, ~as_mask(xp, mask), sizes, math.inf)), xp.float32)


@operation(tolerance=0.0)
def dilate(
    mask: Any,
    *,
    radius_mm: float | None = None,
    spacing: Sequence[float] | None = None,
    structure: ArrayLike | None = None,
) -> Any:
    """Grow a mask by a ball in millimetres, or by a structuring element in voxels.

    Parameters
    ----------
    mask : array, one to three axes
        Everything that is not zero is inside; its type decides the backend.
    radius_mm : float, optional
        All voxels whose centre lies this near to the centre of a voxel of the mask are in the result. Up to 1e-5 of the
        radius further away still counts, so that rounding does not decide.
    spacing : sequence of float, optional
        Distances between voxel centres in mm along the index axes (i, j, k), as `gpukit.geometry.Grid.spacing` has
        them: the *last* array axis comes first. Needed with `radius_mm`.
    structure : array_like of bool, optional
        On the host, odd sizes, by array axis: the set of offsets from its middle by which the mask is moved about.

    Returns
    -------
    array of bool
        The shape and device of `mask`. There is nothing beyond the array.

    Raises
    ------
    InputError
        Both or neither of `radius_mm` and `structure` were given, or one is malformed.
    """
    xp = array_namespace(mask)
    check_mask(mask)
    by = check_structure(mask, radius_mm, spacing, structure)
    inside = as_mask(xp, mask)
    if math.prod(mask.shape) == 0:
        return inside
    if isinstance(by, tuple):
        limit = by[0] * (1 + SLACK)
        return _squared_distance(xp, inside, by[1], limit) <= limit * limit
    grown = xp.zeros_like(inside)
    for at in np.argwhere(by):
        offset = [int(a) - n // 2 for a, n in zip(at, by.shape, strict=True)]
        if any(abs(o) >= n for o, n in zip(offset, mask.shape, strict=True)):
            continue  # moved out of the array altogether
        to = tuple(slice(max(o, 0), n + min(o, 0)) for o, n in zip(offset, mask.shape, strict=True))
        source = tuple(slice(max(-o, 0), n - max(o, 0)) for o, n in zip(offset, mask.shape, strict=True))
        grown[to] = grown[to] | inside[source]
    return grown


def _mirrored(structure: ArrayLike | None) -> NDArray[np.bool_] | None:
    return None if structure is None else np.flip(np.asarray(structure, dtype=bool))


@operation(tolerance=0.0)
def erode(
    mask: Any,
    *,
    radius_mm: float | None = None,
    spacing: Sequence[float] | None = None,
    structure: ArrayLike | None = None,
) -> Any:
    """Shrink a mask: the voxels from which the whole ball or structuring element lies inside it.

    Parameters and errors are those of `dilate`. What lies beyond the array counts as inside: a shape that the array
    cuts off does not shrink from the cut. So eroding is growing the outside.

    Returns
    -------
    array of bool
        The shape and device of `mask`.
    """
    xp = array_namespace(mask)
    outside = ~as_mask(xp, mask)
    return ~dilate(outside, radius_mm=radius_mm, spacing=spacing, structure=_mirrored(structure))


@operation(tolerance=0.0)
def open_(
    mask: Any,
    *,
    radius_mm: float | None = None,
    spacing: Sequence[float] | None = None,
    structure: ArrayLike | None = None,
) -> Any:
    """Remove what is thinner than the ball or structuring element: `erode`, then `dilate`; parameters as there.

    Returns
    -------
    array of bool
        The shape and device of `mask`; never more than the mask.
    """
    eroded = erode(mask, radius_mm=radius_mm, spacing=spacing, structure=structure)
    return dilate(eroded, radius_mm=radius_mm, spacing=spacing, structure=structure)


@operation(tolerance=0.0)
def close(
    mask: Any,
    *,
    radius_mm: float | None = None,
    spacing: Sequence[float] | None = None,
    structure: ArrayLike | None = None,
) -> Any:
    """Fill gaps that are narrower than the ball or structuring element: `dilate`, then `erode`; parameters as there.

    Returns
    -------
    array of bool
        The shape and device of `mask`; never less than the mask.
    """
    grown = dilate(mask, radius_mm=radius_mm, spacing=spacing, structure=structure)
    return erode(grown, radius_mm=radius_mm, spacing=spacing, structure=structure)


@operation(tolerance=0.0)
def fill_holes(mask: Any, *, connectivity: int = 1) -> Any:
    """Fill the parts of the outside that are not connected with the border of the array.

    Parameters
    ----------
    mask : array, one to three axes
        Everything that is not zero is inside; its type decides the backend.
    connectivity : {1, 2, 3}
        Which voxels of the *outside* are neighbours, see `gpukit.ops.components.components`. With 1 a hole may touch
        the outside along an edge and is still filled.

    Returns
    -------
    array of bool
        The shape and device of `mask`.

    Raises
    ------
    InputError
        The connectivity or the number of axes is out of range.
    """
    xp = array_namespace(mask)
    check_mask(mask)
    inner = tuple(slice(1, n + 1) for n in mask.shape)
    outside = xp.ones(tuple(n + 2 for n in mask.shape), dtype=xp.bool, device=device(mask))
    outside[inner] = ~as_mask(xp, mask)
    labels, _ = components(outside, connectivity=connectivity)
    return labels[inner] != 1  # the frame holds the first voxel in C order, so what hangs together with it is part 1
