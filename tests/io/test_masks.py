"""Masks of every format on a volume's grid: the same region, whoever wrote it and on whatever grid."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gpukit
from gpukit.errors import FormatError, GeometryError, SelectionError
from gpukit.geometry import Grid
from gpukit.io.masks import mask_labels, open_mask, open_masks
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

GRID = Grid.from_axes((5, 6, 7), spacing=(1.5, 2.0, 3.0), origin=(10, -20, 30))


def volume(grid: Grid = GRID, **known) -> Volume:
    return Volume(array=np.zeros(grid.shape, np.int16), grid=grid, **known)


def written(path: Path, array: np.ndarray, grid: Grid = GRID) -> Path:
    gpukit.save(Volume(array=array, grid=grid), path, force=True)
    return path


def two_labels() -> np.ndarray:
    array = np.zeros(GRID.shape, np.uint8)
    array[1:3, 2:4, 1:5], array[3, 4:, 5:] = 2, 7
    return array


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.mha", "mask.nrrd"])
def test_label_maps_in_files(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name, two_labels())
    found = open_mask(path, volume())
    np.testing.assert_array_equal(found.array, two_labels())
    assert found.grid is not None and found.grid.same_as(GRID)
    assert [label.value for label in found.labels] == [2, 7] == [n for n, _ in mask_labels(path)]
    np.testing.assert_array_equal(open_mask(path, volume(), labels=7).array, np.where(two_labels() == 7, 7, 0))
    np.testing.assert_array_equal(open_mask(path, volume(), labels="label 2").array, np.where(two_labels() == 2, 2, 0))
    with pytest.raises(SelectionError, match=r"no label 3.*2 \(label 2\), 7 \(label 7\)"):
        open_mask(path, volume(), labels=[2, 3])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(codes=st.sampled_from(["LPS", "RAS", "SAL", "PIR", "ILA"]))
def test_a_mask_stored_in_another_order_of_axes(tmp_path: Path, codes: str) -> None:
    grid, axes, flips = GRID.reoriented(codes)
    array = two_labels().transpose(axes)
    array = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    path = written(tmp_path / "mask.nii.gz", np.ascontiguousarray(array), grid)
    np.testing.assert_array_equal(open_mask(path, volume()).array, two_labels())


def test_another_grid_takes_the_nearest_label_as_simpleitk_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    coarse = Grid.from_axes((4, 5, 4), spacing=(2.7, 2.3, 4.1), origin=(9, -19, 29))
    path = written(tmp_path / "mask.mha", rng.integers(0, 4, coarse.shape).astype(np.uint8), coarse)
    found = open_mask(path, volume())
    image = SimpleITK.ReadImage(str(path))
    like = SimpleITK.Image(*GRID.shape[::-1], SimpleITK.sitkUInt8)
    like.SetSpacing(GRID.spacing)
    like.SetOrigin(GRID.origin)
    want = SimpleITK.GetArrayFromImage(
        SimpleITK.Resample(image, like, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor)
    )
    np.testing.assert_array_equal(found.array, want)
    assert any("another grid" in note for note in found.notes)


def test_what_lies_outside_is_told(tmp_path: Path) -> None:
    shifted = Grid(GRID.shape, GRID.affine.copy())
    affine = GRID.affine.copy()
    affine[0, 3] -= 3 * 1.5  # three columns to the right: columns 3 and 4 of the mask remain
    shifted = Grid(GRID.shape, affine)
    path = written(tmp_path / "mask.nii.gz", (two_labels() == 2).astype(np.uint8), shifted)
    found = open_mask(path, volume())
    assert int(found.array.sum()) == 2 * 2 * 2
    assert any("50.0% of the mask lies outside" in note for note in found.notes)
    affine[0, 3] = 500
    far = written(tmp_path / "far.nii.gz", two_labels(), Grid(GRID.shape, affine))
    with pytest.raises(GeometryError, match="meets no voxel"):
        open_mask(far, volume())


def test_fractions_are_cut_at_the_threshold(tmp_path: Path) -> None:
    fractions = np.zeros(GRID.shape, np.float32)
    fractions[0, 0, :4] = 0.2, 0.5, 0.7, 1.0
    path = written(tmp_path / "p.nii.gz", fractions)
    assert int(open_mask(path, volume()).array.sum()) == 3
    assert int(open_mask(path, volume(), threshold=0.6).array.sum()) == 2
    assert int(open_mask(path, volume(), threshold=0).array.sum()) == 4  # zero is never inside


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros(GRID.shape, np.uint8), "empty"),
        (np.full(GRID.shape, -5, np.int16), "not a label map"),
        (np.linspace(0, 90, np.prod(GRID.shape), dtype=np.float32).reshape(GRID.shape), "not whole"),
    ],
)
def test_what_is_no_mask(tmp_path: Path, array: np.ndarray, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        open_mask(written(tmp_path / "x.nii.gz", array), volume())


def test_dicom_segmentations(tmp_path: Path, data: Path) -> None:
    folder = data / "seg/dcmqi_liver"
    series = gpukit.open([folder / f"0{n}.dcm" for n in (3, 1, 2)], device="cpu")
    on_grid = open_mask(folder / "liver.dcm", series)
    truth = open_mask(folder / "liver_seg.nrrd", series)  # the same by other people's software
    np.testing.assert_array_equal(on_grid.array, truth.array)
    # On a grid of half the resolution the voxels fall between those of the object.
    coarse = series.grid.with_spacing((2 * series.grid.spacing[0], 2 * series.grid.spacing[1], series.grid.spacing[2]))
    small = Volume(array=np.zeros(coarse.shape, np.int16), grid=coarse, metadata=series.metadata)
    half = open_mask(folder / "liver.dcm", small)
    ratio = (half.array != 0).sum() * coarse.voxel_volume / ((on_grid.array != 0).sum() * series.grid.voxel_volume)
    assert ratio == pytest.approx(1, rel=0.01)  # a big organ: what a border loses here it wins there


def test_fractional_segmentation_by_position(data: Path) -> None:
    series = gpukit.open(data / "seg/ucsf_br_06/image_ser", device="cpu")
    found = open_mask(data / "seg/ucsf_br_06/seg/1-1.dcm", series, threshold=0)
    assert int((found.array != 0).sum()) == 82527  # README of the data


def test_overlapping_labels_come_apart(data: Path) -> None:
    path = data / "seg/dcmqi_partial_overlaps/partial_overlaps.dcm"
    from gpukit.dicom.segmentation.seg_read import read_seg

    own = read_seg(path, segments=[1])
    space = Volume(array=np.zeros(own.grid.shape, np.int16), grid=own.grid)
    with pytest.raises(SelectionError, match="overlap"):
        open_mask(path, space)
    found = open_masks(path, space)
    assert [[label.value for label in one.labels] for one in found] == [[1], [2], [3], [4], [5]]
    for number, one in enumerate(found, 1):
        np.testing.assert_array_equal(one.array, read_seg(path, space, segments=[number]).array)
    with pytest.raises(SelectionError, match="no label"):
        open_masks(path, space, labels=["nowhere"])


def test_structure_sets_by_name(data: Path) -> None:
    series = gpukit.open(data / "pet/sts_001_raw/image", device="cpu")
    path = next((data / "pet/sts_001_raw/mask").iterdir())
    mass = open_mask(path, series, labels="gtv_mass")
    assert int((mass.array != 0).sum()) == 5095 and [label.name for label in mass.labels] == ["GTV_Mass"]
    assert [one.labels[0].name for one in open_masks(path, series)] == ["GTV_Mass", "GTV_Edema"]


def test_the_mask_comes_on_the_device_of_the_volume(tmp_path: Path) -> None:
    path = written(tmp_path / "mask.nii.gz", two_labels())
    found = open_mask(path, volume().to("torch-cpu"))
    assert found.device == "torch-cpu"


def test_images_and_reports_are_no_masks(data: Path) -> None:
    image = next((data / "ct_chest_ibsi/dicom/image").iterdir())
    with pytest.raises(FormatError, match="is not a mask but an image"):
        open_mask(image, volume())


def test_a_segmentation_that_was_saved_comes_back(tmp_path: Path) -> None:
    code = ("85756007", "SCT", "Tissue")
    labels = tuple(Label(value=n, name=f"part {n}", category=("123037004", "SCT", "Anatomical Structure"), type=code)
                   for n in (2, 7))  # fmt: skip
    made = Segmentation(array=two_labels(), grid=GRID, labels=labels)
    gpukit.save(made, tmp_path / "mask.nii.gz")
    assert nibabel.load(tmp_path / "mask.nii.gz").get_fdata().max() == 7
    np.testing.assert_array_equal(open_mask(tmp_path / "mask.nii.gz", volume()).array, two_labels())
