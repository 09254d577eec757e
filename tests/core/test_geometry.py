"""The grid: where voxels lie, whatever is done to it."""

from __future__ import annotations

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpukit.errors import GeometryError
from gpukit.geometry import LPS_RAS, Grid, axis_codes, reorientation

#: All 48 ways to name three axes.
ORIENTATIONS = ["".join(letters) for order in permutations(("RL", "AP", "IS")) for letters in product(*order)]
#: mm: float64 at coordinates of some thousand, through a 3 x 3 inverse.
CLOSE = 1e-8


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Oblique, either handedness, anisotropic, odd sizes."""
    matrix = np.eye(3)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        angle = draw(st.floats(-3.2, 3.2))
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    affine = np.eye(4)
    spacing = draw(st.tuples(*[st.floats(0.1, 10)] * 3))
    affine[:3, :3] = matrix * spacing * np.array([draw(st.sampled_from([1, -1])), 1, 1])
    affine[:3, 3] = draw(st.tuples(*[st.floats(-1000, 1000)] * 3))
    return Grid(draw(st.tuples(*[st.integers(1, 40)] * 3)), affine)


@given(grids(), st.tuples(*[st.floats(-50, 50)] * 3))
def test_world_and_index_are_inverse(grid: Grid, point: tuple[float, float, float]) -> None:
    assert grid.to_index(grid.to_world(point)) == pytest.approx(point, abs=CLOSE)


def test_index_zero_is_the_centre_of_the_first_voxel_and_i_runs_along_the_row() -> None:
    grid = Grid.from_axes((2, 3, 4), spacing=(0.5, 0.7, 3.0), origin=(10, 20, 30))
    assert grid.to_world((0, 0, 0)).tolist() == [10, 20, 30]
    assert grid.to_world((1, 0, 0)).tolist() == [10.5, 20, 30]
    assert grid.to_world((0, 0, 1)).tolist() == [10, 20, 33]


@given(grids())
def test_codes_are_nibabels(grid: Grid) -> None:
    expected = "".join(nibabel.aff2axcodes(grid.ras_affine))
    cosines = np.abs(grid.direction)
    # Where two directions are nearly as close, or two axes are closest to the same one, several names are right; the
    # joint best and nibabel's, which goes axis by axis, may then differ.
    clear = np.sort(cosines, axis=0)[-1].min() - np.sort(cosines, axis=0)[-2].max() > 1e-3
    if clear and len(set(cosines.argmax(axis=0))) == 3:
        assert grid.codes == expected


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_reoriented_moves_no_voxel(codes: str) -> None:
    rotation, _ = np.linalg.qr(np.array([[1, 0.2, 0.1], [-0.3, 1, 0.2], [0.1, -0.1, 1.0]]))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation * (0.5, 0.8, 3.0), (-7, 11, 13)
    grid = Grid((2, 3, 4), affine)
    new, axes, flips = grid.reoriented(codes)
    assert new.codes == codes
    values = np.arange(24).reshape(2, 3, 4)
    moved = values.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    assert moved.shape == new.shape
    for k, j, i in np.ndindex(*new.shape):
        old = np.rint(grid.to_index(new.to_world((i, j, k)))).astype(int)
        assert grid.to_world(old) == pytest.approx(new.to_world((i, j, k)), abs=CLOSE)
        assert values[old[2], old[1], old[0]] == moved[k, j, i]


@given(grids(), st.sampled_from(ORIENTATIONS))
def test_reoriented_there_and_back_is_the_same_grid(grid: Grid, codes: str) -> None:
    assert grid.reoriented(codes)[0].reoriented(grid.codes)[0].same_as(grid, tolerance=CLOSE * 10)


@given(grids(), st.tuples(*[st.floats(0.1, 10)] * 3))
def test_with_spacing_keeps_the_first_face_and_the_field_of_view(
    grid: Grid, spacing: tuple[float, float, float]
) -> None:
    new = grid.with_spacing(spacing)
    assert new.spacing == pytest.approx(spacing, rel=1e-9)
    # the outer corner of the first voxel stays where it was
    assert new.to_world((-0.5, -0.5, -0.5)) == pytest.approx(grid.to_world((-0.5, -0.5, -0.5)), abs=1e-7)
    for old_size, old_step, size, step in zip(
        grid.shape[::-1], grid.spacing, new.shape[::-1], new.spacing, strict=True
    ):
        assert size == 1 or abs(size * step - old_size * old_step) <= step / 2 + 1e-6


@given(grids(), st.tuples(*[st.integers(-5, 30)] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_crop_begins_where_it_says(grid: Grid, start: tuple[int, int, int], shape: tuple[int, int, int]) -> None:
    part = grid.crop(start, shape)
    assert part.shape == shape
    assert part.to_world((0, 0, 0)) == pytest.approx(grid.to_world(start[::-1]), abs=CLOSE)
    assert part.to_world((1, 2, 3)) == pytest.approx(grid.to_world(np.add(start[::-1], (1, 2, 3))), abs=CLOSE)


@given(grids(), grids(), st.tuples(*[st.floats(-20, 20)] * 3))
def test_matrix_from_another_grid_names_the_same_place(
    grid: Grid, other: Grid, point: tuple[float, float, float]
) -> None:
    index = grid.matrix_from(other) @ (*point, 1)
    # voxels of 0.1 mm a thousand mm away: the index loses what the position gains
    assert grid.to_world(index[:3]) == pytest.approx(other.to_world(point), abs=1e-6)


@given(grids())
def test_ras_and_lps_differ_by_two_signs(grid: Grid) -> None:
    assert np.array_equal(grid.ras_affine, LPS_RAS @ grid.affine)
    assert np.array_equal(Grid.from_ras(grid.shape, grid.ras_affine).affine, grid.affine)


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((0, 1, 1), np.eye(4)),
        ((1, 1), np.eye(4)),
        ((1, 1, 1), np.diag([1, 1, 0, 1])),
        ((1, 1, 1), np.diag([1, 1, np.nan, 1])),
        ((1, 1, 1), np.ones((4, 4))),
        ((1, 1, 1), np.eye(3)),
    ],
)
def test_no_grid_without_three_axes(shape: tuple[int, ...], affine: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        Grid(shape, affine)  # type: ignore[arg-type]


def test_affine_can_not_be_changed_behind_the_grid() -> None:
    source = np.eye(4)
    grid = Grid((1, 1, 1), source)
    source[0, 3] = 99
    assert grid.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 1


@pytest.mark.parametrize("codes", ["", "RA", "RAX", "RLA", "RRS"])
def test_no_orientation_without_one_letter_of_each_pair(codes: str) -> None:
    with pytest.raises(GeometryError, match="R/L"):
        reorientation(np.eye(4), codes)


def test_axis_codes_of_a_plain_axial_stack() -> None:
    assert axis_codes(np.eye(4)) == "LPS"
    assert axis_codes(LPS_RAS) == "RAS"
