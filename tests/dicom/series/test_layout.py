"""Where voxels lie, on phantoms whose place is known: orientation, order of files, tilt, gaps, jitter."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from support.dicom_files import rotation, write_series

import gpukit as gk
from gpukit.errors import GeometryError, MissingSlicesError

SIGNED_PERMUTATIONS = [
    np.eye(3)[list(order)].T * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def make_affine(directions: np.ndarray, spacing: tuple[float, float, float], origin: tuple[float, float, float]):
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = origin
    return affine


def world_by_value(volume: gk.Volume) -> dict[int, np.ndarray]:
    array = np.asarray(volume.array)
    k, j, i = np.nonzero(np.ones(array.shape, bool))
    return dict(zip(array[k, j, i].tolist(), volume.grid.to_world(np.stack([i, j, k], axis=1)), strict=True))


@given(
    directions=st.sampled_from(SIGNED_PERMUTATIONS),
    angles=st.one_of(st.just((0.0, 0.0, 0.0)), st.tuples(*[st.floats(-40, 40)] * 3)),
    spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=40, deadline=None)
def test_every_voxel_lies_where_it_was_put(directions, angles, spacing, origin, seed) -> None:
    shape = (4, 3, 5)
    values = np.arange(60, dtype=np.int16).reshape(shape)
    affine = make_affine(rotation(angles) @ directions, spacing, origin)
    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder), values, affine, seed=seed)
        volume = gk.open(folder, device="cpu")
    assert volume.shape == shape
    assert np.linalg.det(volume.grid.affine[:3, :3]) > 0  # right-handed however the slices were acquired
    found = world_by_value(volume)
    for value in range(60):
        k, j, i = np.unravel_index(value, shape)
        expected = affine[:3, :3] @ (i, j, k) + affine[:3, 3]
        # Decimal strings of 16 characters keep 1e-9 or better of such coordinates; cosines act over 15 mm at most.
        assert np.abs(found[value] - expected).max() < 1e-6
    for source in volume.sources:  # and the identity of each slice goes with it
        assert np.allclose(source.position, volume.grid.to_world((0, 0, source.index)), atol=1e-6)


def test_sources_name_the_file_of_each_slice(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int16).reshape(4, 3, 5)
    paths = write_series(tmp_path, values, make_affine(np.diag([1, 1, -1]), (1, 1, 2), (0, 0, 0)), seed=3)
    volume = gk.open(tmp_path, device="cpu")
    for source in volume.sources:
        k = int(np.asarray(volume.array)[source.index].min()) // 15
        assert Path(source.path) == paths[k]
        assert source.sop_instance_uid.endswith(f".{int(Path(source.path).stem[-4:]) + 1}")


def ramp(points: np.ndarray) -> np.ndarray:
    """A linear function of the world position: linear interpolation gives it back exactly."""
    return points @ (2.0, -3.0, 5.0) + 400.0


def tilted(tmp_path: Path, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """A stack of tilted slices at even table positions, its values the ramp, and its sheared affine."""
    affine = np.eye(4)
    affine[:3, :3] = rotation((-degrees, 0, 0)) * (0.8, 0.8, 1.0)
    affine[:3, 2] = (0, 0, 4.0)  # the table moves along z while the gantry is tilted about x
    affine[:3, 3] = (-10, -20, 30)
    k, j, i = np.indices((6, 24, 20))
    points = np.stack([i, j, k], axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    values = ramp(points)

    def scale(dataset, k) -> None:
        dataset.RescaleSlope = "0.01"

    write_series(tmp_path, np.rint(values * 100).astype(np.int32), affine, change=scale, seed=5)
    return values, affine


@pytest.mark.parametrize("degrees", [18.5, -12.0, 3.0])
def test_gantry_tilt_is_removed_where_each_value_stays_at_its_place(tmp_path: Path, degrees: float) -> None:
    values, affine = tilted(tmp_path, degrees)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.grid.is_orthogonal
    assert any("tilt" in note and f"{abs(degrees):.1f}" in note for note in volume.notes)
    array = np.asarray(volume.array)
    k, j, i = np.indices(array.shape)
    points = volume.grid.to_world(np.stack([i, j, k], axis=-1))
    low, high = volume.padding
    measured = ~((array >= low) & (array <= high))
    # Inside the stack the ramp is exact to the rounding of the stored values (0.005) and of float32.
    inside = gk.Grid(values.shape, affine).to_index(points)
    within = ((inside >= -1e-9) & (inside <= np.array(values.shape[::-1]) - 1 + 1e-9)).all(axis=-1)
    assert within.sum() >= values.size * 23 // 24  # a slice loses at most a row to the shift by part of a pixel
    assert measured[within].all()
    assert np.abs(array - ramp(points))[within].max() < 0.02
    # Nothing was cut off: the corners of the sheared stack lie inside the new grid.
    index = volume.grid.to_index(gk.Grid(values.shape, affine).corners())
    assert (index > -1e-6).all() and (index < np.array(volume.grid.shape[::-1]) - 1 + 1e-6).all()


def test_tilt_is_removed_from_every_phase_on_any_device(tmp_path: Path) -> None:
    values, affine = tilted(tmp_path, 15.0)

    def later(dataset, k) -> None:
        dataset.RescaleSlope, dataset.TemporalPositionIdentifier = "0.01", "2"

    write_series(tmp_path, np.rint(values * 200).astype(np.int32), affine, change=later, first=100)
    for path in tmp_path.glob("s1_00*.dcm"):
        dataset = dcmread(path)
        dataset.TemporalPositionIdentifier = "1"
        dataset.save_as(path)
    one = gk.open(tmp_path, device="cpu", phase=0)
    pytest.importorskip("torch", reason="torch is not installed")
    for device in ("cpu", "torch-cpu"):
        both = gk.open(tmp_path, device=device)
        assert both.device == device and both.axes == "tkji"
        arrays = np.asarray(both.to("cpu").array)
        assert np.abs(arrays[0] - np.asarray(one.array))[np.asarray(one.array) > 0].max() < 1e-3
        k, j, i = np.indices(arrays.shape[1:])
        points = both.grid.to_world(np.stack([i, j, k], axis=-1))
        inside = gk.Grid(values.shape, affine).to_index(points)
        within = ((inside >= 0) & (inside <= np.array(values.shape[::-1]) - 1)).all(axis=-1)
        assert np.abs(arrays[1] - 2 * ramp(points))[within].max() < 0.03  # rounding of stored values and of float32


def test_tilt_can_be_kept(tmp_path: Path) -> None:
    values, affine = tilted(tmp_path, 18.5)
    volume = gk.open(tmp_path, device="cpu", tilt="keep")
    assert np.allclose(volume.grid.affine, affine, atol=1e-9)
    assert np.abs(np.asarray(volume.array) - values).max() < 0.006  # rounding of the stored values


def line_of(distances: list[float]) -> list[np.ndarray]:
    return [np.array([1.0, 2.0, z]) for z in distances]


def test_a_missing_slice_is_named_by_file(tmp_path: Path) -> None:
    values = np.zeros((5, 3, 4), np.int16)
    paths = write_series(tmp_path, values, np.eye(4), positions=line_of([0, 3, 6, 12, 15]), seed=1)
    with pytest.raises(MissingSlicesError) as caught:
        gk.open(tmp_path, device="cpu")
    message = str(caught.value)
    assert str(paths[2]) in message and str(paths[3]) in message
    assert "6 mm" in message and "3 mm" in message and "--fill-gaps" in message


@pytest.mark.parametrize("distances", [[0, 3, 6, 12, 15], [0, 1.14, 5.36, 12.74, 16.96, 24.34]])
def test_gaps_are_filled_linearly(tmp_path: Path, distances: list[float]) -> None:
    k, j, i = np.indices((len(distances), 3, 4))
    affine = make_affine(np.eye(3), (2, 2, 1), (1, 2, 0))
    points = np.stack([2.0 * i + 1, 2.0 * j + 2, np.array(distances)[k]], axis=-1)
    values = np.rint(ramp(points) * 100).astype(np.int32)

    def scale(dataset, k) -> None:
        dataset.RescaleSlope = "0.01"

    write_series(tmp_path, values, affine, positions=line_of(distances), seed=2, change=scale)
    volume = gk.open(tmp_path, device="cpu", fill_gaps=True)
    assert any("interpolated" in note for note in volume.notes)
    nk = volume.shape[0]
    assert np.allclose(volume.grid.to_world((0, 0, 0)), (1, 2, distances[0]))
    assert np.allclose(volume.grid.to_world((0, 0, nk - 1)), (1, 2, distances[-1]))
    assert volume.grid.spacing[2] <= float(np.median(np.diff(distances))) + 1e-9
    k, j, i = np.indices(volume.shape)
    expected = ramp(volume.grid.to_world(np.stack([i, j, k], axis=-1)))
    # A slice within a hundredth of a step is taken as it is: 0.01 of 7.4 mm at 5 a mm, and the stored rounding.
    assert np.abs(np.asarray(volume.array) - expected).max() < 0.4
    assert len({source.index for source in volume.sources}) == len(distances)


@pytest.mark.parametrize("distances", [[0, 3, 6, 12, 15], [0, 1.14, 5.36, 12.74, 16.96, 24.34]])
def test_a_filled_volume_says_which_slices_were_acquired(tmp_path: Path, distances: list[float]) -> None:
    write_series(tmp_path, np.zeros((len(distances), 3, 4), np.int16), np.eye(4), positions=line_of(distances))
    volume = gk.open(tmp_path, device="cpu", fill_gaps=True)
    acquired = volume.grid.to_world([(0, 0, k) for k in volume.acquired_slices])
    assert np.allclose(acquired, line_of(distances), atol=1e-6)
    if distances[1] == 3:
        assert volume.acquired_slices == (0, 1, 2, 4, 5)
    assert volume.with_array(volume.array).acquired_slices == volume.acquired_slices
    assert volume.with_array(volume.array, grid=gk.Grid(volume.grid.shape, np.eye(4))).acquired_slices == ()
    write_series(tmp_path / "even", np.zeros((3, 3, 4), np.int16), np.eye(4), series="2")
    assert gk.open(tmp_path / "even", device="cpu").acquired_slices == ()


def test_filling_never_blends_padding(tmp_path: Path) -> None:
    values = np.full((4, 3, 4), 100, np.int16)
    values[1, 0, 0] = -2000

    def pad(dataset, k) -> None:
        dataset.PixelPaddingValue = -2000

    write_series(tmp_path, values, np.eye(4), positions=line_of([0, 3, 9, 12]), change=pad)
    volume = gk.open(tmp_path, device="cpu", fill_gaps=True)
    assert volume.padding == (-2000, -2000)
    assert set(np.unique(volume.array)) == {-2000, 100}


def test_jitter_is_no_gap(tmp_path: Path) -> None:
    distances = [0, 3.27, 6.56, 9.75, 13.08]  # steps of 3.27, 3.29, 3.19 and 3.33
    write_series(tmp_path, np.zeros((5, 3, 4), np.int16), np.eye(4), positions=line_of(distances))
    assert gk.open(tmp_path, device="cpu").grid.spacing[2] == pytest.approx(3.27)


def test_a_gap_between_the_thinnest_slices_is_a_gap(tmp_path: Path) -> None:
    distances = [0, 0.04, 0.08, 0.16, 0.20]
    write_series(tmp_path, np.zeros((5, 3, 4), np.int16), np.eye(4), positions=line_of(distances))
    with pytest.raises(MissingSlicesError, match=r"0\.08 mm away where 0\.04 mm"):
        gk.open(tmp_path, device="cpu")


def test_slices_side_by_side_are_no_tilted_stack(tmp_path: Path) -> None:
    positions = [np.array([0.0, 8.0 * k, 3.0 * k]) for k in range(4)]
    write_series(tmp_path, np.zeros((4, 3, 4), np.int16), np.eye(4), positions=positions)
    with pytest.raises(GeometryError, match="24 mm sideways over 9 mm"):
        gk.open(tmp_path, device="cpu")


def test_a_slice_beside_the_stack_is_refused(tmp_path: Path) -> None:
    positions = line_of([0, 3, 6, 9])
    positions[2] = np.array([4.0, 2.0, 6.0])
    paths = write_series(tmp_path, np.zeros((4, 3, 4), np.int16), np.eye(4), positions=positions)
    with pytest.raises(GeometryError, match="beside the line") as caught:
        gk.open(tmp_path, device="cpu")
    assert str(paths[2]) in str(caught.value)


def test_a_slice_without_position_is_named(tmp_path: Path) -> None:
    def forget(dataset, k) -> None:
        if k == 1:
            del dataset.ImagePositionPatient

    paths = write_series(tmp_path, np.zeros((4, 3, 4), np.int16), np.eye(4), change=forget)
    with pytest.raises(GeometryError, match="ImagePositionPatient") as caught:
        gk.open(tmp_path, device="cpu")
    assert str(paths[1]) in str(caught.value)


def test_a_single_slice_takes_its_extent_from_the_header_and_says_so(tmp_path: Path) -> None:
    def thin(dataset, k) -> None:
        dataset.SliceThickness = "2.5"

    write_series(tmp_path, np.zeros((1, 3, 4), np.int16), np.eye(4), change=thin)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.grid.spacing == (1, 1, 2.5)
    assert any("SliceThickness" in note for note in volume.notes)


def test_two_slices_at_one_place_are_both_named(tmp_path: Path) -> None:
    values = np.arange(48, dtype=np.int16).reshape(4, 3, 4)
    paths = write_series(tmp_path, values, np.eye(4), positions=line_of([0, 3, 3, 6]))
    with pytest.raises(GeometryError, match="same position") as caught:
        gk.open(tmp_path, device="cpu")
    assert str(paths[1]) in str(caught.value) and str(paths[2]) in str(caught.value)


def test_a_copy_of_a_file_is_used_once_and_told(tmp_path: Path) -> None:
    paths = write_series(tmp_path, np.arange(48, dtype=np.int16).reshape(4, 3, 4), np.eye(4))
    (tmp_path / "copy.dcm").write_bytes(paths[1].read_bytes())
    volume = gk.open(tmp_path, device="cpu")
    assert volume.shape == (4, 3, 4) and len(volume.sources) == 4
    assert any("twice" in note for note in volume.notes)
