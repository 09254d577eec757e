"""Histograms on every backend: exactly numpy.histogram's counts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gpukit.errors import InputError
from gpukit.ops.histogram import histogram

EVEN = np.linspace(-300, 300, 61)
UNEVEN = np.array([-500.5, -200, -199.75, 0, 0.1, 0.3, 17, 17, 250.25])


@pytest.mark.parametrize("edges", [EVEN, UNEVEN, [-1e9, 1e9], [0, 0]], ids=["even", "uneven", "one", "no-width"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "float32", "float64", "bool"])
def test_counts_are_numpys(lib, rng, dtype, edges):
    data = rng.normal(0, 150, (5, 31, 27))
    if dtype.startswith("u"):
        data = np.abs(data).clip(0, 255)
    data = (
        (data > 0) if dtype == "bool" else data.clip(-128, 127).astype(dtype) if dtype == "int8" else data.astype(dtype)
    )
    # numpy.histogram compares float32 data with float32 edges; in float64 it does what is promised here
    wanted, _ = np.histogram(data.astype("float64"), np.asarray(edges, dtype="f8"))
    found = lib(histogram, data, edges)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, wanted)


def test_values_on_the_edges(lib):
    # Half-open bins, the last one closed; edges that float32 cannot hold (0.1) must not move a value across.
    for dtype in ("float32", "float64"):
        data = np.array([0.0, 0.1, 0.1 + 1e-8, 0.2, 0.3, 0.7, 1.0, 1.0 + 1e-6], dtype=dtype)
        edges = [0.0, 0.1, 0.2, 0.3, 0.7, 1.0]
        wanted = [int(((data.astype("f8") >= a) & (data.astype("f8") < b)).sum()) for a, b in pairwise(edges)]
        wanted[-1] += int((data.astype("f8") == edges[-1]).sum())
        np.testing.assert_array_equal(lib(histogram, data, edges), wanted)


def test_mask_nan_infinity_and_padding(lib, rng):
    data = rng.normal(0, 150, (4, 21, 20)).astype("float32")
    data[0, :5] = np.nan
    data[1, :5] = -3024
    data[2, 0, :3] = np.inf
    data[2, 1, :4] = -np.inf
    mask = rng.random(data.shape) < 0.5
    kept = data[mask & ~np.isnan(data) & (data != -3024)].astype("f8")
    edges = [-1e4, -100, 0, 100, 1e4]
    wanted, _ = np.histogram(kept, edges)
    found = lib(histogram, data, edges, mask=mask, padding=(-3024, -3024), arrays=("mask",))
    np.testing.assert_array_equal(found, wanted)
    open_ended = lib(histogram, data, [-np.inf, 0, np.inf], padding=(-3024, -3024))
    assert open_ended.sum() == data.size - 5 * 20 * 2


def test_empty_mask(lib, rng):
    data = rng.integers(0, 100, (2, 3, 4)).astype("int16")
    found = lib(histogram, data, [0, 50, 100], mask=np.zeros(data.shape, "uint8"), arrays=("mask",))
    np.testing.assert_array_equal(found, [0, 0])


@pytest.mark.parametrize("edges", [[1], [2, 1], [0, np.nan], [[0, 1]]])
def test_edges_must_ascend(lib, edges):
    with pytest.raises(InputError, match="ascending"):
        lib(histogram, np.zeros((2, 2, 2)), edges)
