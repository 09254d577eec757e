"""The values that an uptake is normalised by, each from the file or from the user, checked, with its origin."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from typing import NamedTuple

from gpukit.dicom.reader.date_time import local_time, parse_dt, parse_tm
from gpukit.errors import InputError
from gpukit.measure.pet.acquisition import PetFacts
from gpukit.measure.pet.body_size import SEXES

__all__ = ["Overrides", "Stated", "dose_of", "half_life_of", "height_of", "injection_of", "parse_activity",
           "reference_given", "sex_of",
           "weight_of"]  # fmt: skip

_ACTIVITY = {"bq": 1.0, "kbq": 1e3, "mbq": 1e6, "gbq": 1e9, "uci": 3.7e4, "µci": 3.7e4, "mci": 3.7e7, "ci": 3.7e10}
#: Doses below the first are MBq where Bq should stand; between them neither can be meant.
_MEGA, _LEAST = 1e4, 1e6
_HEAVIEST, _TALLEST = 700.0, 260.0
#: Half-lives in s of what PET uses (National Nuclear Data Center), by how its name or code contains it.
_HALF_LIVES = {
    ("18F", "F-18", "F18", "^18^FLUORINE", "C-111A1"): 6586.2,
    ("68GA", "GA-68", "GA68", "^68^GALLIUM", "C-131A3"): 4062.6,
    ("11C", "C-11 ", "^11^CARBON", "C-105A1"): 1221.8,
    ("13N", "N-13", "^13^NITROGEN", "C-107A1"): 597.9,
    ("15O", "O-15", "^15^OXYGEN", "C-B1038"): 122.24,
    ("82RB", "RB-82", "^82^RUBIDIUM", "C-159A2"): 75.45,
    ("64CU", "CU-64", "^64^COPPER", "C-127A2"): 45721.0,
    ("89ZR", "ZR-89", "^89^ZIRCONIUM", "C-168A4"): 282276.0,
    ("124I", "I-124", "^124^IODINE", "C-114A5"): 360806.0,
}
_EARLY = 120.0  # s that a dynamic scan may begin before the injection
_LATE, _LONG = 10.0, 5.0  # half-lives: after the first nothing can be measured, after the second a note says so
_DATED = timedelta(hours=36)  # an uptake longer than this says that the dates were changed
_DAY = 86400.0


class Stated(NamedTuple):
    """A value and where it came from."""

    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """The user's values instead of the file's; None takes the file's.

    Parameters
    ----------
    weight : float or None
        In kg.
    height : float or None
        In cm.
    sex : {"M", "F", "O"} or None
        As PatientSex.
    dose : float, str or None
        In Bq, or text with a unit such as ``370MBq`` or ``10mCi``.
    injection_time : datetime, str or None
        A time ``10:35:00`` or ``103500`` (within the day before the reference time), or a date-time.
    reference_time : datetime, str or None
        The time to which the values were decay-corrected, likewise.
    half_life : float or None
        In s.
    """

    weight: float | None = None
    height: float | None = None
    sex: str | None = None
    dose: float | str | None = None
    injection_time: datetime | str | None = None
    reference_time: datetime | str | None = None
    half_life: float | None = None


def parse_activity(text: float | str) -> float:
    """Becquerels of a number, or of text with a unit.

    Raises
    ------
    InputError
        It is none, is not positive, or is a bare number so small that it cannot be Bq.
    """
    if isinstance(text, str):
        match = re.fullmatch(r"\s*(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*([A-Za-zµ]*)\s*", text)
        unit = (match[2] or "bq").lower() if match else ""
        if match is None or unit not in _ACTIVITY:
            raise InputError(f"{text!r} is not an activity", attribute="--dose", fix="write such as 370MBq or 10mCi")
        value, bare = float(match[1]) * _ACTIVITY[unit], not match[2]
    else:
        value, bare = float(text), True
    if not (math.isfinite(value) and value > 0) or (bare and value < _LEAST):
        raise InputError(
            f"an activity of {value:g} Bq is not a dose", attribute="--dose", fix="write the unit, such as 370MBq"
        )
    return value


def weight_of(facts: PetFacts, override: float | None) -> Stated | None:
    """Body weight in kg; None where nobody states it."""
    value, source = (facts.weight, "PatientWeight") if override is None else (override, "--weight")
    if value is None or (override is None and value == 0):
        return None
    if not 0 < value <= _HEAVIEST:
        raise InputError(
            f"{value:g} kg is not a body weight", file=facts.file, attribute=source, fix="give --weight KG"
        )
    return Stated(value, source)


def height_of(facts: PetFacts, override: float | None) -> Stated | None:
    """Body height in cm; None where nobody states it."""
    if override is not None:
        value, source = override, "--height"
    elif not facts.size:
        return None
    else:  # metres in the standard; some write centimetres, and no number is both
        value, source = (facts.size, "PatientSize, in cm") if facts.size > 3 else (facts.size * 100, "PatientSize")
    if not 20 <= value <= _TALLEST:
        raise InputError(
            f"{value:g} cm is not a body height", file=facts.file, attribute=source, fix="give --height CM"
        )
    return Stated(value, source)


def sex_of(facts: PetFacts, override: str | None) -> tuple[str, str] | None:
    """Sex M, F or O and its origin; None where nobody states it."""
    value, source = (facts.sex, "PatientSex") if override is None else (override.upper(), "--sex")
    if not value:
        return None
    if value not in SEXES:
        raise InputError(
            f"the sex {value!r} is none of {', '.join(SEXES)}", file=facts.file, attribute=source, fix="give --sex"
        )
    return value, source


def dose_of(facts: PetFacts, override: float | str | None) -> tuple[Stated, str] | None:
    """Administered activity in Bq, and a note; None where nobody states it."""
    if override is not None:
        return Stated(parse_activity(override), "--dose"), ""
    value = facts.dose
    if value is None or value == 0:
        return None
    if value < 0 or _MEGA <= value < _LEAST:
        raise InputError(
            f"a dose of {value:g} is neither Bq nor MBq", file=facts.file, attribute="RadionuclideTotalDose",
            fix="give --dose, such as 370MBq",
        )  # fmt: skip
    if value < _MEGA:
        note = f"RadionuclideTotalDose {value:g} cannot be Bq and was taken for MBq"
        return Stated(value * 1e6, "RadionuclideTotalDose, in MBq"), note
    return Stated(value, "RadionuclideTotalDose"), ""


def half_life_of(facts: PetFacts, override: float | None) -> Stated | None:
    """Half-life in s; None where nobody states it."""
    if override is not None:
        if not (math.isfinite(override) and override > 0):
            raise InputError(f"{override:g} s is not a half-life", attribute="--half-life")
        return Stated(override, "--half-life")
    if facts.half_life is None or facts.half_life == 0:
        return None
    value = facts.half_life
    tabulated = _known_half_life(facts.nuclide)
    if value < 0 or (tabulated is not None and abs(value / tabulated - 1) > 0.05):
        reference = f" of {facts.nuclide} ({tabulated:g} s)" if tabulated is not None else ""
        raise InputError(
            f"{value:g} s is not the half-life{reference}", file=facts.file, attribute="RadionuclideHalfLife",
            fix="give --half-life in seconds",
        )  # fmt: skip
    return Stated(value, "RadionuclideHalfLife")


def _known_half_life(nuclide: str) -> float | None:
    words = f"{nuclide} ".upper()
    half_lives = {value for names, value in _HALF_LIVES.items() if any(name in words for name in names)}
    return half_lives.pop() if len(half_lives) == 1 else None


def injection_of(
    facts: PetFacts, override: datetime | str | None, reference: datetime, half_life: float
) -> tuple[float, datetime, str, list[str]]:
    """Return seconds from injection to the reference time, the injection, its origin, and notes.

    A time without a date is within the 24 hours before the reference, so that midnight may lie between. A date-time
    whose date cannot belong to the examination (dates that were changed one by one) counts as a time, where the
    half-life leaves no doubt about the day.

    Raises
    ------
    InputError
        There is none, or it contradicts the reference time.
    """
    notes: list[str] = []
    if override is not None:
        moment, clock, source = *_moment(override, "--injection-time", facts.zone), "--injection-time"
    else:
        moment, clock = facts.start, facts.start_time
        source = "RadiopharmaceuticalStartDateTime" if moment is not None else "RadiopharmaceuticalStartTime"
        if moment is None and clock is None:
            raise InputError(
                "the time of injection is missing", file=facts.file, attribute="RadiopharmaceuticalStartDateTime",
                fix="give --injection-time",
            )  # fmt: skip
        if moment is not None and clock is not None:
            apart = abs((datetime.combine(moment.date(), clock) - moment).total_seconds())
            if min(apart, _DAY - apart) > 60:
                raise InputError(
                    "RadiopharmaceuticalStartTime says another time of day than RadiopharmaceuticalStartDateTime",
                    file=facts.file, attribute=source, fix="give --injection-time",
                )  # fmt: skip
    seconds = 0.0
    if moment is not None:
        seconds = (reference - moment).total_seconds()
        wrong_day = abs(seconds) > _DATED.total_seconds() and not 0 <= seconds <= _LATE * half_life
        if wrong_day and override is None:
            if half_life > _DAY:
                raise _contradiction(facts, source, seconds)
            clock, moment = moment.time(), None
            notes.append(f"the date of {source} cannot belong to this series: only its time of day was used")
    if moment is None:
        assert clock is not None
        if half_life > _DAY and override is None:
            raise InputError(
                "without its date the injection may be any day before the scan", file=facts.file, attribute=source,
                fix="give --injection-time with its date",
            )  # fmt: skip
        moment = datetime.combine(reference.date(), clock)
        seconds = (reference - moment).total_seconds() % _DAY
        if _DAY - seconds <= _EARLY:
            seconds -= _DAY
        moment = reference - timedelta(seconds=seconds)
    if seconds < -_EARLY or seconds > _LATE * half_life:
        raise _contradiction(facts, source, seconds)
    if seconds < 0:
        notes.append(f"the reference time is {-seconds:g} s before the injection")
    if seconds > _LONG * half_life:
        notes.append(f"{seconds / half_life:.1f} half-lives lie between injection and reference time: check both")
    return seconds, moment, source, notes


def reference_given(
    override: datetime | str, injection: datetime | None, acquired: datetime | None, zone: timezone | None = None
) -> datetime:
    """The user's reference time, in the zone of the series; a time without a date is on the day of the acquisition."""
    moment, clock = _moment(override, "--reference-time", zone)
    if moment is not None:
        return moment
    near = acquired or injection
    if near is None or clock is None:
        raise InputError("the day of the reference time is not known", attribute="--reference-time", fix="give a date")
    days = [datetime.combine(near.date() + timedelta(days=n), clock) for n in (-1, 0, 1)]
    return min(days, key=lambda day: abs(day - near))


def _moment(text: datetime | str, option: str, zone: timezone | None) -> tuple[datetime | None, time | None]:
    """Return the user's time, in the zone of the series."""
    moment, clock = (text, None) if isinstance(text, datetime) else (parse_dt(text), parse_tm(text))
    if moment is None and clock is None:
        raise InputError(
            f"{text!r} is not a time", attribute=option, fix="write 10:35:00, 103500 or 2024-05-17T10:35:00"
        )
    if moment is not None and moment.tzinfo is not None and zone is None:
        raise InputError(
            f"{text} states an offset from UTC, and the series not that of its times (TimezoneOffsetFromUTC)",
            attribute=option, fix="give the scanner's local time, without an offset",
        )  # fmt: skip
    return (None if moment is None else local_time(moment, zone)), clock


def _contradiction(facts: PetFacts, source: str, seconds: float) -> InputError:
    when = f"{-seconds / 3600:.1f} h after" if seconds < 0 else f"{seconds / 3600:.1f} h before"
    return InputError(
        f"the injection would be {when} the time that the values refer to", file=facts.file, attribute=source,
        fix="give --injection-time",
    )  # fmt: skip
