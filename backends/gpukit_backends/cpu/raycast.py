"""Volume rendering by compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._mapping import check_shape
from gpukit.ops._scene import Labels, Scene, Second, drawable, scene_of
from gpukit_backends.cpu.library import Volume, library, longs, pointer, type_number, volume, why_not
from gpukit_backends.cpu.pyramid import pyramid
from gpukit_backends.cpu.threads import over_rows
from gpukit_backends.kernels.scene import CRays, CScene, CVolume

__all__ = ["Prepared", "prepare", "raycast"]

#: Ranges of tile rows per thread: rows across the body take many times as long as those beside it.
_SPLIT = 16


@dataclass(frozen=True)
class Prepared:
    """A scene in the kernels' terms, and everything that must live as long as it."""

    seen: Volume
    rays: CRays
    scene: CScene
    kinds: NDArray[np.uint8]
    kept: list[Any]


def prepare(
    data: Any, scene: Scene, padding: Sequence[float] | None, labels: Labels | None, second: Second | None
) -> Prepared:
    """Return the scene for kernels, with what may be visible in each brick."""
    handle = library().handle
    assert handle is not None
    owners: list[Any] = []

    def placed(array: NDArray[Any]) -> int:
        owners.append(array)
        return int(array.ctypes.data)

    interval = check_padding(padding)
    view = volume(data, interval)
    bounds = pyramid(data, view, interval)
    if _may_be_infinite(bounds):
        owners.append(data := drawable(data, None)[0])
        view = volume(data, interval)
        bounds = pyramid(data, view, interval)
    label_bounds = second_bounds = other = None
    address = 0
    if labels is not None:
        label_map = np.require(labels.array, None, ("C_CONTIGUOUS", "ALIGNED"))
        address = placed(label_map)
        label_bounds = pyramid(label_map, volume(label_map, None), None)
    if second is not None:
        voxels = np.require(drawable(second.array, None)[0], np.float32, ("C_CONTIGUOUS", "ALIGNED"))
        gaps = check_padding(second.padding)
        number = type_number(voxels.dtype)
        assert number is not None
        other = CVolume.of(placed(voxels), voxels.shape, gaps, number)
        second_bounds = pyramid(voxels, volume(voxels, gaps), gaps)
    c_scene = CScene.of(scene, placed, labels=address, second=other)
    kinds = np.empty(bounds.shape[:3], np.uint8)
    entry = handle.gpukit_ray_kinds
    around = [None if b is None else pointer(b) for b in (bounds, label_bounds, second_bounds)]

    def work(begin: int, end: int) -> int:
        failed: int = entry(
            ctypes.byref(view),
            *around,
            ctypes.byref(c_scene),
            pointer(kinds),
            ctypes.c_int64(begin),
            ctypes.c_int64(end),
        )
        return failed

    over_rows(work, kinds.size // max(1, bounds.shape[2]))
    return Prepared(view, CRays.of(scene.rays), c_scene, kinds, owners)


def _may_be_infinite(bounds: NDArray[np.float32]) -> bool:
    """Return whether a brick's lowest value is minus infinity, or its highest plus infinity."""
    return bool(np.isneginf(bounds[..., 0]).any() or np.isposinf(bounds[..., 1]).any())


def _declines(data: Any, second: Second | None, labels: Labels | None, **_: Any) -> str | None:
    others = [s.array for s in (second, labels) if s is not None]
    if not all(isinstance(array, np.ndarray) for array in others):
        return "the labels or the second volume lie elsewhere"
    return why_not(data)


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
    size = check_shape(shape)
    scene = scene_of(
        data, matrix, (size[0], size[1], size[2]), affine=affine, colors=colors, opacities=opacities, window=window,
        shading=shading, eye=eye, opaque=opaque, gradient=gradient, planes=planes, labels=labels, second=second,
    )  # fmt: skip
    ready = prepare(data, scene, padding, labels, second)
    handle = library().handle
    assert handle is not None
    clears, box = np.empty_like(ready.kinds), np.empty(6, np.int64)
    handle.gpukit_ray_clears(pointer(ready.kinds), longs(*reversed(ready.kinds.shape)), pointer(clears), pointer(box))
    out = np.empty((size[1], size[2], 4), np.float32)
    out_size = longs(*reversed(size))
    entry = handle.gpukit_raycast

    def work(begin: int, end: int) -> int:
        failed: int = entry(
            ctypes.byref(ready.seen), pointer(ready.kinds), pointer(clears), pointer(box), ctypes.byref(ready.rays),
            ctypes.byref(ready.scene), out_size, pointer(out), ctypes.c_int64(begin), ctypes.c_int64(end),
        )  # fmt: skip
        return failed

    over_rows(work, -(-size[1] // 4), split=_SPLIT)
    return out
