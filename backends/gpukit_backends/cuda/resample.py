"""Resampling on NVIDIA devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._mapping import axes_of, check_affine, check_shape, rows
from gpukit_backends.cuda.compile import TYPES, launch, map_arguments, type_number, volume_arguments, why_not


def _declines(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    order: int,
    fill: float,
    padding: Sequence[float] | None,
    dtype: Any,
) -> str | None:
    if (reason := why_not(data, order)) is not None:
        return reason
    if dtype is not None and import_module("numpy").dtype(dtype).name not in TYPES:
        return f"voxel type {dtype} is not compiled"
    axes = axes_of(check_affine(matrix, check_shape(shape)))
    if axes is not None and axes.exact:
        return "whole voxels are moved, nothing is computed"
    return None


@kernel(declines=_declines)
def resample(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
    dtype: Any = None,
) -> Any:
    """Return values of a volume at the voxels of another grid; see `gpukit.ops.resample.resample`."""
    cupy = import_module("cupy")
    size = check_shape(shape)
    values = tuple(value for row in rows(check_affine(matrix, size)) for value in row)
    with cupy.cuda.Device(int(data.device.id)):
        out = cupy.empty(size, data.dtype if dtype is None else dtype)
    launch(
        "resample",
        "gpukit_resample",
        data,
        (
            *volume_arguments(data, check_padding(padding)),
            *map_arguments(values, size),
            cupy.int32(order),
            cupy.float64(fill),
            out,
            cupy.int32(type_number(out.dtype)),
        ),
        out.size,
    )
    return out
