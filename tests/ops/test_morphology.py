"""Morphology on every backend, against SciPy; radii and spacings in mm."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.ndimage as nd

from gpukit.errors import InputError
from gpukit.ops.morphology import close, dilate, distance, erode, fill_holes, open_

SHAPES = [(1, 1, 1), (1, 9, 11), (13, 1, 7), (7, 17, 19), (14, 18), (40,)]
#: by index i, j, k: anisotropic, as CT is
SPACING = (0.7, 0.9, 3.0)


def ball(radius: float, spacing: tuple[float, ...]) -> np.ndarray:
    """All offsets (by array axis) whose length is at most the radius, straight from the definition."""
    sizes = spacing[::-1]
    reach = [int(radius / s + 1e-9) for s in sizes]
    offsets = itertools.product(*(range(-r, r + 1) for r in reach))
    inside = [
        sum((o * s) ** 2 for o, s in zip(offset, sizes, strict=True)) <= radius**2 * (1 + 1e-9) for offset in offsets
    ]
    return np.array(inside).reshape([2 * r + 1 for r in reach])


@pytest.mark.parametrize("radius", [0, 0.5, 0.7, 2.1, 3.0, 5.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_ball_in_millimetres(lib, rng, shape, radius):
    spacing = SPACING[: len(shape)]
    element = ball(radius, spacing)
    by = {"radius_mm": radius, "spacing": spacing}
    for share in (0.02, 0.5, 0.97):
        mask = rng.random(shape) < share
        np.testing.assert_array_equal(lib(dilate, mask, **by), nd.binary_dilation(mask, element))
        # beyond the array everything is inside, so that a shape does not shrink from the cut
        np.testing.assert_array_equal(lib(erode, mask, **by), nd.binary_erosion(mask, element, border_value=1))


@pytest.mark.parametrize("shape", [s for s in SHAPES if len(s) == 3])
def test_a_structuring_element(lib, rng, shape):
    element = rng.random((3, 5, 3)) < 0.4  # not symmetric: a mirrored element would show
    mask = rng.random(shape) < 0.3
    np.testing.assert_array_equal(lib(dilate, mask, structure=element), nd.binary_dilation(mask, element))
    solid = rng.random(shape) < 0.9
    np.testing.assert_array_equal(
        lib(erode, solid, structure=element), nd.binary_erosion(solid, element, border_value=1)
    )
    framed = np.pad(mask, 6)  # with room around it, opening and closing have no border to argue about
    np.testing.assert_array_equal(lib(open_, framed, structure=element), nd.binary_opening(framed, element))
    np.testing.assert_array_equal(lib(close, framed, structure=element), nd.binary_closing(framed, element))


def test_opening_takes_away_and_closing_adds(lib, rng):
    mask = nd.gaussian_filter(rng.normal(size=(9, 30, 30)), 2) > 0
    by = {"radius_mm": 2.5, "spacing": (1.0, 1.0, 2.0)}
    opened, closed = lib(open_, mask, **by), lib(close, mask, **by)
    assert not (opened & ~mask).any() and not (mask & ~closed).any()
    assert opened.sum() < mask.sum() < closed.sum()
    np.testing.assert_array_equal(lib(open_, opened, **by), opened)
    np.testing.assert_array_equal(lib(close, closed, **by), closed)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), SPACING, (3.3, 0.5, 0.5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_distance(lib, rng, shape, spacing):
    spacing = spacing[: len(shape)]
    for share in (0.5, 0.95, 0.995):
        mask = rng.random(shape) < share
        mask.flat[mask.size // 2] = False
        found = lib(distance, mask, spacing=spacing)
        assert found.dtype == np.float32
        # float32 result: half a unit in the last place, 6e-8
        np.testing.assert_allclose(found, nd.distance_transform_edt(mask, sampling=spacing[::-1]), rtol=2e-7)


def test_distance_far_from_anything(lib):
    mask = np.ones((20, 30, 40), bool)
    mask[0, 0, 0] = False
    np.testing.assert_allclose(
        lib(distance, mask, spacing=SPACING), nd.distance_transform_edt(mask, sampling=SPACING[::-1]), rtol=2e-7
    )
    assert np.isinf(lib(distance, np.ones((3, 4, 5), bool), spacing=SPACING)).all()
    assert not lib(distance, np.zeros((3, 4, 5), bool), spacing=SPACING).any()


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_fill_holes(lib, rng, shape, connectivity):
    mask = rng.random(shape) < 0.7
    structure = nd.generate_binary_structure(len(shape), min(connectivity, len(shape)))
    np.testing.assert_array_equal(
        lib(fill_holes, mask, connectivity=connectivity), nd.binary_fill_holes(mask, structure)
    )


def test_masks_of_other_types(lib, rng):
    mask = (rng.random((5, 9, 8)) < 0.3) * 3
    wanted = nd.binary_dilation(mask, ball(1.0, (1.0, 1.0, 1.0)))
    for dtype in ("uint8", "uint16", "int16", "float32"):
        found = lib(dilate, mask.astype(dtype)[::-1], radius_mm=1.0, spacing=(1, 1, 1))
        assert found.dtype == np.bool_
        np.testing.assert_array_equal(found, wanted[::-1])


def test_wrong_arguments(lib):
    mask = np.ones((3, 4, 5), bool)
    for bad in (
        {},
        {"radius_mm": 1.0},
        {"radius_mm": -1.0, "spacing": SPACING},
        {"radius_mm": 1.0, "spacing": (1.0, 1.0)},
        {"radius_mm": 1.0, "spacing": (1.0, 1.0, 0.0)},
        {"radius_mm": float("nan"), "spacing": SPACING},
        {"structure": np.ones((2, 3, 3))},
        {"structure": np.ones((3, 3))},
        {"radius_mm": 1.0, "spacing": SPACING, "structure": np.ones((3, 3, 3))},
    ):
        with pytest.raises(InputError):
            lib(dilate, mask, **bad)
