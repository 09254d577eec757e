"""Statistics and percentiles from one look: against whole-number arithmetic, NumPy and SciPy."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats

from gpukit.errors import InputError
from gpukit.ops.distribution import distribution
from gpukit.ops.histogram import histogram
from gpukit.ops.statistics import percentiles, statistics
from gpukit_backends.cpu.library import library

Q = (0, 0.5, 10, 25, 50, 75, 90, 99.9, 100)
#: More voxels than a table of all values needs to pay, and an odd number.
SHAPE = (21, 61, 67)


def check(found, values):
    """Every number against one that was not made by gpukit; whole numbers exactly."""
    s, v = found.statistics, values.astype(np.float64)
    assert s.n == values.size
    assert (s.min, s.max) == (v.min(), v.max())
    # float64 sums in another order: 86,000 values near 1000 leave 1e-13, higher powers a few digits less
    assert s.mean == pytest.approx(math.fsum(v) / v.size, rel=1e-12)
    assert s.sd == pytest.approx(v.std(), rel=1e-10)
    assert s.skewness == pytest.approx(float(scipy.stats.skew(v)), rel=1e-8, abs=1e-9)
    assert s.kurtosis == pytest.approx(float(scipy.stats.kurtosis(v)), rel=1e-8, abs=1e-9)
    assert found.percentiles == pytest.approx(tuple(np.percentile(v, Q)), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int8", "int16", "uint16", "int32", "float32"])
def test_all_numbers_at_once(lib, rng, kind):
    data = rng.normal(30, 40, SHAPE)
    data = (data > 30) if kind == "bool" else data.clip(0 if kind[0] == "u" else -120, 120).astype(kind)
    check(lib(distribution, data, Q), data.ravel())


@pytest.mark.parametrize("kind", ["int16", "uint16", "float32"])
def test_inside_a_mask_and_without_padding(lib, rng, kind):
    data = rng.normal(3000, 900, SHAPE).clip(0, 30000).astype(kind)
    data[:, :9] = 20000
    mask = rng.random(SHAPE) < 0.3
    mask[5:9] = False  # long runs outside, which are passed over
    mask[9:12] = True
    kept = data[mask & (data < 19000.5)]
    check(lib(distribution, data, Q, mask=mask, padding=(19000.5, math.inf), arrays=("mask",)), kept)


@pytest.mark.parametrize(("kind", "low", "high"), [("int16", -32768, 32767), ("uint16", 0, 65535), ("uint8", 0, 255)])
def test_the_whole_range_of_a_type_in_whole_numbers(rng, kind, low, high):
    """Sums and variance of the most extreme values are right to the last bit; of the reference to the last but two."""
    data = rng.integers(low, high + 1, SHAPE).astype(kind)
    data[:3], data[3:7] = low, high
    whole = [int(v) for v in data.ravel()]
    n, total, energy = len(whole), sum(whole), sum(v * v for v in whole)
    found = distribution(data, Q).statistics
    assert (found.n, found.sum, found.energy) == (n, float(total), float(energy))
    # the kernel counts in whole numbers; NumPy alone takes means of float64, a few roundings from them
    least = 0.0 if library().handle is not None else 4 * np.finfo(np.float64).eps * max(-low, high)
    assert found.mean == pytest.approx(total / n, rel=0.0, abs=least)
    variance = Fraction(energy, n) - Fraction(total, n) ** 2
    assert found.sd == pytest.approx(math.sqrt(float(variance)), rel=0.0, abs=least)
    assert found == statistics(data)
    assert percentiles(data, Q) == distribution(data, Q).percentiles
    np.testing.assert_array_equal(histogram(data, [low, 0, high]), np.histogram(data, [low, 0, high])[0])


def test_the_number_of_threads_changes_nothing(rng, monkeypatch):
    data = rng.integers(-1000, 3000, SHAPE).astype(np.int16)
    found = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("GPUKIT_THREADS", threads)
        found.append(distribution(data, Q))
    assert found[0] == found[1] == found[2]


def test_nothing_inside(lib):
    data = np.zeros(SHAPE, np.int16)
    found = lib(distribution, data, (50, 90), mask=np.zeros(SHAPE, bool), arrays=("mask",))
    assert found.statistics.n == 0 and math.isnan(found.statistics.mean)
    assert all(map(math.isnan, found.percentiles))
    assert math.isnan(lib(distribution, data, padding=(0, 0)).percentiles[0])


def test_wrong_arguments(lib):
    with pytest.raises(InputError, match="percentages"):
        lib(distribution, np.zeros(SHAPE, np.int16), (50, -1))
    with pytest.raises(InputError, match="shape"):
        lib(distribution, np.zeros(SHAPE, np.int16), mask=np.ones((2, 2, 2), bool), arrays=("mask",))


def test_small_numbers_are_counted_and_others_are_not(rng):
    """The one pass must really run, or this would compare two passes with two passes."""
    from gpukit_backends.cpu.library import library

    if library().handle is None:
        pytest.skip(library().why)
    data = rng.integers(0, 9, SHAPE).astype(np.int16)
    assert distribution.explain(data).function == "gpukit_backends.cpu.distribution.distribution"
    assert "does not pay" in distribution.explain(data.astype(np.int32)).why
