"""Planes and projections: left is left in every orientation, voxels stay what they are, padding takes no part."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st
from support.phantoms import ALL_48, FIRST, SIZES, SPACING, numbered, painted, turned_grid, world

import gpukit as gk
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.geometry import Grid
from gpukit.volume import Volume

NX, NY, NZ = (int(n) for n in SIZES)


def expected(plane: str, x: int = NX // 2, y: int = NY // 2, z: int = NZ // 2) -> np.ndarray:
    """The radiological convention, written down by hand: what stands in each row and column of a picture."""
    left, back, up = np.arange(NX), np.arange(NY), np.arange(NZ)
    if plane == "axial":  # columns to the patient's left, rows to the back
        return 100 * left[None, :] + 10 * back[:, None] + z
    if plane == "coronal":  # columns to the patient's left, the head on top
        return 100 * left[None, :] + 10 * y + up[::-1][:, None]
    return 100 * x + 10 * back[None, :] + up[::-1][:, None]  # sagittal: the front on the left, the head on top


@pytest.mark.parametrize("direction", ALL_48, ids=lambda d: "".join(str(int(v)) for v in d.ravel()))
def test_all_48_orientations_give_the_same_pictures(direction: np.ndarray) -> None:
    volume = painted(turned_grid(direction), numbered)
    for plane, picture in zip(
        ("axial", "coronal", "sagittal"), gk.mpr(volume, planes=("axial", "coronal", "sagittal")), strict=True
    ):
        assert picture.array.dtype == np.int16
        assert np.array_equal(picture.array[0], expected(plane)), plane
        # and every pixel says where in the patient it is
        assert np.array_equal(numbered(world(picture.grid)), picture.array)
    for plane, top in (("axial", {"z": NZ - 1}), ("coronal", {"y": NY - 1}), ("sagittal", {"x": NX - 1})):
        assert np.array_equal(gk.mip(volume, plane=plane).array[0], expected(plane, **top))
        assert np.array_equal(
            gk.mip(volume, plane=plane, method="minip").array[0], expected(plane, **dict.fromkeys(top, 0))
        )


@pytest.mark.parametrize("direction", ALL_48[::7])
def test_slices_are_counted_away_from_the_viewer(direction: np.ndarray) -> None:
    volume = painted(turned_grid(direction), numbered)
    for plane, name, number, count in (("axial", "z", 1, NZ), ("coronal", "y", 2, NY), ("sagittal", "x", 1, NX)):
        wanted = number if plane != "sagittal" else count - 1 - number  # sagittal counts from the patient's left
        (picture,) = gk.mpr(volume, planes=(plane,), slice=number)
        assert np.array_equal(picture.array[0], expected(plane, **{name: wanted}))
        axis = "xyz".index(name)
        (same,) = gk.mpr(volume, planes=(plane,), position=FIRST[axis] + wanted * SPACING[axis] + 0.3)
        assert np.array_equal(same.array, picture.array)


def test_slab_holds_the_planes_whose_centres_lie_in_it() -> None:
    volume = painted(turned_grid(np.eye(3)), numbered)
    # planes are 3 mm apart: 6 mm around plane 2 have the centers of 1 and 2, and that of 3 on the far face
    (slab,) = gk.mpr(volume, planes=("axial",), thickness="6mm")
    assert np.array_equal(slab.array[0], expected("axial", z=2))
    (mean,) = gk.mpr(volume, planes=("axial",), thickness=6, slab="mean")
    assert np.array_equal(mean.array[0], expected("axial", z=2))
    (low,) = gk.mpr(volume, planes=("axial",), thickness=6, slab="minip")
    assert np.array_equal(low.array[0], expected("axial", z=1))
    assert low.grid.spacing == pytest.approx((2, 1, 6))
    (thin,) = gk.mpr(volume, planes=("axial",), thickness=0.5, slice=1)
    assert np.array_equal(thin.array[0], expected("axial", z=1))


@pytest.mark.parametrize("count", [9, 10])
@pytest.mark.parametrize("thickness", [1, 2, 3, 4, 5])
def test_a_slab_is_as_thick_as_it_says_in_even_and_odd_stacks(count: int, thickness: int) -> None:
    """Slices of 1 mm with the values k^2: a mean is the integral over the slab, a maximum that of so many slices."""
    values = np.broadcast_to((np.arange(count, dtype=np.float32) ** 2)[:, None, None], (count, 2, 2))
    volume = gk.Volume(array=values, grid=Grid.from_axes((count, 2, 2)))
    low, high = (count - 1) / 2 - thickness / 2, (count - 1) / 2 + thickness / 2  # faces of the slab, in slices
    shares = np.clip(np.minimum(high, np.arange(count) + 0.5) - np.maximum(low, np.arange(count) - 0.5), 0, 1)
    (mean,) = gk.mpr(volume, planes=("axial",), thickness=thickness, slab="mean")
    assert float(mean.array[0, 0, 0]) == pytest.approx((shares * np.arange(count) ** 2).sum() / thickness)
    (most,) = gk.mpr(volume, planes=("axial",), thickness=thickness, slab="mip")
    (least,) = gk.mpr(volume, planes=("axial",), thickness=thickness, slab="minip")
    assert most.array[0, 0, 0] ** 0.5 - least.array[0, 0, 0] ** 0.5 + 1 == thickness
    for slab in (mean, most, least):
        assert slab.grid.spacing[2] == pytest.approx(thickness)
    assert mean.grid.to_world((0, 0, 0))[2] == pytest.approx((count - 1) / 2)


def test_padding_takes_no_part_in_a_mean_with_shares() -> None:
    values = np.array([10, -5, 30, 40], np.int16).reshape(4, 1, 1)
    volume = gk.Volume(array=values, grid=Grid.from_axes((4, 1, 1)), padding=(-5.0, -5.0))
    (slab,) = gk.mpr(volume, planes=("axial",), thickness=3, slab="mean")  # half of 0 and 3, all of 1 and 2
    assert float(slab.array[0, 0, 0]) == pytest.approx((0.5 * 10 + 30 + 0.5 * 40) / 2)


def rotation(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def linear(at: np.ndarray) -> np.ndarray:
    return at[..., 0] + 2 * at[..., 1] - 4 * at[..., 2]


@given(seed=st.integers(0, 10**6), plane=st.sampled_from(["axial", "coronal", "sagittal"]))
def test_oblique_acquisition_is_shown_in_the_patients_frame(seed: int, plane: str) -> None:
    """Trilinear interpolation of a linear function is exact, so each pixel must hold its own place's value."""
    grid = Grid.from_axes((12, 14, 16), spacing=(1.5, 1, 2), origin=(5, -7, 40), direction=rotation(seed))
    volume = painted(grid, linear, "float64")
    (picture,) = gk.mpr(volume, planes=(plane,))
    assert picture.grid.codes == {"axial": "LPS", "coronal": "LIP", "sagittal": "PIR"}[plane]
    assert np.allclose(np.sort(np.abs(picture.grid.direction), axis=0), [[0] * 3, [0] * 3, [1] * 3], atol=1e-9)
    index = grid.to_index(world(picture.grid))
    inside = ((index > 0.01) & (index < np.array([15, 13, 11]) - 0.01)).all(axis=-1)
    assert inside.any()
    # 1e-9 of values up to some hundred is the rounding of float64
    assert np.allclose(picture.array[inside], linear(world(picture.grid))[inside], atol=1e-8)
    beyond = ((index < -0.51) | (index > np.array([15, 13, 11]) + 0.51)).any(axis=-1)
    assert np.isnan(picture.array[beyond]).all()
    # the picture is as large as what is cut, and no larger: the outermost rows and columns show something
    shown = ~np.isnan(picture.array[0])
    assert shown[:2].any() and shown[-2:].any() and shown[:, :2].any() and shown[:, -2:].any()


