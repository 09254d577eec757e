"""Sampling at points by compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.errors import InputError
from gpukit.ops._arrays import check_padding
from gpukit_backends.cpu._spline import reach_of_points, spline, why_not_order
from gpukit_backends.cpu.library import library, pointer, volume, why_not
from gpukit_backends.cpu.threads import over_rows


def _declines(data: Any, points: Any, order: int, fill: float, padding: Sequence[float] | None) -> str | None:
    return why_not(data) or why_not_order(order)


@kernel(declines=_declines)
def sample(
    data: Any,
    points: Any,
    *,
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
) -> Any:
    """Return values of a volume at points between its voxels; see `gpukit.ops.sample.sample`."""
    at = np.require(points, np.float64, ("C_CONTIGUOUS", "ALIGNED"))
    if at.ndim != 2 or at.shape[1] != 3:
        raise InputError(f"points must have the shape (n, 3), not {at.shape}", attribute="points")
    handle = library().handle
    assert handle is not None
    interval = check_padding(padding)
    view = volume(data, interval)
    out = np.empty(len(at))
    if order == 3:
        curve = spline(data, interval, reach_of_points(at))

        def cubic(begin: int, end: int) -> int:
            failed: int = handle.gpukit_cubic_sample(
                ctypes.byref(view), ctypes.byref(curve.c), int(curve.checked), pointer(at), ctypes.c_double(fill),
                pointer(out), ctypes.c_int64(begin), ctypes.c_int64(end),
            )  # fmt: skip
            return failed

        over_rows(cubic, len(at), least=256)
        return out
    entry = handle.gpukit_sample

    def work(begin: int, end: int) -> int:
        failed: int = entry(
            ctypes.byref(view), pointer(at), order, ctypes.c_double(fill), pointer(out), ctypes.c_int64(begin),
            ctypes.c_int64(end),
        )  # fmt: skip
        return failed

    over_rows(work, len(at), least=1024)
    return out
