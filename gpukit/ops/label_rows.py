"""Which rows of each plane the labels of a label map reach."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import device

__all__ = ["check_labels", "label_rows"]


def check_labels(data: Any, labels: Sequence[int]) -> list[int]:
    """Return the label values as they are, once they and the label map are found to be fit.

    Raises
    ------
    InputError
        Not three axes of whole numbers with something in them, or values that do not ascend from at least 1.
    """
    xp = array_namespace(data)
    values = [int(value) for value in labels]
    if data.ndim != 3 or not xp.isdtype(data.dtype, "integral") or 0 in data.shape:
        raise InputError("a label map has three axes of whole numbers, none of them empty", attribute="data")
    if not values or values[0] < 1 or any(b <= a for a, b in pairwise(values)):
        raise InputError("the label values must ascend from at least 1", attribute="labels")
    return values


@operation(tolerance=0.0)
def label_rows(data: Any, labels: Sequence[int]) -> Any:
    """Return the first row of each label in each plane, and the row after its last.

    Parameters
    ----------
    data : array of integers, ``[plane, row, column]``
        A label map; 0 is background. Its type decides the backend.
    labels : sequence of int
        Label values, ascending, from 1.

    Returns
    -------
    array of int32, ``[plane, len(labels) + 1, 2]``
        On the device of `data`. The last entry of a plane is of all values that are neither 0 nor among `labels`. 0 and
        0 where there is none.

    Raises
    ------
    InputError
        The array or the label values are not such.
    """
    xp = array_namespace(data)
    values = check_labels(data, labels)
    where, (_, height, width) = device(data), data.shape
    table = xp.asarray(values, dtype=xp.int64, device=where)
    place = xp.arange(len(values) + 1, dtype=xp.int64, device=where)
    planes = []
    for k in range(data.shape[0]):
        flat = xp.reshape(xp.astype(data[k, ...], xp.int64), (-1,))
        # Looked at are only the pixels where the value changes, which are few.
        fresh = xp.concat((xp.ones((1,), dtype=xp.bool, device=where), flat[1:] != flat[:-1]))
        fresh = fresh | (xp.arange(flat.shape[0], device=where) % width == 0)
        start = xp.nonzero(fresh)[0]
        value = xp.take(flat, start)
        near = xp.clip(xp.searchsorted(table, value), max=len(values) - 1)
        at = xp.where(xp.take(table, near) == value, near, xp.full_like(near, len(values)))
        there = xp.nonzero(value != 0)[0]
        met = xp.unique_values(xp.take(at * height + start // width, there))
        if met.shape[0] == 0:
            planes.append(xp.zeros((len(values) + 1, 2), dtype=xp.int64, device=where))
            continue
        low, high = (xp.searchsorted(met, (place + step) * height) for step in (0, 1))
        first = xp.take(met, xp.clip(low, max=met.shape[0] - 1)) % height
        last = xp.take(met, xp.clip(high - 1, min=0)) % height + 1
        some = high > low
        zero = xp.zeros_like(first)
        planes.append(xp.stack((xp.where(some, first, zero), xp.where(some, last, zero)), axis=-1))
    return xp.astype(xp.stack(planes, axis=0), xp.int32)
