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


def ball_means(
    data: Any,
    affine: ArrayLike,
    radius: float,
    *,
    padding: Sequence[float] | None = None,
    window: Sequence[tuple[int, int]] | None = None,
) -> Any:
    """Return the mean of the voxels whose centres lie within a radius of each voxel's centre.

    Voxels outside the volume, and those that are not measurements, take no part. Runs along i are summed by differences
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
        Voxels with values in this closed interval are not measurements; NaN never is one.
    window : three of (int, int), optional
        First voxel and the one after the last, along k, j and i, around which balls are wanted; all unless given.

    Returns
    -------
    array, (nk, nj, ni) or the size of the window
        In working precision on the device of `data`; NaN where no voxel takes part.
    """
    xp = array_namespace(data)
    values = real_values(xp, data)
    missing = invalid(xp, values, check_padding(padding))
    runs = list(ball_rows(affine, radius))
    reach = max(max(-first, last) for _, _, first, last in runs)
    count = xp.ones_like(values) if missing is None else xp.astype(~missing, values.dtype)
    values = values if missing is None else xp.where(missing, xp.zeros_like(values), values)
    # The running sums are taken around the middle value, so that they lose no digits of a large common offset.
    total = float(xp.sum(count))
    middle = float(xp.sum(values)) / total if total else 0.0
    running, counted = (_running(xp, table, reach) for table in ((values - middle) * count, count))
    nk, nj, ni = (int(n) for n in values.shape)
    (ka, kb), (ja, jb), (ia, ib) = window or ((0, nk), (0, nj), (0, ni))
    result = xp.empty((kb - ka, jb - ja, ib - ia), dtype=values.dtype, device=device(data))
    nan = xp.full((1,), math.nan, dtype=values.dtype, device=device(data))
    zero = xp.zeros((jb - ja, ib - ia), dtype=values.dtype, device=device(data))
    cache: dict[tuple[int, ...], Any] = {}

    def added(table: Any, k: int) -> Any:
        into = xp.asarray(zero, copy=True)
        for dk, dj, first, last in runs:
            j0, j1 = max(ja, -dj), min(jb, nj - dj)
            if 0 <= k + dk < nk and j0 < j1:
                rows = table[k + dk, j0 + dj : j1 + dj, :]
                high, low = reach + last + 1, reach + first
                into[j0 - ja : j1 - ja, :] += rows[:, high + ia : high + ib] - rows[:, low + ia : low + ib]
        return into

    for k in range(ka, kb):  # plane by plane: what is added up stays in the cache
        # Without lost voxels the count depends only on which planes of the ball lie within the volume.
        key = (k,) if missing is not None else tuple(dk for dk in sorted({run[0] for run in runs}) if 0 <= k + dk < nk)
        if key not in cache:
            cache = cache if missing is None else {}
            cache[key] = added(counted, k)
        numbers = cache[key]
        measurable = numbers > 0.5
        mean = added(running, k) / xp.where(measurable, numbers, xp.ones_like(numbers)) + middle
        result[k - ka, ...] = xp.where(measurable, mean, nan)
    return result


def _running(xp: Any, values: Any, reach: int) -> Any:
    """Sums of the values before each place along i; `reach` places more on either side, where nothing is added."""
    nk, nj, _ = values.shape
    sums = xp.cumulative_sum(values, axis=2)
    before = xp.zeros((nk, nj, reach + 1), dtype=values.dtype, device=device(values))
    after = xp.broadcast_to(sums[:, :, -1:], (nk, nj, reach + 1))
    return xp.concat([before, sums, after], axis=2)
