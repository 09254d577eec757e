"""The rules of SUV one by one: times, units, doses, what the user says, and what is refused by name."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from support.pet_files import DOSE, HALF_LIFE, INJECTED, SCANNED, WEIGHT, da, expected, pet, tm

from gpukit.dicom.reader.date_time import parse_da, parse_dt, parse_tm
from gpukit.errors import InputError
from gpukit.measure.pet.facts import read_facts
from gpukit.measure.pet.parameters import parse_activity
from gpukit.measure.pet.suv import Overrides, suv, suv_volume
from gpukit.measure.pet.suv_factor import suv_scale
from gpukit.measure.pet.times import average_offset, frame_average


def factor(folder: Path, change=None, kind: str = "bw", slices: int = 3, **given) -> float:
    """SUV of a value of 1 in a made series."""
    factors = set(suv_scale(read_facts(pet(folder, change, slices=slices)), kind, Overrides(**given)).factors)
    assert len(factors) == 1
    return factors.pop()


def test_the_definition(tmp_path: Path) -> None:
    found = suv(pet(tmp_path))
    assert found.mean == pytest.approx(expected(), rel=1e-6)  # float32 pixels
    assert found.mean == found.max == pytest.approx(found.median)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),
    uptake=st.integers(60, 6 * 3600),
    dated=st.booleans(),
)
def test_any_day_and_any_midnight(tmp_path: Path, start: datetime, uptake: int, dated: bool) -> None:
    scan = (start + timedelta(seconds=uptake)).replace(microsecond=0)
    injected = scan - timedelta(seconds=uptake)

    def change(d, drug, k) -> None:
        d.SeriesDate, d.SeriesTime, d.AcquisitionDate, d.AcquisitionTime = da(scan), tm(scan), da(scan), tm(scan)
        del drug.RadiopharmaceuticalStartDateTime
        drug.RadiopharmaceuticalStartTime = tm(injected)
        if dated:
            drug.RadiopharmaceuticalStartDateTime = f"{injected:%Y%m%d%H%M%S}.000000+0200"

    assert factor(tmp_path, change, slices=1) == pytest.approx(expected(1, seconds=uptake), rel=1e-12)


def test_a_series_made_later_is_led_back_by_its_frames(tmp_path: Path) -> None:
    # Two beds of 5 minutes, corrected to 11:00; each frame says when its average was, so that 11:00 comes back.
    offset = average_offset(300, HALF_LIFE)

    def change(d, drug, k) -> None:
        begin = SCANNED + timedelta(seconds=300 * k)
        d.SeriesTime = "143000"
        d.AcquisitionTime = tm(begin)
        d.FrameReferenceTime = f"{(300 * k + offset) * 1000:.6f}"

    assert factor(tmp_path, change) == pytest.approx(expected(1), rel=1e-9)
    notes = suv_scale(read_facts(pet(tmp_path, change))).notes
    assert any("after the earliest acquisition" in note for note in notes)


@pytest.mark.parametrize(
    ("group", "element", "creator"), [(0x0009, 0x0D, "GEMS_PETD_01"), (0x0071, 0x22, "SIEMENS MED PT")]
)
@pytest.mark.parametrize("stripped", [False, True])
def test_a_series_made_later_with_the_vendors_private_time(
    tmp_path: Path, group: int, element: int, creator: str, stripped: bool
) -> None:
    def change(d, drug, k) -> None:
        d.SeriesTime = "143000"
        d.AcquisitionTime = "111500"
        del d.FrameReferenceTime
        d.Manufacturer = "GE MEDICAL SYSTEMS" if group == 0x0009 else "SIEMENS"
        if stripped:  # de-identification that keeps the element and drops its creator
            d.add_new((group, 0x1000 | element), "DT", "20240517110000.000000")
        else:
            d.private_block(group, creator, create=True).add_new(element, "DT", "20240517110000.000000")

    assert factor(tmp_path, change) == pytest.approx(expected(1), rel=1e-12)


def test_without_decay_correction_each_slice_has_its_own(tmp_path: Path) -> None:
    def change(d, drug, k) -> None:
        d.DecayCorrection = "NONE"
        d.CorrectedImage = ["NORM", "ATTN", "SCAT"]
        d.AcquisitionTime = tm(SCANNED + timedelta(minutes=10 * k))

    volume = pet(tmp_path, change)
    scale = suv_scale(read_facts(volume))
    rate = math.log(2) / HALF_LIFE
    for k, found in enumerate(scale.factors):
        start = 3600 + 600 * k
        left = quad(lambda t: math.exp(-rate * t), start, start + 300)[0] / 300  # the average, by integration
        assert found == pytest.approx(WEIGHT * 1000 / (DOSE * left), rel=1e-9)
    scaled, _ = suv_volume(volume)
    for k in range(3):
        assert float(scaled.array[k].max()) == pytest.approx(10000 * scale.factors[k], rel=1e-6)


def test_values_corrected_to_the_administration(tmp_path: Path) -> None:
    def change(d, drug, k) -> None:
        d.DecayCorrection = "ADMIN"
        del drug.RadiopharmaceuticalStartDateTime, drug.RadiopharmaceuticalStartTime

    assert factor(tmp_path, change) == pytest.approx(WEIGHT * 1000 / DOSE, rel=1e-12)


@given(st.floats(0.1, 7200), st.floats(60, 1e6))
def test_average_of_a_frame_and_when_it_is(duration: float, half_life: float) -> None:
    rate = math.log(2) / half_life
    average = frame_average(duration, half_life)
    assert average == pytest.approx(quad(lambda t: math.exp(-rate * t), 0, duration)[0] / duration, rel=1e-9)
    at = brentq(lambda t: math.exp(-rate * t) - average, 0, duration, xtol=1e-12)
    assert average_offset(duration, half_life) == pytest.approx(at, rel=1e-4, abs=1e-6)


def test_a_dose_in_megabecquerels(tmp_path: Path) -> None:
    def change(d, drug, k) -> None:
        drug.RadionuclideTotalDose = "370.0"

    assert factor(tmp_path, change) == pytest.approx(expected(1), rel=1e-12)
    assert any("MBq" in note for note in suv_scale(read_facts(pet(tmp_path, change))).notes)


def test_dates_that_were_changed_one_by_one(tmp_path: Path) -> None:
    def change(d, drug, k) -> None:
        d.AcquisitionDate = d.SeriesDate = "19000101"
        drug.RadiopharmaceuticalStartDateTime = "20240516235000"
        drug.RadiopharmaceuticalStartTime = "235000"
        d.SeriesTime = d.AcquisitionTime = "005000"

    scale = suv_scale(read_facts(pet(tmp_path, change)))
    assert scale.factors[0] == pytest.approx(expected(1), rel=1e-12)
    assert any("only its time of day" in note for note in scale.notes)


def counts(value: str | None, activity: str | None):
    def change(d, drug, k) -> None:
        d.Units, d.Manufacturer = "CNTS", "Philips Medical Systems"
        block = d.private_block(0x7053, "Philips PET Private Group", create=True)
        for element, text in ((0x00, value), (0x09, activity)):
            if text is not None:
                block.add_new(element, "DS", text)

    return change


def test_counts_with_a_vendors_factors(tmp_path: Path) -> None:
    assert factor(tmp_path / "a", counts("0.000728", "1.6")) == pytest.approx(0.000728)
    assert factor(tmp_path / "b", counts(None, "1.6")) == pytest.approx(1.6 * expected(1), rel=1e-12)
    assert factor(tmp_path / "c", counts("0", "1.6")) == pytest.approx(1.6 * expected(1), rel=1e-12)  # 0: not there
    with pytest.raises(InputError, match=r"7053,xx00.*7053,xx09.*\[Units\]"):
        factor(tmp_path / "d", counts(None, None))


@pytest.mark.parametrize(
    ("units", "kind", "sex", "ratio"),
    [
        ("GML", "BW", "M", 1), ("GML", None, "M", 1), ("GML", "IBW", "M", 70 / 72.38), ("GML", "IBW", "F", 70 / 66.43),
        ("GML", "LBMJAMES128", "M", 70 / 56.52), ("GML", "LBMJAMES128", "F", 70 / 51.22),
        ("GML", "LBMJANMA", "M", 70 / 55.857108), ("GML", "LBMJANMA", "F", 70 / 45.197015),
        ("GML", "LBM", "M", 70 / 57.80),
        ("GML", "LBMJAMES128", "O", 70 / ((56.52 + 51.22) / 2)), ("CM2ML", "BSA", "M", 70000 / 18481.43),
        ("CM2ML", None, "M", 70000 / 18481.43),
    ],
)  # fmt: skip
def test_values_that_are_suv_of_another_kind(tmp_path: Path, units, kind, sex, ratio) -> None:
    def change(d, drug, k) -> None:
        d.Units, d.PatientSex = units, sex
        if kind is not None:
            d.SUVType = kind
        del drug.RadionuclideTotalDose  # is not needed

    assert factor(tmp_path, change) == pytest.approx(ratio, rel=1e-7)


def test_what_the_user_says(tmp_path: Path) -> None:
    base = factor(tmp_path)
    assert factor(tmp_path, weight=140) == pytest.approx(2 * base)
    assert factor(tmp_path, dose="185MBq") == pytest.approx(2 * base)
    assert factor(tmp_path, dose="5mCi") == pytest.approx(2 * base)  # 1 mCi = 37 MBq
    assert factor(tmp_path, injection_time="09:00:00") == pytest.approx(expected(1, seconds=7200))
    assert factor(tmp_path, injection_time="2024-05-17T10:30") == pytest.approx(expected(1, seconds=1800))
    assert factor(tmp_path, reference_time="11:30") == pytest.approx(expected(1, seconds=5400))
    assert factor(tmp_path, half_life=4062.6) == pytest.approx(WEIGHT * 1e3 / (DOSE * 2 ** (-3600 / 4062.6)))
    assert factor(tmp_path, None, "ibw", height=180, sex="F") == pytest.approx(base * (45.5 + 0.91 * 28) / 70)
    details = suv_scale(read_facts(pet(tmp_path)), "bw", Overrides(weight=80)).details
    assert {d.name: d.source for d in details}["weight"] == "--weight"


def deleted(*keywords: str):
    def change(d, drug, k) -> None:
        for keyword in keywords:
            for place in (d, drug):
                if keyword in place:
                    del place[keyword]

    return change


def put(**values):
    def change(d, drug, k) -> None:
        for keyword, value in values.items():
            setattr(drug if keyword.startswith("Radio") else d, keyword, value)

    return change


REFUSED = [
    (deleted("PatientWeight"), "bw", r"\[PatientWeight\].*--weight"),
    (put(PatientWeight="0"), "bw", r"\[PatientWeight\]"),
    (put(PatientWeight="70000"), "bw", r"\[PatientWeight\]"),
    (deleted("RadionuclideTotalDose"), "bw", r"\[RadionuclideTotalDose\].*--dose"),
    (put(RadionuclideTotalDose="-370000000"), "bw", r"\[RadionuclideTotalDose\]"),
    (put(RadionuclideTotalDose="370000"), "bw", r"neither Bq nor MBq"),
    (deleted("RadionuclideHalfLife"), "bw", r"\[RadionuclideHalfLife\]"),
    (deleted("RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime"), "bw", r"--injection-time"),
    (put(RadiopharmaceuticalStartDateTime="20240517101500"), "bw", r"another time of day"),
    (
        put(RadiopharmaceuticalStartTime="110500", RadiopharmaceuticalStartDateTime="20240517110500"),
        "bw",
        r"0\.1 h after",
    ),
    (put(RadiopharmaceuticalStartDateTime="20240516100000"), "bw", r"25\.0 h before"),
    (put(DecayCorrection=""), "bw", r"\[DecayCorrection\]"),
    (put(CorrectedImage=["ATTN", "NORM"]), "bw", r"\[CorrectedImage\]"),
    (put(DecayCorrection="NONE"), "bw", r"\[CorrectedImage\]"),
    (put(CorrectedImage=["DECY", "NORM"]), "bw", r"attenuation.*\[CorrectedImage\]"),
    (put(Units="PROPCPS"), "bw", r"\[Units\]"),
    (put(Units="PROPCNTS"), "bw", r"\[Units\]"),
    (put(Units="CM2ML", SUVType="BW"), "bw", r"\[SUVType\]"),
    (put(Units="GML", SUVType="BSA"), "bw", r"\[SUVType\]"),
    (put(Units="GML", SUVType="IBW", PatientSex=""), "bw", r"\[PatientSex\].*--sex"),
    (put(Units="GML", SUVType="IBW", PatientSex="X"), "bw", r"\[PatientSex\].*--sex"),
    (put(Units="GML", SUVType="IBW", PatientSize="0"), "bw", r"\[PatientSize\].*--height"),
    (deleted("PatientSize"), "lbm", r"\[PatientSize\].*--height"),
    (put(SeriesTime="143000", AcquisitionTime=""), "bw", None),  # nothing to compare with: told, not refused
    (put(SeriesTime="143000", FrameReferenceTime=""), "bw", r"\[FrameReferenceTime\].*--reference-time"),
    (put(SeriesTime="143000", ActualFrameDuration=None), "bw", r"\[ActualFrameDuration\]"),
    (put(SeriesTime="", AcquisitionTime=""), "bw", r"\[AcquisitionTime\]"),
    (put(Modality="CT"), "bw", r"\[Modality\]"),
]


@pytest.mark.parametrize(("change", "kind", "told"), REFUSED)
def test_what_cannot_be_computed_is_refused_by_name(tmp_path: Path, change, kind: str, told: str | None) -> None:
    if told is None:
        assert any("no acquisition time" in note for note in suv_scale(read_facts(pet(tmp_path, change))).notes)
        return
    with pytest.raises(InputError, match=told) as error:
        factor(tmp_path, change, kind)
    assert "Secret" not in str(error.value) and "secret" not in str(error.value)


def test_slices_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"differs from slice to slice.*PatientWeight"):
        factor(tmp_path / "a", lambda d, drug, k: setattr(d, "PatientWeight", 70 + k))
    with pytest.raises(InputError, match=r"first and the last slice.*RadionuclideTotalDose"):
        factor(tmp_path / "b", lambda d, drug, k: setattr(drug, "RadionuclideTotalDose", f"{370000000 + k}"))

    def apart(d, drug, k) -> None:
        d.SeriesTime, d.FrameReferenceTime = "143000", f"{150000 + 400000 * k}"

    with pytest.raises(InputError, match=r"reference times \d+ s apart.*FrameReferenceTime"):
        factor(tmp_path / "c", apart)


def test_a_long_half_life_needs_its_date(tmp_path: Path) -> None:
    def change(d, drug, k) -> None:  # Zr-89, scanned three days later
        drug.RadionuclideHalfLife = "282276"
        drug.RadiopharmaceuticalStartDateTime = "20240514100000"

    want = WEIGHT * 1e3 / (DOSE * 2 ** (-(3 * 86400 + 3600) / 282276))
    assert factor(tmp_path / "a", change) == pytest.approx(want, rel=1e-12)

    def undated(d, drug, k) -> None:
        change(d, drug, k)
        del drug.RadiopharmaceuticalStartDateTime

    with pytest.raises(InputError, match="without its date"):
        factor(tmp_path / "b", undated)


def test_a_half_life_in_minutes_is_seen_by_the_nuclide(tmp_path: Path) -> None:
    from pydicom.dataset import Dataset

    def change(d, drug, k) -> None:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "C-111A1", "SRT", "^18^Fluorine"
        drug.RadionuclideCodeSequence = [code]
        drug.RadionuclideHalfLife = "109.77"

    with pytest.raises(InputError, match=r"not the half-life.*RadionuclideHalfLife"):
        factor(tmp_path, change)


def test_metabolic_volume_and_glycolysis(tmp_path: Path) -> None:
    import numpy as np

    def change(d, drug, k) -> None:
        pixels = np.full((5, 6), 1000, "<u2")
        pixels[2, :4] = 10000, 6000, 4000, 4200
        d.PixelData = pixels.tobytes()

    volume = pet(tmp_path, change)
    one = expected(1)
    found = suv(volume)  # 41 % of the maximum: 4100
    voxel = 4 * 4 * 3 / 1000
    assert found.metabolic_volume == pytest.approx(9 * voxel)
    assert found.total_lesion_glycolysis == pytest.approx(3 * (10000 + 6000 + 4200) * one * voxel, rel=1e-6)
    fixed = suv(volume, metabolic=5000 * one)
    assert fixed.metabolic_volume == pytest.approx(6 * voxel)
    level = next(d for d in fixed.details if d.name == "metabolic_threshold")
    assert level.value == pytest.approx(5000 * one) and level.source == "fixed"
    with pytest.raises(InputError, match="not a threshold"):
        suv(volume, metabolic="0%")


@pytest.mark.parametrize("text", ["370 MBq", "370000000", 370e6, "0.37GBq", "370000 kBq", "10 mCi"])
def test_activities(text) -> None:
    assert parse_activity(text) == pytest.approx(370e6)


@pytest.mark.parametrize("text", ["370", "MBq", "-3MBq", "370 kg", 0, math.nan])
def test_what_is_no_activity(text) -> None:
    with pytest.raises(InputError):
        parse_activity(text)


def test_dates_and_times_as_files_have_them() -> None:
    assert parse_dt("20240229101112.5") == datetime(2024, 2, 29, 10, 11, 12, 500000)
    assert parse_dt("2024-02-29T10:11:12") == datetime(2024, 2, 29, 10, 11, 12)
    assert parse_dt("20240229101112+0100") == datetime(2024, 2, 29, 9, 11, 12, tzinfo=UTC)
    assert parse_dt("20230229101112") is None and parse_dt("2024") is None
    assert parse_tm("1011") == datetime(1, 1, 1, 10, 11).time() and parse_tm("24") is None and parse_tm("") is None
    assert parse_da("2024.02.29") == datetime(2024, 2, 29).date() and parse_da("20241301") is None
    assert INJECTED < SCANNED


def test_a_volume_that_is_no_dicom(tmp_path: Path) -> None:
    from dataclasses import replace

    volume = replace(pet(tmp_path), sources=())
    with pytest.raises(InputError, match="not read from DICOM"):
        suv(volume)


def test_a_slice_without_thickness_has_no_volume(tmp_path: Path) -> None:
    from support.pet_files import write_pet

    from gpukit.dicom.image.frame import open_frame

    path = write_pet(tmp_path, change=lambda d, drug, k: delattr(d, "SliceThickness"), slices=1)[0]
    for image in (open_frame(path), path):  # one frame by itself, and a series of one slice
        found = suv(image)
        assert not {"metabolic_volume", "volume", "total_lesion_glycolysis"} & {q.name for q in found}
        assert found.mean == pytest.approx(expected(), rel=1e-6)
        assert any("thickness" in note for note in found.notes)
