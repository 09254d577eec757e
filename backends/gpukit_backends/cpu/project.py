"""Projections along an axis of the array by compiled kernels."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops.project import check_project
from gpukit_backends.cpu.library import library, pointer, volume, why_not
from gpukit_backends.cpu.threads import over_rows


def _declines(
    data: Any, axis: int, method: str, start: int, stop: int | None, padding: Sequence[float] | None
) -> str | None:
    if (reason := why_not(data)) is not None:
        return reason
    if method == "mean":
        return "means are not compiled"
    if padding is not None and data.dtype.kind == "f":
        return "padding of real numbers is not compiled"
    return None


@kernel(declines=_declines)
def project(
    data: Any,
    axis: int,
    *,
    method: str = "max",
    start: int = 0,
    stop: int | None = None,
    padding: Sequence[float] | None = None,
) -> Any:
    """Return the maximum or minimum along an axis of the array; see `gpukit.ops.project.project`."""
    begin, end = check_project(data, axis, method, start, stop)
    interval = check_padding(padding)
    handle = library().handle
    assert handle is not None
    view = data[tuple(slice(begin, end) if a == axis else slice(None) for a in range(3))]
    out = np.empty([n for a, n in enumerate(view.shape) if a != axis], data.dtype)
    checked, low, high, none = 0, 0.0, 0.0, math.nan if data.dtype.kind == "f" else 0.0
    if interval is not None:
        info = np.iinfo(data.dtype)
        least, most = float(info.min), float(info.max)
        if interval[0] <= most and interval[1] >= least:
            low, high = math.ceil(max(interval[0], least)), math.floor(min(interval[1], most))
            checked, none = int(low <= high), float(low)
    struct = volume(view, None)

    def work(first: int, last: int) -> int:
        failed: int = handle.gpukit_project(
            ctypes.byref(struct), 2 - axis, int(method == "min"), checked, ctypes.c_double(low), ctypes.c_double(high),
            ctypes.c_double(none), pointer(out), ctypes.c_int64(first), ctypes.c_int64(last),
        )  # fmt: skip
        return failed

    over_rows(work, out.size, least=2048)
    return out
