"""Surfaces by compiled kernels: one bit a voxel, layers counted, then all made side by side."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._marching_cubes import triangles
from gpukit.ops.contour import check_contour, level_between
from gpukit_backends.cpu.library import library, pointer, type_number, volume
from gpukit_backends.cpu.threads import over_rows


def _declines(data: Any, threshold: float, **_: Any) -> str | None:
    if data.ndim != 3 or data.size == 0:
        return "not three axes, or an axis is empty"
    if type_number(data.dtype) is None:
        return f"voxel type {data.dtype} is not compiled"
    if not data.flags.aligned or any(step % data.itemsize for step in data.strides):
        return "the array is not aligned"
    if data.dtype.kind in "iu" and not np.iinfo(data.dtype).min <= threshold <= np.iinfo(data.dtype).max:
        return "the threshold is not in the range of the type"
    return None


@kernel(declines=_declines)
def contour(
    data: Any,
    threshold: float,
    affine: ArrayLike,
    *,
    padding: Sequence[float] | None = None,
) -> tuple[Any, Any]:
    """Return triangles around the voxels of at least a threshold; see `gpukit.ops.contour.contour`."""
    matrix = check_contour(data, threshold, affine)
    handle = library().handle
    assert handle is not None
    interval = check_padding(padding)
    view = volume(data, interval)
    nk, nj, ni = data.shape
    words = -(-(ni + 2) // 64)
    bits = np.zeros((nk + 2, nj + 2, words), np.uint64)
    bounds = np.empty((nk, 2))
    wide = ctypes.c_int64(words)
    over_rows(lambda begin, end: int(handle.gpukit_contour_bits(
        ctypes.byref(view), ctypes.c_double(threshold), pointer(bits), wide, pointer(bounds), ctypes.c_int64(begin),
        ctypes.c_int64(end),
    )), nk)  # fmt: skip
    run = level_between(data, threshold, float(bounds[:, 0].min()), float(bounds[:, 1].max()), interval)

    table = np.ascontiguousarray(triangles())
    many = (table[..., 0] >= 0).sum(axis=1).astype(np.uint8)
    counts = np.zeros((nk + 2, 4), np.int64)
    over_rows(lambda begin, end: int(handle.gpukit_contour_count(
        pointer(bits), ctypes.c_int64(nj + 2), wide, pointer(many), pointer(counts), ctypes.c_int64(begin),
        ctypes.c_int64(end),
    )), nk + 1)  # fmt: skip

    # the first point of each layer and kind, and the first face of each layer
    sizes = counts[:, :3].ravel()
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1])).reshape(-1, 3)
    first_face = np.concatenate(([0], np.cumsum(counts[:, 3])[:-1]))
    at = np.ascontiguousarray(np.column_stack((starts, first_face)))
    points = np.empty((int(sizes.sum()), 3))
    faces = np.empty((int(counts[:, 3].sum()), 3), np.int64)
    m = np.ascontiguousarray(matrix[:3])
    over_rows(lambda begin, end: int(handle.gpukit_contour_fill(
        ctypes.byref(view), ctypes.c_double(run), pointer(bits), wide, pointer(table), pointer(at), pointer(m),
        pointer(points), pointer(faces), ctypes.c_int64(begin), ctypes.c_int64(end),
    )), nk + 1)  # fmt: skip
    return points, faces
