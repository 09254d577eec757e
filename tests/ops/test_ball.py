"""Means of balls: every backend against the definition, on any grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpukit.errors import InputError
from gpukit.ops.ball import ball_means, ball_rows


def brute(data, affine, radius):
    index = np.stack(np.meshgrid(*map(np.arange, data.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    places = index[:, ::-1] @ np.asarray(affine)[:3, :3].T
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    near = (apart <= radius * (1 + 1e-9)) & np.isfinite(data.ravel())[None]
    sums = np.where(near, np.nan_to_num(data.ravel())[None], 0).sum(axis=1)
    count = near.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(count, sums / count, np.nan).reshape(data.shape)


@settings(max_examples=25)
@given(
    spacing=st.tuples(*[st.floats(0.5, 4)] * 3),
    shear=st.floats(-0.4, 0.4),
    turn=st.floats(0, 6.3),
    radius=st.floats(0.3, 6.2),
)
def test_agrees_with_the_definition_on_any_grid(spacing, shear, turn, radius):
    rng = np.random.default_rng(3)
    c, s = np.cos(turn), np.sin(turn)
    affine = np.array([[c, -s, 0], [s, c, shear], [0, 0, 1]]) @ np.diag(spacing)
    data = rng.normal(1000, 10, (4, 5, 6))
    data[1, 2, 3] = np.nan
    want = brute(data, affine, radius)
    np.testing.assert_allclose(ball_means(data, affine, radius), want, rtol=1e-11)
    part = ball_means(data, affine, radius, window=((1, 3), (0, 4), (2, 6)))
    np.testing.assert_allclose(part, want[1:3, :4, 2:6], rtol=1e-11)
    whole = np.nan_to_num(data, nan=1000)  # nothing is lost: counts are shared between planes
    np.testing.assert_allclose(ball_means(whole, affine, radius), brute(whole, affine, radius), rtol=1e-11)


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_every_backend(lib, rng, kind):
    data = rng.integers(0, 100, (4, 6, 7)).astype(kind)
    affine = np.diag([1.5, 1.0, 2.0, 1])
    want = brute(np.where(data >= 90, np.nan, data.astype(float)), affine, 3.0)
    got = lib.numpy(ball_means(lib.array(data), affine, 3.0, padding=(90, 99)))
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_a_ball_of_voxels_of_2_mm():
    # Within 6.2035 mm (1 ml) of a centre, counted by hand through all offsets.
    want = sum(
        i * i + j * j + k * k <= (6.2035 / 2) ** 2 for i in range(-3, 4) for j in range(-3, 4) for k in range(-3, 4)
    )
    assert sum(last - first + 1 for _, _, first, last in ball_rows(np.diag([2.0, 2, 2, 1]), 6.2035)) == want


def test_a_radius_that_is_none():
    with pytest.raises(InputError, match="no volume"):
        ball_means(np.zeros((2, 2, 2)), np.eye(4), 0)
