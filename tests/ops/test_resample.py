"""Resampling: every backend against independent software and against the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles.resampling import brute_linear, inside, itk_resample, oblique, positions

from gpukit.errors import GeometryError, InputError
from gpukit.ops.resample import resample

SHAPES = [(7, 9, 11), (1, 13, 10), (5, 1, 9), (3, 8, 1), (1, 1, 1), (33, 2, 40)]
# float64 sums of eight products of values near 1000 in another order than the oracle's: a few ulps of 1000
CLOSE = 1e-9


def test_every_backend_offers_the_kernels_it_claims():
    """The compiled path must really run, or the suite would compare the reference with itself."""
    from gpukit_backends.cpu.library import library

    if library().handle is None:
        pytest.skip(library().why)
    m = oblique(np.random.default_rng(1), (4, 4, 4), (4, 4, 4))
    for kind in ("uint8", "int16", "uint16", "int32", "float32", "float64"):
        choice = resample.explain(np.zeros((4, 4, 4), kind), m, (4, 4, 4))
        assert choice.function == "gpukit_backends.cpu.resample.resample", choice


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_scipy(lib, rng, shape, order):
    from scipy.ndimage import map_coordinates

    out_shape = (6, 7, 20)
    data = rng.normal(scale=1000, size=shape)
    matrix = oblique(rng, shape, out_shape)
    p = positions(matrix, out_shape)
    want = map_coordinates(data, p[::-1], order=order, mode="mirror" if order == 3 else "nearest")
    got = lib(resample, data, matrix, out_shape, order=order, fill=-7.0)
    ok = inside(p, shape)
    assert (ok.any() and not ok.all()) or min(shape) > 30
    np.testing.assert_allclose(got[ok], want[ok], atol=CLOSE * 10)
    assert (got[~ok] == -7.0).all()


@pytest.mark.parametrize("order", [0, 1, 3])
def test_agrees_with_itk_at_the_edge_too(lib, rng, order):
    shape, out_shape = (9, 12, 15), (8, 14, 30)
    data = rng.normal(scale=1000, size=shape)
    for _ in range(4):
        matrix = oblique(rng, shape, out_shape)
        p = positions(matrix, out_shape)
        want = itk_resample(data, matrix, out_shape, order, -7.0)
        got = lib(resample, data, matrix, out_shape, order=order, fill=-7.0)
        clear = inside(p, shape, 1e-5) | ~inside(p, shape, -1e-5)  # not within rounding of the edge itself
        if order == 0:  # nor within rounding of the middle between two centres
            clear &= (np.abs(p + 0.5 - np.round(p + 0.5)) > 1e-6).all(axis=0)
        assert clear.mean() > 0.9
        # ITK keeps its spline coefficients in double, but steps along a line by repeated addition
        np.testing.assert_allclose(got[clear], want[clear], atol=1e-6)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_no_measurement_is_ever_blended(lib, rng, kind, order):
    """Padding (and NaN) by the definition, sample by sample, for every voxel type."""
    shape, out_shape = (5, 6, 7), (4, 5, 9)
    data = rng.integers(0, 200, shape).astype(kind)
    padding = (180, 220)
    bad = (data >= 180) & (data <= 220)
    if kind.startswith("float"):
        holes = rng.random(shape) < 0.1
        data[holes] = np.nan
        bad |= holes
    matrix = oblique(rng, shape, out_shape)
    got = lib(resample, data, matrix, out_shape, order=order, fill=55.0, padding=padding, dtype="float64")
    p = positions(matrix, out_shape)
    for k, j, i in np.ndindex(*out_shape):
        at = p[:, k, j, i]
        want = brute_linear(data, bad, at)
        if want is not None and order == 0:
            near = np.clip(np.floor(at + 0.5), 0, np.array(shape[::-1]) - 1).astype(int)
            want = float(data[tuple(near[::-1])])
        assert got[k, j, i] == pytest.approx(55.0 if want is None else want, abs=CLOSE)


def test_padding_far_below_the_tissue_leaves_no_dark_rim(lib):
    """A constant body beside padding of -2000 stays constant: what a wrong blend shows as a dark rim."""
    for order in (0, 1, 3):
        data = np.full((8, 8, 8), 40, np.int16)
        data[:, :, 5:] = -2000
        m = np.diag([0.3, 0.45, 0.7, 1.0])
        m[0, 1] = 0.02
        got = lib(resample, data, m, (8, 12, 20), order=order, fill=-1024, padding=(-2000, -2000))
        assert set(np.unique(got)) == {-1024, 40}


@pytest.mark.parametrize("kind", ["bool", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
def test_all_48_orientations_move_voxels_unchanged(lib, rng, kind):
    shape = (3, 4, 5)
    data = rng.integers(0, 2 if kind == "bool" else 100, shape).astype(kind)
    for perm in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            want = np.transpose(data, perm)
            out_shape = want.shape
            want = want[tuple(slice(None, None, f) for f in flips)]
            m = np.zeros((4, 4))
            m[3, 3] = 1
            for out in range(3):  # array axis `out` of the result walks along array axis perm[out] of the input
                m[2 - perm[out], 2 - out] = flips[out]
                m[2 - perm[out], 3] = 0 if flips[out] > 0 else shape[perm[out]] - 1
            noise = 1e-12 * np.random.default_rng(0).normal(size=(3, 4))  # as composed matrices have
            m[:3] += noise
            got = lib(resample, data, m, out_shape, order=1)
            assert got.dtype == data.dtype
            np.testing.assert_array_equal(got, want)


def test_shift_by_whole_voxels_fills_what_it_uncovers(lib, rng):
    data = rng.integers(-1000, 3000, (6, 7, 8)).astype(np.int16)
    m = np.eye(4)
    m[:3, 3] = (2, -3, 1)
    got = lib(resample, data, m, (6, 7, 8), fill=-1024)
    want = np.full((6, 7, 8), -1024, np.int16)
    want[:5, 3:, :6] = data[1:, :4, 2:]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_no_overlap_is_all_fill(lib, rng, order):
    data = rng.normal(size=(4, 5, 6))
    m = oblique(rng, (4, 5, 6), (3, 3, 3))
    m[:3, 3] += 100
    assert (lib(resample, data, m, (3, 3, 3), order=order, fill=3.5) == 3.5).all()


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32"])
def test_integers_round_half_to_even_and_clip(lib, kind):
    info = np.iinfo(kind)
    data = np.array([0, 1, 2, 3, 4], kind).reshape(1, 1, 5)
    m = np.eye(4)
    m[0, 3] = 0.5
    assert lib(resample, data, m, (1, 1, 4)).ravel().tolist() == [0, 2, 2, 4]
    assert lib(resample, data, np.diag([9.0, 1, 1, 1]), (1, 1, 2), fill=1e12).ravel().tolist() == [0, info.max]
    assert lib(resample, data, np.diag([9.0, 1, 1, 1]), (1, 1, 2), fill=-1e12).ravel().tolist() == [0, info.min]
    wide = np.full((2, 2, 2), 70000.7)
    m[1, 0] = 0.1
    assert int(lib(resample, wide, m, (2, 2, 2), dtype=kind)[0, 0, 0]) == min(info.max, 70001)


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("permuted", [False, True])
def test_axis_aligned_path_equals_the_general_one(lib, rng, kind, permuted):
    """Scaling along axes goes one axis at a time; a shear too small to see must give the same picture."""
    shape, out_shape = (6, 9, 12), (9, 11, 30)
    data = rng.integers(0, 255, shape).astype(kind)
    m = np.diag([0.41, -0.77, 0.61, 1.0])
    m[:3, 3] = (-0.4, 8.1, -0.3)
    if permuted:
        m = m[[2, 0, 1, 3]]
    sheared = m.copy()
    sheared[0 if not permuted else 1, 1] += 1e-7
    a = lib(resample, data, m, out_shape, fill=-1, dtype="float64")
    b = lib(resample, data, sheared, out_shape, fill=-1, dtype="float64")
    # a shear of 1e-7 over ten voxels of up to 255 in slope, twice
    near_edge = np.abs(a - b) > 1e-3
    assert near_edge.mean() == 0
    assert (a != -1).mean() > 0.3


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "out_shape", "step"),
    [
        ((40, 50, 60), (37, 41, 150), 1.0),  # more than one block each way, all borders
        ((40, 50, 60), (23, 19, 21), 9.0),  # too far apart for blocks
        ((60, 50, 40), (18, 17, 70), 3.3),  # smaller blocks
        ((90, 1, 40), (20, 17, 66), 1.0),
        ((2, 3, 90), (18, 17, 66), 0.6),
    ],
)
def test_cubic_blocks_give_the_reference(rng, kind, shape, out_shape, step):
    """Voxels that are copied together, mirrored at the border, and cut off where a grid does not reach."""
    data = rng.integers(0, 200, shape).astype(kind)
    if kind == "int16":
        data = (data * 300 - 30000).astype(kind)  # overshoots both ends of the type
    for turn in range(3):
        m = oblique(rng, shape, out_shape)
        m[:3, :3] *= step
        m[:3, 3] = (np.array(shape[::-1]) - 1) / 2 - m[:3, :3] @ ((np.array(out_shape[::-1]) - 1) / 2)
        m[:3, 3] += (0, 0, 45)[turn] * np.array([0.3, 0.3, 1.0])  # at last only an end of the volume is needed
        got = resample(data, m, out_shape, order=3, fill=3)
        want = resample.reference(data, m, out_shape, order=3, fill=3)
        # integers to the voxel, for no sample lies within 1e-9 of a half; else sums of 64 products in another order
        if got.dtype.kind == "f":
            np.testing.assert_allclose(got, want, atol=1e-4 if kind == "float32" else 1e-9)
        else:
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["int16", "float64"])
@pytest.mark.parametrize("source", list(itertools.permutations(range(3))))
@pytest.mark.parametrize(
    ("scale", "offset", "out_shape"),
    [
        ((0.8, 1.4, 1.3), (0.1, 0.3, -0.4), (55, 40, 51)),
        ((-0.8, 1.4, -1.3), (44.2, -9.3, 66.4), (55, 40, 51)),  # mirrored, partly outside
        ((0.21, 0.3, 0.25), (1.1, 0.3, 4.4), (20, 50, 70)),  # grown beyond what slices are kept for
        ((0.21, 1.3, 2.25), (48.1, 60.3, 4.4), (9, 5, 7)),  # only a corner of the volume is needed
        ((0.8, 1.4, 1.3), (0.1, 500.0, 0.4), (5, 4, 6)),  # outside
    ],
)
def test_cubic_one_axis_at_a_time_gives_the_reference(rng, kind, source, scale, offset, out_shape):
    """Array axis `a` of the result walks along array axis ``source[a]`` of the input, which is filtered on its own."""
    for shape in ((48, 67, 71), (3, 2, 71), (1, 40, 1)):
        data = rng.integers(0, 200, shape).astype(kind)
        m = np.zeros((4, 4))
        m[3, 3] = 1
        for a in range(3):
            m[2 - source[a], 2 - a] = scale[a]
            m[2 - source[a], 3] = offset[a] * shape[source[a]] / (48, 67, 71)[source[a]]
        got = resample(data, m, out_shape, order=3, fill=-3.5)
        want = resample.reference(data, m, out_shape, order=3, fill=-3.5)
        np.testing.assert_allclose(got.astype(float), want.astype(float), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    entries=st.lists(st.floats(-2, 2, allow_nan=False), min_size=12, max_size=12),
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    out_shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 40)),
    kind=st.sampled_from(["uint8", "int16", "float32"]),
    order=st.sampled_from([0, 1, 3]),
    whole=st.booleans(),
)
def test_kernel_equals_reference_for_any_matrix(entries, shape, out_shape, kind, order, whole):
    """Singular, flattening, whole-numbered: whatever the map, compiled code and reference agree to the bit."""
    m = np.vstack([np.array(entries).reshape(3, 4), [0, 0, 0, 1.0]])
    if whole:
        m = np.round(m)
    data = np.random.default_rng(5).integers(0, 200, shape).astype(kind)
    for padding in (None, (50, 70)):
        a = resample(data, m, out_shape, order=order, fill=3, padding=padding)
        b = resample.reference(data, m, out_shape, order=order, fill=3, padding=padding)
        if order == 3:
            np.testing.assert_allclose(a.astype(float), b.astype(float), atol=1e-4 if kind == "float32" else 1)
        else:
            np.testing.assert_array_equal(a, b)


def test_world_positions_survive(lib):
    """A ramp that holds its own world coordinate still does so on any other grid, wherever linear is exact."""
    k, j, i = np.meshgrid(np.arange(10), np.arange(12), np.arange(14), indexing="ij")
    for axis, ramp in enumerate((i, j, k)):
        for order in (1, 3):
            m = oblique(np.random.default_rng(3), ramp.shape, (4, 4, 4))
            m[:3, :3] *= 0.4
            m[:3, 3] = np.array([6.5, 5.5, 4.5]) - m[:3, :3] @ [1.5, 1.5, 1.5]
            got = lib(resample, ramp.astype(float), m, (4, 4, 4), order=order)
            # the mirrored border bends a cubic ramp: its effect fades by 0.27 a voxel and is 2e-3 four voxels inside
            np.testing.assert_allclose(got, positions(m, (4, 4, 4))[axis], atol=1e-9 if order == 1 else 5e-2)


def test_arguments_out_of_domain_are_named(rng):
    data = rng.normal(size=(3, 3, 3))
    eye = np.eye(4)
    with pytest.raises(InputError, match="order"):
        resample(data, eye, (3, 3, 3), order=2)
    with pytest.raises(InputError, match="shape"):
        resample(data, eye, (3, 0, 3))
    with pytest.raises(InputError, match="three axes"):
        resample(data[0], eye, (3, 3, 3))
    with pytest.raises(InputError, match="padding"):
        resample(data, eye, (3, 3, 3), padding=(5, 1))
    bad = eye.copy()
    bad[3, 0] = 0.1
    with pytest.raises(GeometryError, match="last row"):
        resample(data, bad, (3, 3, 3))
    with pytest.raises(GeometryError):
        resample(data, eye * np.nan, (3, 3, 3))
