"""Volume rendering on NVIDIA devices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._mapping import check_shape
from gpukit.ops._scene import Labels, Second, drawable, scene_of
from gpukit_backends.cuda.compile import launch, type_number, volume_arguments, why_not
from gpukit_backends.cuda.project_slab import pyramid
from gpukit_backends.kernels.scene import CRays, CScene, CVolume


def _declines(data: Any, **_: Any) -> str | None:
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
    gradient: tuple[ArrayLike, Sequence[float]] | None = None,
    planes: ArrayLike | None = None,
    labels: Labels | None = None,
    second: Second | None = None,
) -> Any:
    """Return the picture of a volume as a coloured, partly transparent body; see `gpukit.ops.raycast.raycast`."""
    cupy = import_module("cupy")
    size = check_shape(shape)
    scene = scene_of(
        data, matrix, (size[0], size[1], size[2]), affine=affine, colors=colors, opacities=opacities, window=window,
        shading=shading, eye=eye, opaque=opaque, gradient=gradient, planes=planes, labels=labels, second=second,
    )  # fmt: skip
    data, second = drawable(data, second)
    interval = check_padding(padding)
    owners: list[Any] = []  # arrays that the scene points to, until the kernels have run

    def placed(array: Any) -> int:
        owners.append(cupy.ascontiguousarray(cupy.asarray(array)))
        return int(owners[-1].data.ptr)

    with cupy.cuda.Device(int(data.device.id)):
        bounds = pyramid(data, interval)
        label_bounds = second_bounds = cupy.intp(0)  # the null pointer
        other, label_map = None, 0
        if labels is not None:
            label_map = placed(labels.array)
            label_bounds = pyramid(owners[-1], None)
        if second is not None:
            gaps = check_padding(second.padding)
            address = placed(second.array.astype(cupy.float32, copy=False))
            other = CVolume.of(address, owners[-1].shape, gaps, type_number(owners[-1].dtype))
            second_bounds = pyramid(owners[-1], gaps)
        packed = CScene.of(scene, placed, labels=label_map, second=other)
        rays_there, scene_there = (
            cupy.asarray(np.frombuffer(bytes(structure), np.uint8)) for structure in (CRays.of(scene.rays), packed)
        )
        kinds = cupy.empty(bounds.shape[:3], cupy.uint8)
        out = cupy.empty((size[1], size[2], 4), cupy.float32)
        view = volume_arguments(data, interval)
        arguments = (*view, bounds, label_bounds, second_bounds, scene_there, kinds)
        launch("raycast", "gpukit_raybricks", data, arguments, kinds.size)
        sizes = (cupy.int64(n) for n in reversed(size))
        launch(
            "raycast", "gpukit_raycast", data, (*view, kinds, rays_there, scene_there, *sizes, out), size[1] * size[2]
        )
    return out
