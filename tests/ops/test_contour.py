"""Surfaces: every backend gives the reference's points and triangles, and they close whatever the voxels."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpukit.dispatch import explain
from gpukit.errors import GeometryError, InputError
from gpukit.ops._marching_cubes import edge_corners, triangles
from gpukit.ops.contour import contour

AFFINE = np.array([[0.7, 0.1, 0.0, 3.0], [0.0, -0.9, 0.2, 5.0], [0.1, 0.0, 1.1, -7.0], [0.0, 0.0, 0.0, 1.0]])
TYPES = (np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64)


def volume_of(points, faces):
    a, b, c = (points[faces[:, n]] for n in range(3))
    return np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6


def is_closed(faces):
    """Every edge is run along as often in one direction as in the other, once each."""
    edges = Counter(map(tuple, np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()))
    return max(edges.values()) == 1 and all((b, a) in edges for a, b in edges)


@pytest.mark.parametrize("padding", [None, (4, 4)])
@pytest.mark.parametrize("dtype", TYPES)
def test_parity(lib, rng, dtype, padding):
    data = rng.integers(0, 6, (5, 7, 70)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        data = data + rng.random(data.shape).astype(dtype)
        data[2, 3, 4], data[1, 1, 1], data[3, 3, 3] = np.nan, np.inf, -np.inf
    points, faces = lib(contour, data, 3, AFFINE, padding=padding)
    wanted = contour.reference(data, 3, AFFINE, padding=padding)
    # The arithmetic is the same, step by step; only a compiler's own order would differ.
    assert np.allclose(points, wanted[0], rtol=0, atol=contour.tolerance)
    assert np.array_equal(faces, wanted[1])
    assert is_closed(faces) and volume_of(points, faces) > 0


def test_the_kernel_runs_here(rng):
    """Or the parity above compares the reference with itself."""
    choice = explain(contour, rng.integers(0, 9, (3, 3, 3)).astype(np.int16), 3, AFFINE)
    assert "contour" in str(choice)


@given(arrays(np.uint8, (3, 3, 4), elements=st.integers(0, 1)).filter(lambda a: 0 < a.sum() < a.size))
def test_any_voxels_make_a_closed_surface_that_looks_outward(inside):
    points, faces = contour(inside, 1, np.eye(4))
    assert is_closed(faces)
    # Every voxel's centre is enclosed just where it is inside: solid angle of the surface, 4 pi or nothing.
    for k, j, i in np.ndindex(inside.shape):
        a, b, c = (points[faces[:, n]] - (i, j, k) for n in range(3))
        la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
        above = np.einsum("ij,ij->i", a, np.cross(b, c))
        below = (
            la * lb * lc + np.einsum("ij,ij->i", a, b) * lc + np.einsum("ij,ij->i", b, c) * la
            + np.einsum("ij,ij->i", c, a) * lb
        )  # fmt: skip
        turns = 2 * np.arctan2(above, below).sum() / (4 * np.pi)
        assert turns == pytest.approx(float(inside[k, j, i]), abs=1e-9)


def test_table_uses_just_the_edges_that_are_crossed():
    table = triangles()
    for case in range(256):
        crossed = {e for e in range(12) if len({case >> corner & 1 for corner in edge_corners(e)}) == 2}
        assert set(table[case].ravel().tolist()) - {-1} == crossed


def test_points_lie_where_the_interpolant_takes_the_threshold(rng):
    data = rng.normal(size=(6, 7, 8))
    points, _ = contour(data, 0.25, np.eye(4))
    inner = points[((points >= 0) & (points <= np.array(data.shape[::-1]) - 1)).all(axis=1)]
    low = np.floor(inner).astype(int)
    high = np.ceil(inner).astype(int)
    share = (inner - low).max(axis=1)
    value = data[tuple(low.T[::-1])] * (1 - share) + data[tuple(high.T[::-1])] * share
    near = (share < 0.0011) | (share > 0.9989)  # which are held off the voxels
    assert value[~near] == pytest.approx(0.25, abs=1e-9)
    assert near.mean() < 0.02


def test_ends_of_the_range_are_values_too():
    data = np.zeros((1, 1, 3), np.uint8)
    data[0, 0, 1] = 255
    points, _ = contour(data, 255, np.eye(4))
    assert sorted({round(float(x), 6) for x in points[:, 0]}) == [0.5, 1.0, 1.5]
    lowest = np.full((1, 1, 3), -32768, np.int16)
    lowest[0, 0, 1] = 32767
    assert volume_of(*contour(lowest, 32767, np.eye(4))) == pytest.approx(1 / 6)  # an octahedron
    with pytest.raises(InputError, match="go from 0 to 255"):
        contour(data, 256, np.eye(4))
    with pytest.raises(InputError, match="go from 0 to 255"):
        contour(data, 0, np.eye(4))
    with pytest.raises(InputError, match="all padding"):
        contour(data, 9, np.eye(4), padding=(0, 255))
    with pytest.raises(GeometryError):
        contour(data, 9, np.diag((1.0, 0.0, 1.0, 1.0)))


def test_views_need_no_copy(rng):
    data = rng.integers(0, 9, (6, 7, 8)).astype(np.int16)
    for view in (data[::2, ::-1, 1:], data.transpose(2, 0, 1)):
        for one, other in zip(contour(view, 5, AFFINE), contour(np.ascontiguousarray(view), 5, AFFINE), strict=True):
            assert np.array_equal(one, other)


def test_more_voxels_than_a_32_bit_number_counts():
    """2.2e9 voxels that share one slice of memory: a bar all along k, and indices beyond 2^31 where it ends."""
    slice_ = np.zeros((1, 1024, 2048), np.uint8)
    slice_[0, 1020:1023, 2040:2043] = 1
    data = np.broadcast_to(slice_, (1050, 1024, 2048))
    assert data.size > 2**31
    points, faces = contour(data, 1, np.eye(4))
    assert points.min(axis=0).tolist() == [2039.5, 1019.5, -0.5]
    assert points.max(axis=0).tolist() == [2042.5, 1022.5, 1049.5]
    # Eight voxels around the middle one: a square of 3 x 3 whose corners are cut, 8.5 in area; bevelled at both ends.
    assert 8.5 * 1048 < volume_of(points - (2041, 1021, 500), faces) < 8.5 * 1050
