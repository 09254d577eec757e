"""From stored numbers to values: slopes, number types, units, padding, colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from support.dicom_files import write_series

import gpukit as gk
from gpukit.dicom.image.pixel_value import corner_padding

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def stored(kind: type, low: int, high: int) -> np.ndarray:
    return np.linspace(low, high, 60).round().astype(kind).reshape(4, 3, 5)


def set_all(**values):
    def change(dataset: Dataset, k: int) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


@pytest.mark.parametrize(
    ("array", "header", "kind"),
    [
        (stored(np.uint16, 0, 4095), {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": -1024}, np.int16),
        (stored(np.int16, -2000, 3000), {"RescaleIntercept": -1024}, np.int16),
        (stored(np.int16, -32768, 32767), {"RescaleIntercept": -1024}, np.int32),
        (stored(np.uint16, 0, 33000), {"RescaleIntercept": -1024}, np.int16),
        (stored(np.uint16, 0, 65535), {"RescaleIntercept": -1024}, np.int32),
        (stored(np.uint16, 0, 65535), {}, np.uint16),
        (stored(np.uint8, 0, 255), {}, np.uint8),
        (stored(np.int8, -128, 127), {}, np.int16),
        (stored(np.int32, -(2**31), 2**31 - 1), {}, np.int32),
        (stored(np.uint32, 0, 2**32 - 1), {}, np.float64),
        (stored(np.int16, -1000, 1000), {"RescaleSlope": "0.5"}, np.float32),
        (stored(np.int16, -1000, 1000), {"RescaleIntercept": "0.5"}, np.float32),
    ],
)
def test_values_fit_their_type(tmp_path: Path, array: np.ndarray, header: dict, kind: type) -> None:
    write_series(tmp_path, array, AFFINE, change=set_all(**header))
    volume = gk.open(tmp_path, device="cpu")
    expected = array.astype(np.float64) * float(header.get("RescaleSlope", 1)) + float(
        header.get("RescaleIntercept", 0)
    )
    assert volume.array.dtype == kind
    assert np.array_equal(np.asarray(volume.array, np.float64), expected)


def test_every_slice_has_its_own_slope(tmp_path: Path) -> None:
    array = np.full((4, 3, 5), 100, np.int16)

    def change(dataset, k) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(0.5 * (k + 1)), str(10 * k)
        dataset.Units = "BQML"

    write_series(tmp_path, array, AFFINE, modality="PT", change=change)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.unit == "BQML"
    assert np.asarray(volume.array)[:, 0, 0].tolist() == [50, 110, 170, 230]


@pytest.mark.parametrize(
    ("modality", "header", "unit"),
    [
        ("CT", {}, "HU"),
        ("CT", {"RescaleType": "HU"}, "HU"),
        ("CT", {"RescaleType": "US"}, "1"),
        ("CT", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "1"),
        ("MR", {}, "1"),
        ("PT", {"Units": "GML", "SUVType": "BW"}, "SUVbw"),
        ("PT", {"Units": "GML"}, "SUVbw"),
        ("PT", {"Units": "GML", "SUVType": "LBM"}, "GML"),
        ("PT", {"Units": "CNTS"}, "CNTS"),
        ("PT", {"Units": "PCNT"}, "1"),
    ],
)
def test_units(tmp_path: Path, modality: str, header: dict, unit: str) -> None:
    write_series(tmp_path, stored(np.int16, 0, 9), AFFINE, modality=modality, change=set_all(**header))
    assert gk.open(tmp_path, device="cpu").unit == unit


def test_declared_padding_is_rescaled(tmp_path: Path) -> None:
    header = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990, "RescaleIntercept": -1024}
    write_series(tmp_path, stored(np.int16, -2000, 3000), AFFINE, change=set_all(**header))
    assert gk.open(tmp_path, device="cpu").padding == (-3024, -3014)


def test_padding_that_differs_between_slices_is_not_marked(tmp_path: Path) -> None:
    def change(dataset, k) -> None:
        dataset.PixelPaddingValue, dataset.RescaleIntercept = 5, -k

    write_series(tmp_path, stored(np.int16, 0, 9), AFFINE, change=change)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.padding is None and any("padding" in note for note in volume.notes)


def test_corners_are_padding_only_where_all_agree_below_air() -> None:
    array = np.full((3, 8, 8), -3024, np.int16)
    array[:, 2:6, 2:6] = 40
    assert corner_padding(array) == (-3024, -3024)
    array[1, 0, 7] = -1000
    assert corner_padding(array) is None
    assert corner_padding(np.full((3, 8, 8), -1024, np.int16)) is None


def test_monochrome1_keeps_its_values(tmp_path: Path) -> None:
    array = stored(np.int16, 0, 500)
    write_series(tmp_path, array, AFFINE, change=set_all(PhotometricInterpretation="MONOCHROME1"))
    volume = gk.open(tmp_path, device="cpu")
    assert np.array_equal(volume.array, array) and volume.metadata["PhotometricInterpretation"] == "MONOCHROME1"


def test_philips_scale_slope_of_classic_images(tmp_path: Path) -> None:
    def change(dataset, k) -> None:
        dataset.Manufacturer = "Philips Medical Systems"
        dataset.RescaleSlope, dataset.RescaleIntercept = "2", "6"
        block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0E, "FL", 0.25)

    array = stored(np.int16, 0, 500)
    write_series(tmp_path, array, AFFINE, modality="MR", change=change)
    # measured = (RS * stored + RI) / (RS * SS) = (2 s + 6) / 0.5
    assert np.array_equal(np.asarray(gk.open(tmp_path, device="cpu").array), array * 4.0 + 12.0)


def test_real_images_without_a_place_in_the_patient(data: Path) -> None:
    loop = gk.open(data / "xa_nm_ecg/HasFragmentSequence.dcm", device="cpu")
    assert loop.axes == "tkji" and loop.shape == (96, 1, 512, 512) and loop.phases[1] == "Frame 2"
    assert any("no patient geometry" in note for note in loop.notes)
    film = gk.open(data / "cr_dx_mg/OutOfBoundsOverlay.dcm", device="cpu")
    assert film.grid.spacing[:2] == (0.085, 0.085) and any("ImagerPixelSpacing" in note for note in film.notes)
    echo = gk.open(data / "us/color-px.dcm", device="cpu")
    planar = gk.open(data / "us/color-pl.dcm", device="cpu")
    assert echo.axes == "kjic" and echo.unit == "RGB" and np.array_equal(echo.array, planar.array)
    palette = gk.open(data / "us/US-PAL-8-10x-echo", device="cpu")
    assert palette.axes == "tkjic" and palette.shape == (10, 1, 430, 600, 3)


def test_dose_grid_lies_at_its_offsets(data: Path) -> None:
    from pydicom import dcmread

    path = data / "rt/pydicom/rtdose.dcm"
    volume, dataset = gk.open(path, device="cpu"), dcmread(path)
    assert np.allclose(volume.array, dataset.pixel_array * float(dataset.DoseGridScaling), rtol=1e-6)
    offsets = np.array(dataset.GridFrameOffsetVector, float)
    for k in range(15):
        z = dataset.ImagePositionPatient[2] + offsets[k] - offsets[0]
        assert volume.grid.to_world((0, 0, k))[2] == pytest.approx(z, abs=1e-6)


def test_float_parametric_map(data: Path) -> None:
    from pydicom import dcmread

    path = data / "parametric_map/parametric_map_float.dcm"
    volume = gk.open(path, device="cpu")
    dataset = dcmread(path)
    raw = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(1, 128, 128)
    mapping = dataset.SharedFunctionalGroupsSequence[0].get("RealWorldValueMappingSequence")
    mapping = mapping or dataset.PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    expected = raw * float(mapping[0].RealWorldValueSlope) + float(mapping[0].RealWorldValueIntercept)
    assert volume.array.dtype == np.float32 and np.allclose(volume.array, expected, rtol=1e-6)


@pytest.mark.parametrize("implicit", [True, False])
def test_padding_written_as_unsigned_is_signed_like_the_pixels(tmp_path: Path, implicit: bool) -> None:
    from pydicom import dcmread
    from pydicom.uid import ImplicitVRLittleEndian

    (path,) = write_series(tmp_path, np.full((1, 3, 5), -2000, np.int16), AFFINE)
    dataset = dcmread(path)
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(path, implicit_vr=implicit, little_endian=True)
    assert gk.open(path, device="cpu").padding == (-2000, -2000)
