"""What one GPU thread computes, run on the CPU: equal to the reference to the bit.

The CUDA kernels are wrappers around these very functions, so this is the part of them that can be tested without a GPU.
"""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from support.oracles.resampling import oblique

from gpukit.ops._mapping import check_affine
from gpukit.ops.project import project_slab
from gpukit.ops.resample import resample
from gpukit.ops.sample import sample
from gpukit_backends.cpu.library import doubles, library, longs, pointer, type_number, volume
from gpukit_backends.cpu.pyramid import pyramid

KINDS = ["uint8", "int16", "uint16", "int32", "float32", "float64"]
SHAPES = [(17, 18, 23), (1, 9, 30), (8, 1, 1), (9, 10, 17)]


@pytest.fixture
def handle():
    found = library()
    if found.handle is None:
        pytest.skip(found.why)
    return found.handle


def _data(rng, shape, kind):
    data = rng.integers(0, 250, shape).astype(kind)
    if kind.startswith("float"):
        data[rng.random(shape) < 0.05] = np.nan
    return data


def _rows(matrix, shape):
    return doubles(*check_affine(matrix, shape)[:3].ravel())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [None, (40.0, 90.0)])
def test_threads_equal_the_reference(handle, rng, kind, shape, padding):
    data, grid = _data(rng, shape, kind), (11, 6, 9)
    matrix = oblique(rng, shape, grid)
    seen, size, m = volume(data, padding), longs(*grid[::-1]), _rows(matrix, grid)
    for order in (0, 1):
        out = np.empty(grid, data.dtype)
        number = type_number(out.dtype)
        handle.gpukit_threads_resample(
            ctypes.byref(seen), m, size, order, ctypes.c_double(7), pointer(out), number, ctypes.c_int64(0),
            ctypes.c_int64(out.size),
        )  # fmt: skip
        want = resample.reference(data, matrix, grid, order=order, fill=7, padding=padding)
        np.testing.assert_array_equal(out, want)

        points = rng.uniform(-1, 25, (200, 3))
        points[5] = np.nan
        values = np.empty(200)
        handle.gpukit_threads_sample(
            ctypes.byref(seen), pointer(points), order, ctypes.c_double(7), pointer(values), ctypes.c_int64(0),
            ctypes.c_int64(200),
        )  # fmt: skip
        np.testing.assert_array_equal(values, sample.reference(data, points, order=order, fill=7, padding=padding))

        bounds = np.empty((*(-(-n // 8) for n in shape), 2), np.float32)
        handle.gpukit_threads_pyramid(
            ctypes.byref(seen), pointer(bounds), ctypes.c_int64(0), ctypes.c_int64(bounds.size // 2)
        )
        np.testing.assert_array_equal(bounds, pyramid(data, seen, padding))
        for way, method in enumerate(("max", "min", "mean")):
            for skip in (None, pointer(bounds)):
                out = np.empty(grid[1:], np.float64 if method == "mean" else data.dtype)
                handle.gpukit_threads_slab(
                    ctypes.byref(seen), skip, m, size, order, way, ctypes.c_double(7), pointer(out),
                    type_number(out.dtype), ctypes.c_int64(0), ctypes.c_int64(out.size),
                )  # fmt: skip
                want = project_slab.reference(data, matrix, grid, method=method, order=order, fill=7, padding=padding)
                np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [None, (40.0, 90.0)])
def test_pyramid_by_brute_force(handle, rng, kind, padding):
    """Each brick looks at its 9 x 9 x 9 voxels, measurements only."""
    data = _data(rng, (17, 8, 26), kind)
    data[:9, :, :9] = 60  # a brick of padding only
    got = pyramid(data, volume(data, padding), padding)
    held = data.astype(float)
    if padding:
        held[(held >= 40) & (held <= 90)] = np.nan
    for k, j, i in np.ndindex(*got.shape[:3]):
        brick = held[8 * k : 8 * k + 9, 8 * j : 8 * j + 9, 8 * i : 8 * i + 9]
        low, high = got[k, j, i]
        if np.isnan(brick).all():
            assert low > high
        else:
            assert (low, high) == (np.nanmin(brick), np.nanmax(brick))


def test_pyramid_rounds_outwards_where_floats_are_too_short(handle):
    data = np.full((2, 2, 2), 2**24 + 1, np.int32)
    low, high = pyramid(data, volume(data, None), None)[0, 0, 0]
    assert float(low) <= 2**24 + 1 <= float(high)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_infinite_voxels_do_not_hide_others(rng):
    data = rng.normal(size=(12, 12, 12))
    data[5, 5, 5] = -np.inf
    matrix = oblique(rng, data.shape, (12, 4, 4))
    for order in (0, 1):
        a = project_slab(data, matrix, (12, 4, 4), order=order)
        b = project_slab.reference(data, matrix, (12, 4, 4), order=order)
        np.testing.assert_array_equal(a, b)
