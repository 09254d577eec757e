"""Which attribute of a header makes the values: checked on made files whose stored numbers are known."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RTDoseStorage,
)
from support.dicom_files import ROOT, write_series
from support.dicom_items import item

import gpukit as gk
from gpukit.dicom.image.frame import open_frame
from gpukit.errors import FormatError
from gpukit.io.open import open_each

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
STORED = np.arange(1000, 1000 + 3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)


def multiframe(path: Path, sop_class: str, modality: str, array: np.ndarray, **top: Any) -> Dataset:
    """A file of several frames without functional groups, saved; change it and save it again."""
    dataset = item(**top)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"{ROOT}.70"
    dataset.Modality = modality
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.9", f"{ROOT}.5"
    dataset.FrameOfReferenceUID = f"{ROOT}.8"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = array.shape[-2:]
    bits = 8 * array.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits, bits - 1, 0
    dataset.NumberOfFrames = len(array)
    dataset.PixelData = array.astype(array.dtype.newbyteorder("<")).tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def enhanced(path: Path, sop_class: str, modality: str, array: np.ndarray = STORED, **top: Any) -> Dataset:
    """The same with functional groups that place the frames and say nothing of their values."""
    dataset = multiframe(path, sop_class, modality, array, **top)
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=2)],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 2 * k])]) for k in range(len(array))
    ]
    dataset.save_as(path, enforce_file_format=True)
    return dataset


# --- enhanced images ---------------------------------------------------------------------------------------------


def test_a_rescale_outside_the_functional_groups_is_applied_with_a_note(tmp_path: Path) -> None:
    """2 * 1000 - 1000 = 1000 HU; without it, the stored 1000 would be called HU."""
    enhanced(tmp_path / "a.dcm", EnhancedCTImageStorage, "CT", RescaleSlope=2, RescaleIntercept=-1000)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.unit == "HU"
    assert np.array_equal(volume.array, 2 * STORED.astype(int) - 1000)
    assert any("outside the functional groups" in note for note in volume.notes)
    assert volume.value_scale is not None and volume.value_scale.source == "RescaleSlope"


def test_an_enhanced_ct_without_any_rescale_is_not_in_hu(tmp_path: Path) -> None:
    enhanced(tmp_path / "a.dcm", EnhancedCTImageStorage, "CT")
    volume = gk.open(tmp_path, device="cpu")
    assert volume.unit == "1"
    assert np.array_equal(volume.array, STORED)
    assert any("not as HU" in note for note in volume.notes)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_rescale_that_is_not_finite_is_refused_by_name(keyword: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    dataset = enhanced(path, EnhancedCTImageStorage, "CT")
    group = item(RescaleIntercept="1", RescaleSlope="1", RescaleType="HU")
    group.add_new(keyword, "LO", text)  # pydicom does not look into this VR
    dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [group]
    dataset.save_as(path, enforce_file_format=True)
    with pytest.raises(FormatError, match=keyword):
        gk.open(path, device="cpu")


# --- Philips -----------------------------------------------------------------------------------------------------


def philips(dataset: Dataset, k: int) -> None:
    dataset.Manufacturer = "Philips Medical Systems"
    dataset.RescaleSlope, dataset.RescaleIntercept = "2", "6"
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0E, "FL", 0.25)


def test_the_scale_of_philips_is_a_field_and_has_another_reading(tmp_path: Path) -> None:
    write_series(tmp_path, STORED, AFFINE, modality="MR", change=philips)
    measured = gk.open(tmp_path, device="cpu")
    assert np.array_equal(measured.array, STORED * 4.0 + 12)  # (2 s + 6) / (2 * 0.25)
    scale = measured.value_scale
    assert scale is not None
    assert (scale.source, scale.slope, scale.intercept) == ("PhilipsScaleSlope", 4.0, 12.0)
    assert (scale.displayed_slope, scale.displayed_intercept, scale.uniform) == (2.0, 6.0, True)
    assert any("--raw-scale" in note for note in measured.notes)
    displayed = gk.open(tmp_path, device="cpu", raw_scale=True)
    assert np.array_equal(displayed.array, STORED * 2 + 6)
    assert displayed.value_scale is not None and displayed.value_scale.source == "RescaleSlope"
    assert not any("Philips" in note for note in displayed.notes)
    (each,) = open_each(tmp_path, device="cpu", raw_scale=True)
    assert each.volume is not None and np.array_equal(each.volume.array, displayed.array)


def test_the_scale_of_philips_in_an_enhanced_image_has_another_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    dataset = enhanced(path, EnhancedMRImageStorage, "MR", Manufacturer="Philips Medical Systems")
    for group in dataset.PerFrameFunctionalGroupsSequence:
        group.PixelValueTransformationSequence = [item(RescaleIntercept=6, RescaleSlope=2, RescaleType="normalized")]
        classic = Dataset()
        classic.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.25)
        group.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x0F, "SQ", [classic])
    dataset.save_as(path, enforce_file_format=True)
    volume = gk.open(path, device="cpu")
    assert np.array_equal(volume.array, STORED * 4.0 + 12)
    assert volume.value_scale is not None and volume.value_scale.displayed_slope == 2.0
    assert np.array_equal(gk.open(path, device="cpu", raw_scale=True).array, STORED * 2.0 + 6)


# --- tables ------------------------------------------------------------------------------------------------------


def film(path: Path, **top: Any) -> None:
    """Stored 1000 to 1059; a table from 1000 on that gives 3 for each step down from 500."""
    entries = np.array([500 - 3 * n for n in range(60)], "<u2").tobytes()
    table = item(LUTDescriptor=[60, 1000, 16], ModalityLUTType="OD", LUTData=entries)
    multiframe(path, ComputedRadiographyImageStorage, "CR", STORED[:1], ModalityLUTSequence=[table], **top)


@pytest.mark.parametrize("beside", [{}, {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}])
def test_a_modality_table_is_applied_where_the_slope_beside_it_says_nothing(beside: dict, tmp_path: Path) -> None:
    film(tmp_path / "a.dcm", **beside)
    expected = 500 - 3 * (STORED[:1].astype(int) - 1000)
    volume = gk.open(tmp_path, device="cpu")
    assert np.array_equal(volume.array, expected)
    assert volume.value_scale is not None and volume.value_scale.source == "ModalityLUTSequence"
    assert any("Modality LUT" in note for note in volume.notes) is bool(beside)
    frame = open_frame(tmp_path / "a.dcm").read("cpu")  # what is measured on a single frame
    assert np.array_equal(frame.array, expected)


def test_a_modality_table_beside_a_slope_that_counts_is_noted(tmp_path: Path) -> None:
    film(tmp_path / "a.dcm", RescaleSlope=2, RescaleIntercept=1)
    volume = gk.open(tmp_path, device="cpu")
    assert np.array_equal(volume.array, 2 * STORED[:1] + 1)
    assert any("Modality LUT and a RescaleSlope" in note for note in volume.notes)


# --- padding -----------------------------------------------------------------------------------------------------


def test_padding_is_a_stored_value_of_each_slice(tmp_path: Path) -> None:
    """PET: slopes 0.5, 1, 1.5 and stored padding 7 are three values; each is padding in its own slice only."""
    array = np.full((3, 4, 5), 100, np.uint16)
    array[:, 0] = 7
    array[2, 1, 0] = 14  # 21 with its slope of 1.5; 7 * 1.5 = 10.5 is padding there
    slopes = [0.5, 1.0, 1.5]

    def change(dataset: Dataset, k: int) -> None:
        dataset.Units, dataset.PixelPaddingValue = "BQML", 7
        dataset["PixelPaddingValue"].VR = "US"
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slopes[k]), "0"

    write_series(tmp_path, array, AFFINE, modality="PT", change=change)
    volume = gk.open(tmp_path, device="cpu")
    values = np.asarray(volume.array)
    assert np.isnan(values[:, 0]).all()
    assert not np.isnan(values[:, 1:]).any()
    assert values[2, 1, 0] == 21
    measured = gk.roi(volume)
    expected = np.concatenate([(array[k, 1:] * slopes[k]).ravel() for k in range(3)])
    assert measured.mean == pytest.approx(expected.mean(), rel=1e-6)
    assert any("padding" in note for note in volume.notes)


def test_padding_of_one_value_stays_as_it_is(tmp_path: Path) -> None:
    def change(dataset: Dataset, k: int) -> None:
        dataset.PixelPaddingValue = 1000
        dataset["PixelPaddingValue"].VR = "US"

    write_series(tmp_path, STORED, AFFINE, change=change)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.padding == (1000, 1000)
    assert volume.array.dtype.kind in "iu"


# --- values that ordinary files leave out ------------------------------------------------------------------------


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_a_slope_of_zero_is_one(modality: str, tmp_path: Path) -> None:
    def change(dataset: Dataset, k: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = "0", "-5"

    write_series(tmp_path, STORED, AFFINE, modality=modality, change=change)
    volume = gk.open(tmp_path, device="cpu")
    assert np.array_equal(volume.array, STORED.astype(int) - 5)
    assert any("RescaleSlope is 0" in note for note in volume.notes)


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"])
def test_a_pixel_spacing_of_zero_is_none(keyword: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    multiframe(path, ComputedRadiographyImageStorage, "CR", STORED[:1], **{keyword: [0, 0]})
    volume = gk.open(path, device="cpu")
    assert any("PixelSpacing is 0" in note or "no pixel spacing" in note for note in volume.notes)
    length = next(q for q in gk.distance(path, (0, 0), (4, 3)).quantities if q.name == "length")
    assert (length.value, length.unit) == (5.0, "{pixels}")  # not mm of a size that nobody knows


@pytest.mark.parametrize(("units", "unit"), [("GY", "Gy"), ("RELATIVE", "1")])
def test_a_dose_has_its_unit(units: str, unit: str, tmp_path: Path) -> None:
    path = tmp_path / "d.dcm"
    place = {
        "ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [1, 1],
        "GridFrameOffsetVector": [0, 2, 4],
    }  # fmt: skip
    multiframe(path, RTDoseStorage, "RTDOSE", STORED, DoseUnits=units, DoseGridScaling="0.001", **place)
    volume = gk.open(path, device="cpu")
    assert volume.unit == unit
    assert np.allclose(volume.array, STORED * 0.001)
    mean = next(q for q in gk.roi(volume).quantities if q.name == "mean")
    assert mean.unit == unit  # UCUM has the same word


@pytest.mark.parametrize("scaling", ["0", "-1"])
def test_a_dose_that_is_scaled_by_nothing_is_refused(scaling: str, tmp_path: Path) -> None:
    path = tmp_path / "d.dcm"
    multiframe(path, RTDoseStorage, "RTDOSE", STORED, DoseUnits="GY", DoseGridScaling=scaling)
    with pytest.raises(FormatError, match="DoseGridScaling"):
        gk.open(path, device="cpu")


def test_a_dose_without_its_scaling_has_no_unit(tmp_path: Path) -> None:
    path = tmp_path / "d.dcm"
    multiframe(path, RTDoseStorage, "RTDOSE", STORED[:1], DoseUnits="GY")
    volume = gk.open(path, device="cpu")
    assert volume.unit == "1"
    assert any("DoseGridScaling is missing" in note for note in volume.notes)


# --- fragments of odd length -------------------------------------------------------------------------------------


def _odd(codestream: bytes) -> bytes:
    """The codestream with a comment, if need be, so that its length is odd."""
    return codestream if len(codestream) % 2 else codestream[:2] + b"\xff\xfe\x00\x05abc" + codestream[2:]


@pytest.mark.parametrize("way", ["odd", "padded and not counted", "last byte not counted", "last byte lost"])
def test_jpeg_ls_fragments_of_odd_length_are_read_as_pydicom_reads_them(way: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 400, (3, 16, 17)).astype(np.uint16)

    def change(dataset: Dataset, k: int) -> None:
        data = _odd(imagecodecs.jpegls_encode(noise[k]))
        length = len(data) - (1 if way.startswith("last") else 0)
        stored = {"padded and not counted": data + b"\0", "last byte lost": data[:-1]}.get(way, data)
        header = struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, length)
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.PixelData = header + stored + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        dataset["PixelData"].is_undefined_length, dataset["PixelData"].VR = True, "OB"

    paths = write_series(tmp_path, noise, AFFINE, change=change)
    assert np.array_equal(gk.open(tmp_path, device="cpu").array, noise)
    for path, expected in zip(paths, noise, strict=True):
        assert np.array_equal(pydicom.dcmread(path).pixel_array, expected)


# --- memory that nobody filled -----------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 40, 400])
def test_an_rle_segment_that_is_too_short_is_refused_whoever_would_take_it(missing: int, tmp_path: Path) -> None:
    """GDCM leaves what a segment lacks as it was; other decoders refuse the frame, and theirs is the last word."""
    from pydicom.uid import RLELossless

    smooth = (np.add.outer(np.arange(64), np.arange(64)) * 20).astype(np.uint16)

    def change(dataset: Dataset, k: int) -> None:
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        starts = struct.unpack_from("<3I", frame)
        assert starts[0] == 2
        short = frame[:64] + frame[starts[1] : starts[2] - missing] + frame[starts[2] :]
        header = struct.pack("<3I", 2, 64, starts[2] - missing) + bytes(52)
        dataset.PixelData = pydicom.encaps.encapsulate([header + short[64:]])
        dataset["PixelData"].is_undefined_length = True

    write_series(tmp_path, smooth[None], AFFINE, change=change)
    with pytest.raises(FormatError, match=r"RLE|decoded"):
        gk.open(tmp_path, device="cpu")
