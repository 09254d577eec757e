"""What the GPU threads of statistics compute, run on the CPU: the part of them that can be tested without a GPU."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from gpukit.ops._moments import Moments
from gpukit.ops.statistics import Statistics, statistics
from gpukit_backends.cpu.library import library, pointer, type_number


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize(("n", "threads", "fewer"), [(1, 64, 8), (5000, 64, 8), (5000, 7, 3), (100_000, 1024, 16)])
def test_threads_agree_with_the_reference(rng, kind, n, threads, fewer):
    handle = library().handle
    if handle is None:
        pytest.skip(library().why)
    data = rng.integers(0, 250, n).astype(kind)
    if kind.startswith("float") and n > 1:
        data[::7] = np.nan
    mask = rng.random(n) < 0.7
    mask[0] = True
    for inside, padding in ((None, None), (mask, None), (mask, (40.0, 60.0))):
        rows = np.full((threads, 9), np.nan)
        low, high = padding or (0.0, 0.0)
        handle.gpukit_threads_moments(
            pointer(data), type_number(data.dtype), None if inside is None else pointer(inside), ctypes.c_int64(n),
            int(padding is not None), ctypes.c_double(low), ctypes.c_double(high), pointer(rows),
            ctypes.c_int64(threads), ctypes.c_int64(fewer),
        )  # fmt: skip
        found = Statistics.from_moments(Moments(int(rows[0, 0]), *rows[0, 1:].tolist()))
        wanted = statistics.reference(data, inside, padding=padding)
        assert found.n == wanted.n
        for name in ("mean", "sd", "sd_sample", "min", "max", "sum", "skewness", "kurtosis", "energy", "rms"):
            # sums of float64 in another order
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-10, abs=1e-10, nan_ok=True)


def test_moments_merge_in_any_grouping(rng):
    """The sum of two sets' moments is the moments of their union: against NumPy in one piece."""
    values = rng.gamma(2.0, 50.0, 4001)
    pieces = np.split(values, [1, 7, 500, 500, 2999])
    total = Moments()
    for piece in pieces:
        mean = float(piece.mean()) if piece.size else 0.0
        off = piece - mean
        total = total + Moments(
            piece.size, mean, *(float((off**p).sum()) for p in (2, 3, 4)), float(piece.sum()),
            float((piece**2).sum()), float(piece.min(initial=np.inf)), float(piece.max(initial=-np.inf)),
        )  # fmt: skip
    off = values - values.mean()
    assert (total.n, total.low, total.high) == (4001, values.min(), values.max())
    for power, found in ((2, total.m2), (3, total.m3), (4, total.m4)):
        assert found == pytest.approx((off**power).sum(), rel=1e-10)
