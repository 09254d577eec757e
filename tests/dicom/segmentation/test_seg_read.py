"""DICOM SEG as read: against NRRD truths of other software, round trips in any orientation, and damaged files."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.dicom_files import rotation, write_series
from support.oracles.seg import LABELS, label_map, numbered, onto, segmentation_of

import gpukit
from gpukit.dicom.segmentation.seg_read import read_seg
from gpukit.dicom.segmentation.seg_write import write_seg
from gpukit.errors import FormatError, GeometryError, GpukitError, SelectionError
from gpukit.geometry import Grid
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume


def truth(path: Path, grid: Grid) -> np.ndarray:
    array, header = nrrd.read(str(path))
    assert header["space"] == "left-posterior-superior"
    affine = np.eye(4)
    affine[:3, :3] = header["space directions"].T
    affine[:3, 3] = header["space origin"]
    return onto(grid, array, affine, tolerance=0.01)


def test_dcmqi_binary_equals_its_nrrd(data: Path) -> None:
    found = read_seg(data / "seg/dcmqi_liver/liver.dcm")
    np.testing.assert_array_equal(found.array, truth(data / "seg/dcmqi_liver/liver_seg.nrrd", found.grid))
    assert found.array.sum() > 100_000
    assert found.labels[0].type == ("T-62000", "SRT", "Liver")


def test_dcmqi_binary_on_the_grid_of_its_volume(data: Path) -> None:
    folder = data / "seg/dcmqi_liver"
    volume = gpukit.open([folder / f"0{n}.dcm" for n in (3, 1, 2)], device="cpu")
    found = read_seg(folder / "liver.dcm", volume)
    np.testing.assert_array_equal(found.array, truth(folder / "liver_seg.nrrd", volume.grid))
    assert found.sources == volume.sources


def test_overlapping_segments_one_at_a_time(data: Path) -> None:
    folder = data / "seg/dcmqi_partial_overlaps"
    with pytest.raises(SelectionError, match=r"overlap.*segments="):
        read_seg(folder / "partial_overlaps.dcm")
    for number in range(1, 6):
        found = read_seg(folder / "partial_overlaps.dcm", segments=[number])
        truths = [truth(path, found.grid) == number for path in sorted(folder.glob("*.nrrd"))]
        np.testing.assert_array_equal(found.array == number, np.logical_or.reduce(truths))
        assert found.array.any() and [label.value for label in found.labels] == [number]


def test_frames_that_do_not_end_on_a_byte(data: Path) -> None:
    path = data / "seg/dcmqi_23x38x3/label.seg"
    found = read_seg(path)
    # pydicom unpacks the bits by its own code
    expected = pydicom.dcmread(path).pixel_array
    np.testing.assert_array_equal(found.array != 0, expected != 0)


def test_compressed_frames_equal_uncompressed_ones(data: Path) -> None:
    folder = data / "compressed/seg_frames"
    plain = read_seg(folder / "liver_nonbyte_aligned.dcm").array
    assert int((plain != 0).sum()) == 107098  # voxels of the uncompressed original in seg/dcmqi_liver
    for name in ("deflate", "j2k"):
        np.testing.assert_array_equal(read_seg(folder / f"liver_nonbyte_aligned_{name}.dcm").array, plain)


def test_fractional_reversed_frames_without_references(data: Path) -> None:
    """42 frames for 60 slices, in reverse order, no SOP references: 82527 voxels say the data's notes."""
    folder = data / "seg/ucsf_br_06"
    volume = gpukit.open(folder / "image_ser", device="cpu")
    path = next((folder / "seg").iterdir())
    found = read_seg(path, volume)
    assert found.grid is volume.grid
    assert int((found.array > 0).sum()) == 82527
    # slice by slice through pydicom: the frame at a source slice's position is that slice's mask
    seg = pydicom.dcmread(path)
    pixels, by_height = seg.pixel_array, {}
    for mask, group in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        by_height[round(float(group.PlanePositionSequence[0].ImagePositionPatient[0]), 1)] = mask
    for source in volume.sources:
        mask = by_height.get(round(source.position[0], 1))
        plane = found.array[source.index] > 0
        assert np.array_equal(plane, mask > 0) if mask is not None else not plane.any()


