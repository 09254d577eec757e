"""Cubic B-splines through the voxels, mirrored at the outermost centres.

The filter is the classical recursive one: one pole, run forwards and backwards along each axis (Unser, Aldroubi and
Eden, "B-spline signal processing: part II", IEEE Trans. Signal Process. 41, 1993, pp. 834-848).
"""

from __future__ import annotations

import math
from typing import Any

from gpukit.ops._arrays import real_dtype

__all__ = ["POLE", "coefficients", "cubic", "extended"]

#: Pole of the inverse of the sampled cubic B-spline (1/6, 4/6, 1/6).
POLE = math.sqrt(3.0) - 2.0
#: Rounds in which values spread into voxels that are not measurements; farther away the filter has forgotten them.
SPREAD = 4


def coefficients(xp: Any, data: Any, bad: Any | None) -> Any:
    """B-spline coefficients of a volume, in working precision."""
    values = extended(xp, data, bad)
    for axis in range(3):
        values = _filtered(xp, values, axis)
    return values


def extended(xp: Any, data: Any, bad: Any | None) -> Any:
    """Return the volume in working precision, where voxels that are not measurements continue their surroundings.

    The filter reaches over such voxels, so they need a value that does not ring: the mean of their neighbours, spread
    a few voxels deep, and beyond that the mean of all measurements.
    """
    values = xp.astype(data, real_dtype(xp, data))
    if bad is None:
        return values
    zero, one = xp.zeros_like(values), xp.ones_like(values)
    values = xp.where(bad, zero, values)
    valid = xp.where(bad, zero, one)
    mean = xp.sum(values) / xp.clip(xp.sum(valid), 1.0, None)
    for _ in range(SPREAD):
        total, count = zero, zero
        for axis in range(3):
            for step in (-1, 1):
                total = total + _shifted(xp, values, axis, step)
                count = count + _shifted(xp, valid, axis, step)
        new = (valid == 0.0) & (count > 0.0)
        values = xp.where(new, total / xp.clip(count, 1.0, None), values)
        valid = xp.where(new, one, valid)
    return xp.where(valid == 0.0, mean, values)


def _shifted(xp: Any, values: Any, axis: int, step: int) -> Any:
    """Return the neighbour on one side, zero at the border."""
    n = values.shape[axis]
    cut = [slice(None)] * 3
    border = xp.zeros_like(values[tuple(slice(0, 1) if a == axis else c for a, c in enumerate(cut))])
    if step > 0:
        inner = values[tuple(slice(0, n - 1) if a == axis else c for a, c in enumerate(cut))]
        return xp.concat([border, inner], axis=axis)
    inner = values[tuple(slice(1, n) if a == axis else c for a, c in enumerate(cut))]
    return xp.concat([inner, border], axis=axis)


def _filtered(xp: Any, values: Any, axis: int) -> Any:
    n = values.shape[axis]
    if n == 1:
        return values
    lines = xp.moveaxis(values, axis, 0) * 6.0
    z = POLE
    first = lines[0, ...] + z ** (n - 1) * lines[n - 1, ...]
    for k in range(1, n - 1):
        first = first + (z**k + z ** (2 * n - 2 - k)) * lines[k, ...]
    causal = [first / (1.0 - z ** (2 * n - 2))]
    for k in range(1, n):
        causal.append(lines[k, ...] + z * causal[-1])
    result = [(z / (z * z - 1.0)) * (causal[n - 1] + z * causal[n - 2])]
    for k in range(n - 2, -1, -1):
        result.append(z * (result[-1] - causal[k]))
    return xp.moveaxis(xp.stack(result[::-1], axis=0), 0, axis)


def cubic(xp: Any, spline: Any, shape: tuple[int, int, int], x: Any, y: Any, z: Any) -> Any:
    """Value of the spline at flat index coordinates."""
    nk, nj, ni = shape
    flat = xp.reshape(spline, (-1,))
    (xi, xw), (yi, yw), (zi, zw) = _taps(xp, x, ni), _taps(xp, y, nj), _taps(xp, z, nk)
    total = xp.zeros_like(x)
    for c in range(4):
        plane = xp.zeros_like(x)
        for b in range(4):
            row = xp.zeros_like(x)
            for a in range(4):
                row = row + xw[a] * xp.take(flat, (zi[c] * nj + yi[b]) * ni + xi[a], axis=0)
            plane = plane + yw[b] * row
        total = total + zw[c] * plane
    return total


def _taps(xp: Any, x: Any, n: int) -> tuple[list[Any], list[Any]]:
    """Return the four coefficients that count at x, mirrored into 0 .. n - 1, and their weights."""
    # samples outside are computed too (and thrown away), so they must not leave the range of an index
    x = xp.clip(x, -1.0, float(n))
    low = xp.floor(x)
    f = x - low
    g = 1.0 - f
    weights = [
        g * g * g / 6.0,
        2.0 / 3.0 - 0.5 * f * f * (2.0 - f),
        2.0 / 3.0 - 0.5 * g * g * (2.0 - g),
        f * f * f / 6.0,
    ]
    first = xp.astype(low, xp.int64) - 1
    period = max(2 * n - 2, 1)
    index = []
    for tap in range(4):
        folded = (first + (tap + 2 * period)) % period
        index.append(xp.where(folded > n - 1, period - folded, folded) if n > 1 else xp.zeros_like(folded))
    return index, weights
