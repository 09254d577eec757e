"""NIfTI, MetaImage and NRRD: what is written comes back to the last bit, and other software sees the same place."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from support.volumes import random_volume

import gpukit
from gpukit.errors import OutputError, OutputExistsError
from gpukit.geometry import LPS_RAS, Grid
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


@st.composite
def affines(draw: st.DrawFn) -> np.ndarray:
    """Oblique, left- or right-handed, anisotropic; any origin. No subnormal numbers: they have no 53 bits to keep."""
    affine = np.eye(4)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        angle = draw(st.floats(-4, 4, allow_nan=False, allow_subnormal=False, width=32))
        turn = np.eye(4)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        affine = affine @ turn
    rotation = affine[:3, :3].copy()
    spacing = draw(st.tuples(*[st.floats(0.05, 20, allow_nan=False)] * 3))
    affine[:3, :3] = rotation * np.array(spacing) * draw(st.sampled_from([1.0, -1.0]))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-2000, 2000, allow_nan=False, allow_subnormal=False)] * 3))
    return affine


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(affine=affines())
def test_any_oblique_affine_comes_back_to_the_last_bit(suffix: str, affine: np.ndarray) -> None:
    volume = random_volume(affine=affine)
    with tempfile.TemporaryDirectory() as folder:
        path = gpukit.save(volume, Path(folder) / f"v{suffix}")
        back = gpukit.open(path, device="cpu")
    assert np.array_equal(back.grid.affine, volume.grid.affine)
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_sheared_grid_of_a_kept_tilt_comes_back(suffix: str, tmp_path: Path) -> None:
    affine = np.array([[0.7, 0, 0.0, 1.1], [0, 0.7, 0.9, -3.3], [0, 0, 2.6, 7.7], [0, 0, 0, 1.0]])
    back = gpukit.open(gpukit.save(random_volume(affine=affine), tmp_path / f"v{suffix}"), device="cpu")
    assert np.array_equal(back.grid.affine, affine)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_comes_back_as_it_was(suffix: str, dtype: str, tmp_path: Path) -> None:
    volume = random_volume(dtype)
    back = gpukit.open(gpukit.save(volume, tmp_path / f"v{suffix}"), device="cpu")
    assert back.array.dtype == volume.array.dtype
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("axes", "dtype"), [("tkji", "int16"), ("kjic", "uint8")])
def test_phases_and_colour_keep_their_axes(suffix: str, axes: str, dtype: str, tmp_path: Path) -> None:
    volume = random_volume(dtype, axes)
    back = gpukit.open(gpukit.save(volume, tmp_path / f"v{suffix}"), device="cpu")
    assert back.axes == axes
    assert np.array_equal(back.array, volume.array)
    assert np.array_equal(back.grid.affine, volume.grid.affine)


def test_nibabel_and_itk_see_each_voxel_where_gpukit_does(tmp_path: Path) -> None:
    rotation, _ = np.linalg.qr(np.array([[1, 0.2, 0.1], [-0.1, 1, 0.3], [0.2, -0.2, 1.0]]))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation * (0.8, 0.9, 2.5), (-100.1, 50.2, 33.3)
    volume = random_volume(affine=affine)
    i, j, k = 3, 1, 1
    here = affine @ (i, j, k, 1)
    nifti = nibabel.load(gpukit.save(volume, tmp_path / "v.nii.gz"))
    # 1e-4 mm: what float32 in the sform and the quaternion costs at 100 mm from the origin
    for matrix in (nifti.get_sform(), nifti.get_qform()):
        assert matrix @ (i, j, k, 1) == pytest.approx(LPS_RAS @ here, abs=1e-4)
    assert nifti.header["sform_code"] == nifti.header["qform_code"] == 1
    assert nifti.header.get_xyzt_units() == ("mm", "sec")
    assert np.asarray(nifti.dataobj)[i, j, k] == volume.array[k, j, i]
    for suffix in (".mha", ".nrrd"):
        image = SimpleITK.ReadImage(gpukit.save(volume, tmp_path / f"v{suffix}"))
        # 1e-9 mm: both compute in float64
        assert image.TransformIndexToPhysicalPoint((i, j, k)) == pytest.approx(here[:3], abs=1e-9)
        assert image[i, j, k] == volume.array[k, j, i]


def test_nifti_whose_sform_was_edited_is_read_as_edited(tmp_path: Path) -> None:
    affine = np.diag([0.1, 0.3, 0.7, 1.0])
    path = gpukit.save(random_volume(affine=affine), tmp_path / "v.nii")
    image = nibabel.load(path)
    moved = np.diag([2.0, 3.0, 4.0, 1.0])
    edited = nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header)
    edited.set_sform(moved, code=1)
    nibabel.save(edited, tmp_path / "moved.nii")
    assert np.array_equal(gpukit.open(tmp_path / "moved.nii", device="cpu").grid.affine, LPS_RAS @ moved)


def test_label_map_keeps_its_values_and_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    label = Label(2, "White matter", ("a", "b", "c"), ("d", "e", "f"))
    grid = Grid((4, 5, 6), np.diag([-0.3, 0.7, 1.1, 1.0]))
    segmentation = Segmentation(array=rng.integers(0, 3, (4, 5, 6)).astype(np.uint8), grid=grid, labels=(label,))
    for suffix in (".nii.gz", ".mha", ".nrrd"):
        back = gpukit.open(gpukit.save(segmentation, tmp_path / f"s{suffix}"), device="cpu")
        assert np.array_equal(back.array, segmentation.array)
        assert np.array_equal(back.grid.affine, grid.affine)


def test_existing_file_is_left_alone_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "v.nii"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="--force"):
        gpukit.save(random_volume(), path)
    assert path.read_bytes() == b"precious"
    gpukit.save(random_volume(), path, force=True)
    assert gpukit.open(path, device="cpu").shape == (2, 3, 4)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".mhd", ".nrrd", ".png"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writer_leaves_nothing_behind(
    suffix: str, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpukit.documents import atomic

    def stop(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(atomic, "_move", stop)  # the last moment at which it can be interrupted
    volume = random_volume()
    if suffix == ".png":
        volume = Volume(array=volume.array[:1], grid=volume.grid.crop((0, 0, 0), (1, 3, 4)))
    with pytest.raises(error):
        gpukit.save(volume, tmp_path / f"v{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("v.xyz", "suffix"), ("none/v.nii", "folder"), ("", "folder")],
)
def test_unwritable_places_are_named(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=words):
        gpukit.save(random_volume(), tmp_path / name, format=None if name else "nifti")


def test_a_volume_of_several_slices_is_no_single_dicom_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="do not go into one file"):
        gpukit.save(random_volume(), tmp_path / "v.dcm")


def test_longest_file_name_is_written_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 196 + ".nii")
    gpukit.save(random_volume(), path)
    assert [made.name for made in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OutputExistsError):
        gpukit.save(random_volume(), path)


def test_what_is_opened_is_read_only_and_a_copy_is_drawn_as_it_is(tmp_path):
    """Kernels keep what they know of an opened volume; nobody writes behind their back, and copies are drawn anew."""
    import dataclasses

    array = np.zeros((16, 18, 20), np.int16)
    array[8, 9, 10] = 100
    gpukit.save(Volume(array=array, grid=Grid(array.shape, np.eye(4))), tmp_path / "a.nii")
    volume = gpukit.open(tmp_path / "a.nii", device="cpu")
    assert gpukit.mip(volume, normal=(1, 2, 3)).array.max() > 20
    held = volume.array
    while isinstance(held, np.ndarray):
        assert not held.flags.writeable
        held = held.base
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    changed = dataclasses.replace(volume, array=volume.array.copy())
    changed.array[:] = 0
    assert gpukit.mip(changed, normal=(1, 2, 3)).array.max() == 0
    changed.array[8, 9, 10] = 100  # what was found in the empty one no longer holds
    np.testing.assert_array_equal(
        gpukit.mip(changed, normal=(1, 2, 3)).array, gpukit.mip(volume, normal=(1, 2, 3)).array
    )
