"""Mean of the voxels in a ball around each voxel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import array_namespace
from gpukit.errors import InputError
from gpukit.ops._arrays import check_padding, device, invalid
from gpukit.ops._selection import real_values

__all__ = ["ball_means", "ball_rows"]

#: A centre farther than the radius by no more than rounding is inside.
_ROUNDING = 1e-9


def ball_rows(affine: ArrayLike, radius: float) -> Iterator[tuple[int, int, int, int]]:
    """Voxels whose centres lie within a radius of a voxel's, as runs along i.

    Parameters
    ----------
    affine : (4, 4) or (3, 3)
        From (i, j, k) to mm; may be oblique or sheared.
    radius : float
        In mm.

    Yields
    ------
    tuple of int
        (dk, dj, first di, last di), the last one included.

    Raises
    ------
    InputError
        The radius is not positive.
    """
    if not (math.isfinite(radius) and radius > 0):
        raise InputError(f"a ball of radius {radius:g} mm has no volume", attribute="radius")
    matrix = np.asarray(affine, float)[:3, :3]
    along = matrix[:, 0]
    square = float(along @ along)
    reach = radius * np.linalg.norm(np.linalg.inv(matrix), axis=1)  # how far the ball goes along each index axis
    limit = (radius * (1 + _ROUNDING)) ** 2
    for dk in range(-math.floor(reach[2] + _ROUNDING), math.floor(reach[2] + _ROUNDING) + 1):
        for dj in range(-math.floor(reach[1] + _ROUNDING), math.floor(reach[1] + _ROUNDING) + 1):
            base = dj * matrix[:, 1] + dk * matrix[:, 2]
            middle = -float(base @ along) / square
            spread = limit - float(base @ base) + middle * middle * square
            if spread < 0:
                continue
            half = math.sqrt(spread / square)
            first, last = math.ceil(middle - half), math.floor(middle + half)
            if first <= last:
                yield dk, dj, first, last


def ball_means(data: Any, affine: ArrayLike, radius: float, *, padding: Sequence[float] | None = None) -> Any:
    """Mean of the voxels whose centres lie within a radius of each voxel's centre.

    Voxels outside the volume, and those that are no measurement, take no part. Runs along i are summed by differences
    of running sums, so that the time grows with the square of the radius and not its cube.

    Parameters
    ----------
    data : array of real numbers, (nk, nj, ni)
        On any device.
    affine : (4, 4) or (3, 3)
        From (i, j, k) to mm.
    radius : float
        In mm.
    padding : (float, float), optional
        Voxels with values in this closed interval are no measurement; NaN never is one.

    Returns
    -------
    array, (nk, nj, ni)
        In working precision on the device of `data`; NaN where no voxel takes part.
    """
    xp = array_namespace(data)
    values = real_values(xp, data)
    lost = invalid(xp, values, check_padding(padding))
    nk, nj, ni = (int(n) for n in values.shape)
    count = xp.ones_like(values) if lost is None else xp.astype(~lost, values.dtype)
    values = values if lost is None else xp.where(lost, xp.zeros_like(values), values)
    # The running sums are taken around the middle value, so that they lose no digits of a large common offset.
    total = float(xp.sum(count))
    middle = float(xp.sum(values)) / total if total else 0.0
    running = _running(xp, (values - middle) * count)
    counted = _running(xp, count)
    sums, numbers = xp.zeros_like(values), xp.zeros_like(values)
    i = np.arange(ni)
    for dk, dj, first, last in ball_rows(affine, radius):
        k0, k1, j0, j1 = max(0, -dk), min(nk, nk - dk), max(0, -dj), min(nj, nj - dj)
        if k0 >= k1 or j0 >= j1:
            continue
        low = xp.asarray(np.clip(i + first, 0, ni).tolist(), dtype=xp.int64, device=device(data))
        high = xp.asarray(np.clip(i + last + 1, 0, ni).tolist(), dtype=xp.int64, device=device(data))
        at = (slice(k0 + dk, k1 + dk), slice(j0 + dj, j1 + dj), slice(None))
        to = (slice(k0, k1), slice(j0, j1), slice(None))
        for into, table in ((sums, running), (numbers, counted)):
            rows = table[at]
            into[to] = into[to] + xp.take(rows, high, axis=2) - xp.take(rows, low, axis=2)
    one = xp.ones_like(numbers)
    found = numbers > 0.5
    return xp.where(found, sums / xp.where(found, numbers, one) + middle, one * math.nan)


def _running(xp: Any, values: Any) -> Any:
    """Sums of the values before each place along i, with one place more at the end."""
    nk, nj, _ = values.shape
    zero = xp.zeros((nk, nj, 1), dtype=values.dtype, device=device(values))
    return xp.concat([zero, xp.cumulative_sum(values, axis=2)], axis=2)
