"""What a PET series says about patient, dose and times: read from its headers, nothing computed yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import Header, read_header
from gpukit.errors import FormatError, GpukitError, InputError
from gpukit.measure.pet.times import SliceTimes, parse_da, parse_dt, parse_tm
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["PetFacts", "facts_of", "read_facts"]

#: Private decay-correction times: group, element, how the private creator begins, manufacturer, name.
_PRIVATE_TIMES = (
    (0x0009, 0x0D, "GEMS_PETD_01", "GE", "GE's private PET scan date-time (0009,xx0D)"),
    (0x0071, 0x22, "SIEMENS MED PT", "SIEMENS", "Siemens' private decay correction date-time (0071,xx22)"),
)
_PHILIPS = (0x7053, "Philips PET Private Group", "PHILIPS")
#: Attributes that one series has once.
_ONCE = ("PatientWeight", "PatientSize", "PatientSex", "Units", "SUVType", "DecayCorrection")
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
    start, start_time : str
        RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime.
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
    start: str
    start_time: str
    private_time: tuple[datetime, str] | None
    times: tuple[SliceTimes, ...]
    suv_scales: tuple[float | None, ...]
    activity_scales: tuple[float | None, ...]


def read_facts(volume: Volume) -> PetFacts:
    """Facts of the series that a volume was read from, one slice a source.

    Raises
    ------
    InputError
        The volume was not read from DICOM PET, its files are gone, or they contradict each other.
    """
    if not volume.sources:
        raise InputError(
            "the volume was not read from DICOM: dose, times and weight are not known",
            fix="give the DICOM series",
        )
    headers: dict[tuple[str, str | None], Header] = {}
    listed = []
    for source in volume.sources:
        key = (source.path, source.member)
        if key not in headers:
            headers[key] = read_header(Location(source.path, source.member))
        listed.append(headers[key])
    return facts_of(listed)


def facts_of(headers: Sequence[Header]) -> PetFacts:
    """Facts of a series from the header of each slice.

    Raises
    ------
    InputError
        It is no PET, or slices contradict each other.
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
    dose = _radiopharmaceutical(dataset, file)
    other = _radiopharmaceutical(headers[-1].dataset(), file)
    for keyword in _DOSE:
        if str(dose.get(keyword, "")) != str(other.get(keyword, "")):
            raise InputError("differs between the first and the last slice", file=file, attribute=keyword)
    units = str(first.get("Units", "")).upper()
    vendor = str(first.get("Manufacturer", "")).upper()
    private = units in ("CNTS", "PROPCPS")
    return PetFacts(
        file=file,
        units=units,
        suv_type=str(first.get("SUVType", "")).upper(),
        decay_correction=str(first.get("DecayCorrection", "")).upper(),
        corrected=tuple(str(word).upper() for word in first.get("CorrectedImage", ())),
        weight=_number(first.get("PatientWeight")),
        size=_number(first.get("PatientSize")),
        sex=str(first.get("PatientSex", "")).upper(),
        dose=_number(dose.get("RadionuclideTotalDose")),
        half_life=_number(dose.get("RadionuclideHalfLife")),
        nuclide=_nuclide(dose),
        start=str(dose.get("RadiopharmaceuticalStartDateTime") or "").strip(),
        start_time=str(dose.get("RadiopharmaceuticalStartTime") or "").strip(),
        private_time=_private_time(dataset, vendor),
        times=tuple(_times(header) for header in headers),
        suv_scales=tuple(_scale(header, 0x00, vendor) if private else None for header in headers),
        activity_scales=tuple(_scale(header, 0x09, vendor) if private else None for header in headers),
    )


def _radiopharmaceutical(dataset: Dataset, file: str) -> Dataset:
    from pydicom import Dataset

    items = dataset.get("RadiopharmaceuticalInformationSequence") or []
    if len(items) > 1 and len({str(item.get("RadionuclideTotalDose")) for item in items}) > 1:
        raise InputError(
            f"{len(items)} radiopharmaceuticals were given, and which one is seen is not known",
            file=file, attribute="RadiopharmaceuticalInformationSequence",
        )  # fmt: skip
    return items[0] if items else Dataset()


def _number(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


def _nuclide(dose: Dataset) -> str:
    codes = dose.get("RadionuclideCodeSequence") or []
    words = [str(codes[0].get(key) or "") for key in ("CodeValue", "CodeMeaning")] if codes else []
    return " ".join(word for word in words if word)


def _times(header: Header) -> SliceTimes:
    series_day = parse_da(header.get("SeriesDate"))
    day = parse_da(header.get("AcquisitionDate")) or series_day or parse_da(header.get("StudyDate"))
    acquisition = _joined(day, header.get("AcquisitionTime"))
    if acquisition is None:
        acquisition = parse_dt(header.get("AcquisitionDateTime"))
    series = _joined(series_day or day, header.get("SeriesTime"))
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


def _joined(day: date | None, clock: Any) -> datetime | None:
    found = parse_tm(clock)
    return None if day is None or found is None else datetime.combine(day, found)


def _private(dataset: Dataset, group: int, element: int, creator: str, maker: str, vendor: str) -> Any:
    """Value of a private element, by its creator; where de-identification dropped all creators, by the manufacturer."""
    from pydicom.tag import Tag

    creators = [(n, dataset.get(Tag(group, n))) for n in range(0x10, 0x100)]
    there = [(n, str(found.value or "")) for n, found in creators if found is not None]
    blocks = [n for n, name in there if name.strip().upper().startswith(creator.upper())]
    if not there and maker in vendor:
        blocks = [0x10]
    for block in blocks:
        found = dataset.get(Tag(group, block << 8 | element))
        if found is not None and found.value not in (None, "", b""):
            value = found.value
            return value.decode("ascii", "replace").strip(" \0") if isinstance(value, bytes) else value
    return None


def _private_time(dataset: Dataset, vendor: str) -> tuple[datetime, str] | None:
    for group, element, creator, maker, name in _PRIVATE_TIMES:
        value = _private(dataset, group, element, creator, maker, vendor)
        found = parse_dt(value)
        if found is not None:
            return found, name
    return None


def _scale(header: Header, element: int, vendor: str) -> float | None:
    group, creator, maker = _PHILIPS
    value = _private(header.dataset(), group, element, creator, maker, vendor)
    number = None if value is None else float(str(value).strip())
    return number if number else None