def test_fraction_threshold(data: Path) -> None:
    path = data / "seg/highdicom/seg_image_ct_true_fractional.dcm"
    seg = pydicom.dcmread(path)
    fraction = seg.pixel_array / seg.MaximumFractionalValue
    assert 0 < fraction[fraction > 0].min() < fraction.max()  # truly fractional
    for threshold in (0.0, 0.3, 0.5, 1.0):
        found = read_seg(path, threshold=threshold)
        assert int(found.array.sum()) == int(((fraction > 0) & (fraction >= threshold)).sum())


def test_slide_and_images_are_told_from_segmentations(data: Path) -> None:
    with pytest.raises(GeometryError, match="slide"):
        read_seg(data / "seg/highdicom/seg_image_sm_control_labelmap.dcm")
    with pytest.raises(FormatError, match="not a DICOM Segmentation"):
        read_seg(data / "seg/highdicom/ct_image.dcm")


ORDERS = st.permutations([0, 1, 2])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=st.tuples(*[st.integers(3, 9)] * 3),
    angles=st.tuples(*[st.sampled_from([0.0, 17.0, 90.0, -90.0, 180.0, 141.5])] * 3),
    spacing=st.tuples(*[st.sampled_from([0.5, 0.7421875, 1.0, 3.3])] * 3),
    mirrored=st.booleans(),
    kind=st.sampled_from(["binary", "labelmap"]),
    seed=st.integers(0, 99),
)
def test_round_trip_in_any_orientation(
    shape: tuple[int, int, int],
    angles: tuple[float, float, float],
    spacing: tuple[float, float, float],
    mirrored: bool,
    kind: str,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Written and read again, with and without the volume, each voxel is where it was in the patient."""
    folder = tmp_path_factory.mktemp("trip")
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) * np.array(spacing)
    affine[:3, 2] *= -1 if mirrored else 1
    affine[:3, 3] = (-31.5, 12.25, 108)
    write_series(folder / "series", np.zeros(shape, np.int16), affine, seed=seed)
    volume = gpukit.open(folder / "series", device="cpu")
    segmentation = segmentation_of(volume, label_map(volume.grid.shape, seed))
    write_seg(segmentation, folder / "seg.dcm", kind=kind)
    expected = numbered(segmentation.array, kind)
    np.testing.assert_array_equal(read_seg(folder / "seg.dcm", volume).array, expected)
    alone = read_seg(folder / "seg.dcm")
    # DS of 16 characters rounds positions by 1e-12 mm or less: a thousandth of a voxel is generous
    array = onto(volume.grid, alone.array.transpose(2, 1, 0), alone.grid.affine, tolerance=1e-3)
    np.testing.assert_array_equal(array, expected)


def test_a_volume_turned_otherwise_still_gets_every_voxel(tmp_path: Path) -> None:
    """The volume may be another reconstruction's order of the same voxels: sagittal, flipped, bigger."""
    affine = Grid.from_axes((5, 6, 7), spacing=(1, 1, 1), origin=(3, 4, 5)).affine
    write_series(tmp_path / "series", np.zeros((5, 6, 7), np.int16), affine)
    volume = gpukit.open(tmp_path / "series", device="cpu")
    segmentation = segmentation_of(volume)
    write_seg(segmentation, tmp_path / "seg.dcm", kind="labelmap")
    for codes in ("LPS", "RAS", "PIR", "SLA", "IRP"):
        grid = volume.grid.crop((-1, -2, -3), (8, 10, 12)).reoriented(codes)[0]
        other = Volume(array=np.zeros(grid.shape, np.int16), grid=grid)
        found = read_seg(tmp_path / "seg.dcm", other)
        back = onto(volume.grid, found.array.transpose(2, 1, 0), grid.affine, tolerance=1e-6)
        np.testing.assert_array_equal(back, segmentation.array)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Volume]:
    write_series(tmp_path / "series", np.zeros((5, 6, 7), np.int16), Grid.from_axes((5, 6, 7)).affine)
    volume = gpukit.open(tmp_path / "series", device="cpu")
    write_seg(segmentation_of(volume), tmp_path / "seg.dcm")
    return tmp_path / "seg.dcm", volume