@pytest.mark.parametrize("normal", [(1, 0.5, 0.3), (0.1, 0.2, -1), (0.2, -1, 0.1)])
def test_oblique_plane_against_simpleitk(normal: tuple[float, float, float]) -> None:
    grid = Grid.from_axes((20, 24, 28), spacing=(0.8, 0.9, 1.7), origin=(5, -7, 40), direction=rotation(3))
    noise = np.random.default_rng(0).normal(size=grid.shape)
    volume = Volume(array=noise, grid=grid)
    (picture,) = gk.mpr(volume, normal=normal, point=(13, 11, 9))
    image = SimpleITK.GetImageFromArray(noise)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction.ravel().tolist())
    theirs = SimpleITK.GetArrayFromImage(
        SimpleITK.Resample(
            image, picture.grid.shape[::-1], SimpleITK.Transform(), SimpleITK.sitkLinear, picture.grid.origin,
            picture.grid.spacing, picture.grid.direction.ravel().tolist(), 99.0, SimpleITK.sitkFloat64,
        )
    )  # fmt: skip
    shown = ~np.isnan(picture.array)
    # both count half a voxel beyond the outer centres as inside; a pixel on the very edge may fall either way
    assert (shown != (theirs != 99.0)).mean() < 0.002
    both = shown & (theirs != 99.0)
    assert np.allclose(picture.array[both], theirs[both], atol=1e-9)
    # the plane goes through the point, across the normal
    n = grid.direction @ np.array(normal)
    assert abs(np.dot(picture.grid.to_world((3, 5, 0)) - grid.to_world((13, 11, 9)), n)) < 1e-9


