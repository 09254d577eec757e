"""Scenes of ray casting as the kernels take them: the structures of gk_look.h, filled from gpukit's own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from gpukit.ops._scene import Look, Rays, Scene

__all__ = ["CLook", "CRays", "CScene", "CVolume"]

_Three, _Nine, _Twelve = ctypes.c_double * 3, ctypes.c_double * 9, ctypes.c_double * 12

#: Puts a NumPy array where the kernel can read it and returns its address there; keeps it alive.
Placed = Callable[[Any], int]


class CVolume(ctypes.Structure):
    """``gk_volume``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_int64 * 3),
        ("stride", ctypes.c_int64 * 3),
        ("has_padding", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
    )

    @classmethod
    def of(cls, address: int, shape: tuple[int, ...], padding: tuple[float, float] | None, number: int) -> CVolume:
        """Return a contiguous volume of the voxel type with this number."""
        nk, nj, ni = shape
        low, high = padding or (0.0, 0.0)
        return cls(
            address, (ctypes.c_int64 * 3)(ni, nj, nk), (ctypes.c_int64 * 3)(1, ni, ni * nj), padding is not None,
            number, low, high,
        )  # fmt: skip


class CRays(ctypes.Structure):
    """``gk_rays``."""

    _fields_ = (
        ("start", _Three),
        ("across", _Three),
        ("down", _Three),
        ("step", _Three),
        ("eye", _Three),
        ("rate", ctypes.c_double),
        ("metric", _Nine),
        ("dual", _Nine),
    )

    @classmethod
    def of(cls, rays: Rays) -> CRays:
        """Return the same rays for a kernel."""
        vectors = (_Three(*v) for v in (rays.start, rays.across, rays.down, rays.step, rays.eye))
        return cls(*vectors, rays.rate, _Nine(*rays.metric.ravel()), _Nine(*rays.dual.ravel()))


class CLook(ctypes.Structure):
    """``gk_look``."""

    _fields_ = (
        ("table", ctypes.c_void_p),
        ("filled", ctypes.c_void_p),
        ("n", ctypes.c_int64),
        ("low", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("ambient", ctypes.c_double),
        ("diffuse", ctypes.c_double),
        ("specular", ctypes.c_double),
        ("shininess", ctypes.c_double),
        ("shaded", ctypes.c_int32),
    )

    @classmethod
    def of(cls, look: Look, placed: Placed) -> CLook:
        """Return the same look for a kernel."""
        light = look.shading or (0.0, 0.0, 0.0, 0.0)
        filled = _counted(look.table[:, 3])
        return cls(
            placed(look.table), placed(filled), len(look.table), look.low, look.scale, *light, look.shading is not None
        )


class CScene(ctypes.Structure):
    """``gk_scene``."""

    _fields_ = (
        ("look", CLook),
        ("opaque", ctypes.c_double),
        ("planes", ctypes.c_void_p),
        ("planes_n", ctypes.c_int64),
        ("factors", ctypes.c_void_p),
        ("factors_n", ctypes.c_int64),
        ("factors_low", ctypes.c_double),
        ("factors_scale", ctypes.c_double),
        ("labels", ctypes.c_void_p),
        ("media", ctypes.c_void_p),
        ("media_filled", ctypes.c_void_p),
        ("media_kept", ctypes.c_void_p),
        ("media_n", ctypes.c_int64),
        ("has_second", ctypes.c_int32),
        ("second", CVolume),
        ("second_look", CLook),
        ("second_map", _Twelve),
        ("second_dual", _Nine),
    )

    @classmethod
    def of(cls, scene: Scene, placed: Placed, *, labels: int = 0, second: CVolume | None = None) -> CScene:
        """Return the same scene for a kernel; `labels` is the address of the label map."""
        result = cls(look=CLook.of(scene.look, placed), opaque=scene.opaque)
        if len(scene.planes):
            result.planes, result.planes_n = placed(scene.planes), len(scene.planes)
        if scene.factors is not None:
            result.factors, result.factors_n = placed(scene.factors), len(scene.factors)
            result.factors_low, result.factors_scale = scene.factors_low, scene.factors_scale
        if scene.media is not None:
            result.labels, result.media, result.media_n = labels, placed(scene.media), len(scene.media)
            result.media_filled, result.media_kept = (
                placed(_counted(scene.media[:, 3])),
                placed(_counted(scene.media[:, 4])),
            )
        if scene.second is not None and second is not None:
            result.has_second, result.second = 1, second
            result.second_look = CLook.of(scene.second, placed)
            result.second_map = _Twelve(*scene.second_map[:3].ravel())
            result.second_dual = _Nine(*scene.second_dual.ravel())
        return result


def _counted(values: Any) -> Any:
    """Return how many of the first 0, 1, 2 ... n values are positive."""
    return np.concatenate([[0], np.cumsum(values > 0)]).astype(np.int32)
