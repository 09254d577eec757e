"""Volumes whose right pictures are known without gpukit: values are functions of the place in the patient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np

from gpukit.geometry import Grid
from gpukit.volume import Volume

#: Every way in which voxel axes can run along the patient's: 6 permutations and 8 signs.
ALL_48 = [
    np.eye(3)[:, list(order)] * np.array(signs, float)
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]
SIZES = np.array([7, 9, 5])  # along x, y, z of the patient
SPACING = np.array([2.0, 1.0, 3.0])  # likewise, mm
FIRST = np.array([-31.0, 12.0, 100.0])  # LPS of the voxel that is rightmost, foremost and lowest


def world(grid: Grid) -> np.ndarray:
    """LPS mm of every voxel, [k, j, i, xyz]."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return grid.to_world(np.stack([i, j, k], axis=-1))


def turned_grid(direction: np.ndarray) -> Grid:
    """The same block of the patient with its voxel axes in other directions (columns i, j, k)."""
    world_axis = np.abs(direction).argmax(axis=0)
    spacing, sizes = SPACING[world_axis], SIZES[world_axis]
    origin = FIRST.copy()
    for axis, n, s in zip(world_axis, sizes, spacing, strict=True):
        if direction[axis, list(world_axis).index(axis)] < 0:
            origin[axis] += (n - 1) * s
    return Grid.from_axes(tuple(sizes[::-1]), spacing=spacing, origin=origin, direction=direction)


def painted(grid: Grid, value: Callable[[np.ndarray], np.ndarray], dtype: str = "int16", **facts: object) -> Volume:
    return Volume(array=value(world(grid)).astype(dtype), grid=grid, **facts)  # type: ignore[arg-type]


def numbered(at: np.ndarray) -> np.ndarray:
    """A different value for every voxel of the block, none symmetric: 100 x + 10 y + z counted in voxels."""
    n = np.round((at - FIRST) / SPACING)
    return 100 * n[..., 0] + 10 * n[..., 1] + n[..., 2]
