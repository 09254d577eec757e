"""Labels between slices: the shapes of two slices, blended by their distance maps.

The rule is that of Raya and Udupa (Shape-based interpolation of multidimensional objects, IEEE Transactions on Medical
Imaging 9, 1990): in each slice a pixel gets its distance to the outline, positive inside and negative outside; these
distances are interpolated linearly, and what is positive is inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import InputError
from gpukit.ops.morphology import distance

__all__ = ["interpolated_slices"]

#: In slices: a place this near to a known slice is that slice.
_SAME = 1e-6


def interpolated_slices(
    labels: NDArray[Any], places: Sequence[float], wanted: Sequence[float], *, spacing: Sequence[float]
) -> NDArray[Any]:
    """Return label maps at places between known slices.

    A label that only one of two neighbouring slices holds reaches half the way to the other one. A label whose shapes
    in both slices do not meet takes the shape of the nearer slice. A pixel that two labels claim belongs to the one in
    which it lies deeper.

    Parameters
    ----------
    labels : array of unsigned integers, ``[n, j, i]``
        Label maps of the known slices; 0 is background.
    places : sequence of float
        Of the known slices, ascending, in any unit.
    wanted : sequence of float
        Places to make slices for, in the same unit; those outside of `places` stay empty.
    spacing : (float, float)
        Distances between pixel centres along i and j, mm.

    Returns
    -------
    array of the type of `labels`, ``[m, j, i]``
        A wanted place of a known slice is that slice, unchanged.

    Raises
    ------
    InputError
        There are not as many places as slices, or they do not ascend.
    """
    positions = np.asarray(places, float)
    if labels.ndim != 3 or positions.shape != labels.shape[:1] or not (np.diff(positions) > 0).all():
        raise InputError(f"{positions.size} places do not ascend, or are not those of {labels.shape} labels")
    out = np.zeros((len(wanted), *labels.shape[1:]), labels.dtype)
    depths: dict[tuple[int, int], NDArray[np.floating[Any]]] = {}  # of two slices at a time
    for m, place in enumerate(wanted):
        n = int(np.searchsorted(positions, place))
        near = [k for k in (n - 1, n) if 0 <= k < len(positions) and abs(positions[k] - place) <= _SAME]
        if near:
            out[m] = labels[near[0]]
        elif 0 < n < len(positions):
            part = float((place - positions[n - 1]) / (positions[n] - positions[n - 1]))
            depths = {key: depth for key, depth in depths.items() if key[0] >= n - 1}
            _blend(out[m], labels, n - 1, part, spacing, depths)
    return out


def _blend(
    out: NDArray[Any],
    labels: NDArray[Any],
    below: int,
    part: float,
    spacing: Sequence[float],
    depths: dict[tuple[int, int], NDArray[np.floating[Any]]],
) -> None:
    """Fill a slice that lies `part` of the way from the slice `below` to the next one."""
    pair = labels[below], labels[below + 1]
    deepest = np.zeros(out.shape, np.float64)
    for label in sorted({*np.unique(pair[0]).tolist(), *np.unique(pair[1]).tolist()} - {0}):
        there = [bool((plane == label).any()) for plane in pair]
        low, high = (
            _depth(labels, below + side, label, spacing, depths) if there[side] else None for side in (0, 1)
        )  # fmt: skip
        if low is not None and high is not None:
            depth = low * (1.0 - part) + high * part
            if not (depth > 0).any():  # the shapes lie apart: no blend holds any of them
                depth = low if part <= 0.5 else high
        elif low is not None:
            depth = low if part < 0.5 else -np.abs(low)
        elif high is not None:
            depth = high if part > 0.5 else -np.abs(high)
        wins = depth > deepest
        out[wins] = label
        deepest[wins] = depth[wins]


def _depth(
    labels: NDArray[Any],
    k: int,
    label: int,
    spacing: Sequence[float],
    depths: dict[tuple[int, int], NDArray[np.floating[Any]]],
) -> NDArray[np.floating[Any]]:
    """Distance in mm of each pixel to the nearest one on the other side of a label's outline, negative outside."""
    if (k, label) not in depths:
        inside = np.ascontiguousarray(labels[k] == label)
        if inside.all():
            depths[k, label] = np.full(inside.shape, float(max(inside.shape)) * max(spacing))
        else:
            depths[k, label] = np.asarray(distance(inside, spacing=spacing)) - np.asarray(
                distance(~inside, spacing=spacing)
            )
    return depths[k, label]
