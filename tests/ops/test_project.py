"""Projections: bit-exact against brute force on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles.resampling import brute_linear, oblique, positions

from gpukit.errors import InputError
from gpukit.ops.project import project, project_slab
from gpukit.ops.resample import resample

KINDS = ["uint8", "int16", "uint16", "int32", "float32", "float64"]
REDUCE = {"max": np.nanmax, "min": np.nanmin, "mean": np.nanmean}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["max", "min", "mean"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_along_an_axis(lib, rng, kind, method, axis):
    data = rng.integers(0, 200, (5, 1, 9)).astype(kind) if axis != 1 else rng.integers(0, 200, (4, 8, 3)).astype(kind)
    got = lib(project, data, axis, method=method)
    want = REDUCE[method](data.astype(float), axis=axis)
    assert got.dtype == (np.float64 if method == "mean" else data.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-15 if method == "mean" else 0)


@pytest.mark.parametrize("kind", ["int16", "uint16", "float32"])
@pytest.mark.parametrize("method", ["max", "min", "mean"])
def test_padding_and_nan_take_no_part(lib, rng, kind, method):
    data = rng.integers(10, 200, (6, 5, 4)).astype(kind)
    data[:, 2, 1] = 0  # a line of padding only
    data[::2, 0, 0] = 0
    if kind == "float32":
        data[1, :, 3] = np.nan
        data[:, 4, 2] = np.nan  # a line of NaN only
    got = lib(project, data, 0, method=method, padding=(-3, 5))
    held = np.where((data >= -3) & (data <= 5), np.nan, data.astype(float))
    empty = np.isnan(held).all(axis=0)
    assert empty[2, 1]
    want = REDUCE[method](np.where(empty, 1.0, held), axis=0)
    np.testing.assert_allclose(got[~empty], want[~empty], rtol=1e-15)
    lowest = {"int16": -3, "uint16": 0}
    none = np.nan if kind == "float32" or method == "mean" else lowest[kind]
    np.testing.assert_array_equal(got[empty], none)


def test_a_slab_of_slices(lib, rng):
    data = rng.normal(size=(9, 5, 6))
    np.testing.assert_array_equal(lib(project, data, 0, start=2, stop=5), data[2:5].max(axis=0))
    np.testing.assert_array_equal(lib(project, data, 2, start=-2), data[:, :, -2:].max(axis=2))
    with pytest.raises(InputError, match="no slice"):
        lib(project, data, 0, start=5, stop=5)
    with pytest.raises(InputError, match="method"):
        lib(project, data, 0, method="median")
    with pytest.raises(InputError, match="axis"):
        lib(project, data, 3)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("method", ["max", "min", "mean"])
@pytest.mark.parametrize("kind", ["int16", "float32", "float64"])
def test_slab_is_resampling_then_reducing(lib, rng, kind, method, order):
    """The definition, through an operation that has its own oracles: the picture never depends on skipping."""
    shape, grid = (20, 23, 26), (19, 10, 22)
    data = (rng.normal(size=shape) * 100).astype(kind)
    matrix = oblique(rng, shape, grid)
    got = lib(project_slab, data, matrix, grid, method=method, order=order, fill=-7.0)
    samples = resample.reference(data, matrix, grid, order=order, fill=np.nan, dtype="float64")
    empty = np.isnan(samples).all(axis=0)
    want = REDUCE[method](np.where(empty, 0.0, samples), axis=0)
    if kind == "int16" and method != "mean":
        want = np.round(want)
    elif method != "mean":
        want = want.astype(kind)
    want = np.where(empty, -7, want)
    assert got.dtype == (np.float64 if method == "mean" else data.dtype)
    if method == "mean" or order == 3 or lib.name == "torch-cpu":  # torch adds in another order
        np.testing.assert_allclose(got, want, atol=1e-9 if kind != "float32" else 1e-4)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("method", ["max", "min"])
@pytest.mark.parametrize("kind", KINDS)
def test_slab_by_brute_force_with_padding(lib, rng, kind, method):
    shape, grid = (9, 10, 18), (8, 3, 5)
    data = rng.integers(0, 250, shape).astype(kind)
    padding = (200, 250) if method == "max" else (0, 40)
    bad = (data >= padding[0]) & (data <= padding[1])
    if kind.startswith("float"):
        data[3:5, 2:6, 4:9] = np.nan
        bad |= np.isnan(data)
    matrix = oblique(rng, shape, grid)
    got = lib(project_slab, data, matrix, grid, method=method, fill=123.0, padding=padding).astype(float)
    p = positions(matrix, grid)
    for j, i in np.ndindex(*grid[1:]):
        values = [v for k in range(grid[0]) if (v := brute_linear(data, bad, p[:, k, j, i])) is not None]
        want = (max(values) if method == "max" else min(values)) if values else 123.0
        # integers are rounded, float32 has 24 bits
        assert got[j, i] == pytest.approx(want, abs=1e-4 if kind.startswith("float") else 0.5 + 1e-9)


def test_a_grid_beside_the_volume_is_all_fill(lib, rng):
    matrix = oblique(rng, (6, 6, 6), (4, 5, 7))
    matrix[:3, 3] += 50
    for method in ("max", "min", "mean"):
        assert (lib(project_slab, np.ones((6, 6, 6)), matrix, (4, 5, 7), method=method, fill=2.0) == 2.0).all()


@settings(max_examples=80, deadline=None)
@given(
    entries=st.lists(st.floats(-2, 2, allow_nan=False), min_size=12, max_size=12),
    shape=st.tuples(*[st.integers(1, 20)] * 3),
    grid=st.tuples(st.integers(1, 20), st.integers(1, 9), st.integers(1, 9)),
    method=st.sampled_from(["max", "min", "mean"]),
    kind=st.sampled_from(["uint8", "int16", "float32", "int32"]),
    padding=st.sampled_from([None, (0, 20), (30, 300)]),
    order=st.sampled_from([0, 1]),
)
def test_kernel_equals_reference_for_any_matrix(entries, shape, grid, method, kind, padding, order):
    """Blocks, tiles and pyramid must change nothing: equal to the bit."""
    m = np.vstack([np.array(entries).reshape(3, 4), [0, 0, 0, 1.0]])
    m[:3, 3] *= 5
    data = np.random.default_rng(5).integers(0, 60, shape).astype(kind)
    a = project_slab(data, m, grid, method=method, fill=3, padding=padding, order=order)
    b = project_slab.reference(data, m, grid, method=method, fill=3, padding=padding, order=order)
    np.testing.assert_array_equal(a, b)


def test_a_changed_volume_gives_a_changed_picture(rng):
    """What is remembered about a volume must never outlive a change of its voxels."""
    data = rng.integers(0, 50, (20, 20, 20)).astype(np.int16)
    matrix = oblique(rng, data.shape, (20, 20, 20))
    project_slab(data, matrix, (20, 20, 20))
    data[9:12, 9:12, 9:12] = 3000
    view = data.view()
    view.flags.writeable = False  # read-only to itself, but its base is not
    assert project_slab(data, matrix, (20, 20, 20)).max() == 3000
    assert project_slab(view, matrix, (20, 20, 20)).max() == 3000
    data[9:12, 9:12, 9:12] = 0
    assert project_slab(view, matrix, (20, 20, 20)).max() < 60


def test_a_frozen_volume_keeps_its_pyramid_until_it_goes(rng):
    from gpukit_backends.cpu import pyramid
    from gpukit_backends.cpu.library import library

    if library().handle is None:
        pytest.skip(library().why)
    before = len(pyramid._kept)
    data = rng.integers(0, 50, (20, 20, 20)).astype(np.int16)
    data.flags.writeable = False
    first = project_slab(data, np.eye(4), (20, 20, 20), method="max")
    assert len(pyramid._kept) == before + 1
    project_slab(data, np.eye(4), (20, 20, 20), padding=(0, 10))
    assert len(pyramid._kept) == before + 2
    np.testing.assert_array_equal(first, data.max(axis=0))
    del data
    assert len(pyramid._kept) == before
