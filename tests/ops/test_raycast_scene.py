"""Ray casting of whole scenes: gradient opacity, clipping, labels and a second volume, on every backend."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.raycast_scenes import WHITE, on_gpu_threads, random_rotation, random_scene, view_matrix

from gpukit.errors import GeometryError, InputError
from gpukit.ops.raycast import Labels, Second, raycast

SHADING = (0.2, 0.6, 0.3, 12)


def _slab(shape=(20, 6, 6)):
    """Rays along k through every voxel of a column, a sample at each centre: exact sums."""
    return np.eye(4), shape


def test_clipping_planes_leave_what_lies_on_their_side(lib):
    """A homogeneous block cut to 7 of 20 voxels lets exp(-mu 7 d) pass, by index and whatever the spacing."""
    m, grid = _slab()
    planes = [[0, 0, 1, -4.5], [0, 0, -1, 11.5]]  # 4.5 <= k <= 11.5: centres 5 to 11
    got = lib(
        raycast, np.full(grid, 9.0), m, grid, affine=np.diag([1, 1, 1.5]), colors=WHITE, opacities=[0.1, 0.1],
        window=(0, 10), opaque=1.0, planes=planes,
    )  # fmt: skip
    np.testing.assert_allclose(got[..., 3], 1 - np.exp(-0.1 * 7 * 1.5), atol=1e-6)
    aside = lib(
        raycast, np.full(grid, 9.0), m, grid, affine=np.eye(3), colors=WHITE, opacities=[0.1, 0.1], window=(0, 10),
        planes=[[1, 0, 0, -2]],
    )  # fmt: skip
    assert (aside[:, 2:, 3] > 0.5).all() and not aside[:, :2].any()  # i >= 2 stays


def test_labels_have_their_own_colour_and_extinction_or_leave_voxels_out(lib):
    m, grid = _slab((30, 4, 12))
    array = np.zeros(grid, np.uint8)
    array[10:15, :, 4:8] = 1
    array[:, :, 8:] = 2
    array[20:, :, 8:] = 200  # has no row: background
    media = [[0, 0, 0, 0, 1.0], [0, 1, 0, 0.2, 1.0], [0, 0, 0, 0, 0]]
    got = lib(
        raycast, np.full(grid, 5.0), m, grid, affine=np.eye(3), colors=[[1, 0, 0]] * 2, opacities=[0.01, 0.01],
        window=(0, 10), opaque=1.0, labels=Labels(lib.array(array), media),
    )  # fmt: skip
    inside, alone, left_out = got[1, 6], got[1, 1], got[1, 10]  # columns away from the labels' borders
    assert alone[3] == pytest.approx(1 - np.exp(-0.01 * 30), abs=1e-6)
    # samples at voxel centres see the label of their voxel: five of green, thirty of red
    assert inside[3] == pytest.approx(1 - np.exp(-0.2 * 5 - 0.01 * 30), abs=1e-6)
    before = 1 - np.exp(-0.01 * 10)
    assert before < inside[0] < 1 - np.exp(-0.01 * 30) and inside[1] > 0.5
    assert left_out[3] == pytest.approx(1 - np.exp(-0.01 * 10), abs=1e-6)  # label 2 keeps nothing, 200 is background


def test_gradient_opacity_draws_borders_and_not_the_inside(lib):
    """A ramp of 3 per mm has a gradient of 3 per mm, whatever the voxels: its factor is the table's."""
    spacing = 2.0
    data = np.broadcast_to(np.arange(20.0)[:, None, None] * 3 * spacing, (20, 6, 6)).copy()
    m = np.eye(4)
    m[2, 3] = 5  # samples 5 to 14, away from the border where the difference is one-sided
    kwargs = {"affine": np.diag([1, 1, spacing]), "colors": WHITE, "opacities": [0.1, 0.1], "window": (0, 120)}
    got = lib(raycast, data, m, (10, 6, 6), **kwargs, opaque=1.0, gradient=([0.0, 0.5, 1.0], (0.0, 8.0)))
    np.testing.assert_allclose(got[..., 3], 1 - np.exp(-0.1 * (3 / 8) * 10 * spacing), atol=1e-6)
    flat = lib(raycast, np.full((20, 6, 6), 50.0), m, (10, 6, 6), **kwargs, gradient=([0.0, 1.0], (1.0, 4.0)))
    assert not flat.any()


