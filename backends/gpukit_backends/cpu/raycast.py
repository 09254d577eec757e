"""Volume rendering by compiled kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._mapping import check_shape
from gpukit.ops.raycast import Look, Rays, look_of, rays_of
from gpukit_backends.cpu.library import library, longs, pointer, volume, why_not
from gpukit_backends.cpu.pyramid import pyramid
from gpukit_backends.cpu.threads import over_rows

_Three, _Nine = ctypes.c_double * 3, ctypes.c_double * 9


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
        """The same rays for a kernel."""
        vectors = (_Three(*v) for v in (rays.start, rays.across, rays.down, rays.step, rays.eye))
        return cls(*vectors, rays.rate, _Nine(*rays.metric.ravel()), _Nine(*rays.dual.ravel()))


class CLook(ctypes.Structure):
    """``gk_look``. Keep the `Look` and the counts alive while it is used."""

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
        ("opaque", ctypes.c_double),
        ("shaded", ctypes.c_int32),
    )

    @classmethod
    def of(cls, look: Look, filled: Any) -> CLook:
        """The same look for a kernel."""
        light = look.shading or (0.0, 0.0, 0.0, 0.0)
        return cls(
            look.table.ctypes.data, filled.ctypes.data, len(look.table), look.low, look.scale, *light, look.opaque,
            look.shading is not None,
        )  # fmt: skip


def filled_of(look: Look) -> Any:
    """How many of the first 0, 1, 2 ... n table entries are not wholly transparent."""
    return np.concatenate([[0], np.cumsum(look.table[:, 3] > 0)]).astype(np.int32)


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
) -> Any:
    """Picture of a volume as a coloured, partly transparent body; see `gpukit.ops.raycast.raycast`."""
    size = check_shape(shape)
    rays = CRays.of(rays_of(matrix, (size[0], size[1], size[2]), affine, eye))
    look = look_of(colors, opacities, window, shading, opaque)
    interval = check_padding(padding)
    handle = library().handle
    assert handle is not None
    filled = filled_of(look)
    seen, drawn = volume(data, interval), CLook.of(look, filled)
    bounds = pyramid(data, seen, interval)
    out = np.empty((size[1], size[2], 4), np.float32)
    out_size = longs(*reversed(size))
    entry = handle.gpukit_raycast

    def work(begin: int, end: int) -> int:
        failed: int = entry(
            ctypes.byref(seen), pointer(bounds), ctypes.byref(rays), ctypes.byref(drawn), out_size, pointer(out),
            ctypes.c_int64(begin), ctypes.c_int64(end),
        )  # fmt: skip
        return failed

    over_rows(work, -(-size[1] // 4))
    return out
