"""Telling the volumes of a 4D series apart: by diffusion weighting, echo, time or cardiac phase.

Several planes at one position are several volumes. Which plane belongs to which is read from the attributes, in three
ways. *Constant within a volume*: an attribute (or a few) whose values part the planes so that every volume has every
position exactly once; an echo time, a b-value. *Ascending in time*: an attribute that differs at each position, such as
the acquisition time of each slice; the n-th in time at each position make the n-th volume. *In order*: where neither
does, the counters of the scanner, among the planes that all other attributes hold to be alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from gpukit.dicom.image.plane import Plane
from gpukit.dicom.image.stack import Levels
from gpukit.dicom.series.copies import without_copies, without_equal_pixels
from gpukit.dicom.series.phase_attributes import ASCENDING, CONSTANT, LAST_RESORT, MOMENTS, Reader, shown
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
    attributes : tuple of str
        What told the volumes apart.
    """

    planes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()


def split_phases(planes: Sequence[Plane], levels: Levels) -> Phases:
    """Part the planes of a stack into volumes, each with one plane at each level.

    Raises
    ------
    MissingSlicesError
        The volumes can be told apart but one lacks a slice; names the volume and the position.
    GeometryError
        Several planes lie at one position and no attribute says which volume each is of; names two of the files.
    """
    members, notes = without_copies(planes, levels.members)
    if (phases := _parted(planes, members, notes)) is not None:
        return phases
    rest, more = without_equal_pixels(planes, members)
    if more:
        notes = (*notes, *more)
        if (phases := _parted(planes, rest, notes)) is not None:
            return phases
    varying = _varying(planes, rest, CONSTANT)
    if (phases := _in_order(planes, rest, varying, notes)) is not None:
        return phases
    if varying and (missing := _incomplete(planes, rest, levels, varying)) is not None:
        raise missing
    level = next(level for level in rest if len(level) > 1)
    one, two = planes[level[0]], planes[level[1]]
    same = one.get("SOPInstanceUID") is not None and one.get("SOPInstanceUID") == two.get("SOPInstanceUID")
    why = (
        "and has the same SOPInstanceUID with other pixels"
        if same
        else "and no echo time, b-value, time, cardiac phase or instance number tells them apart"
    )
    raise GeometryError(
        f"lies at the same position as {two.name}, {why}",
        file=one.name,
        attribute="SOPInstanceUID" if same else "ImagePositionPatient",
        fix="name the files of one volume only, in place of the folder",
    )


def _parted(planes: Sequence[Plane], members: Sequence[Sequence[int]], notes: tuple[str, ...]) -> Phases | None:
    """Volumes by what is constant within each or rises from one to the next; None where nothing does."""
    used = [n for level in members for n in level]
    if len(used) == len(members):
        return Phases((tuple(level[0] for level in members),), (), notes)
    varying = _varying(planes, members, CONSTANT)
    for size in (1, 2, 3):
        for chosen in combinations(varying, size):
            if (phases := _by_constant(members, chosen)) is not None:
                names = _names(phases, varying, chosen)
                return Phases(phases, names, notes, tuple(name for name, _ in chosen))
    for name, read in ASCENDING:
        values = {n: read(planes[n]) for n in used}
        if (ranked := _by_rank(members, values)) is not None:
            texts = tuple(f"{name} {shown(values[phase[0]])}" for phase in ranked)
            return Phases(ranked, texts, notes, (name,))
    return None


def _in_order(
    planes: Sequence[Plane],
    members: Sequence[Sequence[int]],
    varying: Sequence[tuple[str, dict[int, Any]]],
    notes: tuple[str, ...],
) -> Phases | None:
    """Volumes by a counter of the scanner, among planes that are alike; None where positions hold different numbers.

    Attributes that every position has with the same values, such as b-values, are never mixed within a volume.
    """
    if len({len(level) for level in members}) != 1:
        return None
    alike = [(name, values) for name, values in varying if name not in MOMENTS and _is_shared(members, values)]
    groups: dict[tuple[Any, ...], list[list[int]]] = {}
    for k, level in enumerate(members):
        for n in level:
            key = tuple(values[n] for _, values in alike)
            groups.setdefault(key, [[] for _ in members])[k].append(n)
    for name, read in (*ASCENDING, *LAST_RESORT):
        order = {n: read(planes[n]) for level in members for n in level}
        ranked = [_by_rank(group, order) for group in groups.values()]
        if any(one is None for one in ranked):
            continue
        phases = sorted((phase for one in ranked if one is not None for phase in one), key=lambda p: order[p[0]])
        names = [_described(phase, alike, f"{name} {shown(order[phase[0]])}") for phase in phases]
        note = f"the {len(phases)} volumes are told apart by the order of {name} at each position"
        attributes = (*(name for name, _ in alike), name)
        return Phases(tuple(phases), tuple(names), (*notes, note), attributes)
    return None


def _is_shared(members: Sequence[Sequence[int]], values: dict[int, Any]) -> bool:
    """Whether every position has the same values, each as often."""
    first = Counter(values[n] for n in members[0])
    return all(Counter(values[n] for n in level) == first for level in members)


def _described(phase: Sequence[int], alike: Sequence[tuple[str, dict[int, Any]]], order: str) -> str:
    """What a volume is: what its planes share, and its place in the order."""
    facts = [f"{name} {shown(values[phase[0]])}" for name, values in alike if values[phase[0]] is not None]
    return ", ".join([*facts, order])


def _varying(
    planes: Sequence[Plane], members: Sequence[Sequence[int]], attributes: Sequence[tuple[str, Reader]]
) -> list[tuple[str, dict[int, Any]]]:
    """The attributes that are not the same in all planes, with their value by plane."""
    used = [n for level in members for n in level]
    values = ((name, {n: read(planes[n]) for n in used}) for name, read in attributes)
    return [(name, of_plane) for name, of_plane in values if len(set(of_plane.values())) > 1]


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
        or (name not in MOMENTS and all(len({values[n] for n in phase}) == 1 for phase in phases))
    ]
    return tuple(
        ", ".join(f"{name} {shown(values[phase[0]])}" for name, values in told if values[phase[0]] is not None)
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
                there = have.setdefault(values[n], set())
                unique = unique and k not in there
                there.add(k)
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
    plane = planes[members[ks[0]][0]]
    where = ", ".join(f"{v:.2f}" for v in position)
    return MissingSlicesError(
        f"the volume with {name} {shown(value)} has no slice at ({where}) mm, where this file of another volume lies "
        f"({gaps} slices are missing in all)",
        file=plane.name,
        attribute=name,
        fix="add the missing files, or give the files of one volume only",
    )