def test_a_second_volume_lies_where_its_matrix_says(lib):
    """A coarse block over a fine, clear volume: opaque where it is, and extinctions add up."""
    m, grid = _slab((20, 10, 10))
    other = np.zeros((6, 5, 4), np.float32)
    other[2:4, 1:3, 1] = 8.0
    matrix = np.diag([0.5, 0.5, 0.25, 1.0])
    matrix[:3, 3] = (-1, 0, 0)  # (i, j, k) of the first is (i / 2 - 1, j / 2, k / 4) of the second
    sharp = np.where(np.linspace(0, 8, 801) > 4, 0.3, 0.0)
    second = Second(lib.array(other), matrix, [[0, 0, 1]] * 801, sharp, (0, 8))
    got = lib(
        raycast, np.full(grid, 5, np.int16), m, grid, affine=np.eye(3), colors=[[1, 0, 0]] * 2, opacities=[0.02, 0.02],
        window=(0, 10), opaque=1.0, second=second,
    )  # fmt: skip
    # more than half of the block's value: j / 2 in (0.5, 2.5), i / 2 - 1 in (0.5, 1.5), k / 4 in (1.5, 3.5)
    blue = got[..., 2] > 0
    assert np.argwhere(blue).min(axis=0).tolist() == [2, 4] and np.argwhere(blue).max(axis=0).tolist() == [4, 4]
    assert got[3, 4, 3] == pytest.approx(1 - np.exp(-0.02 * 20 - 0.3 * 7), abs=1e-4)  # k of 7 to 13
    assert got[0, 0, 3] == pytest.approx(1 - np.exp(-0.02 * 20), abs=1e-6)


