"""SUV where the times of a series and of the injection are in different zones, of enhanced images, and of padding."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from support.dicom_items import item
from support.pet_files import DOSE, HALF_LIFE, INJECTED, ROOT, SCANNED, WEIGHT, da, expected, tm, write_pet

import gpukit as gk
from gpukit.dicom.reader.date_time import local_time, parse_dt, parse_offset
from gpukit.errors import FormatError, GpukitError, InputError
from gpukit.measure.pet.suv import suv, suv_volume

STAMP = "%Y%m%d%H%M%S"


def open_pet(folder: Path, change: Any) -> Any:
    write_pet(folder, change=change)
    return gk.open(folder, device="cpu")


# --- offsets from UTC --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["+0100", "+0000", "-0330", "+1400"])
@pytest.mark.parametrize("clock", [False, True])
def test_an_injection_in_another_zone_is_the_same_moment(text: str, clock: bool, tmp_path: Path) -> None:
    """The scanner is two hours east of Greenwich; the injection is stated in another zone (PS3.5 6.2, DT)."""
    offset = parse_offset(text)

    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        dataset.TimezoneOffsetFromUTC = "+0200"
        moment = INJECTED.replace(tzinfo=timezone(timedelta(hours=2))).astimezone(offset)
        drug.RadiopharmaceuticalStartDateTime = f"{moment:{STAMP}}{text}"
        if not clock:
            del drug.RadiopharmaceuticalStartTime

    assert suv(open_pet(tmp_path, change)).mean == pytest.approx(expected(), rel=1e-6)


def test_the_zone_of_the_acquisition_counts_where_no_other_is_stated(tmp_path: Path) -> None:
    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        dataset.AcquisitionDateTime = f"{SCANNED:{STAMP}}+0200"
        drug.RadiopharmaceuticalStartDateTime = f"{INJECTED - timedelta(hours=2):{STAMP}}+0000"
        del drug.RadiopharmaceuticalStartTime

    assert suv(open_pet(tmp_path, change)).mean == pytest.approx(expected(), rel=1e-6)


def test_the_acquisition_in_utc_beside_its_local_time_tells_the_zone(tmp_path: Path) -> None:
    """A scanner that writes every date-time in UTC and every other time in its own zone, which it does not state."""

    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        dataset.AcquisitionDateTime = f"{SCANNED - timedelta(hours=2):{STAMP}}+0000"
        drug.RadiopharmaceuticalStartDateTime = f"{INJECTED - timedelta(hours=2):{STAMP}}+0000"
        del drug.RadiopharmaceuticalStartTime

    assert suv(open_pet(tmp_path, change)).mean == pytest.approx(expected(), rel=1e-6)


def test_the_time_of_day_beside_the_date_time_tells_the_zone(tmp_path: Path) -> None:
    """Nothing states the zone of the series; RadiopharmaceuticalStartTime is in it all the same."""

    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        drug.RadiopharmaceuticalStartDateTime = f"{INJECTED - timedelta(hours=5, minutes=30):{STAMP}}+0000"

    assert suv(open_pet(tmp_path, change)).mean == pytest.approx(expected(), rel=1e-6)


def test_an_offset_that_nothing_can_be_compared_with_is_noted(tmp_path: Path) -> None:
    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        drug.RadiopharmaceuticalStartDateTime = f"{INJECTED:{STAMP}}+0100"
        del drug.RadiopharmaceuticalStartTime

    measured = suv(open_pet(tmp_path, change))
    assert measured.mean == pytest.approx(expected(), rel=1e-6)
    assert any("TimezoneOffsetFromUTC" in note for note in measured.notes)


def test_midnight_may_lie_between_the_zones(tmp_path: Path) -> None:
    """Injected at 23:30 UTC of the day before, which is 00:30 at the scanner."""
    early = datetime(2024, 5, 17, 0, 30)

    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        dataset.TimezoneOffsetFromUTC = "+0100"
        scan = early + timedelta(hours=1)
        dataset.SeriesDate = dataset.AcquisitionDate = da(scan)
        dataset.SeriesTime = dataset.AcquisitionTime = tm(scan)
        drug.RadiopharmaceuticalStartDateTime = "20240516233000+0000"
        del drug.RadiopharmaceuticalStartTime

    assert suv(open_pet(tmp_path, change)).mean == pytest.approx(expected(), rel=1e-6)


@pytest.mark.parametrize("given", ["2024-05-17T08:00:00+00:00", datetime(2024, 5, 17, 8, 0, tzinfo=UTC)])
def test_a_time_of_the_user_is_brought_to_the_zone_of_the_series(given: Any, tmp_path: Path) -> None:
    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        dataset.TimezoneOffsetFromUTC = "+0200"
        del drug.RadiopharmaceuticalStartDateTime, drug.RadiopharmaceuticalStartTime

    volume = open_pet(tmp_path, change)
    assert suv(volume, injection_time=given).mean == pytest.approx(expected(), rel=1e-6)


def test_a_time_of_the_user_in_a_zone_needs_that_of_the_series(tmp_path: Path) -> None:
    volume = open_pet(tmp_path, lambda dataset, drug, k: None)
    with pytest.raises(InputError, match="without an offset"):
        suv(volume, injection_time="2024-05-17T08:00:00+00:00")


def test_slices_of_different_zones_are_refused(tmp_path: Path) -> None:
    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        dataset.TimezoneOffsetFromUTC = ("+0100", "+0200")[k % 2]

    with pytest.raises(InputError, match="TimezoneOffsetFromUTC"):
        suv(open_pet(tmp_path, change))


@pytest.mark.parametrize("text", ["+1500", "+0160", "0100", "+1", "2024", ""])
def test_what_is_not_an_offset(text: str) -> None:
    assert parse_offset(text) is None


def test_date_times_keep_their_zone() -> None:
    moment = parse_dt("20240517233000.5-0330")
    assert moment == datetime(2024, 5, 18, 3, 0, 0, 500000, tzinfo=UTC)
    assert local_time(moment, parse_offset("+0200")) == datetime(2024, 5, 18, 5, 0, 0, 500000)
    assert parse_dt("20240517233000+9900") is None


# --- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e999"])
@pytest.mark.parametrize("keyword", ["RadionuclideTotalDose", "RadionuclideHalfLife"])
def test_a_dose_or_half_life_that_is_not_finite_is_refused_by_name(keyword: str, text: str, tmp_path: Path) -> None:
    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        setattr(drug, keyword, text)

    with pytest.raises(FormatError, match=keyword):
        suv(open_pet(tmp_path, change))


@pytest.mark.parametrize("text", ["inf", "nan"])
@pytest.mark.parametrize("keyword", ["PatientWeight", "PatientSize", "ActualFrameDuration", "FrameReferenceTime"])
def test_other_numbers_that_are_not_finite_never_give_a_value(keyword: str, text: str, tmp_path: Path) -> None:
    """They count as missing or are refused; what comes out is right."""

    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        dataset.add_new(keyword, "DS", text)

    try:
        measured = suv(open_pet(tmp_path, change))
    except GpukitError:
        return
    assert measured.mean == pytest.approx(expected(), rel=1e-6)


# --- padding -----------------------------------------------------------------------------------------------------


def test_suv_of_a_series_with_padding_in_each_slice_leaves_it_out(tmp_path: Path) -> None:
    def change(dataset: Dataset, drug: Dataset, k: int) -> None:
        dataset.RescaleSlope, dataset.PixelPaddingValue = str(1 + k), 5
        dataset["PixelPaddingValue"].VR = "US"
        array = np.full((5, 6), 1000 // (1 + k), "<u2")
        array[:, :3] = 5
        dataset.PixelData = array.tobytes()

    write_pet(tmp_path, change=change)
    values, _ = suv_volume(gk.open(tmp_path, device="cpu"))
    measured = gk.roi(values)
    parts = [(1000 // (1 + k)) * (1 + k) for k in range(3)]
    assert measured.mean == pytest.approx(expected(float(np.mean(parts))), rel=1e-6)


# --- enhanced images ---------------------------------------------------------------------------------------------


def enhanced(path: Path, *, legacy: bool = False, **top: Any) -> None:
    """Three frames of 10000 Bq/ml, corrected to SCANNED; slopes differ from frame to frame."""
    d = item(**top)
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    uid = "1.2.840.10008.5.1.4.1.1.128.1" if legacy else "1.2.840.10008.5.1.4.1.1.130"
    d.SOPClassUID = d.file_meta.MediaStorageSOPClassUID = uid
    d.SOPInstanceUID = d.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.4"
    d.Modality, d.StudyInstanceUID, d.SeriesInstanceUID = "PT", f"{ROOT}.91", f"{ROOT}.92"
    d.FrameOfReferenceUID = f"{ROOT}.93"
    d.PatientWeight, d.PatientSize, d.PatientSex = WEIGHT, 1.75, "M"
    # the series was made later: only DecayCorrectionDateTime says what the values were corrected to
    later = SCANNED + timedelta(hours=3)
    d.SeriesDate, d.SeriesTime = da(later), tm(later)
    drug = item(RadiopharmaceuticalStartDateTime=f"{INJECTED:{STAMP}}", RadionuclideTotalDose=f"{DOSE:.0f}",
                RadionuclideHalfLife=HALF_LIFE)  # fmt: skip
    d.SamplesPerPixel, d.PhotometricInterpretation, d.NumberOfFrames = 1, "MONOCHROME2", 3
    d.Rows, d.Columns, d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = 5, 6, 16, 16, 15, 0
    d.PixelData = np.stack([np.full((5, 6), 10000 // (k + 1), "<u2") for k in range(3)]).tobytes()
    shared = item(PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
                  PixelMeasuresSequence=[item(PixelSpacing=[4, 4], SliceThickness=3)])  # fmt: skip
    frames = []
    for k in range(3):
        slope = 10000 / (10000 // (k + 1))
        group = item(
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 3 * k])],
            FrameContentSequence=[
                item(FrameAcquisitionDateTime=f"{SCANNED:{STAMP}}", FrameAcquisitionDuration=300000.0)
            ],
            PixelValueTransformationSequence=[item(RescaleIntercept=0, RescaleSlope=f"{slope:.12g}", RescaleType="US")],
        )
        if legacy:
            own = item(FrameReferenceTime="150000", ActualFrameDuration=300000, AcquisitionTime=tm(SCANNED),
                       AcquisitionDate=da(SCANNED))  # fmt: skip
            group.UnassignedPerFrameConvertedAttributesSequence = [own]
        else:
            unit = item(CodeValue="Bq/ml", CodingSchemeDesignator="UCUM", CodeMeaning="Becquerels/milliliter")
            group.RealWorldValueMappingSequence = [
                item(RealWorldValueSlope=slope, RealWorldValueIntercept=0.0, MeasurementUnitsCodeSequence=[unit])
            ]
        frames.append(group)
    if legacy:
        common = item(Units="BQML", DecayCorrection="START", CorrectedImage=["DECY", "ATTN"],
                      RadiopharmaceuticalInformationSequence=[drug])  # fmt: skip
        shared.UnassignedSharedConvertedAttributesSequence = [common]
    else:
        d.RadiopharmaceuticalInformationSequence = [drug]
        if "DecayCorrected" not in top:
            d.DecayCorrected, d.DecayCorrectionDateTime = "YES", f"{SCANNED:{STAMP}}"
        if "AttenuationCorrected" not in top:
            d.AttenuationCorrected = "YES"
    d.SharedFunctionalGroupsSequence, d.PerFrameFunctionalGroupsSequence = [shared], frames
    d.save_as(path, enforce_file_format=True)


def test_suv_of_an_enhanced_image(tmp_path: Path) -> None:
    enhanced(tmp_path / "a.dcm")
    volume = gk.open(tmp_path, device="cpu")
    assert volume.unit == "BQML"
    assert np.allclose(volume.array, 10000)
    measured = suv(volume)
    assert measured.mean == pytest.approx(expected(), rel=1e-6)
    assert any(d.name == "reference_time" and d.source == "DecayCorrectionDateTime" for d in measured.details)


def test_suv_of_an_enhanced_image_whose_times_are_in_other_zones(tmp_path: Path) -> None:
    utc = f"{SCANNED - timedelta(hours=2):{STAMP}}+0000"
    enhanced(tmp_path / "a.dcm", TimezoneOffsetFromUTC="+0200", DecayCorrected="YES", DecayCorrectionDateTime=utc)
    assert suv(gk.open(tmp_path, device="cpu")).mean == pytest.approx(expected(), rel=1e-6)


def test_an_enhanced_image_that_was_not_corrected_takes_the_times_of_its_frames(tmp_path: Path) -> None:
    from gpukit.measure.pet.times import frame_average

    enhanced(tmp_path / "a.dcm", DecayCorrected="NO")
    left = 2.0 ** (-3600 / HALF_LIFE) * frame_average(300.0, HALF_LIFE)
    assert suv(gk.open(tmp_path, device="cpu")).mean == pytest.approx(10000 * WEIGHT * 1000 / (DOSE * left), rel=1e-6)


def test_an_enhanced_image_without_attenuation_correction_is_refused(tmp_path: Path) -> None:
    enhanced(tmp_path / "a.dcm", AttenuationCorrected="NO")
    with pytest.raises(InputError, match="attenuation"):
        suv(gk.open(tmp_path, device="cpu"))


def test_suv_of_a_legacy_converted_image(tmp_path: Path) -> None:
    """Its series time is after the acquisition: the reference follows from the frames' own times, as in classic PET."""
    enhanced(tmp_path / "a.dcm", legacy=True)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.unit == "BQML"
    write_pet(tmp_path / "classic", change=_made_later)
    classic = suv(gk.open(tmp_path / "classic", device="cpu"))
    assert suv(volume).mean == pytest.approx(classic.mean, rel=1e-6)
    assert suv(volume).mean == pytest.approx(expected(), rel=2e-2)


def _made_later(dataset: Dataset, drug: Dataset, k: int) -> None:
    later = SCANNED + timedelta(hours=3)
    dataset.SeriesDate, dataset.SeriesTime = da(later), tm(later)
