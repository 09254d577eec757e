"""Telling the volumes of a 4D series apart: by diffusion weighting, echo, time or cardiac phase.

Several planes at one position are several volumes. Which plane belongs to which is read from the attributes, in two
ways. *Constant within a volume*: an attribute (or a few) whose values part the planes so that every volume has every
position exactly once; an echo time, a b-value. *Ascending in time*: an attribute that differs at each position, such as
the acquisition time of each slice; the n-th in time at each position make the n-th volume.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from gpukit.dicom.image.plane import Plane, numbers
from gpukit.dicom.image.stack import Levels
from gpukit.errors import GeometryError, MissingSlicesError

__all__ = ["Phases", "split_phases"]


@dataclass(frozen=True)
class Phases:
    """The volumes of a stack.

    Attributes
    ----------
    planes : tuple of tuple of int
        For each volume t the plane at each level k.
    names : tuple of str
        What each volume is; empty for a single one.
    notes : tuple of str
        What was done that a user must know.
    """

    planes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _number(keyword: str) -> Callable[[Plane], Any]:
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
    value = plane.get("DiffusionBValue")
    value = plane.get("SiemensBValue") if value is None else value
    return None if value is None else round(float(value), 3)


def _gradient(plane: Plane) -> Any:
    value = numbers(plane.get("DiffusionGradientOrientation"), 3)
    return None if value is None else tuple(round(part, 5) + 0.0 for part in value)


def _text(keyword: str) -> Callable[[Plane], Any]:
    def read(plane: Plane) -> Any:
        value = plane.get(keyword)
        return None if value is None else str(value)

    return read


def _moment(*pairs: tuple[str, str]) -> Callable[[Plane], Any]:
    """Date and time as text that sorts like time; a date and time in one attribute has an empty second keyword."""

    def read(plane: Plane) -> Any:
        for first, second in pairs:
            if not second:
                if (value := plane.get(first)) is not None:
                    whole, part = _DIGITS.findall(str(value))[0]
                    return f"{whole[:14]:0<14}.{part[:6]:0<6}"
            elif (time := plane.get(second)) is not None:
                day = _DIGITS.findall(str(plane.get(first, "")))[0][0]
                whole, part = _DIGITS.findall(str(time).replace(":", ""))[0]
                return f"{day[:8]:0<8}{whole[:6]:0<6}.{part[:6]:0<6}"
        return None

    return read


#: Digits before and after a decimal point; a zone that follows is the same for all images of a series.
_DIGITS = re.compile(r"^(\d*)\.?(\d*)")
_MOMENT = re.compile(r"\d{14}\.\d{6}")

#: What is constant within a volume, most telling first.
_CONSTANT: tuple[tuple[str, Callable[[Plane], Any]], ...] = (
    ("DiffusionBValue", _b_value),
    ("DiffusionGradientOrientation", _gradient),
    ("DiffusionDirectionality", _text("DiffusionDirectionality")),
    ("EchoTime", _number("EchoTime")),
    ("EchoNumbers", _number("EchoNumbers")),
    ("TemporalPositionIdentifier", _number("TemporalPositionIdentifier")),
    ("TriggerTime", _number("TriggerTime")),
    ("NominalPercentageOfCardiacPhase", _number("NominalPercentageOfCardiacPhase")),
    ("NominalPercentageOfRespiratoryPhase", _number("NominalPercentageOfRespiratoryPhase")),
    ("TemporalPositionTimeOffset", _number("TemporalPositionTimeOffset")),
    ("InversionTime", _number("InversionTime")),
    ("FlipAngle", _number("FlipAngle")),
    ("AcquisitionNumber", _number("AcquisitionNumber")),
    ("FrameReferenceTime", _number("FrameReferenceTime")),
    ("AcquisitionTime", _moment(("AcquisitionDateTime", ""), ("AcquisitionDate", "AcquisitionTime"))),
    ("ContentTime", _moment(("ContentDate", "ContentTime"))),
)
_TIMES = frozenset({"AcquisitionNumber", "FrameReferenceTime", "AcquisitionTime", "ContentTime"})

#: What rises from volume to volume at each position.
_ASCENDING: tuple[tuple[str, Callable[[Plane], Any]], ...] = (
    ("TemporalPositionIdentifier", _number("TemporalPositionIdentifier")),
    ("TriggerTime", _number("TriggerTime")),
    ("AcquisitionNumber", _number("AcquisitionNumber")),
    ("FrameReferenceTime", _number("FrameReferenceTime")),
    ("AcquisitionTime", _moment(("AcquisitionDateTime", ""), ("AcquisitionDate", "AcquisitionTime"))),
    ("ContentTime", _moment(("ContentDate", "ContentTime"))),
)


def split_phases(planes: Sequence[Plane], levels: Levels) -> Phases:
    """Part the planes of a stack into volumes, each with one plane at each level.

    Raises
    ------
    MissingSlicesError
        The volumes can be told apart but one lacks a slice; names the volume and the position.
    GeometryError
        Several planes lie at one position and no attribute says which volume each is of; names two of the files.
    """
    members, notes = _without_copies(planes, levels.members)
    used = [n for level in members for n in level]
    if len(used) == len(members):
        return Phases((tuple(level[0] for level in members),), (), notes)
    varying = [(name, values) for name, read in _CONSTANT if (values := _values(planes, used, read)) is not None]
    for size in (1, 2, 3):
        for chosen in combinations(varying, size):
            if (phases := _by_constant(members, chosen)) is not None:
                return Phases(phases, _names(phases, varying, chosen), notes)
    for name, read in _ASCENDING:
        values = {n: read(planes[n]) for n in used}
        if (ranked := _by_rank(members, values)) is not None:
            texts = tuple(f"{name} {_show(values[phase[0]])}" for phase in ranked)
            return Phases(ranked, texts, notes)
    if varying and (missing := _incomplete(planes, members, levels, varying)) is not None:
        raise missing
    first = next(level for level in members if len(level) > 1)
    raise GeometryError(
        f"lies at the same position as {planes[first[1]].name}, and no echo time, b-value, time or cardiac phase tells "
        "them apart",
        file=planes[first[0]].name,
        attribute="ImagePositionPatient",
        fix="remove one of the two, or give the files of one volume only",
    )


def _without_copies(
    planes: Sequence[Plane], members: Sequence[Sequence[int]]
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Levels without the second and later copies of the same frame of the same instance."""
    kept: list[list[int]] = []
    copies = 0
    for level in members:
        seen: set[tuple[str, int, Any]] = set()
        rest = []
        for n in level:
            plane = planes[n]
            uid = str(plane.get("SOPInstanceUID", ""))
            identity = (uid, plane.index, plane.region)
            if uid and identity in seen:
                copies += 1
                continue
            seen.add(identity)
            rest.append(n)
        kept.append(rest)
    text = (f"{copies} images are there twice (same SOPInstanceUID); one of each was used",) if copies else ()
    return kept, text