def _everything(rng, shape, array, kind):
    """Label map, second volume, planes and gradient opacity over a random scene."""
    labels = np.zeros(shape, np.uint8)
    labels[: shape[0] // 2, 3:9, 2:12] = 1
    labels[shape[0] // 3 :, 6:, 5:9] = 2
    media = [[0, 0, 0, 0, 0.9], [0.1, 0.9, 0.2, 0.08, 1.0], [0.9, 0.3, 0.9, 0.0, 0.0]]
    other = rng.random((5, 7, 6)).astype(np.float32)
    other[2, 3, :2] = np.nan
    turn = np.eye(4)
    turn[:3, :3] = random_rotation(rng) * 0.4
    turn[:3, 3] = (2, 3, 2) - turn[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    second = Second(
        array(other), turn, rng.random((9, 3)), [0, 0, 0, 0, 0.1, 0.2, 0.2, 0.3, 0.4], (0, 1), SHADING, (0.2, 0.25)
    )
    middle = (np.array(shape[::-1]) - 1) / 2
    normal = rng.normal(size=3)
    planes = [[*normal, -normal @ middle + 1.5], [0, 0, 1, -0.7]]
    return {
        "labels": Labels(array(labels), media), "second": second, "planes": planes,
        "gradient": ([0.1, 1.0, 0.4, 2.0], (0.0, 90.0)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("only", "kind"),
    [("labels", "int16"), ("second", "float32"), ("planes", "int16"), ("gradient", "int16"), ("all", "int16"),
     ("all", "float32"), ("all", "int32")],
)  # fmt: skip
def test_every_backend_agrees_with_the_reference(lib, kind, only):
    shape = (13, 14, 19)
    for seed in (1, 2) if only == "all" and kind == "int16" else (1,):
        rng = np.random.default_rng(seed)
        data, look = random_scene(rng, kind, shape)
        m, grid, _ = view_matrix(shape, (1, 1, 1.5), 9, 24, random_rotation(rng))
        kwargs = {
            **look,
            "affine": np.diag([1, 1, 1.5]),
            "shading": SHADING,
            "padding": (60, 70) if seed == 1 else None,
        }
        state = rng.bit_generator.state
        ours = _everything(rng, shape, lib.array, kind)
        rng.bit_generator.state = state
        plain = _everything(rng, shape, lambda a: a, kind)
        if only != "all":
            ours, plain = {only: ours[only]}, {only: plain[only]}
        got = lib(raycast, data, m, grid, **kwargs, **ours)
        want = raycast.reference(data, m, grid, **kwargs, **plain)
        assert want[..., 3].max() > 0.3
        np.testing.assert_allclose(got, want, atol=raycast.tolerance)
        if lib.name == "cpu":
            np.testing.assert_allclose(on_gpu_threads(data, m, grid, **kwargs, **plain), want, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.tuples(*[st.integers(1, 40)] * 3), block=st.booleans())
def test_leaping_over_empty_bricks_changes_nothing(seed, shape, block):
    """Sparse volumes of many bricks, seen along any direction, parallel and in perspective."""
    rng = np.random.default_rng(seed)
    data = np.zeros(shape, np.int16)
    for _ in range(3):
        k, j, i = (int(rng.integers(0, n)) for n in shape)
        data[k : k + 3, j : j + 2, i : i + 4] = 200
    labels = np.zeros(shape, np.uint8)
    labels[shape[0] // 2 :] = 1
    media = [[0, 0, 0, 0, 1], [1, 0, 0, 0.02 if block else 0.0, 0.5]]
    m, grid, _ = view_matrix(shape, (1, 1, 1), 9, 70, random_rotation(rng))
    centre = m[:3, :3] @ [4, 4, 0] + m[:3, 3]
    away = m[:3, 2] / np.linalg.norm(m[:3, 2])
    kwargs = {
        "affine": np.eye(3), "colors": WHITE, "opacities": [0, 0.5], "window": (50, 250), "shading": SHADING,
        "eye": None if seed % 2 else centre - 40 * away, "labels": Labels(labels, media) if seed % 3 else None,
    }  # fmt: skip
    a = raycast(data, m, grid, **kwargs)
    np.testing.assert_allclose(a, raycast.reference(data, m, grid, **kwargs), atol=raycast.tolerance)


def test_more_than_two_to_the_31_voxels():
    """Offsets are 64-bit: what lies beyond the first 2^31 voxels is drawn in its place."""
    data = np.zeros((2060, 1024, 1024), np.uint8)  # zero pages: no memory is taken before something is written
    data[2055:2058, 500:503, 700:703] = 255
    assert data.size > 2**31
    m = np.eye(4)
    m[:3, 3] = (690, 490, 2045)
    got = raycast(data, m, (15, 24, 24), affine=np.eye(3), colors=WHITE, opacities=[0, 9], window=(0, 255))
    rows, columns = np.nonzero(got[..., 3] > 0.9)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 12, 10, 12)


def test_what_cannot_be_drawn_is_named():
    data = np.zeros((4, 4, 4))
    good = {"affine": np.eye(3), "colors": WHITE, "opacities": [0, 1], "window": (0, 1)}
    other = np.zeros((3, 3, 3), np.float32)
    for change, kind, word in (
        ({"planes": [[1, 0, 0]]}, GeometryError, "clipping planes"),
        ({"gradient": ([1.0], (0, 1))}, InputError, "gradient"),
        ({"gradient": ([0, 1], (3, 1))}, InputError, "range of gradients"),
        ({"labels": Labels(np.zeros((4, 4, 5), np.uint8), [[0, 0, 0, 0, 1]])}, InputError, "grid"),
        ({"labels": Labels(np.zeros((4, 4, 4), np.uint8), [[0, 0, 0, 0, 2]])}, InputError, "share"),
        ({"second": Second(other, np.zeros((4, 4)), WHITE, [0, 1], (0, 1))}, GeometryError, "second"),
        ({"second": Second(other, np.eye(4), WHITE, [0, -1], (0, 1))}, InputError, "negative"),
    ):
        with pytest.raises(kind, match=word):
            raycast(data, np.eye(4), (4, 4, 4), **{**good, **change})
