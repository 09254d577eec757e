"""What is written about an image: who, which study and series, how it is shown; each text cleaned for terminals."""

from __future__ import annotations

from typing import Any

from gpukit.dicom.image.frame import Frame
from gpukit.display.frame_values import FrameValues
from gpukit.viewer.text import clean
from gpukit.volume import Voi

__all__ = ["info_lines", "mm_per_pixel", "person_name", "scale_bar", "window_text"]


def person_name(value: Any) -> str:
    """A person's name for people: the first group, its parts in order between blanks."""
    alphabetic, *others = str(value).split("=")
    shown = alphabetic if alphabetic.strip("^ ") else next((part for part in others if part.strip("^ ")), "")
    return clean(" ".join(part for part in shown.split("^") if part))


def date(value: Any) -> str:
    """``20040119`` as ``2004-01-19``."""
    text = clean(value)
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 and text.isdecimal() else text


def info_lines(
    frame: Frame,
    values: FrameValues,
    voi: Voi | None,
    *,
    zoom: float = 1.0,
    patient: bool = True,
    window_name: str = "",
) -> list[str]:
    """Lines of information.

    Parameters
    ----------
    frame, values : Frame, FrameValues
        What is shown.
    voi : Voi or None
        With which window; None for colour.
    zoom : float
        1 shows the whole image.
    patient : bool
        Whether to say who the person is: name, id, age, sex, birth date.
    window_name : str
        Name of the window.
    """
    header = frame.header
    lines = []
    if patient:
        born = header.get("PatientBirthDate")
        parts = [
            person_name(header.get("PatientName", "")), _part("id", header.get("PatientID")),
            clean(header.get("PatientAge", "")), clean(header.get("PatientSex", "")),
            _part("born", date(born) if born else None),
        ]  # fmt: skip
        lines.append("  ".join(part for part in parts if part))
    study, series = clean(header.get("StudyDescription", "")), clean(header.get("SeriesDescription", ""))
    when = header.get("StudyDate") or header.get("SeriesDate") or header.get("ContentDate")
    lines.append("  ".join(part for part in (clean(header.get("Modality", "")), date(when) if when else "") if part))
    if study or series:
        lines[-1] += "  " + " / ".join(part for part in (study, series) if part)
    bits = header.get("BitsStored") or header.get("BitsAllocated") or "?"
    shape = f"{frame.columns} x {frame.rows}, {bits} bits"
    count = frame.plane.frames
    parts = [shape]
    if count > 1:
        tiled = str(header.get("DimensionOrganizationType", "")).upper().startswith("TILED")
        parts.append(f"{'tile' if tiled else 'frame'} {frame.index + 1} of {count}")
    if header.get("InstanceNumber") is not None:
        parts.append(f"image {header.get('InstanceNumber')}")
    if voi is not None:
        parts.append("window " + window_text(voi) + (f" ({clean(window_name)})" if window_name else ""))
    parts.append(f"zoom {zoom:g}")
    if frame.plane.position is not None:
        parts.append("position " + ", ".join(f"{value:.1f}" for value in frame.plane.position) + " mm")
    lines.append("  ".join(parts))
    return [line for line in lines if line]


def window_text(voi: Voi) -> str:
    """Centre and width, or that it is a table."""
    if voi.function == "LUT":
        return "table"
    kind = "" if voi.function == "LINEAR" else f" {voi.function}"
    return f"{_short(voi.center)}/{_short(voi.width)}{kind}"


def _short(value: float) -> str:
    return f"{value:.5g}"


def _part(name: str, value: Any) -> str:
    return f"{name} {clean(value)}" if value not in (None, "") else ""


def mm_per_pixel(frame: Frame) -> tuple[float, str] | None:
    """Millimetres from column to column, and the attribute that says so; None where none does."""
    if frame.plane.spacing is not None:
        return frame.plane.spacing[1], "PixelSpacing"
    pair = frame.get("ImagerPixelSpacing")
    if isinstance(pair, (tuple, list)) and len(pair) == 2 and min(float(v) for v in pair) > 0:
        return float(pair[1]), "ImagerPixelSpacing"
    return None


def scale_bar(mm: float, most: float) -> tuple[float, float]:
    """Length of a bar in pixels and in mm: the longest of 1, 2, 5, 10, ... mm that is not above `most` pixels."""
    import math

    longest = most * mm
    power = 10.0 ** math.floor(math.log10(longest))
    length = next(power * factor for factor in (5, 2, 1) if power * factor <= longest * (1 + 1e-9))
    return length / mm, length
