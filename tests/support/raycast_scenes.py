"""Scenes and views for ray casting."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from gpukit.ops._scene import scene_of

WHITE = [[1.0, 1.0, 1.0]] * 2


def view_matrix(shape, spacing, pixels, depth, rotation=None, fov=None):
    """Parallel view of a volume's centre: output index to input index."""
    spacing = np.asarray(spacing, float)
    rotation = np.eye(3) if rotation is None else rotation
    fov = fov or float(np.linalg.norm(np.array(shape[::-1]) * spacing))
    steps = np.array([fov / pixels, fov / pixels, fov / depth])
    m = np.eye(4)
    m[:3, :3] = (rotation * steps) / spacing[:, None]
    centre = (np.array(shape[::-1]) - 1) / 2
    m[:3, 3] = centre - m[:3, :3] @ ((np.array([pixels, pixels, depth]) - 1) / 2)
    return m, (depth, pixels, pixels), steps


def random_rotation(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def random_scene(rng, kind, shape):
    data = rng.integers(0, 250, shape).astype(kind)
    if kind.startswith("float"):
        data[rng.random(shape) < 0.03] = np.nan
    n = 33
    opacities = np.zeros(n)
    opacities[18:24] = 0.05
    opacities[28:] = 0.3
    return data, {"colors": rng.random((n, 3)), "opacities": opacities, "window": (0.0, 250.0)}


def on_gpu_threads(data, m, grid, *, affine, padding=None, labels=None, second=None, **look):
    """The CUDA kernel's function, one pixel after another on the CPU."""
    from gpukit_backends.cpu.library import library, longs, pointer
    from gpukit_backends.cpu.raycast import prepare

    handle = library().handle
    if handle is None:
        pytest.skip(library().why)
    rest = {"shading": None, "eye": None, "opaque": 0.999, "gradient": None, "planes": None, **look}
    scene = scene_of(data, m, grid, affine=affine, labels=labels, second=second, **rest)
    ready = prepare(data, scene, padding, labels, second)
    out = np.empty((*grid[1:], 4), np.float32)
    handle.gpukit_threads_raycast(
        ctypes.byref(ready.seen), pointer(ready.kinds), ctypes.byref(ready.rays), ctypes.byref(ready.scene),
        longs(*grid[::-1]), pointer(out), ctypes.c_int64(0), ctypes.c_int64(grid[1] * grid[2]),
    )  # fmt: skip
    return out
