"""Ray casting: closed-form integrals, symmetry, and every backend against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.raycast_scenes import WHITE, on_gpu_threads, random_rotation, random_scene, view_matrix

from gpukit.errors import GeometryError, InputError
from gpukit.ops.raycast import raycast

KINDS = ["uint8", "int16", "uint16", "int32", "float32", "float64"]


@pytest.mark.parametrize("samples", [40, 111])
def test_a_homogeneous_slab_passes_what_it_must(lib, samples):
    """Beer and Lambert: opacity 1 - exp(-mu D), however many samples and whatever the spacing."""
    data = np.full((20, 9, 9), 100.0)
    spacing = (0.7, 0.9, 1.5)
    thick = 20 * 1.5  # outer faces of the outer voxels
    m = np.eye(4)
    m[2, 2] = 20 / samples
    m[2, 3] = -0.5 + 10 / samples
    got = lib(
        raycast, data, m, (samples, 9, 9), affine=np.diag(spacing), colors=WHITE, opacities=[0.03, 0.03],
        window=(0, 200), opaque=1.0,
    )  # fmt: skip
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, 1 - np.exp(-0.03 * thick), rtol=1e-6)


def test_a_homogeneous_ball_from_any_side(lib, rng):
    """Transmittance exp(-mu * chord) of every ray, and the area of the silhouette."""
    spacing, radius, mu = np.array([1.0, 1.25, 2.0]), 24.0, 0.02
    shape = (32, 48, 60)
    k, j, i = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    distance = np.sqrt((i * spacing[0]) ** 2 + (j * spacing[1]) ** 2 + (k * spacing[2]) ** 2)
    data = 1000 * (distance - radius)  # a signed distance: linear interpolation finds the surface between voxels
    pixels = 36
    m, grid, steps = view_matrix(shape, spacing, pixels, 150, random_rotation(rng), fov=60.0)
    n = 2001  # a table whose step falls within 0.03 mm of the surface
    opacities = np.where(np.linspace(-30000, 30000, n) < 0, mu, 0.0)
    got = lib(
        raycast, data, m, grid, affine=np.diag(spacing), colors=[[1, 0.5, 0.25]] * n, opacities=opacities,
        window=(-30000, 30000), opaque=1.0,
    )  # fmt: skip
    v, u = np.meshgrid(*[(np.arange(pixels) - (pixels - 1) / 2) * steps[0]] * 2, indexing="ij")
    off = np.hypot(u, v)
    chord = 2 * np.sqrt(np.maximum(radius**2 - off**2, 0))
    want = 1 - np.exp(-mu * chord)
    clear = np.abs(off - radius) > 2.5  # at the rim the chord changes by its own length within a pixel
    # two ends of a chord, each found within half a step of 0.4 mm and the curvature that linear interpolation misses
    np.testing.assert_allclose(got[..., 3][clear], want[clear], atol=mu * 0.8)
    np.testing.assert_allclose(got[..., 1], got[..., 0] * 0.5, atol=1e-6)
    np.testing.assert_allclose(got[..., 0], got[..., 3], atol=1e-6)
    area = (got[..., 3] > 0).sum() * steps[0] * steps[1]
    assert area == pytest.approx(np.pi * radius**2, rel=0.04)  # whole pixels of 1.7 mm along a rim of 150 mm


def test_what_lies_in_front_hides_what_lies_behind(lib):
    data = np.zeros((8, 8, 8))
    data[1:3] = 1.0  # red
    data[5:7] = 2.0  # green
    colors = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    kwargs = {"affine": np.eye(3), "colors": colors, "opacities": [0, 50, 50], "window": (0, 2)}
    front = lib(raycast, data, np.eye(4), (8, 8, 8), **kwargs)
    back = np.diag([1.0, 1, -1, 1])
    back[2, 3] = 7
    behind = lib(raycast, data, back, (8, 8, 8), **kwargs)
    assert front[4, 4, 0] > 0.999 and front[4, 4, 1] < 1e-6
    assert behind[4, 4, 1] > 0.999 and behind[4, 4, 0] < 1e-6
    np.testing.assert_allclose(front[..., 3], 1, atol=1e-3)


def test_left_stays_left_and_up_stays_up(lib):
    """One bright voxel near a corner appears at its own pixel, in every flip."""
    data = np.zeros((6, 7, 8))
    data[2, 1, 5] = 1.0
    kwargs = {"affine": np.eye(3), "colors": WHITE, "opacities": [0, 9], "window": (0, 1)}
    got = lib(raycast, data, np.eye(4), (6, 7, 8), **kwargs)
    assert np.argwhere(got[..., 3] > 0.5).tolist() == [[1, 5]]
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = 7
    assert np.argwhere(lib(raycast, data, flip, (6, 7, 8), **kwargs)[..., 3] > 0.5).tolist() == [[1, 2]]


def test_perspective_enlarges_what_is_near(lib):
    """A square hole of known size, seen from a known distance, has the size that similar triangles give."""
    data = np.zeros((4, 41, 41))
    data[1, 15:26, 15:26] = 1.0  # 11 voxels wide, at k = 1
    data[2] = data[1]
    eye = (20.0, 20.0, -30.0)
    m = np.eye(4)
    m[0, 0] = m[1, 1] = 0.25  # picture plane at k = -10, where it is 20/31.5 of its size at k = 1.5
    m[:3, 3] = (10.0, 10.0, -10.0)
    m[2, 2] = 0.1
    sharp = np.where(np.linspace(0, 1, 101) > 0.5, 20.0, 0.0)
    got = lib(
        raycast, data, m, (140, 81, 81), affine=np.eye(3), colors=[[1, 1, 1]] * 101, opacities=sharp, window=(0, 1),
        eye=eye,
    )  # fmt: skip
    width = (got[40, :, 3] > 0.5).sum() * 0.25
    # between what its front (k = 0.5) and its back (k = 2.5) would show, to a pixel
    assert 11 * 20 / 32.5 - 0.25 <= width <= 11 * 20 / 30.5 + 0.25


def test_light_on_a_face_is_brightest_from_the_front(lib):
    """Phong on a plane: diffuse falls with the cosine of the angle between view and normal."""
    k = np.arange(24, dtype=float)[:, None, None]
    data = np.broadcast_to(k, (24, 24, 24)).copy()
    affine = np.diag([1.0, 1.0, 1.0])
    for angle in (0.0, 0.5, 1.0):
        m = np.eye(4)
        m[:3, 2] = np.array([np.sin(angle), 0, np.cos(angle)]) * 0.1
        m[:3, 3] = (2, 2, 6)
        n = 1001
        table = np.where(np.linspace(0, 24, n) > 10, 100.0, 0.0)
        got = lib(
            raycast, data, m, (120, 2, 2), affine=affine, colors=[[1, 1, 1]] * n, opacities=table, window=(0, 24),
            shading=(0.1, 0.6, 0.2, 8),
        )  # fmt: skip
        want = 0.1 + 0.6 * np.cos(angle) + 0.2 * np.cos(angle) ** 8
        np.testing.assert_allclose(got[..., :3], want, atol=2e-3)  # what the last 0.1 % of light would add


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shaded", [False, True])
def test_every_backend_agrees_with_the_reference(lib, rng, kind, shaded):
    shape = (11, 14, 19)
    data, look = random_scene(rng, kind, shape)
    for spacing, eye, padding in (((1, 1, 1), None, None), ((0.6, 0.8, 2.5), (9.0, 7.0, -60.0), (100, 140))):
        m, grid, _ = view_matrix(shape, spacing, 13, 40, None if eye else random_rotation(rng))
        kwargs = {**look, "affine": np.diag(spacing), "eye": eye, "padding": padding}
        if shaded:
            kwargs["shading"] = (0.2, 0.7, 0.3, 20)
        got = lib(raycast, data, m, grid, **kwargs)
        want = raycast.reference(data, m, grid, **kwargs)
        assert want[..., 3].max() > 0.3
        np.testing.assert_allclose(got, want, atol=raycast.tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [None, (100, 104)])
def test_lanes_deep_inside_a_volume_agree_with_the_reference(rng, kind, padding):
    """Close-up of a larger volume, where no sample is near its border."""
    shape = (26, 30, 34)
    data, look = random_scene(rng, kind, shape)
    m, grid, _ = view_matrix(shape, (0.6, 0.8, 0.9), 14, 44, random_rotation(rng), fov=9.0)
    kwargs = {**look, "affine": np.diag((0.6, 0.8, 0.9)), "padding": padding}
    for extra in ({"shading": (0.2, 0.7, 0.3, 20)}, {"gradient": (np.linspace(0, 1, 9), (0.0, 150.0))}):
        got = raycast(data, m, grid, **kwargs, **extra)
        want = raycast.reference(data, m, grid, **kwargs, **extra)
        assert want[..., 3].max() > 0.1
        np.testing.assert_allclose(got, want, atol=raycast.tolerance)


@settings(max_examples=30, deadline=None)
@given(
    entries=st.lists(st.floats(-1, 1, allow_nan=False), min_size=9, max_size=9),
    shape=st.tuples(*[st.integers(1, 14)] * 3),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["int16", "float32"]),
)
def test_skipping_and_tiles_change_nothing(entries, shape, seed, kind):
    rng = np.random.default_rng(seed)
    data, look = random_scene(rng, kind, shape)
    m = np.eye(4)
    m[:3, :3] = np.array(entries).reshape(3, 3)
    m[:3, 3] = (np.array(shape[::-1]) - 1) / 2 - m[:3, :3] @ [3, 3, 9]
    if np.linalg.norm(m[:3, 2]) < 1e-3:
        m[:3, 2] = (0.3, 0.1, 0.2)
    kwargs = {**look, "affine": np.diag([1.0, 0.5, 2.0]), "shading": (0.1, 0.8, 0.1, 10)}
    a = raycast(data, m, (19, 7, 7), **kwargs)
    b = raycast.reference(data, m, (19, 7, 7), **kwargs)
    np.testing.assert_allclose(a, b, atol=raycast.tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_gpu_threads_agree_with_the_reference(rng, kind):
    shape = (12, 10, 17)
    data, tables = random_scene(rng, kind, shape)
    m, grid, _ = view_matrix(shape, (1, 1, 2), 9, 30, random_rotation(rng))
    kwargs = {**tables, "affine": np.diag([1, 1, 2]), "shading": (0.2, 0.7, 0.1, 5)}
    out = on_gpu_threads(data, m, grid, **kwargs)
    np.testing.assert_allclose(out, raycast.reference(data, m, grid, **kwargs), atol=1e-6)  # both in float64


def test_what_cannot_be_drawn_is_named():
    data = np.zeros((4, 4, 4))
    good = {"affine": np.eye(3), "colors": WHITE, "opacities": [0, 1], "window": (0, 1)}

    def cast(**change):
        matrix = change.pop("matrix", np.eye(4))
        return raycast(data, matrix, (4, 4, 4), **{**good, **change})

    for change, word in (
        ({"colors": [[1, 1, 1]]}, "transfer function"),
        ({"opacities": [0, -1]}, "negative"),
        ({"window": (1, 1)}, "window"),
        ({"shading": (1, 1)}, "shading"),
        ({"opaque": 0}, "opaque"),
    ):
        with pytest.raises(InputError, match=word):
            cast(**change)
    for change, word in (
        ({"affine": np.zeros((3, 3))}, "singular"),
        ({"matrix": np.diag([1.0, 1, 0, 1])}, "direction"),
        ({"eye": (1.5, 1.5, 50.0)}, "eye"),
    ):
        with pytest.raises(GeometryError, match=word):
            cast(**change)
