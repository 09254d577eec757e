"""Paths that compute in single precision must give what double precision gives, every voxel, not nearly.

Grids are large enough for each path's inner loops, ragged ends, bands of rows and borders; contents are such that every
way back to double precision is taken (halves by exact doubling, large numbers beside small ones).
"""

from __future__ import annotations

import numpy as np
import pytest
from support.oracles.resampling import oblique

from gpukit.ops.project import project
from gpukit.ops.resample import resample

TYPES = ("uint8", "int16", "uint16")


def noisy(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """A noisy body in air; whole numbers of the type, in one corner all the way to the ends of its range."""
    rng = np.random.default_rng(5)
    info = np.iinfo(kind)
    k, j, i = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    body = np.where(i * i + j * j + 0.3 * k * k < 0.6, 40.0, -1000.0 if info.min < 0 else 0.0)
    values = np.clip(np.round(body + rng.normal(scale=30.0, size=shape)), info.min, info.max)
    values[:8, :20, :20] = rng.integers(info.min, info.max, size=(8, 20, 20), endpoint=True)
    return values.astype(kind)


def apart(scale: tuple[float, float, float], offset: tuple[float, float, float]) -> np.ndarray:
    """A map that keeps axes apart."""
    m = np.diag([*scale, 1.0])
    m[:3, 3] = offset
    return m


MAPS = {
    "finer slices, coarser pixels": (apart((1.4285714, 1.4285714, 0.8), (0.3, 0.1, 0.05)), (60, 90, 97)),
    "exact doubling": (apart((0.5, 0.5, 0.5), (-0.25, -0.25, -0.25)), (97, 260, 281)),
    "exact doubling of slices alone": (apart((1.1, 1.1, 0.5), (0.0, 0.0, 0.0)), (95, 110, 120)),
    "flipped, coarser, partly outside": (apart((-1.7, 2.3, -3.1), (139.0, -8.0, 52.0)), (21, 64, 91)),
    "one slice": (apart((0.9, 0.9, 1.0), (1.3, 2.2, 17.3)), (1, 140, 150)),
    "two rows": (apart((0.9, 0.9, 1.3), (1.3, 2.2, 0.2)), (30, 2, 150)),
    "all outside": (apart((0.9, 0.9, 1.0), (500.0, 0.0, 0.0)), (3, 4, 5)),
    "rows become slices": (
        np.array([[1.1, 0, 0, 0.2], [0, 0, 1.07, 0.3], [0, -0.7, 0, 46.0], [0, 0, 0, 1.0]]),
        (121, 66, 127),
    ),
    "columns become slices": (
        np.array([[0, 0, 1.1, 0.2], [0, 1.07, 0, 0.3], [0.7, 0, 0, 0.1], [0, 0, 0, 1.0]]),
        (127, 121, 66),
    ),
    "tilted": (np.array([[0.9, 0.1, 0, 3], [-0.1, 0.9, 0.05, 9], [0, 0.02, 0.7, 2], [0, 0, 0, 1.0]]), (50, 120, 130)),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", MAPS)
def test_linear_resampling_gives_the_reference_voxel_by_voxel(name, kind):
    data = noisy(kind, (48, 131, 141))
    matrix, shape = MAPS[name]
    want = resample.reference(data, matrix, shape, fill=7)
    np.testing.assert_array_equal(resample(data, matrix, shape, fill=7), want)


def test_bands_of_rows_join_where_one_thread_takes_all(monkeypatch):
    """With one thread all rows are one range, cut into bands that fit the cache: more than one of them here."""
    monkeypatch.setenv("GPUKIT_THREADS", "1")
    data = noisy("int16", (9, 300, 400))
    m = apart((0.77, 0.77, 0.77), (-0.4, -0.4, -0.4))
    np.testing.assert_array_equal(resample(data, m, (11, 390, 520)), resample.reference(data, m, (11, 390, 520)))


def test_oblique_rows_longer_than_the_lanes(rng):
    data = noisy("int16", (40, 100, 110))
    m = oblique(rng, data.shape, (70, 90, 133))
    np.testing.assert_array_equal(resample(data, m, (70, 90, 133)), resample.reference(data, m, (70, 90, 133)))


@pytest.mark.parametrize("kind", [*TYPES, "int32", "float32", "float64"])
@pytest.mark.parametrize("method", ["max", "min"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_projections_along_axes_give_the_reference(axis, method, kind):
    """More results than one tile and than one range, lines longer than the lanes; NaN and padding take no part."""
    data = noisy("int16", (70, 133, 141)).astype(kind)
    padding = None
    if data.dtype.kind == "f":
        data[:, 5, 6] = data[7, :, 8] = data[9, 10, :] = np.nan
        data[20, 30, 40] = np.inf
        data[:, 50, 60] = -np.inf
    for cut in ((0, None), (3, -2), (69, 70)):
        got = project(data, axis, method=method, start=cut[0], stop=cut[1])
        want = project.reference(data, axis, method=method, start=cut[0], stop=cut[1])
        np.testing.assert_array_equal(got, want)
        assert got.dtype == want.dtype
    if data.dtype.kind == "f":
        return
    data[:, 5, 6] = data[7, :, 8] = data[9, 10, :] = 3
    for padding in ((3, 3), (-2000, -900), (2.5, 60.5), (-1e9, -1e8), (1e12, float("inf")), (-1e12, 1e12), (2.2, 2.8)):
        got = project(data, axis, method=method, padding=padding)
        np.testing.assert_array_equal(got, project.reference(data, axis, method=method, padding=padding))