def test_another_patients_volume_is_refused(written: tuple[Path, Volume]) -> None:
    path, volume = written
    shifted = Volume(array=volume.array, grid=Grid.from_axes((5, 6, 7), origin=(0.5, 0, 0)))
    with pytest.raises(GeometryError, match="do not lie on the voxels"):
        read_seg(path, shifted)
    smaller = Volume(array=volume.array[:3], grid=volume.grid.crop((0, 0, 0), (3, 6, 7)))
    with pytest.raises(GeometryError, match="outside"):
        read_seg(path, smaller)
    elsewhere = Volume(array=volume.array, grid=volume.grid, metadata={"FrameOfReferenceUID": "1.2.3"})
    with pytest.raises(GeometryError, match="frame of reference"):
        read_seg(path, elsewhere)


def test_unknown_segment(written: tuple[Path, Volume]) -> None:
    with pytest.raises(SelectionError, match=r"no segment 8.*2 \(Spleen\)"):
        read_seg(written[0], segments=[8])


def test_frames_without_a_position_take_that_of_their_source(written: tuple[Path, Volume]) -> None:
    path, volume = written
    expected = read_seg(path, volume).array
    seg = pydicom.dcmread(path)
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence
    seg.save_as(path)
    np.testing.assert_array_equal(read_seg(path, volume).array, expected)
    with pytest.raises(GeometryError, match="no position"):
        read_seg(path)


def damage(seg: pydicom.Dataset, how: str) -> None:
    group = seg.PerFrameFunctionalGroupsSequence[0]
    match how:
        case "pixels cut off":
            seg.PixelData = seg.PixelData[:8]
        case "no pixels":
            del seg.PixelData
        case "no segments":
            del seg.SegmentSequence
        case "two segments of one number":
            seg.SegmentSequence[1].SegmentNumber = 1
        case "more frames than described":
            seg.NumberOfFrames = 2_000_000_000
        case "huge image":
            seg.Rows = seg.Columns = 60_000
        case "no rows":
            seg.Rows = 0
        case "planes far apart":
            group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, -9e8]
        case "orientation of nothing":
            seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [0] * 6
        case "frame of no segment":
            del group.SegmentIdentificationSequence
        case "text for a number":
            seg.SegmentSequence[0][0x00620004] = pydicom.DataElement(0x00620004, "LO", "many")
        case "no frames described":
            del seg.PerFrameFunctionalGroupsSequence


@pytest.mark.parametrize(
    "how",
    [
        "pixels cut off", "no pixels", "no segments", "two segments of one number", "more frames than described",
        "huge image", "no rows", "planes far apart", "orientation of nothing", "frame of no segment",
        "no frames described", "text for a number",
    ],
)  # fmt: skip
def test_damaged_objects_get_a_clear_error(how: str, written: tuple[Path, Volume]) -> None:
    import tracemalloc

    path, _ = written
    seg = pydicom.dcmread(path)
    damage(seg, how)
    seg.save_as(path)
    tracemalloc.start()
    try:
        with pytest.raises(GpukitError) as caught:
            read_seg(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert peak < 50e6  # nothing was allocated on the header's word


def test_labels_come_back(written: tuple[Path, Volume]) -> None:
    labels = read_seg(written[0]).labels
    assert [(label.value, label.name) for label in labels] == [(1, "Liver"), (2, "Spleen"), (3, "Never there")]
    assert [label.type for label in labels] == [label.type for label in LABELS]
    assert labels[0].color == (200, 80, 60)


def test_segmentation_knows_its_grid() -> None:
    grid = Grid.from_axes((2, 3, 4))
    with pytest.raises(GeometryError):
        Segmentation(array=np.zeros((2, 3, 5), np.uint8), grid=grid, labels=LABELS)
