"""Real scanner series against independent software: dcm2niix's figures, and the NIfTI files that lie beside them."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import gpukit as gk
from gpukit.errors import MissingSlicesError, SelectionError

#: Series for which dcm2niix makes one volume.
SINGLE = (
    "ct_chest_ibsi/dicom/image",
    "ct_abdomen/ct_abdomen.tar.xz",
    "ct_totalseg/dicom_j2k",
    "pet/sts_001_raw/image",
    "pet/sts_001_cropped/PET/dicom/image",
    "pet/sts_001_cropped/CT/dicom/image",
    "mr_t1_brain/mr_t1_brain.tar.xz",
    "mr_enhanced/siemens_xa10",
    "mr_enhanced/philips_anat",
    "mr_mosaic/mr_0003",
    "mr_orientation/axasc35",
    "mr_orientation/sagasc35",
    "mr_vendors/ge",
    "mr_vendors/siemens",
    "mr_vendors/hyperfine",
    "mr_vendors/non_isotropic",
    "seg/ucsf_br_06/image_ser",
    "enhanced_ct",
)
SEVERAL = ("ct_tilt_ge", "ct_irregular", "mr_enhanced/philips_b0")


def facts(data: Path, name: str) -> list[dict]:
    return json.loads((data / "checks_dcm2niix.json").read_text())["series"][name]["nifti"]


def corners(shape, affine) -> np.ndarray:
    ends = [(0, n - 1) for n in shape[:3]]
    points = np.array([affine[:3, :3] @ p + affine[:3, 3] for p in itertools.product(*ends)])
    return points[np.lexsort(np.round(points, 1).T)]


def test_every_series_with_reference_figures_is_compared(data: Path) -> None:
    assert set(json.loads((data / "checks_dcm2niix.json").read_text())["series"]) == {*SINGLE, *SEVERAL}


def same_statistics(volume: gk.Volume, wanted: dict) -> None:
    array = np.asarray(volume.array, dtype=np.float64)
    # The figures are written with four to seven digits; relative to the maximum that is 1e-5 at worst.
    for value, key in ((array.min(), "min"), (array.max(), "max"), (array.mean(), "mean")):
        assert value == pytest.approx(wanted[key], abs=2e-5 * max(1.0, abs(wanted["max"]))), key


@pytest.mark.parametrize("name", SINGLE)
def test_place_and_values_are_those_of_dcm2niix(data: Path, unpacked, name: str) -> None:
    (wanted,) = facts(data, name)
    source = unpacked(name) if name.endswith(".xz") else data / name
    volume = gk.open(source, device="cpu")
    # The reference affines are rounded to 1e-4 a voxel or so: 0.03 mm over 512 columns.
    away = np.abs(
        corners(volume.grid.shape[::-1], volume.grid.ras_affine) - corners(wanted["shape"], np.array(wanted["affine"]))
    )
    assert away.max() < 0.05
    assert volume.array.size == np.prod(wanted["shape"])
    assert volume.axes == ("tkji" if len(wanted["shape"]) == 4 else "kji")
    same_statistics(volume, wanted)
    assert "Secret" not in repr(volume) and len(volume.sources) == np.prod(volume.shape[:-2])


def same_voxels(
    volume: gk.Volume, reference: nib.Nifti1Image, *, factor: float = 1.0, rtol: float = 0.0, atol: float = 0.0
) -> None:
    """Every voxel of the volume equals the reference's voxel at the same place in the world."""
    matrix = np.linalg.inv(reference.affine) @ volume.grid.ras_affine
    nk, nj, ni = volume.grid.shape
    k, j, i = np.indices((nk, nj, ni))
    exact = np.stack([i, j, k], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]
    index = np.rint(exact).astype(int)
    assert np.abs(exact - index).max() < 0.05  # of a voxel
    values = np.asanyarray(reference.dataobj).squeeze()
    assert sorted(values.shape[:3]) == sorted((nk, nj, ni))
    expected = values[index[..., 0], index[..., 1], index[..., 2]]
    if values.ndim == 4:
        expected = np.moveaxis(expected, -1, 0)
    np.testing.assert_allclose(np.asarray(volume.array, np.float64) * factor, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("name", "reference", "rtol"),
    [
        ("mr_vendors/ge", "001_ground_truth.nii.gz", 0),
        ("mr_vendors/siemens", "001_ground_truth.nii.gz", 0),
        ("mr_vendors/hyperfine", "001_ground_truth.nii.gz", 0),
        ("mr_vendors/non_isotropic", "002_non_isotropic_ground_truth.nii.gz", 1e-6),  # float32 against float64
        ("mr_orientation/axasc35", "../ref/ax_asc_35sl_6.nii", 0),
        ("mr_orientation/sagasc35", "../ref/sag_asc_35sl_22.nii", 0),
        ("mr_mosaic/mr_0003", "../ref/EPI_PE=AP_3.nii", 0),
        ("mr_mosaic/mr_0004", "../ref/EPI_PE=PA_4.nii", 0),
        ("mr_mosaic/mr_0005", "../ref/EPI_PE=RL_5.nii", 0),
        ("mr_mosaic/mr_0006", "../ref/EPI_PE=LR_6.nii", 0),
        ("mr_enhanced/siemens_xa10", "Siemens_REST1_w_SMS_PF7-8_6.nii", 0),
        ("ct_chest_ibsi/dicom/image", "../../nifti/image/phantom.nii.gz", 0),
        ("pet/sts_001_cropped/CT/dicom/image", "../../nifti/image/image.nii.gz", 0),
        # The DICOM copy holds 16-bit numbers with a slope a slice: half a step of at most 25.4 / 32767.
        ("pet/sts_001_cropped/PET/dicom/image", "../../nifti/image/image.nii.gz", None),
    ],
)
def test_voxels_are_those_of_the_reference_nifti(data: Path, name: str, reference: str, rtol: float | None) -> None:
    volume = gk.open(data / name, device="cpu")
    image = nib.load(data / name / reference)
    if rtol is not None:
        same_voxels(volume, image, rtol=rtol)
        return
    values = np.asanyarray(image.dataobj, dtype=np.float64).transpose(2, 1, 0)
    ours = np.asarray(volume.array)
    assert np.allclose(np.diag(volume.grid.ras_affine)[:3], np.diag(image.affine)[:3], atol=1e-4)
    assert np.abs(ours - values).max() < 25.42 / 32767


