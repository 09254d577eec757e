"""Facts of a PET series about patient, dose and times: read from its headers, nothing computed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

from gpukit.dicom.reader.date_time import joined, local_time, parse_da, parse_dt, parse_offset, parse_tm
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, GpukitError, InputError
from gpukit.measure.pet.times import SliceTimes
from gpukit.units import finite_number

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "PetFacts", "facts_of", "injection_times", "nuclide_of", "number", "radiopharmaceutical",
]  # fmt: skip

#: Private decay-correction times: group, element, how the private creator begins, manufacturer, name.
_PRIVATE_TIMES = (
    (0x0009, 0x0D, "GEMS_PETD_01", "GE", "GE's private PET scan date-time (0009,xx0D)"),
    (0x0071, 0x22, "SIEMENS MED PT", "SIEMENS", "Siemens' private decay correction date-time (0071,xx22)"),
)
_PHILIPS = (0x7053, "Philips PET Private Group", "PHILIPS")
#: Attributes that one series has once.
_ONCE = ("PatientWeight", "PatientSize", "PatientSex", "Units", "SUVType", "DecayCorrection", "TimezoneOffsetFromUTC")
_DOSE = ("RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime",
         "RadiopharmaceuticalStartDateTime")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PetFacts:
    """Attributes as the file gives them; None or empty where it gives none.

    Parameters
    ----------
    file : str
        For messages.
    units, suv_type, decay_correction : str
        In capitals.
    corrected : tuple of str
        CorrectedImage.
    weight, size : float or None
        PatientWeight in kg, PatientSize in m.
    sex : str
        PatientSex.
    dose, half_life : float or None
        RadionuclideTotalDose, RadionuclideHalfLife in s.
    nuclide : str
        Code value and meaning of the radionuclide.
    start, start_time : datetime or time or None
        RadiopharmaceuticalStartDateTime in the zone of the series' times, and RadiopharmaceuticalStartTime.
    zone : timezone or None
        Of the times of the series; None where the file does not state it.
    corrected_to : datetime or None
        DecayCorrectionDateTime of an enhanced image.
    private_time : (datetime, str) or None
        A vendor's private decay-correction time, and its name.
    times : tuple of SliceTimes
        Of each slice, in the order of the volume's sources.
    suv_scales, activity_scales : tuple of float or None
        Philips' private factors of each slice.
    """

    file: str
    units: str
    suv_type: str
    decay_correction: str
    corrected: tuple[str, ...]
    weight: float | None
    size: float | None
    sex: str
    dose: float | None
    half_life: float | None
    nuclide: str
    start: datetime | None
    start_time: time | None
    private_time: tuple[datetime, str] | None
    times: tuple[SliceTimes, ...]
    suv_scales: tuple[float | None, ...]
    activity_scales: tuple[float | None, ...]
    zone: timezone | None = None
    corrected_to: datetime | None = None
    notes: tuple[str, ...] = ()


def facts_of(headers: Sequence[Header]) -> PetFacts:
    """Return facts of a series from the header of each slice.

    Raises
    ------
    InputError
        It is not a PET, or slices contradict each other.
    """
    first = headers[0]
    file = str(first.location)
    if first.get("Modality") != "PT":
        raise InputError(
            f"a standardized uptake value needs a PET image, this is {first.get('Modality') or 'of no modality'}",
            file=file, attribute="Modality",
        )  # fmt: skip
    for keyword in _ONCE:
        if len({header.get(keyword) for header in headers}) > 1:
            raise InputError("differs from slice to slice", file=file, attribute=keyword)
    try:
        return _facts(headers, file)
    except GpukitError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"an attribute makes no sense: {error}", file=file) from error


def _facts(headers: Sequence[Header], file: str) -> PetFacts:
    first = headers[0]
    dataset = first.dataset()
    dose = radiopharmaceutical(dataset, file)
    other = radiopharmaceutical(headers[-1].dataset(), file)
    for keyword in _DOSE:
        if str(dose.get(keyword, "")) != str(other.get(keyword, "")):
            raise InputError("differs between the first and the last slice", file=file, attribute=keyword)
    units = str(first.get("Units", "")).upper()
    vendor = str(first.get("Manufacturer", "")).upper()
    private = units in ("CNTS", "PROPCPS")
    zone = _zone(first)
    start, clock, notes = injection_times(dose, zone)
    return PetFacts(
        file=file,
        units=units,
        suv_type=str(first.get("SUVType", "")).upper(),
        decay_correction=str(first.get("DecayCorrection", "")).upper(),
        corrected=tuple(str(word).upper() for word in first.get("CorrectedImage", ())),
        weight=number(first.get("PatientWeight"), file, "PatientWeight"),
        size=number(first.get("PatientSize"), file, "PatientSize"),
        sex=str(first.get("PatientSex", "")).upper(),
        dose=number(dose.get("RadionuclideTotalDose"), file, "RadionuclideTotalDose"),
        half_life=number(dose.get("RadionuclideHalfLife"), file, "RadionuclideHalfLife"),
        nuclide=nuclide_of(dose),
        start=start,
        start_time=clock,
        private_time=_private_time(dataset, vendor, zone),
        times=tuple(_times(header, zone) for header in headers),
        suv_scales=tuple(_scale(header, 0x00, vendor) if private else None for header in headers),
        activity_scales=tuple(_scale(header, 0x09, vendor) if private else None for header in headers),
        zone=zone,
        notes=notes,
    )


def _zone(header: Header) -> timezone | None:
    """Of the times without one: TimezoneOffsetFromUTC, else by the date-time of the acquisition, which states its own.

    AcquisitionDate and AcquisitionTime are the same moment in the zone that is looked for; without them the
    date-time's zone is taken for it.
    """
    zone = parse_offset(header.get("TimezoneOffsetFromUTC"))
    moment = None if zone is not None else parse_dt(header.get("AcquisitionDateTime"))
    offset = None if moment is None else moment.utcoffset()
    if moment is None or offset is None:
        return zone
    local = joined(parse_da(header.get("AcquisitionDate")), header.get("AcquisitionTime"))
    if local is not None:
        apart = local - moment.replace(tzinfo=None)
        quarters = round(apart / _QUARTER) * _QUARTER
        if abs(apart - quarters) <= _SAME and abs(offset + quarters) <= timedelta(hours=14):
            offset += quarters
    return timezone(offset)


#: Times of one moment that an object states twice may differ so much.
_SAME = timedelta(seconds=60)
_QUARTER = timedelta(minutes=15)  # zones differ by multiples of it


def injection_times(dose: Dataset, zone: timezone | None) -> tuple[datetime | None, time | None, tuple[str, ...]]:
    """RadiopharmaceuticalStartDateTime in the zone of the series, RadiopharmaceuticalStartTime, and notes.

    A date-time that states an offset from UTC is converted to the zone of the other times (PS3.3 C.12.1.1.8). Where the
    file does not state that zone, the time of day that stands beside it tells.
    """
    moment = parse_dt(str(dose.get("RadiopharmaceuticalStartDateTime") or ""))
    clock = parse_tm(str(dose.get("RadiopharmaceuticalStartTime") or ""))
    if moment is None or moment.tzinfo is None or zone is not None:
        return (None if moment is None else local_time(moment, zone)), clock, ()
    plain = moment.replace(tzinfo=None)
    if clock is not None:
        beside = min(
            (datetime.combine(plain.date() + timedelta(days=n), clock) for n in (-1, 0, 1)),
            key=lambda one: abs(one - plain),
        )
        quarters = round((beside - plain) / _QUARTER)
        if abs(beside - plain - quarters * _QUARTER) <= _SAME:
            return plain + quarters * _QUARTER, clock, ()
    offset = f"{moment:%z}"
    return plain, clock, (
        f"RadiopharmaceuticalStartDateTime states the offset {offset} from UTC, and the file not that of its other "
        "times (TimezoneOffsetFromUTC): they were taken to be in the same zone",
    )  # fmt: skip


def radiopharmaceutical(dataset: Dataset, file: str) -> Dataset:
    """Return the item of what was injected; empty where there is none.

    Raises
    ------
    InputError
        There are several of different doses.
    """
    from pydicom import Dataset

    items = dataset.get("RadiopharmaceuticalInformationSequence") or []
    if len(items) > 1 and len({str(item.get("RadionuclideTotalDose")) for item in items}) > 1:
        raise InputError(
            f"{len(items)} radiopharmaceuticals were given, and which one is seen is not known",
            file=file, attribute="RadiopharmaceuticalInformationSequence",
        )  # fmt: skip
    return items[0] if items else Dataset()


def number(value: Any, file: str, attribute: str) -> float | None:
    """Return a finite number, or None where the attribute is absent or empty."""
    return None if value is None or value == "" else finite_number(value, file=file, attribute=attribute)


def nuclide_of(dose: Dataset) -> str:
    """Return the code value and meaning of the radionuclide."""
    codes = dose.get("RadionuclideCodeSequence") or []
    words = [str(codes[0].get(key) or "") for key in ("CodeValue", "CodeMeaning")] if codes else []
    return " ".join(word for word in words if word)


def _times(header: Header, zone: timezone | None) -> SliceTimes:
    series_day = parse_da(header.get("SeriesDate"))
    day = parse_da(header.get("AcquisitionDate")) or series_day or parse_da(header.get("StudyDate"))
    acquisition = joined(day, header.get("AcquisitionTime"))
    if acquisition is None:
        moment = parse_dt(header.get("AcquisitionDateTime"))
        acquisition = None if moment is None else local_time(moment, zone)
    series = joined(series_day or day, header.get("SeriesTime"))
    alone = header.get("AcquisitionDate") is None or header.get("SeriesDate") is None
    if alone and series is not None and acquisition is not None:  # one date for both: midnight may lie between
        apart = acquisition - series
        if abs(apart) > timedelta(hours=12):
            acquisition -= timedelta(days=1 if apart > timedelta() else -1)
    reference, duration = header.get("FrameReferenceTime"), header.get("ActualFrameDuration")
    return SliceTimes(
        series=series,
        acquisition=acquisition,
        frame_reference=None if reference is None else float(reference) / 1000,
        duration=None if not duration else float(duration) / 1000,
    )


def _private(dataset: Dataset, group: int, element: int, creator: str, maker: str, vendor: str) -> Any:
    """Value of a private element, by its creator; where de-identification dropped all creators, by the manufacturer."""
    from pydicom.tag import Tag

    creators = [(n, dataset.get(Tag(group, n))) for n in range(0x10, 0x100)]
    there = [(n, str(attribute.value or "")) for n, attribute in creators if attribute is not None]
    blocks = [n for n, name in there if name.strip().upper().startswith(creator.upper())]
    if not there and maker in vendor:
        blocks = [0x10]
    for block in blocks:
        attribute = dataset.get(Tag(group, block << 8 | element))
        if attribute is not None and attribute.value not in (None, "", b""):
            value = attribute.value
            return value.decode("ascii", "replace").strip(" \0") if isinstance(value, bytes) else value
    return None


def _private_time(dataset: Dataset, vendor: str, zone: timezone | None) -> tuple[datetime, str] | None:
    for group, element, creator, maker, name in _PRIVATE_TIMES:
        value = _private(dataset, group, element, creator, maker, vendor)
        moment = parse_dt(value)
        if moment is not None:
            return local_time(moment, zone), name
    return None


def _scale(header: Header, element: int, vendor: str) -> float | None:
    group, creator, maker = _PHILIPS
    value = _private(header.dataset(), group, element, creator, maker, vendor)
    attribute = f"({group:04X},xx{element:02X})"
    factor = None if value is None else finite_number(str(value), file=str(header.location), attribute=attribute)
    return factor if factor else None
