"""Stacks of planes, sliding slabs, planes by two angles, masks: against what indexing by hand and brute force give."""

from __future__ import annotations

import numpy as np
import pytest
from support.phantoms import ALL_48, FIRST, SIZES, SPACING, numbered, painted, turned_grid, world

import gpukit as gk
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.geometry import Grid
from gpukit.rendering.mpr.masked import masked
from gpukit.rendering.mpr.view import turned_normal
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

AXIS = {"axial": 2, "coronal": 1, "sagittal": 0}


@pytest.mark.parametrize("direction", ALL_48[::5])
def test_a_stack_is_every_voxel_once_in_its_place(direction: np.ndarray) -> None:
    volume = painted(turned_grid(direction), numbered)
    for plane, made in zip(AXIS, gk.mpr(volume, planes=tuple(AXIS), stack=True), strict=True):
        assert made.grid.codes == {"axial": "LPS", "coronal": "LIP", "sagittal": "PIR"}[plane]
        assert made.array.dtype == np.int16
        assert np.array_equal(made.array, numbered(world(made.grid)))
        assert sorted(made.array.ravel()) == sorted(volume.array.ravel())


@pytest.mark.parametrize("plane", list(AXIS))
@pytest.mark.parametrize("every", [2, 3])
def test_every_so_many_planes_are_voxels_as_they_are(plane: str, every: int) -> None:
    volume = painted(turned_grid(ALL_48[17]), numbered)
    axis = AXIS[plane]
    (made,) = gk.mpr(volume, planes=(plane,), spacing=every * SPACING[axis])
    assert made.grid.shape[0] == (SIZES[axis] - 1) // every + 1
    assert made.grid.spacing[2] == pytest.approx(every * SPACING[axis])
    assert np.array_equal(made.array, numbered(world(made.grid)))


def test_another_spacing_is_interpolated_in_depth_only() -> None:
    grid = turned_grid(ALL_48[17])
    volume = painted(grid, lambda at: at[..., 0] + 2 * at[..., 1] - 4 * at[..., 2], "float64")
    (made,) = gk.mpr(volume, planes=("axial",), spacing="0.7mm")
    at = world(made.grid)
    assert made.grid.spacing == pytest.approx((2, 1, 0.7))
    low, high = FIRST[2], FIRST[2] + (SIZES[2] - 1) * SPACING[2]
    inside = (at[..., 2] >= low) & (at[..., 2] <= high)
    assert np.allclose(made.array[inside], (at[..., 0] + 2 * at[..., 1] - 4 * at[..., 2])[inside])
    # they fill the volume: the outer planes are less than one spacing from its outer faces
    assert at[0, 0, 0, 2] - (low - 1.5) < 0.7 and (high + 1.5) - at[-1, 0, 0, 2] < 0.7


@pytest.mark.parametrize(("method", "reduce"), [("mip", np.max), ("minip", np.min), ("mean", np.mean)])
@pytest.mark.parametrize("plane", list(AXIS))
def test_sliding_slabs_are_brute_force(method: str, reduce: object, plane: str) -> None:
    noise = np.random.default_rng(1).integers(-1000, 1000, tuple(SIZES[::-1])).astype(np.int16)
    volume = Volume(array=noise, grid=turned_grid(np.eye(3)))
    axis = AXIS[plane]
    made = gk.mip(volume, method=method, plane=plane, thickness=2.5 * SPACING[axis], spacing=SPACING[axis])
    along = {"axial": 0, "coronal": 1, "sagittal": 2}[plane]
    moved = np.moveaxis(noise, along, 0)
    if plane != "axial":
        moved = moved[:, ::-1]  # the head on top
    if plane == "sagittal":
        moved = moved[::-1]  # away from the viewer on the left
    for k in range(made.grid.shape[0]):
        near = moved[max(0, k - 1) : k + 2]
        if method == "mean":  # of the slices beside the middle one, three quarters lie in the slab
            shares = [1.0 if n == k else 0.75 for n in range(max(0, k - 1), min(len(moved), k + 2))]
            assert np.allclose(made.array[k], np.average(near, axis=0, weights=shares), rtol=1e-12)
        else:
            assert np.array_equal(made.array[k], reduce(near, axis=0))  # type: ignore[operator]
    assert made.metadata["SliceThickness"] == pytest.approx(2.5 * SPACING[axis])


def test_oblique_sliding_slabs_hold_a_bright_voxel_where_it_is() -> None:
    q, _ = np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))
    grid = Grid.from_axes((20, 24, 28), spacing=(0.8, 0.9, 1.7), direction=q * np.sign(np.linalg.det(q)))
    array = np.zeros(grid.shape, np.int16)
    array[6, 17, 20] = 1000
    volume = Volume(array=array, grid=grid)
    made = gk.mip(volume, normal=(1, 0.5, 0.3), thickness=4, spacing=2, interpolation="nearest")
    found = np.argwhere(made.array == 1000)
    # the middle of what is bright is the voxel: half a pixel, and slabs of 4 mm that slide by 2
    assert np.linalg.norm(made.grid.to_world(found.mean(axis=0)[::-1]) - grid.to_world((20, 17, 6))) < 1.5
    assert 2 <= len(set(found[:, 0])) <= 4  # voxels of up to 1.7 mm in slabs of 4 mm, 2 mm apart
    (planes,) = gk.mpr(volume, normal=(1, 0.5, 0.3), spacing=2, interpolation="nearest")
    assert planes.grid.spacing == pytest.approx((0.8, 0.8, 2))
    assert np.allclose(planes.grid.direction, made.grid.direction)