def test_philips_values_are_the_scanners_own(data: Path) -> None:
    folder = data / "mr_enhanced/philips_anat"
    volume = gk.open(folder, device="cpu")
    # The reference was made from the display values; they differ from the measured ones by Philips' scale slope times
    # the rescale slope, here one number for all frames (attributes (2005,100E) and (0028,1053) of the file).
    factor = 4.25885225885225 * 0.0002765719254966825
    same_voxels(volume, nib.load(folder / "001_ground_truth.nii.gz"), factor=factor, rtol=1e-6)


@pytest.mark.parametrize(("kind", "reference"), [("M", "e1"), ("B0", "e2_fieldmaphz")])
def test_philips_magnitude_and_field_map_are_two_volumes(data: Path, kind: str, reference: str) -> None:
    folder = data / "mr_enhanced/philips_b0"
    found = {series.kind: series for series in gk.find_series(folder)}
    assert set(found) == {"M", "B0"}
    volume = gk.open(folder, device="cpu", series=found[kind].number)
    image = nib.load(folder / f"Philips_WIP_B0_NS_801_{reference}.nii")
    # The reference holds its scaling in float32: the field map's slope is 0.24420166 there and 0.24420024 in the file,
    # which makes 0.006 over 4084 steps.
    same_voxels(volume, image, rtol=1e-6, atol=0.0 if kind == "M" else 0.0065)


def test_philips_several_volumes_are_listed(data: Path) -> None:
    with pytest.raises(SelectionError) as caught:
        gk.open(data / "mr_enhanced/philips_b0", device="cpu")
    assert "1:" in str(caught.value) and "2:" in str(caught.value) and "--series" in str(caught.value)


def test_a_pet_crop_lies_in_the_raw_series_with_the_published_suv_factor(data: Path) -> None:
    raw = gk.open(data / "pet/sts_001_raw/image", device="cpu")
    crop = gk.open(data / "pet/sts_001_cropped/PET/dicom/image", device="cpu")
    assert raw.unit == "BQML" and crop.unit == "SUVbw"
    start = np.rint(raw.grid.to_index(crop.grid.origin)).astype(int)
    assert start.tolist() == [59, 45, 0]  # columns 59:100, rows 45:88, slices 0:59 of the raw series
    block = np.asarray(raw.array)[0:59, 45:88, 59:100].astype(np.float64)
    # The crop holds 16-bit numbers again, with a slope for each slice, cut off rather than rounded: each slice may
    # differ by one step of its own, its maximum over 32767.
    steps = np.asarray(crop.array).max(axis=(1, 2), keepdims=True) / 32767
    assert (np.abs(block * 2.4290295e-4 - np.asarray(crop.array)) <= 1.01 * steps).all()
    assert float(crop.array.max()) == pytest.approx(25.4123, abs=1e-4)


