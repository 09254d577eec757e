"""Projections in any direction on NVIDIA devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._mapping import check_affine, check_shape, rows
from gpukit.ops.project import check_method
from gpukit_backends.cuda.compile import launch, map_arguments, type_number, volume_arguments, why_not

WAYS = {"max": 0, "min": 1, "mean": 2}
BRICK = 8


def _declines(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    method: str,
    order: int,
    fill: float,
    padding: Sequence[float] | None,
) -> str | None:
    return why_not(data, order)


def pyramid(data: Any, padding: tuple[float, float] | None) -> Any:
    """Lowest and highest measurement of each brick, ``(nbk, nbj, nbi, 2)``; built anew, since voxels may change."""
    cupy = import_module("cupy")
    with cupy.cuda.Device(int(data.device.id)):
        bounds = cupy.empty((*(-(-n // BRICK) for n in data.shape), 2), cupy.float32)
    launch("slab", "gpukit_pyramid", data, (*volume_arguments(data, padding), bounds), bounds.size // 2)
    return bounds


@kernel(declines=_declines)
def project_slab(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    method: str = "max",
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
) -> Any:
    """Maximum, minimum or mean along the depth of another grid; see `gpukit.ops.project.project_slab`."""
    cupy = import_module("cupy")
    check_method(method)
    size = check_shape(shape)
    interval = check_padding(padding)
    values = tuple(value for row in rows(check_affine(matrix, size)) for value in row)
    bounds = cupy.intp(0) if method == "mean" else pyramid(data, interval)  # 0 is the null pointer
    with cupy.cuda.Device(int(data.device.id)):
        out = cupy.empty(size[1:], cupy.float64 if method == "mean" else data.dtype)
    launch(
        "slab",
        "gpukit_slab",
        data,
        (
            *volume_arguments(data, interval),
            bounds,
            *map_arguments(values, size),
            cupy.int32(order),
            cupy.int32(WAYS[method]),
            cupy.float64(fill),
            out,
            cupy.int32(type_number(out.dtype)),
        ),
        out.size,
    )
    return out
