"""Values of a volume at single points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import check_padding, device, invalid, real_dtype, signed
from gpukit.ops._interpolate import interpolate
from gpukit.ops._spline import coefficients

__all__ = ["sample"]


@operation(tolerance=1e-9)
def sample(
    data: Any,
    points: Any,
    *,
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
) -> Any:
    """Return values of a volume at points between its voxels.

    Parameters
    ----------
    data : array, (nk, nj, ni)
        The volume; its type decides the backend.
    points : array, (n, 3)
        Index positions (i, j, k), on the device of `data`; (0, 0, 0) is the centre of the first voxel.
    order : {0, 1, 3}
        Nearest voxel, trilinear, or cubic B-spline, as in `gpukit.ops.resample.resample`.
    fill : float
        Value of points outside, of points without a measurement, and of points with a NaN in their position.
    padding : (float, float), optional
        Voxels with values in this closed interval are not measurements; NaN never is one.

    Returns
    -------
    array, (n,)
        float64 (float32 where the device has no float64), on the device of `data`.

    Raises
    ------
    InputError
        An argument is out of its domain.
    """
    xp = array_namespace(data)
    check_sample(data, order)
    interval = check_padding(padding)
    real = real_dtype(xp, data)
    at = xp.astype(xp.asarray(points, device=device(data)), real)
    if at.ndim != 2 or at.shape[1] != 3:
        raise InputError(f"points must have the shape (n, 3), not {tuple(at.shape)}", attribute="points")
    bad = invalid(xp, data, interval)
    if bad is not None and not bool(xp.any(bad)):
        bad = None
    spline = coefficients(xp, data, bad) if order == 3 else None
    nowhere = xp.full(at.shape, -2.0, dtype=real, device=device(data))
    at = xp.where(xp.isfinite(at), at, nowhere)
    flat = xp.reshape(signed(xp, data), (-1,))
    missing = None if bad is None else xp.reshape(bad, (-1,))
    value, ok = interpolate(xp, flat, missing, data.shape, at[:, 0], at[:, 1], at[:, 2], order=order, spline=spline)
    return xp.where(ok, value, xp.full((1,), float(fill), dtype=real, device=device(data)))


def check_sample(data: Any, order: int) -> None:
    """Arguments that every way of sampling has in common."""
    if data.ndim != 3 or 0 in data.shape:
        raise InputError(f"a volume has three axes with at least one voxel each, not {tuple(data.shape)}")
    if order not in (0, 1, 3):
        raise InputError(f"order must be 0 (nearest), 1 (linear) or 3 (cubic B-spline), not {order}", attribute="order")
