"""RT Structure Sets as masks: against masks of other software on the same grids, and made ones in every orientation."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from support.dicom_files import ROOT, rotation
from support.rtstruct_files import plane, write_rtstruct

import gpukit
from gpukit.dicom.segmentation.rtstruct_read import outline_key, read_regions, read_rtstruct
from gpukit.errors import FormatError, GeometryError, SelectionError
from gpukit.geometry import Grid
from gpukit.volume import Volume

RING = [(1.5, 1.5), (6.5, 1.5), (6.5, 4.5), (1.5, 4.5)]  # columns 2 to 6, rows 2 to 4: 15 centres
HOLE = [(2.5, 2.5), (4.5, 2.5), (4.5, 3.5), (2.5, 3.5)]  # 2 of them


def volume(grid: Grid) -> Volume:
    return Volume(array=np.zeros(grid.shape, np.int16), grid=grid)


def straight(shape=(7, 8, 9), spacing=(1.0, 1.0, 2.0)) -> Grid:
    return Grid.from_axes(shape, spacing=spacing, origin=(-4, 3, 10))


@pytest.mark.parametrize(
    ("image", "mask", "truth", "voxels"),
    [
        # Counts: README of the data. The NIfTI masks were made of the same contours by other people's software.
        ("ct_chest_ibsi/dicom/image", "ct_chest_ibsi/dicom/mask", "ct_chest_ibsi/nifti/mask", 125256),
        ("pet/sts_001_cropped/PET/dicom/image", "pet/sts_001_cropped/PET/dicom/mask",
         "pet/sts_001_cropped/PET/nifti/mask", 5095),
        ("pet/sts_001_cropped/CT/dicom/image", "pet/sts_001_cropped/CT/dicom/mask",
         "pet/sts_001_cropped/CT/nifti/mask", 117145),
    ],
)  # fmt: skip
def test_real_contours_give_the_masks_of_other_software(data: Path, image, mask, truth, voxels) -> None:
    series = gpukit.open(data / image, device="cpu")
    found = read_rtstruct(next((data / mask).iterdir()), series)
    other = gpukit.open(next((data / truth).iterdir()), device="cpu")
    assert other.grid.same_as(series.grid, tolerance=0.01)
    np.testing.assert_array_equal(found.array != 0, other.array != 0)
    assert int((found.array != 0).sum()) == voxels


def test_regions_overlap_and_are_read_apart(data: Path) -> None:
    raw = gpukit.open(data / "pet/sts_001_raw/image", device="cpu")
    path = next((data / "pet/sts_001_raw/mask").iterdir())
    assert [(r.number, r.name, len(r.contours)) for r in read_regions(path)] == [
        (1, "GTV_Mass", 32),
        (2, "GTV_Edema", 43),
    ]
    mass = read_rtstruct(path, raw, regions=[1])
    cropped = gpukit.open(next((data / "pet/sts_001_cropped/PET/nifti/mask").iterdir()), device="cpu")
    # The cropped grid is rows 45:88, columns 59:100, slices 0:59 of the raw one (README).
    np.testing.assert_array_equal(mass.array[:59, 45:88, 59:100] != 0, cropped.array != 0)
    assert int((mass.array != 0).sum()) == 5095
    with pytest.raises(SelectionError, match="overlap"):
        read_rtstruct(path, raw)
    with pytest.raises(SelectionError, match=r"no region 7.*1 \(GTV_Mass\)"):
        read_rtstruct(path, raw, regions=[7])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    axis=st.integers(0, 2),
    flip=st.booleans(),
)
def test_contours_normal_to_any_axis_of_any_grid(tmp_path: Path, angles, axis, flip) -> None:
    direction = rotation(angles) @ np.diag([1, 1, -1 if flip else 1])
    grid = Grid.from_axes((9, 9, 9), spacing=(0.7, 1.1, 3.0), origin=(20, -30, 5), direction=direction)
    rois = {"body": [plane(grid, ring, axis=axis, at=at) for at in (2, 3, 5) for ring in (RING, HOLE)]}
    found = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", rois), volume(grid))
    want = np.zeros((9, 9), np.uint8)
    want[2:5, 2:7] = 1
    want[3, 3:5] = 0
    moved = np.moveaxis(found.array, 2 - axis, 0)
    for at in range(9):
        np.testing.assert_array_equal(moved[at], want if at in (2, 3, 5) else 0)


def test_a_keyhole_is_a_hole(tmp_path: Path) -> None:
    grid = straight()
    keyhole = [*RING, RING[0], HOLE[0], HOLE[3], HOLE[2], HOLE[1], HOLE[0]]
    for n, contours in enumerate(([keyhole], [RING, HOLE])):
        path = write_rtstruct(tmp_path / f"{n}.dcm", {"x": [plane(grid, c, axis=2, at=3) for c in contours]})
        found = read_rtstruct(path, volume(grid)).array
        assert found.sum() == 15 - 2 and found[3, 3, 3] == found[3, 3, 4] == 0


def test_a_contour_that_stands_twice_is_no_hole(tmp_path: Path) -> None:
    grid = straight()
    twice = [plane(grid, RING, axis=2, at=3)] * 2
    assert read_rtstruct(write_rtstruct(tmp_path / "a.dcm", {"x": twice}), volume(grid)).array.sum() == 15
    xor = write_rtstruct(tmp_path / "b.dcm", {"x": [*twice, plane(grid, HOLE, axis=2, at=3)]}, kind="CLOSEDPLANAR_XOR")
    assert read_rtstruct(xor, volume(grid)).array.sum() == 2  # the standard's exclusive or


def turned(points: np.ndarray, start: int, backwards: bool) -> np.ndarray:
    again = np.roll(points, -start, axis=0)
    return again[::-1] if backwards else again


@pytest.mark.parametrize("start", [0, 1, 3])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("closed", [False, True])
def test_a_contour_that_is_repeated_from_another_corner_is_no_hole(tmp_path: Path, start, backwards, closed) -> None:
    grid = straight()
    first = plane(grid, RING, axis=2, at=3)
    again = turned(first, start, backwards)
    again = np.insert(again, 1, (again[0] + again[1]) / 2, axis=0)  # and with a corner more on a straight side
    if closed:
        again = np.vstack([again, again[:1]])
    hole = plane(grid, HOLE, axis=2, at=3)
    found = read_rtstruct(write_rtstruct(tmp_path / "a.dcm", {"x": [first, hole, again]}), volume(grid))
    assert found.array.sum() == 15 - 2  # and a hole stays a hole
    assert any("1 repeated outlines" in note for note in found.notes)


def test_an_outline_that_passes_one_corner_a_million_times_is_compared_in_time() -> None:
    zigzag = np.tile([[0.0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]], (250_000, 1))
    start = time.process_time()
    outline_key(zigzag)
    assert time.process_time() - start < 20  # a turn for each of the 500,000 starts would take hours


def test_one_region_in_several_items_is_joined(tmp_path: Path) -> None:
    grid = straight()
    path = write_rtstruct(tmp_path / "a.dcm", {"x": [plane(grid, RING, axis=2, at=at) for at in (1, 2, 3)]})
    dataset = pydicom.dcmread(path)
    (item,) = dataset.ROIContourSequence
    for n in (1, 2):
        more = Dataset()
        more.ReferencedROINumber = item.ReferencedROINumber
        more.ContourSequence = [item.ContourSequence[n], item.ContourSequence[0]]  # the first one stands in each
        dataset.ROIContourSequence.append(more)
    del item.ContourSequence[1:]
    dataset.save_as(path)
    found = read_rtstruct(path, volume(grid))
    assert found.array.sum() == 3 * 15 and found.array.any(axis=(1, 2)).tolist() == [False] + 3 * [True] + 3 * [False]
    assert found.labels[0].color == (255, 0, 128)


def test_a_region_without_a_voxel_costs_the_others_nothing(tmp_path: Path) -> None:
    """A marker between the voxel centres, and a couch outside the scanned part, beside the tumour."""
    grid = straight()
    small = [(2.1, 2.1), (2.4, 2.1), (2.4, 2.4)]
    rois = {
        "marker": [plane(grid, small, axis=2, at=3)],
        "GTV": [plane(grid, RING, axis=2, at=3)],
        "couch": [plane(grid, RING, axis=2, at=60)],
    }
    path = write_rtstruct(tmp_path / "a.dcm", rois)
    found = read_rtstruct(path, volume(grid))
    assert [label.name for label in found.labels] == ["GTV"] and (found.array == 2).sum() == 15
    told = [note for note in found.notes if "left out" in note]
    assert len(told) == 2 and "1 (marker)" in told[0] and "3 (couch)" in told[1]
    with pytest.raises(GeometryError, match=r"marker.*meets no voxel"):  # nothing is left to measure
        read_rtstruct(path, volume(grid), regions=[1])
    dataset = pydicom.dcmread(path)
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"
    dataset.save_as(path)
    here = Volume(array=np.zeros(grid.shape), grid=grid, metadata={"FrameOfReferenceUID": f"{ROOT}.8"})
    assert any("another frame of reference" in note for note in read_rtstruct(path, here).notes)


def test_contours_drawn_between_the_slices(tmp_path: Path) -> None:
    # Drawn every 3 mm on another series, measured on slices every 2 mm: 10, 12, 14 ... mm.
    grid = straight()
    levels = (13.0, 16.0, 19.0)  # slabs from 11.5 to 20.5 mm: slices at 12, 14, 16, 18, 20 mm
    contours = [np.column_stack([grid.to_world([(x, y, 0) for x, y in RING])[:, :2], [z] * 4]) for z in levels]
    found = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", {"x": contours}), volume(grid))
    assert found.array.any(axis=(1, 2)).tolist() == [False, True, True, True, True, True, False]
    assert any("nearest contours" in note for note in found.notes)
    # The same volume, to within the part of a slice: 9 mm of contours, 10 mm of slices.
    assert found.array.sum() * 2 == 15 * 10


def test_skipped_slices_stay_empty(tmp_path: Path) -> None:
    grid = straight()
    contours = [plane(grid, RING, axis=2, at=at) for at in (1, 3, 5)]
    found = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", {"x": contours}), volume(grid))
    assert found.array.any(axis=(1, 2)).tolist() == [False, True, False, True, False, True, False]


def test_oblique_contours_fill_their_body(tmp_path: Path) -> None:
    # A ball of 12 mm radius drawn on oblique planes 1 mm apart: 4/3 pi r^3 = 7238 mm3.
    frame = rotation((25, 40, 10))
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    contours = []
    for z in np.arange(-11.5, 12):
        r = np.sqrt(144 - z * z)
        contours.append(np.column_stack([r * np.cos(turn), r * np.sin(turn), np.full(90, z)]) @ frame.T)
    grid = Grid.from_axes((31, 31, 31), spacing=(1, 1, 1), origin=(-15, -15, -15))
    found = read_rtstruct(write_rtstruct(tmp_path / "rt.dcm", {"ball": contours}), volume(grid))
    k, j, i = np.mgrid[-15:16, -15:16, -15:16]
    radius = np.sqrt(i**2 + j**2 + k**2)
    assert found.array[radius < 11].all() and not found.array[radius > 13].any()
    assert found.array.sum() == pytest.approx(7238, rel=0.01)
    assert any("oblique" in note for note in found.notes)


def test_names_numbers_and_what_encloses_nothing(tmp_path: Path) -> None:
    grid = straight()
    rois = {"GTV": [plane(grid, RING, axis=2, at=1)], "point": [grid.to_world([(1, 1, 1)])]}
    path = write_rtstruct(tmp_path / "rt.dcm", rois, numbers=[0, 12])
    found = read_rtstruct(path, volume(grid))
    # ROI number 0 cannot be a label, so that labels count from 1.
    assert [(label.value, label.name, label.color) for label in found.labels] == [(1, "GTV", (255, 0, 128))]
    with pytest.raises(SelectionError, match="no closed contour"):
        read_rtstruct(path, volume(grid), regions=[12])


def test_parts_outside_are_told_and_another_patient_space_is_refused(tmp_path: Path) -> None:
    grid = straight()
    outside = [(x + 5, y) for x, y in RING]
    path = write_rtstruct(tmp_path / "rt.dcm", {"x": [plane(grid, outside, axis=2, at=1)]})
    found = read_rtstruct(path, volume(grid))
    assert found.array.sum() == 2 * 3 and any("outside the volume" in note for note in found.notes)
    far = write_rtstruct(tmp_path / "far.dcm", {"x": [plane(grid, RING, axis=2, at=50)]})
    with pytest.raises(GeometryError, match="meets no voxel"):
        read_rtstruct(far, volume(grid))
    other = Volume(array=np.zeros(grid.shape), grid=grid, metadata={"FrameOfReferenceUID": "1.2.3"})
    with pytest.raises(GeometryError, match="another frame of reference"):
        read_rtstruct(path, other)


def test_damaged_files_say_what_is_wrong(tmp_path: Path, data: Path) -> None:
    grid = straight()
    path = write_rtstruct(tmp_path / "rt.dcm", {"x": [plane(grid, RING, axis=2, at=1)]})
    dataset = pydicom.dcmread(path)
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]
    dataset.save_as(tmp_path / "four.dcm")
    with pytest.raises(FormatError, match=r"makes no points.*ContourData"):
        read_rtstruct(tmp_path / "four.dcm", volume(grid))
    del dataset.StructureSetROISequence
    dataset.save_as(tmp_path / "none.dcm")
    with pytest.raises(FormatError, match="StructureSetROISequence"):
        read_rtstruct(tmp_path / "none.dcm", volume(grid))
    with pytest.raises(FormatError, match="not an RT Structure Set"):
        read_rtstruct(next((data / "ct_chest_ibsi/dicom/image").iterdir()), volume(grid))
