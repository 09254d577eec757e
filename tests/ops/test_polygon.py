"""Polygon masks: every backend against rational arithmetic, and what a user counts on."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpukit.errors import InputError
from gpukit.ops.polygon import points_in_polygon, polygon_mask


def exactly(rings, shape):
    """Even-odd by rational numbers: how many edges, half open in y, pass at or left of each centre."""
    out = np.zeros(shape, bool)
    for j, i in np.ndindex(shape):
        for ring in rings:
            for (ax, ay), (bx, by) in zip(ring, ring[1:] + ring[:1], strict=True):
                ax, ay, bx, by = map(Fraction, (ax, ay, bx, by))
                if (ay <= j) != (by <= j) and ax + (j - ay) * (bx - ax) / (by - ay) <= i:
                    out[j, i] ^= True
    return out


quarters = st.integers(-12, 48).map(lambda n: n / 4)
rings = st.lists(st.tuples(quarters, quarters), min_size=3, max_size=8, unique=True)


@settings(max_examples=40)
@given(st.lists(rings, min_size=1, max_size=3))
def test_reference_and_kernel_follow_the_rule_exactly(found):
    frame = np.zeros((9, 11), np.int16)
    want = exactly(found, frame.shape)
    np.testing.assert_array_equal(polygon_mask(frame, found), want)
    np.testing.assert_array_equal(polygon_mask.reference(frame, found), want)


@settings(max_examples=40)
@given(rings, st.floats(-3, 3), st.floats(0.1, 3))
def test_any_real_corners(found, shift, scale):
    moved = [(x * scale + shift, y * scale + shift / 3) for x, y in found]
    frame = np.zeros((9, 11), np.int16)
    np.testing.assert_array_equal(polygon_mask(frame, [moved]), exactly([moved], frame.shape))


@pytest.mark.parametrize("kind", ["uint8", "int16", "float32"])
def test_every_backend(lib, kind):
    star = [
        (5 + (4.5 if n % 2 else 2) * np.cos(n * 0.6), 5 + (4.5 if n % 2 else 2) * np.sin(n * 0.6)) for n in range(10)
    ]
    data = np.zeros((3, 12, 14), kind)
    found = lib(polygon_mask, data, [star])
    assert found.shape == (12, 14)
    np.testing.assert_array_equal(found, exactly([star], (12, 14)))


def test_a_rectangle_has_its_width_times_its_height():
    frame = np.zeros((10, 12))
    found = polygon_mask(frame, [[(2, 3), (7, 3), (7, 5), (2, 5)]])
    assert np.argwhere(found).min(axis=0).tolist() == [3, 2]  # row 3, column 2: the corner's own pixel
    assert np.argwhere(found).max(axis=0).tolist() == [4, 6]
    assert found.sum() == 5 * 2


@settings(max_examples=40)
@given(st.tuples(quarters, quarters), st.tuples(quarters, quarters))
def test_parts_of_a_divided_square_cover_it_once(one, two):
    # Whatever the point within and the cut, each centre of the square belongs to exactly one triangle.
    inner = (min(max(one[0], 0.25), 7.75), min(max(two[1], 0.25), 7.75))
    corners = [(0, 0), (8, 0), (8, 8), (0, 8)]
    frame = np.zeros((12, 12))
    parts = [polygon_mask(frame, [[a, b, inner]]) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    np.testing.assert_array_equal(np.sum(parts, axis=0), polygon_mask(frame, [corners]).astype(int))


def test_a_hole_is_the_same_by_a_second_ring_and_by_a_keyhole():
    outer, inner = [(1, 1), (9, 1), (9, 9), (1, 9)], [(3, 3), (6, 3), (6, 7), (3, 7)]
    frame = np.zeros((11, 11))
    keyhole = [(1, 1), (3, 3), *inner[::-1][:3], (3, 3), (1, 1), *outer[1:]]
    two = polygon_mask(frame, [outer, inner])
    assert two.sum() == 64 - 12
    np.testing.assert_array_equal(polygon_mask(frame, [keyhole]), two)


def test_direction_start_and_closing_point_do_not_matter():
    ring = [(0.5, 0.25), (8.25, 2), (6, 9.5), (2.75, 6)]
    frame = np.zeros((11, 11))
    want = polygon_mask(frame, [ring])
    for same in (ring[::-1], ring[2:] + ring[:2], [*ring, ring[0]]):
        np.testing.assert_array_equal(polygon_mask(frame, [same]), want)


def test_a_polygon_outside_or_around_the_frame():
    frame = np.zeros((4, 5))
    assert not polygon_mask(frame, [[(-9, -9), (-2, -9), (-2, -1)]]).any()
    assert polygon_mask(frame, [[(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)]]).all()


@pytest.mark.parametrize(
    "wrong", [[(0, 0), (1, 1)], [(0, 0), (1, 1), (0, 0)], [(0, 0), (1, np.nan), (2, 2)], [1, 2, 3]]
)
def test_what_is_no_polygon(wrong):
    with pytest.raises(InputError):
        polygon_mask(np.zeros((3, 3)), [wrong])


def test_points_between_centres():
    ring = [(0.0, 0.0), (4.0, 0.0), (4.0, 3.0), (2.0, 5.0), (0.0, 3.0)]
    points = np.array([(0.5, 0.5), (2, 4.9), (2, 5.1), (3.5, 3.6), (-0.1, 1), (4.0, 1.0), (0.0, 1.0)])
    assert points_in_polygon(points, [ring]).tolist() == [True, True, False, False, False, False, True]
