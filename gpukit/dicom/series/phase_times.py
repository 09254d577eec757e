"""When the volumes of a 4D series were acquired, where its fourth axis is time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from gpukit.dicom.image.plane import Plane, numbers
from gpukit.dicom.reader.date_time import joined, local_time, parse_da, parse_dt, parse_offset

__all__ = ["phase_times"]

#: Attributes that part volumes by something else than time.
_NO_TIMES = frozenset(
    {
        "DiffusionBValue",
        "DiffusionGradientOrientation",
        "DiffusionDirectionality",
        "PhilipsBValueNumber",
        "PhilipsGradientNumber",
        "PhilipsLabelType",
        "EchoTime",
        "EchoNumbers",
        "InversionTime",
        "FlipAngle",
        "EnergyWindow",
        "Detector",
        "KVP",
        "ConvolutionKernel",
        "NominalPercentageOfCardiacPhase",
        "NominalPercentageOfRespiratoryPhase",
        "RRInterval",
        "TimeSlot",
    }
)
#: Counters that may order anything: only times that the frames state are believed for them.
_COUNTERS = frozenset({"InstanceNumber", "Frame", "GERawVolumeNumber", "GETimer"})
#: Times that differ from whole repetitions by no more than this part of one are repetitions, rounded by the scanner.
_ROUNDING = 0.01


def phase_times(volumes: Sequence[Sequence[Plane]], attributes: Sequence[str]) -> tuple[float, ...]:
    """Begin of each volume in seconds, the first at 0.

    Parameters
    ----------
    volumes : sequence of sequence of Plane
        The planes of each volume, in the order of the volumes.
    attributes : sequence of str
        What told the volumes apart.

    Returns
    -------
    tuple of float
        Empty where the fourth axis is not time, or nothing says how much of it lies between the volumes. The times that
        the frames state come first, then TemporalResolution, then RepetitionTime of an MR series (as dcm2niix has it).
    """
    if len(volumes) < 2 or not attributes or not _NO_TIMES.isdisjoint(attributes):
        return ()
    first = volumes[0][0]
    repetition = _seconds(first, "RepetitionTime") if first.get("Modality") == "MR" else None
    if (stated := _stated(volumes)) is not None:
        if repetition and all(abs(b - a - repetition) <= _ROUNDING * repetition for a, b in pairwise(stated)):
            return tuple(repetition * n for n in range(len(volumes)))
        return stated
    if not _COUNTERS.isdisjoint(attributes) and "EP" not in (first.get("ScanningSequence") or ()):
        return ()
    step = _seconds(first, "TemporalResolution") or repetition
    return tuple(step * n for n in range(len(volumes))) if step else ()


def _stated(volumes: Sequence[Sequence[Plane]]) -> tuple[float, ...] | None:
    """Times that the frames state, where they rise from volume to volume."""
    for read in (_frame_time, *_READERS):
        times = []
        for planes in volumes:
            values = [value for plane in planes if (value := read(plane)) is not None]
            if not values:
                break
            times.append(min(values))
        if len(times) == len(volumes) and all(b > a for a, b in pairwise(times)):
            return tuple(round(time - times[0], 6) for time in times)
    return None


def _seconds(plane: Plane, keyword: str) -> float | None:
    """An attribute in milliseconds as seconds, where it is positive."""
    value = plane.get(keyword)
    pair = numbers((value[0] if isinstance(value, tuple) and value else value,), 1) if value is not None else None
    return pair[0] / 1000 if pair is not None and pair[0] > 0 else None


def _frame_time(plane: Plane) -> float | None:
    """Of a cine: the frame's number times FrameTime."""
    step = _seconds(plane, "FrameTime") if plane.frames > 1 else None
    return None if step is None else step * plane.index


def _milliseconds(keyword: str) -> Callable[[Plane], float | None]:
    def read(plane: Plane) -> float | None:
        pair = numbers((plane.get(keyword),), 1) if plane.get(keyword) is not None else None
        return None if pair is None else pair[0] / 1000

    return read


def _offset(plane: Plane) -> float | None:
    pair = numbers((plane.get("TemporalPositionTimeOffset"),), 1) if plane.get("TemporalPositionTimeOffset") else None
    return None if pair is None else pair[0]


def _moment(plane: Plane) -> float | None:
    """Seconds of the acquisition, from any moment that is the same for the whole series."""
    moment = parse_dt(plane.get("AcquisitionDateTime"))
    if moment is None:
        day = parse_da(plane.get("AcquisitionDate")) or date(2000, 1, 1)
        moment = joined(day, plane.get("AcquisitionTime"))
    if moment is None:
        return None
    local = local_time(moment, parse_offset(plane.get("TimezoneOffsetFromUTC")))
    return (local - datetime(2000, 1, 1)).total_seconds()


_READERS: tuple[Callable[[Plane], Any], ...] = (
    _offset,
    _milliseconds("FrameReferenceTime"),
    _moment,
    _milliseconds("TriggerTime"),
)
