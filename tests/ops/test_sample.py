"""Sampling at points: every backend against scipy and against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from support.oracles.resampling import brute_linear

from gpukit.errors import InputError
from gpukit.ops.sample import sample

KINDS = ["uint8", "int16", "uint16", "int32", "float32", "float64"]


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("shape", [(7, 9, 11), (1, 6, 5), (4, 1, 1), (1, 1, 1)])
def test_agrees_with_scipy(lib, rng, shape, order):
    from scipy.ndimage import map_coordinates

    data = rng.normal(scale=1000, size=shape)
    n = np.array(shape[::-1])
    points = rng.uniform(-0.5, n - 0.5, size=(157, 3))
    want = map_coordinates(data, points.T[::-1], order=order, mode="mirror" if order == 3 else "nearest")
    # float64 sums in another order than scipy's
    np.testing.assert_allclose(lib(sample, data, points, order=order, arrays=("points",)), want, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_definition_where_measurements_are_missing(lib, rng, kind):
    data = rng.integers(0, 100, (5, 6, 7)).astype(kind)
    bad = (data >= 70) & (data <= 90)
    if kind.startswith("float"):
        data[2, 3, :] = np.nan
        bad[2, 3, :] = True
    points = rng.uniform(-1.0, 8.0, size=(400, 3))
    got = lib(sample, data, points, fill=-5.0, padding=(70, 90))
    for at, value in zip(points, got, strict=True):
        want = brute_linear(data, bad, at)
        assert value == pytest.approx(-5.0 if want is None else want, abs=1e-9)


def test_edge_is_half_a_voxel_beyond_the_outer_centres(lib):
    data = np.arange(24.0).reshape(2, 3, 4)
    points = np.array([[-0.5, 0, 0], [-0.51, 0, 0], [3.5, 2.5, 1.5], [3.5, 2.51, 1.5], [0, 0, -0.5], [0, 0, 1.501]])
    got = lib(sample, data, points, fill=-1.0)
    assert got.tolist() == [0.0, -1.0, 23.0, -1.0, 0.0, -1.0]


@pytest.mark.parametrize("order", [0, 1, 3])
def test_points_that_are_nowhere_are_fill(lib, order):
    points = np.array([[np.nan, 0, 0], [0, np.inf, 0], [0, 0, -np.inf], [1e300, 0, 0], [1, 1, 1]])
    got = lib(sample, np.full((3, 3, 3), 7.0), points, order=order, fill=-2.0)
    np.testing.assert_allclose(got, [-2, -2, -2, -2, 7], atol=1e-12)


def test_no_points_is_an_empty_answer(lib):
    assert lib(sample, np.zeros((3, 3, 3)), np.zeros((0, 3))).shape == (0,)


def test_arguments_out_of_domain_are_named(lib):
    with pytest.raises(InputError, match="points"):
        lib(sample, np.zeros((3, 3, 3)), np.zeros((3,)))
    with pytest.raises(InputError, match="order"):
        lib(sample, np.zeros((3, 3, 3)), np.zeros((1, 3)), order=2)
    with pytest.raises(InputError, match="three axes"):
        lib(sample, np.zeros((3, 3)), np.zeros((1, 3)))
