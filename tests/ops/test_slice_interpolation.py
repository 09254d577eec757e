"""Labels between slices: against shapes whose outline between two slices is known."""

from __future__ import annotations

import numpy as np
import pytest

from gpukit.errors import InputError
from gpukit.ops.slice_interpolation import interpolated_slices


def disc(radius: float, *, center: tuple[float, float] = (32, 32), size: int = 64, spacing: float = 1.0) -> np.ndarray:
    j, i = np.mgrid[:size, :size]
    return np.hypot((i - center[0]) * spacing, (j - center[1]) * spacing) <= radius


def test_a_cone_stays_a_cone() -> None:
    """Radii of 20 and 8 mm give 14 mm half way, and 17 mm after a quarter: the distance of a disc is linear."""
    labels = np.stack([disc(20), disc(8)]).astype(np.uint8) * 3
    made = interpolated_slices(labels, (0, 1), (0.0, 0.25, 0.5, 1.0), spacing=(1, 1))
    np.testing.assert_array_equal(made[[0, 3]], labels)
    assert set(np.unique(made)) == {0, 3}
    for plane, radius in ((made[1], 17.0), (made[2], 14.0)):
        assert plane[disc(radius - 1.0)].all() and not plane[~disc(radius + 1.0)].any()  # to a pixel
        assert int((plane != 0).sum()) == pytest.approx(np.pi * radius**2, rel=0.05)


def test_pixels_need_not_be_square() -> None:
    """Columns 1 mm apart, rows 4 mm: an outline moves by millimetres, not by pixels."""
    narrow, wide = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    narrow[10:30, 18:22], wide[10:30, 10:30] = 1, 1  # 8 mm more to the left and right; as many rows
    (made,) = interpolated_slices(np.stack([narrow, wide]), (0, 1), (0.5,), spacing=(1, 4))
    assert made[12:28].any(axis=1).all() and not made[[8, 9, 30, 31]].any()
    assert made[20].nonzero()[0].tolist() == list(range(14, 26))


def test_what_only_one_slice_holds_reaches_half_the_way() -> None:
    labels = np.stack([disc(10), np.zeros((64, 64))]).astype(np.uint8)
    made = interpolated_slices(labels, (10, 14), (10, 11, 11.99, 12, 13, 14, 15), spacing=(1, 1))
    assert [bool(plane.any()) for plane in made] == [True, True, True, False, False, False, False]
    np.testing.assert_array_equal(made[1], labels[0])


def test_shapes_that_lie_apart_are_not_lost() -> None:
    labels = np.stack([disc(4, center=(10, 10)), disc(4, center=(50, 50))]).astype(np.uint8)
    made = interpolated_slices(labels, (0, 1), (0.3, 0.5, 0.7), spacing=(1, 1))
    np.testing.assert_array_equal(made, labels[[0, 0, 1]])


def test_neighbours_neither_overlap_nor_part() -> None:
    """Two labels that fill the slice side by side, with an edge that moves from column 20 to column 40."""
    i = np.arange(64)
    labels = np.stack([np.where(np.broadcast_to(i < edge, (64, 64)), 1, 2) for edge in (20, 40)]).astype(np.uint16)
    (made,) = interpolated_slices(labels, (0, 1), (0.5,), spacing=(1, 1))
    assert (made != 0).all()
    assert np.abs(np.argmax(made == 2, axis=1) - 30).max() <= 1


def test_places_must_ascend_and_be_as_many_as_slices() -> None:
    labels = np.zeros((2, 4, 4), np.uint8)
    for places in ((1, 0), (0, 0), (0, 1, 2)):
        with pytest.raises(InputError, match="do not ascend"):
            interpolated_slices(labels, places, (0.5,), spacing=(1, 1))