def test_two_angles_tip_and_turn_away_from_the_viewer() -> None:
    # axial, seen from the feet: up is the front, right is the patient's left, away is the head
    assert turned_normal("axial", (0, 0)) == pytest.approx([0, 0, 1])
    tip = turned_normal("axial", (30, 0))
    edge = np.array([0, -np.cos(np.pi / 6), np.sin(np.pi / 6)])  # the front edge went towards the head
    assert tip @ edge == pytest.approx(0) and tip @ [1, 0, 0] == 0
    turn = turned_normal("axial", (0, 30))
    edge = np.array([np.cos(np.pi / 6), 0, np.sin(np.pi / 6)])  # the left edge went towards the head
    assert turn @ edge == pytest.approx(0) and turn @ [0, 1, 0] == 0
    both = turned_normal("coronal", (20, -35))  # coronal: up is the head, away is the back
    up = np.array([0, np.sin(np.radians(20)), np.cos(np.radians(20))])
    assert both @ up == pytest.approx(0)
    assert np.linalg.norm(both) == pytest.approx(1)
    assert turned_normal("axial", (90, 0)) == pytest.approx([0, 1, 0])  # coronal


def test_planes_by_angles_are_planes_by_normal() -> None:
    volume = painted(turned_grid(ALL_48[30]), numbered, "float64")
    (one,) = gk.mpr(volume, planes=("sagittal",), angles=(25, -15))
    (other,) = gk.mpr(volume, normal=turned_normal("sagittal", (25, -15)), frame="patient")
    assert one.grid.same_as(other.grid)
    assert np.array_equal(one.array, other.array, equal_nan=True)
    side = gk.mip(volume, plane="coronal", angles=(10, 10), thickness=3)
    assert side.grid.same_as(
        gk.mip(volume, normal=turned_normal("coronal", (10, 10)), frame="patient", thickness=3).grid
    )


# --- masks ------------------------------------------------------------------------------------------------------------


def region(grid: Grid, inside: np.ndarray) -> Segmentation:
    label = Label(1, "part", ("123037004", "SCT", "Anatomical Structure"), ("85756007", "SCT", "Tissue"))
    return Segmentation(array=inside.astype(np.uint8), grid=grid, labels=(label,))


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("method", ["mip", "minip", "mean"])
def test_only_the_inside_of_a_mask_is_projected(kind: str, full: bool, method: str) -> None:
    rng = np.random.default_rng(2)
    array = rng.integers(20, 200, (9, 8, 7)).astype(kind)
    if full and kind != "float32":  # no value is left to mark with
        array.flat[0], array.flat[1] = np.iinfo(kind).min, np.iinfo(kind).max
    inside = rng.random(array.shape) < 0.3
    inside[:, 2, 3] = False
    grid = Grid.from_axes(array.shape)
    made = gk.mip(masked(Volume(array=array, grid=grid), region(grid, inside)), method=method)
    held = np.where(inside, array.astype(float), np.nan)
    empty = np.isnan(held).all(axis=0)
    reduce = {"mip": np.nanmax, "minip": np.nanmin, "mean": np.nanmean}[method]
    wanted = reduce(np.where(empty, 0.0, held), axis=0)
    got = made.array[0].astype(float)
    assert np.allclose(got[~empty], wanted[~empty], rtol=1e-6)
    nothing = (
        np.isnan(got) if made.padding is None else np.isnan(got) | ((got >= made.padding[0]) & (got <= made.padding[1]))
    )
    assert np.array_equal(nothing, empty)


def test_padding_stays_padding_inside_a_mask() -> None:
    array = np.full((4, 5, 6), 50, np.int16)
    array[:2] = -2000
    grid = Grid.from_axes(array.shape)
    volume = Volume(array=array, grid=grid, padding=(-2000, -2000))
    made = gk.mip(masked(volume, region(grid, np.ones(array.shape))), method="minip")
    assert (made.array == 50).all()
    with pytest.raises(SelectionError, match="no voxel"):
        masked(volume, region(grid, np.zeros(array.shape)))
    with pytest.raises(GeometryError, match="another grid"):
        masked(volume, region(Grid.from_axes(array.shape, spacing=(2, 1, 1)), np.ones(array.shape)))


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "arguments", "word"),
    [
        (gk.mpr, {"angles": (10, 20)}, "one plane"),
        (gk.mpr, {"planes": ("axial",), "angles": (10, 120)}, "-90 to 90"),
        (gk.mpr, {"planes": ("axial",), "angles": (10,)}, "two angles"),
        (gk.mpr, {"planes": ("axial",), "angles": (10, 20), "normal": (1, 0, 0)}, "exclude"),
        (gk.mpr, {"stack": True, "point": (1, 1, 1)}, "all planes"),
        (gk.mpr, {"spacing": "0mm"}, "positive"),
        (gk.mip, {"spacing": "2mm"}, "thickness"),
        (gk.mip, {"spacing": "2mm", "thickness": 4, "point": (1, 1, 1)}, "point"),
        (gk.mpr, {"normal": (0.2, 0.1, 1), "spacing": 1e-9}, "too large"),
    ],
)
def test_bad_arguments_are_told_apart(function: object, arguments: dict[str, object], word: str) -> None:
    volume = painted(turned_grid(np.eye(3)), numbered)
    with pytest.raises(InputError, match=word):
        function(volume, **arguments)  # type: ignore[operator]