def test_the_sign_of_a_normal_does_not_turn_the_picture_over() -> None:
    volume = painted(turned_grid(ALL_48[5]), numbered, "float64")
    one, other = (gk.mpr(volume, normal=n, frame="patient")[0] for n in ((0.3, -0.2, 1), (-0.3, 0.2, -1)))
    assert one.grid.same_as(other.grid)
    assert np.array_equal(one.array, other.array, equal_nan=True)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_normals_along_the_patient_are_the_named_planes(plane: str) -> None:
    volume = painted(turned_grid(ALL_48[13]), numbered, "float64")
    normal = {"axial": (0, 0, 1), "coronal": (0, 1, 0), "sagittal": (1, 0, 0)}[plane]
    (oblique,) = gk.mpr(volume, normal=normal, frame="patient")
    (named,) = gk.mpr(volume, planes=(plane,))
    assert np.allclose(oblique.grid.direction, named.grid.direction, atol=1e-12)
    assert np.allclose(numbered(world(named.grid)), named.array)


def test_pixels_for_display_are_square_and_stay_in_place() -> None:
    volume = painted(turned_grid(np.eye(3)), linear, "float64")
    (picture,) = gk.mpr(volume, planes=("coronal",), square=True)
    assert picture.grid.spacing[:2] == pytest.approx((2, 2))  # voxels of 2 x 3 mm
    assert picture.array.shape[1:] == (8, 7)  # 5 x 3 mm make 7.5, 7 x 2 mm stay
    inner = np.s_[:, 1:-1, :]
    assert np.allclose(picture.array[inner], linear(world(picture.grid))[inner])


def test_padding_takes_no_part() -> None:
    array = np.full((4, 6, 8), 100, np.int16)
    array[:, :, :4] = -2000
    array[2, :, :2] = 7
    volume = Volume(array=array, grid=Grid.from_axes((4, 6, 8)), padding=(-2000, -2000), unit="HU")
    low = gk.mip(volume, method="minip").array[0]
    assert (low[:, :2] == 7).all() and (low[:, 2:4] == -2000).all() and (low[:, 4:] == 100).all()
    assert (gk.mip(volume, method="mean").array[0][:, :2] == 7).all()
    (tilted,) = gk.mpr(volume, normal=(0.2, 0.1, 1))
    shown = tilted.array[~np.isnan(tilted.array)]
    assert shown.min() >= 7 and shown.max() <= 100
    slab = gk.mip(volume, normal=(0.2, 0.1, 1), method="minip")
    assert set(np.unique(slab.array)) <= {-2000, *range(7, 101)}


def test_oblique_projection_finds_a_bright_voxel_where_it_is() -> None:
    grid = Grid.from_axes((20, 24, 28), spacing=(0.8, 0.9, 1.7), direction=rotation(8))
    array = np.zeros(grid.shape, np.int16)
    array[6, 17, 20] = 1000
    picture = gk.mip(Volume(array=array, grid=grid), normal=(1, 0.5, 0.3), interpolation="nearest")
    rows = np.argwhere(picture.array[0] == 1000)
    at = picture.grid.to_world([*rows.mean(axis=0)[::-1], 0])
    miss = at - grid.to_world((20, 17, 6))
    away = picture.grid.direction[:, 2]
    assert np.linalg.norm(miss - (miss @ away) * away) < 1.0  # half a voxel


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        ({"planes": ("axial",), "position": 500}, GeometryError, "does not meet"),
        ({"normal": (1, 1, 1), "point": (90, 90, 90)}, GeometryError, "90,90,90"),
        ({"normal": (0, 0, 0)}, InputError, "normal"),
        ({"planes": ("axial",), "slice": 5}, SelectionError, "0 to 4"),
        ({"planes": ("axial",), "slice": -1}, SelectionError, "0 to 4"),
        ({"planes": ("transverse",)}, InputError, "transverse"),
        ({"planes": ()}, InputError, "plane"),
        ({"slice": 2}, InputError, "one plane"),
        ({"planes": ("axial",), "slice": 2, "position": 100}, InputError, "exclude"),
        ({"thickness": "0mm"}, InputError, "positive"),
        ({"thickness": 5, "slab": "median"}, InputError, "median"),
        ({"interpolation": "sinc"}, InputError, "sinc"),
        ({"frame": "table"}, InputError, "table"),
    ],
)
def test_bad_arguments_are_told_apart(arguments: dict[str, object], error: type[Exception], word: str) -> None:
    volume = painted(turned_grid(np.eye(3)), numbered)
    with pytest.raises(error, match=word):
        gk.mpr(volume, **arguments)  # type: ignore[arg-type]


