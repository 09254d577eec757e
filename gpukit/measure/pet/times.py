"""Times of a PET series, and the time that pixel values were decay-corrected to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gpukit.errors import InputError

__all__ = ["SliceTimes", "average_offset", "frame_average", "reference_time"]

#: A vendor's private time farther than this from the acquisition is of another examination (dates were changed).
_NEAR = timedelta(days=1)
#: Reference times that slices of one series state may differ so much, in half-lives (1 % of the activity).
_AGREE = 0.0145


def average_offset(duration: float, half_life: float) -> float:
    """Return seconds from the start of a frame to when the activity equals its average over the frame.

    ``ln(x / (1 - exp(-x))) / l`` with the decay constant l = ln 2 / half-life and x = l * duration.
    """
    constant = math.log(2) / half_life
    x = constant * duration
    return duration / 2 if x < 1e-9 else math.log(x / -math.expm1(-x)) / constant


def frame_average(duration: float, half_life: float) -> float:
    """Average activity over a frame, relative to that at its start: ``(1 - exp(-x)) / x``, x as in `average_offset`."""
    x = math.log(2) / half_life * duration
    return 1.0 if x < 1e-12 else -math.expm1(-x) / x


@dataclass(frozen=True, slots=True)
class SliceTimes:
    """Times of one slice.

    Parameters
    ----------
    series, acquisition : datetime or None
        SeriesDate and SeriesTime; AcquisitionDate and AcquisitionTime (else AcquisitionDateTime).
    frame_reference, duration : float or None
        FrameReferenceTime and ActualFrameDuration, in *seconds*.
    """

    series: datetime | None
    acquisition: datetime | None
    frame_reference: float | None
    duration: float | None


def reference_time(
    slices: Sequence[SliceTimes], private: tuple[datetime, str] | None, half_life: float, file: str
) -> tuple[datetime, str, list[str]]:
    """Return the time to which a series with DecayCorrection START was corrected.

    1. The series' date and time, if it is not after the earliest acquisition.
    2. Else (the series was made later) the vendor's private time of decay correction.
    3. Else the time that the frame's own attributes lead back to: acquisition + the offset at which the activity is the
       frame's average - FrameReferenceTime. Where FrameReferenceTime is 0 throughout, it is the earliest acquisition:
       the average of a frame is never at its start, so that 0 records nothing else.

    The rules are those of the IBSI's manual for SUV computation and of QIBA's vendor-neutral pseudo-code.

    Returns
    -------
    datetime
        The reference.
    str
        Which attributes gave it.
    list of str
        What a user must know.

    Raises
    ------
    InputError
        An attribute that is needed is missing, or the slices contradict each other.
    """
    acquired = [s.acquisition for s in slices if s.acquisition is not None]
    series = next((s.series for s in slices if s.series is not None), None)
    if len({s.series for s in slices if s.series is not None}) > 1:
        raise InputError("differs from slice to slice", file=file, attribute="SeriesTime")
    if series is not None and acquired and series <= min(acquired):
        return series, "SeriesDate and SeriesTime", []
    why = "the series has no time" if series is None else "the series time is after the earliest acquisition"
    if private is not None and (not acquired or abs(private[0] - min(acquired)) <= _NEAR):
        return private[0], private[1], [f"{why}: the vendor's private time was taken"]
    if len(acquired) < len(slices):
        if series is not None and not acquired:
            return series, "SeriesDate and SeriesTime", ["there is no acquisition time to check the series time with"]
        raise InputError(
            f"{why} and there is no acquisition time for every slice", file=file, attribute="AcquisitionTime",
            fix="give the time that the values were decay-corrected to with --reference-time",
        )  # fmt: skip
    if all(one.frame_reference == 0 for one in slices):
        # An average over a frame is never at its start: 0 says that nothing was recorded, or that the frame began then.
        return min(acquired), "AcquisitionTime", [f"{why} and FrameReferenceTime is 0: the first acquisition was taken"]
    notes = [f"{why}: the reference time was computed from acquisition, frame duration and frame reference time"]
    starts = []
    for one in slices:
        for value, keyword in ((one.duration, "ActualFrameDuration"), (one.frame_reference, "FrameReferenceTime")):
            if value is None:
                raise InputError(
                    f"{why}, and then {keyword} is needed", file=file, attribute=keyword,
                    fix="give the time that the values were decay-corrected to with --reference-time",
                )  # fmt: skip
        assert one.acquisition is not None and one.duration is not None and one.frame_reference is not None
        seconds = average_offset(one.duration, half_life) - one.frame_reference
        starts.append((one.acquisition, one.acquisition + timedelta(seconds=seconds)))
    first = min(starts)[1]
    apart = max(abs((start - first).total_seconds()) for _, start in starts)
    if apart > _AGREE * half_life:
        raise InputError(
            f"{why}, and the slices lead back to reference times {apart:.0f} s apart", file=file,
            attribute="FrameReferenceTime",
            fix="give the time that the values were decay-corrected to with --reference-time",
        )  # fmt: skip
    return first, "AcquisitionTime, ActualFrameDuration and FrameReferenceTime", notes