def test_padding_below_air_is_marked_and_left_alone(data: Path, unpacked) -> None:
    volume = gk.open(unpacked("ct_abdomen/ct_abdomen.tar.xz"), device="cpu")
    assert volume.padding == (-3024, -3024) and int(volume.array.min()) == -3024
    assert volume.unit == "HU" and volume.array.dtype == np.int16
    assert any("padding" in note for note in volume.notes)


def test_a_missing_slice_of_a_real_series_is_named(data: Path) -> None:
    with pytest.raises(MissingSlicesError) as caught:
        gk.open(data / "ct_irregular", device="cpu")
    message = str(caught.value)
    assert "IM-0001-0009-0001.dcm" in message and "IM-0001-0010-0001.dcm" in message and "10 mm" in message
    filled = gk.open(data / "ct_irregular", device="cpu", fill_gaps=True)
    assert filled.grid.spacing[2] == pytest.approx(5.0) and filled.shape == (5, 512, 512)


def test_a_tilted_uneven_head_is_refused_and_filled_on_request(data: Path) -> None:
    folder = data / "ct_tilt_ge"
    with pytest.raises(MissingSlicesError) as caught:
        gk.open(folder, device="cpu")
    assert str(folder) in str(caught.value)
    volume = gk.open(folder, device="cpu", fill_gaps=True)
    assert volume.grid.is_orthogonal and any("18.5 degrees" in note for note in volume.notes)
    kept = gk.open(folder, device="cpu", fill_gaps=True, tilt="keep")
    assert kept.grid.shape == (56, 512, 512) and not kept.grid.is_orthogonal
    assert volume.padding == (-1500, -1500)
    # dcm2niix makes the same equidistant, straight stack: its size, and its step across the slices.
    equal = facts(data, "ct_tilt_ge")[1]
    assert volume.grid.shape[::-1] == tuple(equal["shape"])
    assert volume.grid.spacing == pytest.approx(equal["zooms"], abs=1e-4)
    same_statistics_but_interpolated(volume, equal)


def same_statistics_but_interpolated(volume: gk.Volume, wanted: dict) -> None:
    """Interpolation is done in another order by the other software: extremes differ, the mean hardly."""
    array = np.asarray(volume.array, dtype=np.float64)
    assert array.min() == wanted["min"]
    assert array.mean() == pytest.approx(wanted["mean"], abs=0.05)  # of -809 HU


def test_a_removed_tilt_lies_where_dcm2niix_puts_it(data: Path, tmp_path: Path) -> None:
    program = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix, the independent converter of the test extra, is not installed")
    subprocess.run([program, "-o", tmp_path, "-f", "x", data / "ct_tilt_ge"], check=True, capture_output=True)
    image = nib.load(tmp_path / "x_Tilt_Eq_1.nii")
    if abs(image.affine[2, 1] - 0.1549) > 1e-3:
        pytest.skip("this version of dcm2niix does not write the affine of a straightened stack right")
    volume = gk.open(data / "ct_tilt_ge", device="cpu", fill_gaps=True)
    away = corners(volume.grid.shape[::-1], volume.grid.ras_affine) - corners(image.shape, image.affine)
    assert np.abs(away).max() < 0.5 * 0.4883 + 0.05  # it starts its rows at another part of a pixel
    # Its rows run the other way. The outermost slices are no mixture of two, and equal to rounding.
    theirs = np.asanyarray(image.dataobj).astype(float).transpose(2, 1, 0)[:, ::-1]
    ours = np.asarray(volume.array, dtype=float)
    for k in (0, -1):
        assert np.abs(ours[k] - theirs[k]).mean() < 0.01
    # Elsewhere a shift by one row, either way, fits worse.
    both = (ours > -1400) & (theirs > -1400)
    fit = {s: np.abs(np.roll(ours, s, axis=1) - theirs)[both].mean() for s in (-1, 0, 1)}
    assert fit[0] < min(fit[-1], fit[1])
