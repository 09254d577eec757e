"""Slices of a stack that cannot be part of its volume: another matrix, pixel spacing or kind of image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gpukit.dicom.image.plane import Plane
from gpukit.dicom.image.stack import Levels
from gpukit.dicom.series.candidates import Candidate, Collection
from gpukit.dicom.series.layout import Layout
from gpukit.errors import MissingSlicesError

__all__ = ["Misfit", "misfit_error", "misfits_of"]

#: How far from the stack's line, in pixels, and from its orientation a slice may lie that belongs to it.
_BESIDE = 2.0
_TURNED = 0.02


@dataclass(frozen=True)
class Misfit:
    """A slice where the stack lacks one, or next to its end.

    Attributes
    ----------
    plane : Plane
        The slice.
    attribute : str
        Where it differs from the stack.
    what : str
        Its value and that of the stack, for messages.
    within : bool
        It lies in a gap; else it continues the stack at one end.
    """

    plane: Plane
    attribute: str
    what: str
    within: bool


def misfits_of(candidate: Candidate, collection: Collection, layout: Layout) -> list[Misfit]:
    """Slices of the same series, of other candidates, that lie where this stack lacks one or at its ends."""
    levels = layout.levels
    if levels is None or len(levels.members) < 2:
        return []
    first = layout.first
    uid = candidate.series.uid
    others = [other for other in collection.candidates if other is not candidate and other.series.uid == uid]
    return [misfit for other in others if uid for misfit in _misfits(other.planes, first, levels)]


def _misfits(planes: Sequence[Plane], first: Plane, levels: Levels) -> Iterator[Misfit]:
    step = float(np.median(levels.steps))
    spacing = max(first.spacing or (1.0, 1.0))
    direction = levels.span / float(levels.distances[-1] - levels.distances[0])
    for plane in planes:
        if plane.position is None or plane.orientation is None or first.orientation is None:
            continue
        if np.abs(np.subtract(plane.orientation, first.orientation)).max() > _TURNED:
            continue
        point = np.asarray(plane.position)
        distance = float(point @ levels.normal)
        on_line = levels.positions[0] + (distance - levels.distances[0]) * direction
        nearest = float(np.abs(levels.distances - distance).min())
        beyond = max(float(levels.distances[0]) - distance, distance - float(levels.distances[-1]))
        if np.linalg.norm(point - on_line) > _BESIDE * spacing or not 0.5 * step <= nearest or beyond > 1.5 * step:
            continue
        attribute, what = _difference(plane, first)
        if attribute:
            yield Misfit(plane, attribute, what, beyond < 0)


def _difference(plane: Plane, first: Plane) -> tuple[str, str]:
    """The attribute in which a slice differs from the stack, and both values."""
    if (plane.rows, plane.columns) != (first.rows, first.columns):
        one, usual = f"{plane.rows} x {plane.columns}", f"{first.rows} x {first.columns}"
        return "Rows" if plane.rows != first.rows else "Columns", (
            f"has {one} pixels (Rows x Columns) where the other slices have {usual}"
        )
    if plane.spacing is not None and first.spacing is not None and plane.spacing != first.spacing:
        one, usual = (f"{pair[0]:g} x {pair[1]:g} mm" for pair in (plane.spacing, first.spacing))
        return "PixelSpacing", f"has pixels of {one} where the other slices have {usual}"
    for keyword in ("SOPClassUID", "PhotometricInterpretation", "SamplesPerPixel", "Units", "RescaleType"):
        if plane.get(keyword) != first.get(keyword):
            return keyword, f"has {keyword} {plane.get(keyword)} where the other slices have {first.get(keyword)}"
    return "", ""


def misfit_error(misfits: Sequence[Misfit]) -> MissingSlicesError:
    """The error for slices that cannot be part of the volume."""
    first = misfits[0]
    more = f"; {len(misfits) - 1} more slices do not fit" if len(misfits) > 1 else ""
    place = "in a gap of its stack" if first.within else "at the end of its stack"
    fix = "get the series anew with slices of one kind, or "
    fix += "interpolate the slice with --fill-gaps" if first.within else "choose the stack without it with --series"
    return MissingSlicesError(
        f"{first.what}: it lies {place} and cannot be part of the volume{more}",
        file=first.plane.name,
        attribute=first.attribute,
        fix=fix,
    )
