"""What tells the volumes of a 4D series apart: the attributes, how each is read, and whether it orders in time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gpukit.dicom.image.plane import Plane, numbers
from gpukit.dicom.reader.date_time import local_time, parse_da, parse_dt, parse_offset, parse_tm

__all__ = ["ASCENDING", "CONSTANT", "LAST_RESORT", "MOMENTS", "Reader", "shown"]

#: Reads a value of a plane that compares and sorts; None where the plane does not have it.
Reader = Callable[[Plane], Any]


def _number(keyword: str) -> Reader:
    def read(plane: Plane) -> Any:
        value = plane.get(keyword)
        if isinstance(value, tuple):
            value = value[0] if value else None
        try:
            return None if value is None else round(float(value), 6)
        except (TypeError, ValueError):
            return None

    return read


def _b_value(plane: Plane) -> Any:
    """b-value in s/mm2: the standard's attribute, else the maker's own."""
    value = plane.get("DiffusionBValue")
    for keyword in ("SiemensBValue", "PhilipsBValue", "UIHBValue"):
        value = plane.get(keyword) if value is None else value
    if value is None and (slots := plane.get("GEBValueSlots")):
        value = int(slots[0]) % 1_000_000_000  # GE adds 1e9 to some b-values
    return None if value is None else round(float(value), 3)


def _gradient(plane: Plane) -> Any:
    """Direction of the diffusion gradient: the standard's attribute, else the maker's own."""
    value = numbers(plane.get("DiffusionGradientOrientation"), 3)
    for keyword in ("SiemensGradient", "UIHGradient"):
        value = numbers(plane.get(keyword), 3) if value is None else value
    if value is None:
        value = numbers([plane.get(f"GEGradient{axis}") for axis in "XYZ"], 3)
    return None if value is None else tuple(round(part, 5) + 0.0 for part in value)


def _text(keyword: str) -> Reader:
    def read(plane: Plane) -> Any:
        value = plane.get(keyword)
        return None if value is None else str(value)

    return read


def _moment(*pairs: tuple[str, str]) -> Reader:
    """Date and time as text that sorts like time; a date and time in one attribute has an empty second keyword."""

    def read(plane: Plane) -> Any:
        for first, second in pairs:
            if not second:
                if (moment := parse_dt(plane.get(first))) is not None:
                    return f"{local_time(moment, parse_offset(plane.get('TimezoneOffsetFromUTC'))):%Y%m%d%H%M%S.%f}"
            elif (clock := parse_tm(plane.get(second))) is not None:
                day = parse_da(plane.get(first))
                return f"{'00000000' if day is None else format(day, '%Y%m%d')}{clock:%H%M%S.%f}"
        return None

    return read


_MOMENT = re.compile(r"\d{14}\.\d{6}")

#: What is constant within a volume, most telling first.
CONSTANT: tuple[tuple[str, Reader], ...] = (
    ("DiffusionBValue", _b_value),
    ("DiffusionGradientOrientation", _gradient),
    ("DiffusionDirectionality", _text("DiffusionDirectionality")),
    ("PhilipsBValueNumber", _number("PhilipsBValueNumber")),
    ("PhilipsGradientNumber", _number("PhilipsGradientNumber")),
    ("PhilipsLabelType", _text("PhilipsLabelType")),
    ("EchoTime", _number("EchoTime")),
    ("EchoNumbers", _number("EchoNumbers")),
    ("TemporalPositionIdentifier", _number("TemporalPositionIdentifier")),
    ("TriggerTime", _number("TriggerTime")),
    ("NominalPercentageOfCardiacPhase", _number("NominalPercentageOfCardiacPhase")),
    ("NominalPercentageOfRespiratoryPhase", _number("NominalPercentageOfRespiratoryPhase")),
    ("TemporalPositionTimeOffset", _number("TemporalPositionTimeOffset")),
    ("InversionTime", _number("InversionTime")),
    ("FlipAngle", _number("FlipAngle")),
    ("EnergyWindow", _number("EnergyWindow")),
    ("Detector", _number("Detector")),
    ("NMPhase", _number("NMPhase")),
    ("RRInterval", _number("RRInterval")),
    ("TimeSlot", _number("TimeSlot")),
    ("PhilipsPhaseNumber", _number("PhilipsPhaseNumber")),
    ("KVP", _number("KVP")),
    ("ConvolutionKernel", _text("ConvolutionKernel")),
    ("AcquisitionNumber", _number("AcquisitionNumber")),
    ("FrameReferenceTime", _number("FrameReferenceTime")),
    ("AcquisitionTime", _moment(("AcquisitionDateTime", ""), ("AcquisitionDate", "AcquisitionTime"))),
    ("ContentTime", _moment(("ContentDate", "ContentTime"))),
)
MOMENTS = frozenset({"AcquisitionNumber", "FrameReferenceTime", "AcquisitionTime", "ContentTime"})

#: What rises from volume to volume at each position.
ASCENDING: tuple[tuple[str, Reader], ...] = (
    ("TemporalPositionIdentifier", _number("TemporalPositionIdentifier")),
    ("TriggerTime", _number("TriggerTime")),
    ("AcquisitionNumber", _number("AcquisitionNumber")),
    ("FrameReferenceTime", _number("FrameReferenceTime")),
    ("AcquisitionTime", _moment(("AcquisitionDateTime", ""), ("AcquisitionDate", "AcquisitionTime"))),
    ("ContentTime", _moment(("ContentDate", "ContentTime"))),
)

#: What orders the volumes where nothing else tells them apart: counters of the scanner, not facts of the image.
LAST_RESORT: tuple[tuple[str, Reader], ...] = (
    ("GERawVolumeNumber", _number("GERawVolumeNumber")),
    ("GETimer", _number("GETimer")),
    ("InstanceNumber", _number("InstanceNumber")),
    ("Frame", _number("Frame")),
)


def shown(value: Any) -> str:
    """A value for people."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "(" + " ".join(f"{part:g}" for part in value) + ")"
    if isinstance(value, str):
        # A moment, as `_moment` writes it: the time of day tells volumes apart, the date would tell on the patient.
        return value[-13:].rstrip("0").rstrip(".") if _MOMENT.fullmatch(value) else value
    return f"{value:g}"