def _values(planes: Sequence[Plane], used: Sequence[int], read: Callable[[Plane], Any]) -> dict[int, Any] | None:
    """Value by plane, or None where the attribute does not vary."""
    values = {n: read(planes[n]) for n in used}
    return values if len(set(values.values())) > 1 else None


def _key(value: Any) -> tuple[int, Any]:
    """Sorts None first, and tuples and numbers of one attribute among themselves."""
    return (0, 0) if value is None else (1, value)


def _by_constant(
    members: Sequence[Sequence[int]], chosen: Sequence[tuple[str, dict[int, Any]]]
) -> tuple[tuple[int, ...], ...] | None:
    """Volumes by equal values, where each has every position exactly once."""
    phases: dict[tuple[Any, ...], list[int]] = {}
    for k, level in enumerate(members):
        for n in level:
            phase = phases.setdefault(tuple(values[n] for _, values in chosen), [])
            if len(phase) != k:  # a position came twice, or an earlier one is missing
                return None
            phase.append(n)
    if any(len(phase) != len(members) for phase in phases.values()) or len(phases) < 2:
        return None
    ordered = sorted(phases, key=lambda values: [_key(value) for value in values])
    return tuple(tuple(phases[values]) for values in ordered)


def _names(
    phases: Sequence[Sequence[int]],
    varying: Sequence[tuple[str, dict[int, Any]]],
    chosen: Sequence[tuple[str, dict[int, Any]]],
) -> tuple[str, ...]:
    """What each volume is: all that is the same within every volume and differs between some; times only if chosen."""
    told = [
        (name, values)
        for name, values in varying
        if (name, values) in chosen
        or (name not in _TIMES and all(len({values[n] for n in phase}) == 1 for phase in phases))
    ]
    return tuple(
        ", ".join(f"{name} {_show(values[phase[0]])}" for name, values in told if values[phase[0]] is not None)
        or f"without {told[0][0]}"
        for phase in phases
    )


def _by_rank(members: Sequence[Sequence[int]], values: dict[int, Any]) -> tuple[tuple[int, ...], ...] | None:
    """Volumes by rank in time at each position, where every position has as many distinct moments."""
    count = len(members[0])
    columns = []
    for level in members:
        moments = [values[n] for n in level]
        if len(level) != count or None in moments or len(set(moments)) != count:
            return None
        columns.append(sorted(level, key=lambda n: values[n]))
    return tuple(tuple(column[t] for column in columns) for t in range(count))


def _incomplete(
    planes: Sequence[Plane],
    members: Sequence[Sequence[int]],
    levels: Levels,
    varying: Sequence[tuple[str, dict[int, Any]]],
) -> MissingSlicesError | None:
    """The error for volumes that can be told apart but are not complete, from the attribute that loses fewest."""
    best: tuple[int, str, Any, list[int]] | None = None
    for name, values in varying:
        have: dict[Any, set[int]] = {}
        unique = True
        for k, level in enumerate(members):
            for n in level:
                unique = unique and k not in have.setdefault(values[n], set())
                have[values[n]].add(k)
        if not unique or len(have) > 10_000:
            continue
        gaps = sum(len(members) - len(ks) for ks in have.values())
        worst = min(have, key=lambda value: len(have[value]))
        if best is None or gaps < best[0]:
            best = (gaps, name, worst, sorted(set(range(len(members))) - have[worst]))
    if best is None or best[0] > len(members):  # more holes than a volume has slices: this is not what parts them
        return None
    gaps, name, value, ks = best
    position = levels.positions[ks[0]]
    there = planes[members[ks[0]][0]]
    where = ", ".join(f"{v:.2f}" for v in position)
    return MissingSlicesError(
        f"the volume with {name} {_show(value)} has no slice at ({where}) mm, where this file of another volume lies "
        f"({gaps} slices are missing in all)",
        file=there.name,
        attribute=name,
        fix="add the missing files, or give the files of one volume only",
    )


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "(" + " ".join(f"{part:g}" for part in value) + ")"
    if isinstance(value, str):
        # A moment, as `_moment` writes it: the time of day tells volumes apart, the date would tell on the patient.
        return value[-13:].rstrip("0").rstrip(".") if _MOMENT.fullmatch(value) else value
    return f"{value:g}"
