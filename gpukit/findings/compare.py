"""Measurements of several time points: which belong together, and how they changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import NamedTuple

from gpukit.errors import InputError, SelectionError
from gpukit.findings.measurement import Measurement, Row
from gpukit.findings.recist import Lesion, Response, response_of

__all__ = ["Change", "Comparison", "Finding", "compare"]

#: One time point: a file that `read_measurements` reads, or the measurements themselves.
TimePoint = str | PathLike[str] | Iterable[Measurement | Row]


@dataclass(frozen=True)
class Change:
    """One quantity of a finding, from the first time point to the last.

    Parameters
    ----------
    name, unit : str
        Of the quantity.
    values : tuple of float or None
        At each time point; None where it was not measured.
    absolute : float or None
        Last less first; None where one of them is missing.
    relative : float or None
        That, divided by the first value; None where the first one is 0 or missing.
    """

    name: str
    unit: str
    values: tuple[float | None, ...]
    absolute: float | None
    relative: float | None


@dataclass(frozen=True)
class Finding:
    """A quantity at several time points.

    Parameters
    ----------
    name : str
        Its label, tracking identifier or UID.
    kind : str
        Of its measurements.
    matched_by : str
        ``tracking_uid``, ``tracking_id``, ``label``, ``segment`` where several segments have one name and their numbers
        tell them apart, or ``only one`` where each time point has just one of that kind.
    measurements : tuple of Measurement or None
        One for each time point.
    changes : tuple of Change
        One for each quantity that the first or last measurement has.
    """

    name: str
    kind: str
    matched_by: str
    measurements: tuple[Measurement | None, ...]
    changes: tuple[Change, ...]

    @property
    def status(self) -> str:
        """``compared``, ``new`` (at the last time point only) or ``missing`` (there before, not at the last one)."""
        if self.measurements[-1] is None:
            return "missing"
        return "new" if all(one is None for one in self.measurements[:-1]) else "compared"


@dataclass(frozen=True)
class Comparison:
    """Outcome of `compare`.

    Parameters
    ----------
    time_points : tuple of str
        What each one is called, in the order of the comparison.
    findings : tuple of Finding
    response : Response or None
        RECIST 1.1; None where it was not asked for, or there is no diameter in mm to judge by.
    notes : tuple of str
        What could not be compared, and why.
    """

    time_points: tuple[str, ...]
    findings: tuple[Finding, ...]
    response: Response | None
    notes: tuple[str, ...]


def compare(
    *time_points: TimePoint,
    recist: bool = True,
    targets: Sequence[str] = (),
    nodes: Sequence[str] = (),
    absent: Sequence[str] = (),
    new_lesion: bool | None = None,
) -> Comparison:
    """Compare the measurements of two or more time points.

    Measurements of one kind belong together where their tracking UIDs are equal, else their tracking identifiers, else
    their labels; where several segments of one mask have one name, those with one segment number. Where every time
    point holds just one measurement of a kind, and not all have a name, these belong together too.

    Parameters
    ----------
    *time_points : paths, or measurements
        In the order of time: the baseline, or prior, first; the current one last.
    recist : bool
        Judge the response by RECIST 1.1, see `gpukit.findings.recist`.
    targets : sequence of str
        Labels or tracking identifiers of the target lesions; all that the baseline has, unless given.
    nodes : sequence of str
        Which of them are lymph nodes: their short axis counts.
    absent : sequence of str
        Lesions that have disappeared at the last time point.
    new_lesion : bool, optional
        Whether there are new lesions; by default there are where the last time point has a diameter that the baseline
        has not.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        There are fewer than two time points, or one holds no measurement.
    SelectionError
        Several measurements of one kind at one time point have the same name, or a name fits none.
    """
    if len(time_points) < 2:
        raise InputError("a comparison needs two time points or more")
    names, points, notes = [], [], []
    for number, time_point in enumerate(time_points, 1):
        name, rows = _read(time_point, number)
        failed = sum(1 for row in rows if row.error)
        if failed:
            notes.append(f"{name}: {failed} measurements had failed and are left out")
        measured = [row.measurement for row in rows if row.measurement is not None]
        if not measured:
            raise InputError("holds no measurement", file=name)
        names.append(name)
        points.append(measured)
    findings, more = _match(names, points)
    notes += more
    response = None
    if recist:
        lesions = _lesions(findings)
        if lesions:
            response = response_of(lesions, targets=targets, nodes=nodes, absent=absent, new_lesion=new_lesion)
        elif targets or nodes or absent:
            raise SelectionError("there is no lesion with a diameter in mm", attribute="targets")
    return Comparison(tuple(names), tuple(findings), response, tuple(notes))


def _read(time_point: TimePoint, number: int) -> tuple[str, list[Row]]:
    if isinstance(time_point, (str, PathLike)):
        from gpukit.findings.read import read_measurements

        return str(time_point), read_measurements(time_point)
    name = f"time point {number}"
    return name, [one if isinstance(one, Row) else Row(file=name, measurement=one) for one in time_point]


def _match(names: Sequence[str], points: Sequence[list[Measurement]]) -> tuple[list[Finding], list[str]]:
    """Findings in the order in which they first appear."""
    unmatched = [list(point) for point in points]
    findings: list[Finding] = []
    notes: list[str] = []
    for rule in ("tracking_uid", "tracking_id", "label"):
        shared = _shared_names(unmatched, rule)
        keys = [_keyed(name, point, rule, shared) for name, point in zip(names, unmatched, strict=True)]
        for key in dict.fromkeys(key for point in keys for key in point):
            matches = [point.get(key) for point in keys]
            if sum(one is not None for one in matches) < 2:
                continue  # its partners may go by another name
            findings.append(_finding(rule if key.segment is None else "segment", matches))
            if key.segment is not None:
                notes.append(f"several findings are called {key.name!r}: the numbers of their segments tell them apart")
            for point, one in zip(unmatched, matches, strict=True):
                if one is not None:
                    point[:] = [other for other in point if other is not one]
    for kind in dict.fromkeys(one.kind for point in unmatched for one in point):
        alone = [[one for one in point if one.kind == kind] for point in unmatched]
        if all(len(point) == 1 for point in alone) and not all(_name(point[0]) for point in alone):
            findings.append(_finding("only one", [point[0] for point in alone]))
            notes.append(f"the only {kind} of each time point was taken for the same one: give it a label")
            for point, (one,) in zip(unmatched, alone, strict=True):
                point[:] = [other for other in point if other is not one]
    for n, point in enumerate(unmatched):
        for one in point:
            findings.append(_finding("", [one if m == n else None for m in range(len(unmatched))]))
            if not _name(one):
                notes.append(f"{names[n]}: a {one.kind} without a name belongs to no other")
    order = {id(one): n for n, one in enumerate(m for point in points for m in point)}
    findings.sort(key=lambda f: min(order[id(one)] for one in f.measurements if one is not None))
    return findings, list(dict.fromkeys(notes))


class _Key(NamedTuple):
    """What measurements of one finding have in common."""

    name: str
    kind: str
    segment: int | None = None


def _key(one: Measurement, rule: str) -> _Key | None:
    identity = str(getattr(one, rule)).strip()
    return _Key(identity if rule == "tracking_uid" else identity.casefold(), one.kind) if identity else None


def _shared_names(points: Sequence[Sequence[Measurement]], rule: str) -> set[_Key]:
    """Names that several segments of one mask have at one time point; their segments' numbers tell them apart."""
    shared: set[_Key] = set()
    if rule == "tracking_uid":  # a UID is that of one finding
        return shared
    for point in points:
        segments: dict[_Key, list[int | None]] = {}
        for one in point:
            if (key := _key(one, rule)) is not None:
                segments.setdefault(key, []).append(segment_number(one))
        shared |= {
            key for key, numbers in segments.items()
            if len(numbers) > 1 and None not in numbers and len(set(numbers)) == len(numbers)
        }  # fmt: skip
    return shared