def test_phases_are_all_cut_and_keep_their_names() -> None:
    one = painted(turned_grid(ALL_48[9]), numbered)
    array = np.stack([one.array, 2 * one.array, -one.array])
    sources = tuple(gk.SourceInstance("1", str(t), "x", phase=t) for t in range(3))
    both = Volume(array=array, grid=one.grid, axes="tkji", phases=("a", "b", "c"), sources=sources)
    for made, wanted in (
        (gk.mpr(both, planes=("coronal",))[0], gk.mpr(one, planes=("coronal",))[0]),
        (gk.mpr(both, normal=(1, 0.4, 0.2))[0], gk.mpr(one, normal=(1, 0.4, 0.2))[0]),
        (gk.mip(both, method="mean", plane="sagittal"), gk.mip(one, method="mean", plane="sagittal")),
    ):
        assert (made.axes, made.phases, len(made.sources)) == ("tkji", ("a", "b", "c"), 3)
        assert made.grid.same_as(wanted.grid)
        for t, factor in enumerate((1, 2, -1)):
            assert np.allclose(made.array[t], factor * wanted.array, rtol=1e-6, equal_nan=True)  # float32


def test_colours_stay_together_and_have_no_largest() -> None:
    one = painted(turned_grid(ALL_48[9]), numbered)
    grey = (one.array // 3).astype(np.uint8)
    colour = Volume(array=np.stack([grey, 255 - grey, grey // 2], axis=-1), grid=one.grid, axes="kjic", unit="RGB")
    (made,) = gk.mpr(colour, planes=("sagittal",))
    (wanted,) = gk.mpr(one.with_array(grey), planes=("sagittal",))
    assert made.axes == "kjic"
    assert np.array_equal(made.array[..., 0], wanted.array)
    assert np.array_equal(made.array[..., 1], 255 - wanted.array)
    (tilted,) = gk.mpr(colour, normal=(1, 0.3, 0.2))
    (alone,) = gk.mpr(one.with_array(grey), normal=(1, 0.3, 0.2))
    assert tilted.array.dtype == np.uint8
    assert np.array_equal(tilted.array[..., 0], np.round(np.nan_to_num(alone.array)))
    with pytest.raises(SelectionError, match="mean"):
        gk.mip(colour)
    assert gk.mip(colour, method="mean").array.shape[-1] == 3


def test_numbers_of_slices_need_a_volume_along_the_patient() -> None:
    grid = Grid.from_axes((6, 6, 6), direction=rotation(1))
    with pytest.raises(GeometryError, match="position"):
        gk.mpr(Volume(array=np.zeros(grid.shape), grid=grid), planes=("axial",), slice=2)


@pytest.mark.parametrize("device", ["torch-cpu"])
def test_another_device_gives_the_same_and_nothing_crosses(device: str) -> None:
    pytest.importorskip("torch", reason="this device is torch's")
    volume = painted(turned_grid(ALL_48[11]), numbered)
    there = volume.to(device)
    with gk.count_transfers() as crossings:
        made = [*gk.mpr(there), gk.mip(there, plane="coronal"), *gk.mpr(there, normal=(1, 0.5, 0.3))]
    assert crossings == []
    here = [*gk.mpr(volume), gk.mip(volume, plane="coronal"), *gk.mpr(volume, normal=(1, 0.5, 0.3))]
    for one, other in zip(made, here, strict=True):
        assert one.device == device
        # float32 of values up to 700
        assert np.allclose(one.to("cpu").array, other.array, atol=1e-4, equal_nan=True)
