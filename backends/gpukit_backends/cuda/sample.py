"""Sampling at points on NVIDIA devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gpukit.dispatch import kernel
from gpukit.errors import InputError
from gpukit.ops._arrays import check_padding
from gpukit_backends.cuda.compile import launch, volume_arguments, why_not


def _declines(data: Any, points: Any, order: int, fill: float, padding: Sequence[float] | None) -> str | None:
    return why_not(data, order)


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
    cupy = import_module("cupy")
    with cupy.cuda.Device(int(data.device.id)):
        at = cupy.ascontiguousarray(points, dtype=cupy.float64)
        if at.ndim != 2 or at.shape[1] != 3:
            raise InputError(f"points must have the shape (n, 3), not {at.shape}", attribute="points")
        out = cupy.empty(len(at), cupy.float64)
    arguments = (*volume_arguments(data, check_padding(padding)), at, cupy.int32(order), cupy.float64(fill), out)
    launch("sample", "gpukit_sample", data, arguments, len(at))
    return out
