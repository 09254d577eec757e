"""Patient, dose and times of an enhanced PET image (PS3.3 A.56 and A.71).

An enhanced image states the moment that its values were corrected to (DecayCorrectionDateTime), and its frames' own
times. A legacy converted one keeps the attributes of the classic images in sequences of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from gpukit.dicom.image.functional_groups import functional_group
from gpukit.dicom.reader.date_time import joined, local_time, parse_da, parse_dt, parse_offset
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, GpukitError, InputError
from gpukit.measure.pet.acquisition import PetFacts, injection_times, nuclide_of, number, radiopharmaceutical
from gpukit.measure.pet.times import SliceTimes

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["enhanced_facts"]

#: Corrections: the attribute that states each, and its word in CorrectedImage.
_CORRECTIONS = {
    "DecayCorrected": "DECY", "AttenuationCorrected": "ATTN", "ScatterCorrected": "SCAT", "DeadTimeCorrected": "DTIM",
    "RandomsCorrected": "RAN", "CountLossNormalizationCorrected": "NORM",
}  # fmt: skip


def enhanced_facts(headers: Sequence[Header], frames: Sequence[int], units: str) -> PetFacts:
    """Return facts of a volume of enhanced PET.

    Parameters
    ----------
    headers : sequence of Header
        Of the file of each slice.
    frames : sequence of int
        1-based frame of each slice in its file.
    units : str
        Of the values, as Units (0054,1001) has them.

    Raises
    ------
    InputError
        Files of the series contradict each other, or it is not PET.
    FormatError
        An attribute makes no sense.
    """
    file = str(headers[0].location)
    if headers[0].get("Modality") != "PT":
        raise InputError("a standardized uptake value needs a PET image", file=file, attribute="Modality")
    try:
        images = [_Image(header) for header in {id(header): header for header in headers}.values()]
        shared = {tuple(str(image.once(keyword)) for keyword in _ONCE) for image in images}
        if len(shared) > 1:
            raise InputError("dose, weight or correction differ between the files of the series", file=file)
        by_header = {id(image.header): image for image in images}
        times = tuple(by_header[id(h)].times(frame) for h, frame in zip(headers, frames, strict=True))
        return images[0].facts(times, units)
    except GpukitError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise FormatError(f"an attribute makes no sense: {words}", file=file) from error


_ONCE = (
    "PatientWeight", "PatientSize", "PatientSex", "DecayCorrected", "DecayCorrection", "DecayCorrectionDateTime",
    "SUVType", "TimezoneOffsetFromUTC",
)  # fmt: skip


class _Image:
    """One file."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.file = str(header.location)
        self.dataset: Dataset = header.dataset()
        unassigned = _first(self._group(1), "UnassignedPerFrameConvertedAttributesSequence")
        common = _first(_first(self.dataset, "SharedFunctionalGroupsSequence"),
                        "UnassignedSharedConvertedAttributesSequence")  # fmt: skip
        self._places = [place for place in (self.dataset, common, unassigned) if place is not None]
        zone = parse_offset(self.once("TimezoneOffsetFromUTC"))
        for keyword in ("AcquisitionDateTime", "DecayCorrectionDateTime"):
            moment = None if zone is not None else parse_dt(self.once(keyword))
            if moment is not None and moment.tzinfo is not None:
                zone = timezone(moment.utcoffset() or timedelta())
        self.zone = zone

    def once(self, keyword: str) -> Any:
        """Attribute of the image: at its top, else among those that a converter left unassigned."""
        for place in self._places:
            if (value := place.get(keyword)) not in (None, ""):
                return value
        return None

    def _group(self, frame: int) -> Dataset | None:
        groups = self.dataset.get("PerFrameFunctionalGroupsSequence") or ()
        return groups[frame - 1] if 0 < frame <= len(groups) else None

    def _local(self, value: Any) -> datetime | None:
        moment = parse_dt(value)
        return None if moment is None else local_time(moment, self.zone)

    def times(self, frame: int) -> SliceTimes:
        """Of one frame."""
        content = functional_group(self.dataset, "FrameContentSequence", frame)
        own = _first(self._group(frame), "UnassignedPerFrameConvertedAttributesSequence")

        def value(keyword: str) -> Any:
            return None if own is None else own.get(keyword)

        acquired = None if content is None else self._local(content.get("FrameAcquisitionDateTime"))
        if acquired is None:
            acquired = joined(parse_da(value("AcquisitionDate") or self.once("AcquisitionDate")),
                              value("AcquisitionTime"))  # fmt: skip
        if acquired is None:
            acquired = self._local(self.once("AcquisitionDateTime"))
        duration = None if content is None else content.get("FrameAcquisitionDuration")
        reference = number(value("FrameReferenceTime"), self.file, "FrameReferenceTime")
        length = number(duration or value("ActualFrameDuration"), self.file, "FrameAcquisitionDuration")
        return SliceTimes(
            series=joined(parse_da(self.once("SeriesDate")), self.once("SeriesTime")),
            acquisition=acquired,
            frame_reference=None if reference is None else reference / 1000,
            duration=None if not length else length / 1000,
        )

    def facts(self, times: tuple[SliceTimes, ...], units: str) -> PetFacts:
        """Of the whole series; its frames have these times."""
        holder = next((p for p in self._places if p.get("RadiopharmaceuticalInformationSequence")), self.dataset)
        dose = radiopharmaceutical(holder, self.file)
        start, clock, notes = injection_times(dose, self.zone)
        corrected = self.once("DecayCorrected")
        decay = str(self.once("DecayCorrection") or "").upper()
        moment = self._local(self.once("DecayCorrectionDateTime"))
        if corrected is not None:
            decay = "START" if str(corrected).upper() == "YES" else "NONE"
            if decay == "START" and moment is None:
                notes = (*notes, "DecayCorrectionDateTime is missing")
        listed = [word for keyword, word in _CORRECTIONS.items() if str(self.once(keyword)).upper() == "YES"]
        words = self.once("CorrectedImage")
        if words is not None:
            listed += [str(word).upper() for word in ([words] if isinstance(words, str) else words)]
        is_listed = words is not None or self.once("AttenuationCorrected") is not None
        return PetFacts(
            file=self.file,
            units=units,
            suv_type=str(self.once("SUVType") or "").upper(),
            decay_correction=decay,
            corrected=tuple(listed) if is_listed else (),
            weight=number(self.once("PatientWeight"), self.file, "PatientWeight"),
            size=number(self.once("PatientSize"), self.file, "PatientSize"),
            sex=str(self.once("PatientSex") or "").upper(),
            dose=number(dose.get("RadionuclideTotalDose"), self.file, "RadionuclideTotalDose"),
            half_life=number(dose.get("RadionuclideHalfLife"), self.file, "RadionuclideHalfLife"),
            nuclide=nuclide_of(dose),
            start=start,
            start_time=clock,
            private_time=None,
            times=times,
            suv_scales=(None,) * len(times),
            activity_scales=(None,) * len(times),
            zone=self.zone,
            corrected_to=moment if decay == "START" else None,
            notes=notes,
        )


def _first(dataset: Dataset | None, keyword: str) -> Dataset | None:
    items = None if dataset is None else dataset.get(keyword)
    return items[0] if items else None
