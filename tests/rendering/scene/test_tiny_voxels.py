"""Volumes of micrometers are drawn as those of millimeters are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gpukit as gk
from gpukit.geometry import Grid
from gpukit.ops.raycast import raycast
from gpukit.rendering.scene.animation import fly, rotate
from gpukit.rendering.scene.transfer_function import find_transfer
from gpukit.volume import Volume


def ball(spacing: float, **facts: Any) -> Volume:
    k, j, i = np.mgrid[:40, :40, :40] - 19.5
    values = np.where(k**2 + j**2 + i**2 < 15**2, 800, -1000).astype(np.int16)
    grid = Grid.from_axes((40, 40, 40), spacing=(spacing,) * 3, origin=(spacing, 2 * spacing, 3 * spacing))
    return Volume(array=values, grid=grid, unit="HU", **facts)


@pytest.mark.parametrize("spacing", [1e-1, 1e-2, 1e-3, 1e-4, 1e-6])
def test_small_bodies_are_as_opaque_as_larger_ones(spacing: float) -> None:
    """At 1e-4 mm the affine was called singular, at 1 to 10 um the picture was black."""
    large, small = (gk.render(ball(s), transfer="ct-bone", size=(64, 64)) for s in (0.1445, spacing))  # 10 mm across
    assert large.array.max() > 150
    # the large one has 0.1 % more extinction; where rounding adds a sample to the rays, pixels at the border differ
    difference = np.abs(small.array.astype(int) - large.array.astype(int))
    assert difference.mean() < 1 and difference.max() < 40
    (note,) = small.notes
    assert "instead of per mm" in note and f"{40 * 3**0.5 * spacing:.4g} mm across" in note


def test_bodies_of_centimeters_and_looks_of_the_user_are_left_alone() -> None:
    assert gk.render(ball(1.0), transfer="ct-bone", size=(16, 16)).notes == ()
    own = replace(find_transfer("ct-bone"), name="own", is_relative=False)
    assert gk.render(ball(1e-2), transfer=own, size=(16, 16)).notes == ()


def test_small_bodies_turn_and_are_flown_through() -> None:
    for spacing in (1e-2, 1e-4):
        (picture,) = rotate(ball(spacing), frames=1, size=(32, 32))
        assert picture.array.max() > 100
        (flown,) = fly(ball(spacing), [[20, 20, 1], [20, 20, 38]], frames=1, size=(32, 32), transfer="ct-bone")
        assert flown.array.max() > 50


def test_a_singular_affine_is_refused_at_any_scale() -> None:
    data = np.zeros((4, 4, 4), np.float32)
    flat = np.diag([1e-3, 1e-3, 1e-3, 1.0])
    flat[:3, 2] = flat[:3, 1]
    look = {"colors": [[0, 0, 0], [1, 1, 1]], "opacities": [0, 1], "window": (0, 1)}
    with pytest.raises(gk.errors.GeometryError, match="singular"):
        raycast(data, np.eye(4), (4, 4, 4), affine=flat, **look)
