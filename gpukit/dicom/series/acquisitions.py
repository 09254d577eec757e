"""Several stacks under one SeriesInstanceUID: acquisitions whose ranges differ, thin and thick slices of one scan.

They cannot be one volume, and none of them may be lost: each becomes a candidate of its own. A complete stack, a
complete 4D series and a stack that only lacks a few slices stay whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from gpukit.dicom.image.plane import Plane
from gpukit.dicom.image.stack import Levels, find_levels
from gpukit.errors import GeometryError

__all__ = ["stacks_of"]

#: Attribute that sets stacks of one series apart, and what it is called in a list.
_ATTRIBUTES = (
    ("AcquisitionNumber", "acquisition"),
    ("ConvolutionKernel", "kernel"),
    ("SliceThickness", "slices of"),
    ("KVP", "kV"),
    ("ContrastBolusAgent", "contrast"),
    ("ProtocolName", "protocol"),
)
_LEAST_SLICES = 3
_MOST_STACKS = 16
#: Of as many stacks, one that has fewer positions than the others is a volume of a 4D series with missing slices.
_LEAST_VOLUMES = 4
#: A gap of as many slices between two stacks is taken for missing slices.
_MISSING_BETWEEN = 3


def stacks_of(planes: Sequence[Plane]) -> list[tuple[str, list[Plane]]]:
    """Planes of one candidate, parted into stacks where they are several.

    Parameters
    ----------
    planes : sequence of Plane
        Of the same size and orientation.

    Returns
    -------
    list of (str, list of Plane)
        What sets a stack apart, such as ``acquisition 2``, and its planes. One without a name where all belong
        together.
    """
    whole = [("", list(planes))]
    if len(planes) < 2 * _LEAST_SLICES or not all(plane.has_geometry for plane in planes):
        return whole
    varying = [(keyword, word) for keyword, word in _ATTRIBUTES if _differs(planes, keyword)]
    if not varying and len({plane.position for plane in planes}) == len(planes):
        return whole
    union = _levels(planes)
    if union is None or _is_complete(union):
        return whole
    for names, parts in _partitions(planes, varying):
        stacks = [_levels(part) for part in parts]
        levels = [one for one in stacks if one is not None and _is_complete(one)]
        if len(levels) == len(parts) and not _are_one(union, levels):
            return list(zip(names, parts, strict=True))
    return whole


def _partitions(
    planes: Sequence[Plane], varying: Sequence[tuple[str, str]]
) -> Iterator[tuple[list[str], list[list[Plane]]]]:
    """Ways to part the planes, most telling first, with a name for each part."""
    for keyword, word in varying:
        parts: dict[Any, list[Plane]] = {}
        for plane in planes:
            parts.setdefault(_value(plane, keyword), []).append(plane)
        if len(parts) <= _MOST_STACKS and min(map(len, parts.values())) >= _LEAST_SLICES:
            ordered = sorted(parts, key=lambda value: (value is not None, value if value is not None else 0))
            unit = " mm" if keyword == "SliceThickness" else ""
            yield [f"{word} {_shown(value)}{unit}" for value in ordered], [parts[value] for value in ordered]
    runs = _runs(planes)
    if 1 < len(runs) <= _MOST_STACKS and min(map(len, runs)) >= _LEAST_SLICES:
        yield [f"images {run[0].get('InstanceNumber')} to {run[-1].get('InstanceNumber')}" for run in runs], runs


def _runs(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Planes in the order of InstanceNumber, cut where the stack turns back; none where a number lacks or repeats."""
    numbered = {number: plane for plane in planes if (number := plane.get("InstanceNumber")) is not None}
    if len(numbered) != len(planes):
        return []
    ordered = [numbered[number] for number in sorted(numbered)]
    points = np.array([plane.position for plane in ordered], dtype=float)
    axis = points[-1] - points[0] if np.ptp(points, axis=0).max() == 0 else _long_axis(points)
    steps = np.diff(points @ axis)
    runs: list[list[Plane]] = [[ordered[0]]]
    direction = 0.0
    for plane, step in zip(ordered[1:], steps, strict=True):
        if step == 0 or step * direction < 0:
            runs.append([plane])
            direction = 0.0
            continue
        runs[-1].append(plane)
        direction = float(np.sign(step))
    return runs


def _long_axis(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Unit vector along which the points extend most."""
    spread = points - points.mean(axis=0)
    axis: np.ndarray[Any, Any] = np.linalg.svd(spread, full_matrices=False)[2][0]
    return axis


def _differs(planes: Sequence[Plane], keyword: str) -> bool:
    first = planes[0].get(keyword)
    return any(plane.get(keyword) != first for plane in planes)


def _value(plane: Plane, keyword: str) -> Any:
    value = plane.get(keyword)
    return value if value is None or isinstance(value, (int, float, str, tuple)) else str(value)


def _shown(value: Any) -> str:
    if value is None:
        return "without number"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _levels(planes: Sequence[Plane]) -> Levels | None:
    """Levels of planes that share an orientation within rounding; None where it is not a stack."""
    orientation = planes[0].orientation or ()
    try:
        return find_levels([plane.position for plane in planes if plane.position is not None], orientation)
    except GeometryError:
        return None


def _is_complete(levels: Levels) -> bool:
    """Whether every position has as many planes, and the positions are even."""
    return levels.is_even and len({len(level) for level in levels.members}) == 1


def _are_one(union: Levels, stacks: Sequence[Levels]) -> bool:
    """Whether stacks are volumes or parts of one volume that lacks a few slices."""
    if all(len(level) == 1 for level in union.members):
        ordered = sorted(stacks, key=lambda one: float(one.distances[0]))
        step = max(float(np.median(one.steps)) for one in ordered)
        gaps = [float(after.distances[0] - before.distances[-1]) for before, after in pairwise(ordered)]
        return all(0 < gap <= (_MISSING_BETWEEN + 1.5) * step for gap in gaps)
    incomplete = sum(len(one.members) < len(union.members) for one in stacks)
    return len(stacks) >= _LEAST_VOLUMES and incomplete == 1
