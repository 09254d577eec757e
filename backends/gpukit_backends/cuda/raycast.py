"""Volume rendering on NVIDIA devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._mapping import check_shape
from gpukit.ops.raycast import look_of, rays_of
from gpukit_backends.cuda.compile import launch, volume_arguments, why_not
from gpukit_backends.cuda.project_slab import pyramid


def _declines(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    affine: ArrayLike,
    colors: ArrayLike,
    opacities: ArrayLike,
    window: Sequence[float],
    shading: Sequence[float] | None,
    eye: Sequence[float] | None,
    opaque: float,
    padding: Sequence[float] | None,
) -> str | None:
    return why_not(data, 1)


@kernel(declines=_declines)
def raycast(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    affine: ArrayLike,
    colors: ArrayLike,
    opacities: ArrayLike,
    window: Sequence[float],
    shading: Sequence[float] | None = None,
    eye: Sequence[float] | None = None,
    opaque: float = 0.999,
    padding: Sequence[float] | None = None,
) -> Any:
    """Picture of a volume as a coloured, partly transparent body; see `gpukit.ops.raycast.raycast`."""
    cupy = import_module("cupy")
    size = check_shape(shape)
    rays = rays_of(matrix, (size[0], size[1], size[2]), affine, eye)
    look = look_of(colors, opacities, window, shading, opaque)
    interval = check_padding(padding)
    bounds = pyramid(data, interval)
    light = look.shading or (0.0, 0.0, 0.0, 0.0)
    vectors = (rays.start, rays.across, rays.down, rays.step, rays.eye, [rays.rate], rays.metric, rays.dual)
    numbers = np.concatenate([*(np.ravel(v) for v in vectors), [look.low, look.scale, *light, look.opaque]])
    filled = np.concatenate([[0], np.cumsum(look.table[:, 3] > 0)]).astype(np.int32)
    with cupy.cuda.Device(int(data.device.id)):
        out = cupy.empty((size[1], size[2], 4), cupy.float32)
        arguments = (
            *volume_arguments(data, interval),
            bounds,
            cupy.asarray(numbers),
            cupy.asarray(look.table),
            cupy.asarray(filled),
            cupy.int64(len(look.table)),
            cupy.int32(look.shading is not None),
            *(cupy.int64(n) for n in reversed(size)),
            out,
        )
    launch("raycast", "gpukit_raycast", data, arguments, size[1] * size[2])
    return out
