"""Connected components of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import device
from gpukit.ops._selection import as_mask

__all__ = ["check_connectivity", "components", "largest_component", "neighbours"]


def check_connectivity(mask: Any, connectivity: int) -> int:
    """Return how many axes a neighbour may differ in: 1 up to the number of axes, of which there are one to three."""
    if not 1 <= mask.ndim <= 3:
        raise InputError(f"a mask has one to three axes, not {mask.ndim}")
    if connectivity not in (1, 2, 3):
        raise InputError(
            f"connectivity must be 1 (faces), 2 (and edges) or 3 (and corners), not {connectivity}",
            attribute="connectivity",
        )
    return min(int(connectivity), int(mask.ndim))


def neighbours(ndim: int, connectivity: int) -> Iterator[tuple[int, ...]]:
    """Steps to all neighbours of a voxel."""
    for step in product((-1, 0, 1), repeat=ndim):
        if 0 < sum(map(abs, step)) <= connectivity:
            yield step


@operation(tolerance=0.0)
def components(mask: Any, *, connectivity: int = 1) -> tuple[Any, int]:
    """Number the connected parts of a mask.

    Parameters
    ----------
    mask : array, one to three axes
        Everything that is not zero is inside; its type decides the backend.
    connectivity : {1, 2, 3}
        Voxels are neighbours when they share a face (1), also an edge (2), also a corner (3): 6, 18 or 26 neighbours in
        three dimensions, 4 or 8 in two.

    Returns
    -------
    labels : array of int32, the shape of `mask`
        0 outside; the parts count from 1 in the order in which C order meets them, the same on every backend.
    count : int
        How many parts there are.

    Raises
    ------
    InputError
        The connectivity or the number of axes is out of range.
    """
    xp = array_namespace(mask)
    reach = check_connectivity(mask, connectivity)
    inside, shape = as_mask(xp, mask), tuple(mask.shape)
    size = 1
    for n in shape:
        size *= n
    if size == 0:
        return xp.zeros(shape, dtype=xp.int32, device=device(mask)), 0
    own = xp.reshape(xp.arange(size, dtype=xp.int64, device=device(mask)), shape)
    nowhere = xp.full_like(own, size)
    last = xp.full((1,), size, dtype=xp.int64, device=device(mask))
    # Every voxel points to a voxel of its part that does not come after it: first itself, in the end the first of all.
    points = xp.where(inside, own, nowhere)
    while True:
        framed = xp.full(tuple(n + 2 for n in shape), size, dtype=xp.int64, device=device(mask))
        framed[tuple(slice(1, n + 1) for n in shape)] = points
        better = points
        for step in neighbours(len(shape), reach):
            cut = tuple(slice(1 + s, 1 + s + n) for s, n in zip(step, shape, strict=True))
            better = xp.minimum(better, framed[cut])
        better = xp.where(inside, better, nowhere)
        for _ in range(2):  # follow the pointers: distances double instead of growing by one
            flat = xp.concat((xp.reshape(better, (-1,)), last))
            better = xp.reshape(xp.take(flat, xp.reshape(better, (-1,)), axis=0), shape)
        if bool(xp.all(better == points)):
            break
        points = better
    first = xp.astype(xp.reshape((points == own) & inside, (-1,)), xp.int64)
    number = xp.cumulative_sum(first)
    at = xp.reshape(xp.where(inside, points, xp.zeros_like(points)), (-1,))
    labels = xp.where(inside, xp.reshape(xp.take(number, at, axis=0), shape), xp.zeros_like(points))
    return xp.astype(labels, xp.int32), int(number[-1])


@operation(tolerance=0.0)
def largest_component(mask: Any, *, connectivity: int = 1) -> Any:
    """Only the largest connected part of a mask; of equal ones the first in C order.

    Parameters
    ----------
    mask, connectivity
        As in `components`.

    Returns
    -------
    array of bool
        The shape and device of `mask`; empty where the mask is empty.

    Raises
    ------
    InputError
        As `components`.
    """
    xp = array_namespace(mask)
    labels, count = components(mask, connectivity=connectivity)
    if count < 2:
        return labels > 0
    ordered = xp.sort(xp.reshape(labels, (-1,)))
    bounds = xp.searchsorted(ordered, xp.arange(1, count + 2, dtype=labels.dtype, device=device(labels)))
    return labels == int(xp.argmax(bounds[1:] - bounds[:-1])) + 1
