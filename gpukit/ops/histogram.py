"""How many values fall into each bin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import check_padding, device, real_dtype
from gpukit.ops._selection import check_like, real_values, selected, whole

__all__ = ["check_edges", "evenness", "histogram", "real_bounds", "whole_bounds"]

#: Beyond any value of an integer voxel, and safe to add 1 to.
_HUGE = 2.0**62


def check_edges(edges: Sequence[float]) -> NDArray[np.float64]:
    """Return the edges as float64: at least two, none smaller than the one before.

    Raises
    ------
    InputError
        They are not.
    """
    values = np.asarray(edges, dtype=np.float64)
    if values.ndim != 1 or values.size < 2 or np.isnan(values).any() or (np.diff(values) < 0).any():
        raise InputError("a histogram needs two or more edges in ascending order", attribute="edges")
    return values


def whole_bounds(edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Edges for whole numbers: bin b holds the values v with ``bounds[b] <= v < bounds[b + 1]``, the last bin too."""
    low = np.ceil(np.clip(edges, -_HUGE, _HUGE)).astype(np.int64)
    low[-1] = int(np.floor(np.clip(edges[-1], -_HUGE, _HUGE))) + 1
    return low


def real_bounds(edges: NDArray[np.float64], dtype: type[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return edges for values of a floating type; bins as in `whole_bounds`.

    Rounded so that comparing a value of that type with a bound gives what comparing it with the exact edge gives: up
    for the lower edges, and for the closed last edge to the value that follows it.
    """
    near = edges.astype(dtype)
    bounds = np.where(near < edges, np.nextafter(near, dtype(np.inf)), near)
    top = near[-1] if near[-1] <= edges[-1] else np.nextafter(near[-1], dtype(-np.inf))
    bounds[-1] = np.nextafter(top, dtype(np.inf))
    return bounds


def evenness(bounds: NDArray[np.float64]) -> float:
    """Bins per unit where the bounds are so evenly spaced that a bin can be computed; else 0, and it is searched."""
    bins, span = bounds.size - 1, bounds[-1] - bounds[0]
    if not (np.isfinite(span) and span > 1e-290 * bins):  # bins / span must not overflow
        return 0.0
    even = bounds[0] + span * np.arange(bins + 1) / bins
    return float(bins / span) if np.abs(bounds - even).max() < span / bins else 0.0


@operation(tolerance=0.0)
def histogram(
    data: Any,
    edges: Sequence[float],
    mask: Any | None = None,
    *,
    padding: Sequence[float] | None = None,
) -> Any:
    """Return counts of the values between successive edges.

    Parameters
    ----------
    data : array of real numbers, any shape
        The values; its type decides the backend.
    edges : sequence of float, (n + 1,)
        In ascending order, in the data's unit. Bin b holds ``edges[b] <= value < edges[b + 1]``; the last bin holds its
        upper edge too, as in ``numpy.histogram``. Values outside are not counted.
    mask : array of the same shape on the same device, optional
        Everything that is not zero is inside. All voxels unless given.
    padding : (float, float), optional
        Voxels with values in this closed interval are not measurements and are not counted; NaN never is.

    Returns
    -------
    array of int64, (n,)
        On the device of `data`. Exact: the edges are compared at full precision on every device.

    Raises
    ------
    InputError
        The edges do not ascend, or the mask has another shape or device.
    """
    xp = array_namespace(data)
    limits = check_edges(edges)
    if mask is not None:
        check_like(data, mask)
    if whole(xp, data.dtype):
        values, bounds = xp.astype(data, xp.int64, copy=False), whole_bounds(limits).tolist()
    else:
        values = real_values(xp, data)
        bounds = real_bounds(limits, np.float64 if real_dtype(xp, data) == xp.float64 else np.float32).tolist()
    keep = selected(xp, values, mask, check_padding(padding))
    flat = xp.reshape(values, (-1,)) if keep is None else values[keep]
    where = xp.asarray(bounds, dtype=values.dtype, device=device(data))
    below = xp.searchsorted(xp.sort(flat), where, side="left")
    counts = xp.astype(below[1:] - below[:-1], xp.int64)
    # The closed upper end is stepped over by a bound behind it; behind infinity there is none.
    if np.isposinf(limits[-1]) and not whole(xp, data.dtype):
        counts[-1] += int(xp.sum(xp.astype(xp.isinf(flat) & (flat > 0), xp.int64)))
    return counts
