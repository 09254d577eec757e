"""Exact means of a picture's areas: how many pixels become few, or few become many, without a filter's guesses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["area_mean"]

#: Sums of float32 stay within 1e-5 of the values' size up to so many pixels along an axis of one area.
_FLOAT32_PIXELS = 64
#: Up to so many rows of an area are added as gathered, which is faster than a running sum over long rows.
_GATHERED = 32


def area_mean(
    values: NDArray[Any],
    rows: int,
    columns: int,
    box: tuple[float, float, float, float] | None = None,
) -> NDArray[Any]:
    """Mean of each of `rows` x `columns` equal areas of a picture; pixels on a border count by their share.

    Parameters
    ----------
    values : array, ``[row, column]`` or ``[row, column, c]``
        Any numbers.
    rows, columns : int
        Of the result.
    box : (top, left, bottom, right), optional
        The part of the picture, in pixels from the corner of the first one; all of it by default.

    Returns
    -------
    array of float32 or float64, ``[rows, columns(, c)]``
    """
    top, left, bottom, right = box or (0.0, 0.0, float(values.shape[0]), float(values.shape[1]))
    many = max((bottom - top) / rows, (right - left) / columns) > _FLOAT32_PIXELS
    kind = np.float64 if many or (values.dtype.itemsize >= 4 and values.dtype != np.float32) else np.float32
    first, last = int(top), min(values.shape[0], int(np.ceil(bottom)))
    begin, end = int(left), min(values.shape[1], int(np.ceil(right)))
    part = values[first:last, begin:end].astype(kind, copy=False)
    down = _along(part, np.linspace(top - first, bottom - first, rows + 1))
    across = np.ascontiguousarray(np.swapaxes(down, 0, 1))
    return np.swapaxes(_along(across, np.linspace(left - begin, right - begin, columns + 1)), 0, 1)


def _along(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[Any]:
    """Mean between neighbouring edges along the first axis."""
    n = len(values)
    edges = np.clip(edges, 0.0, float(n))
    step = (edges[-1] - edges[0]) / (len(edges) - 1)
    extra = (1,) * (values.ndim - 1)
    if step < 1.0:  # enlarged: an area lies within one pixel or two
        low, high = edges[:-1], edges[1:]
        one = np.minimum(low.astype(np.intp), n - 1)
        two = np.minimum(np.maximum(np.ceil(high).astype(np.intp) - 1, one), n - 1)
        share = np.clip((two - low) / (high - low), 0.0, 1.0)
        share = np.where(one == two, 1.0, share).astype(values.dtype).reshape(-1, *extra)
        return values[one] * share + values[two] * (1 - share)
    whole = np.minimum(np.floor(edges + 1e-9).astype(np.intp), n)
    rest = np.maximum(edges - whole, 0.0).astype(values.dtype).reshape(-1, *extra)
    sums = _sums(values, whole[:-1], whole[1:])
    border = rest * values[np.minimum(whole, n - 1)]
    means: NDArray[Any] = (sums - border[:-1] + border[1:]) / values.dtype.type(step)
    return means


def _sums(values: NDArray[Any], starts: NDArray[np.intp], stops: NDArray[np.intp]) -> NDArray[Any]:
    """Sums of rows from each start to before its stop; there is at least one in each."""
    lengths = stops - starts
    least, most = int(lengths.min()), int(lengths.max())
    if least > _GATHERED or least < 1:
        sums = np.add.reduceat(values, starts, axis=0)
        if stops[-1] < len(values):  # the last sum runs to the end of the array
            sums[-1] -= values[stops[-1] :].sum(axis=0)
        return sums
    sums = values[starts]
    for k in range(1, least):  # few rows each: the n-th ones of all areas at once
        sums += values[starts + k]
    for k in range(least, most):
        longer = lengths > k
        sums[longer] += values[starts[longer] + k]
    return sums