def _keyed(name: str, point: Sequence[Measurement], rule: str, shared: set[_Key]) -> dict[_Key, Measurement]:
    """Return measurements by what the rule goes by, and kind."""
    by_key: dict[_Key, Measurement] = {}
    for one in point:
        key = _key(one, rule)
        if key is None:
            continue
        if key in shared:
            key = key._replace(segment=segment_number(one))
        if key in by_key:
            raise SelectionError(
                f"several measurements ({one.kind}) are called {getattr(one, rule)!r}: "
                "which of them is meant cannot be told",
                file=name, attribute=rule, fix="give each finding a tracking UID or label of its own",
            )  # fmt: skip
        by_key[key] = one
    return by_key


def segment_number(one: Measurement) -> int | None:
    """Return the number of the segment that was measured; None where none was."""
    segment = (one.extra or {}).get("segment")
    number = segment.get("number") if isinstance(segment, Mapping) else getattr(segment, "number", None)
    return number if isinstance(number, int) else None


def _finding(rule: str, measurements: Sequence[Measurement | None]) -> Finding:
    there = [one for one in measurements if one is not None]
    ends = [one for one in (measurements[0], measurements[-1]) if one is not None] or there
    quantities = list(dict.fromkeys((q.name, q.unit) for one in ends for q in one.quantities))
    return Finding(
        name=next((name for one in reversed(there) if (name := _name(one))), there[0].kind) + _which(rule, there[-1]),
        kind=there[0].kind,
        matched_by=rule,
        measurements=tuple(measurements),
        changes=tuple(_change(name, unit, measurements) for name, unit in quantities),
    )


def _which(rule: str, one: Measurement) -> str:
    return f" (segment {segment_number(one)})" if rule == "segment" else ""


def _change(name: str, unit: str, measurements: Sequence[Measurement | None]) -> Change:
    """Return a quantity in one unit: a length in pixels does not become one in mm."""
    values = tuple(_value(one, name, unit) for one in measurements)
    first, last = values[0], values[-1]
    absolute = None if first is None or last is None else last - first
    return Change(name, unit, values, absolute, None if absolute is None or not first else absolute / abs(first))


def _value(one: Measurement | None, name: str, unit: str) -> float | None:
    if one is None or name not in one or one.quantity(name).unit != unit:
        return None
    value = one[name]
    return None if math.isnan(value) else value


def _name(one: Measurement) -> str:
    return one.label or one.tracking_id or one.tracking_uid


def _aliases(finding: Finding) -> frozenset[str]:
    """Return every name by which a user may call it."""
    words = {finding.name}
    for one in finding.measurements:
        if one is not None:
            words |= {one.label, one.tracking_id, one.tracking_uid}
    return frozenset(word.strip().casefold() for word in words if word.strip())


def _lesions(findings: Sequence[Finding]) -> list[Lesion]:
    """Findings with a diameter in mm; one that was measured in both ways counts once, by its two axes."""
    lesions: list[Lesion] = []
    used: set[str] = set()
    for kind, diameter in (("bidirectional", "long_axis"), ("distance", "length")):
        for finding in findings:
            aliases = _aliases(finding)
            if finding.kind != kind or (aliases & used and finding.matched_by != "only one"):
                continue
            if any(_value(one, diameter, "mm") is not None for one in finding.measurements):
                lesions.append(Lesion(finding.name, finding.measurements, aliases))
        used |= {alias for lesion in lesions for alias in lesion.aliases}
    return lesions
