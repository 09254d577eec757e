"""From the planes of one candidate to the layout of its volume: order, phases, grid. No pixels yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gpukit.dicom.image.plane import PROJECTIONS, Plane, numbers
from gpukit.dicom.image.stack import JITTER_MM, Levels, find_levels, stack_affine
from gpukit.dicom.series.phase_times import phase_times
from gpukit.dicom.series.phases import split_phases
from gpukit.errors import GeometryError, SelectionError
from gpukit.geometry import Grid
from gpukit.volume import GeometryStatus

__all__ = ["Layout", "arrange"]


@dataclass(frozen=True)
class Layout:
    """Where every plane goes.

    Attributes
    ----------
    planes : tuple of tuple of Plane
        Indexed [t][k].
    grid : Grid
        Of one phase; only meaningful when `levels` is even, or None.
    levels : Levels or None
        Slice positions; None for an image without a place in the patient.
    phases : tuple of str
        Empty unless there are several.
    notes : tuple of str
    geometry : GeometryStatus
        Which parts of the grid the headers state.
    times : tuple of float
        Begin of each phase in seconds, the first at 0; empty where that is not known, or the phases are not moments.
    """

    planes: tuple[tuple[Plane, ...], ...]
    grid: Grid
    levels: Levels | None
    phases: tuple[str, ...]
    notes: tuple[str, ...]
    geometry: GeometryStatus = field(default_factory=GeometryStatus)
    times: tuple[float, ...] = ()

    @property
    def first(self) -> Plane:
        """Any plane, for what all share."""
        return self.planes[0][0]


def arrange(planes: Sequence[Plane]) -> Layout:
    """Sort planes into a volume.

    Raises
    ------
    GeometryError
        Slices without a place among several, or that do not lie behind one another; names the file and attribute.
    MissingSlicesError
        Volumes of a 4D series that are not complete.
    """
    placed = [plane for plane in planes if plane.has_geometry]
    if not placed:
        return _picture(planes)
    if len(placed) != len(planes):
        raise _nowhere([plane for plane in planes if not plane.has_geometry], among=len(planes))
    first = planes[0]
    orientation = _common_orientation([plane.orientation for plane in planes if plane.orientation is not None])
    try:
        levels = find_levels([plane.position for plane in planes if plane.position is not None], orientation)
    except GeometryError as error:
        raise GeometryError(error.what, file=first.file, attribute=error.attribute) from None
    _check_line(planes, levels)
    _check_drift(planes, levels)
    found = split_phases(planes, levels)
    spacing = first.spacing or (1.0, 1.0)
    notes = list(found.notes)
    thickness, geometry = 0.0, GeometryStatus(spacing=first.spacing is not None)
    if len(levels.members) == 1:
        thickness, is_stated, note = _thickness(first)
        geometry = replace(geometry, depth=is_stated)
        notes.append(note)
    affine = stack_affine(levels, orientation, spacing, thickness)
    grid = Grid((len(levels.members), first.rows, first.columns), affine)
    volumes = tuple(tuple(planes[n] for n in phase) for phase in found.planes)
    times = phase_times(volumes, found.attributes)
    return Layout(volumes, grid, levels, found.names, tuple(notes), geometry, times)


def choose_phase(layout: Layout, wanted: str | int | None) -> Layout:
    """The layout of one phase alone, named by its index from 0 or by words of its description.

    Raises
    ------
    SelectionError
        None or several phases fit; lists them.
    """
    if wanted is None:
        return layout
    count = len(layout.planes)
    names = layout.phases or ("the only one",)
    text = str(wanted).strip()
    index: int | None = None
    if text.removeprefix("-").isdecimal():
        index = int(text)
        if not 0 <= index < count:
            raise SelectionError(f"there is no phase {index}, only 0 to {count - 1}", attribute="phase")
    else:
        found = [n for n, name in enumerate(names) if text.lower() == name.lower()]
        found = found or [n for n, name in enumerate(names) if text.lower() in name.lower()]
        if len(found) != 1:
            listed = "; ".join(f"{n}: {name}" for n, name in list(enumerate(names))[:20])
            what = "several phases fit" if found else "no phase fits"
            raise SelectionError(f"{what} {text!r} among {listed}", attribute="phase")
        index = found[0]
    note = (f"phase {index} ({names[index]}) of {count}",) if count > 1 else ()
    return replace(layout, planes=(layout.planes[index],), phases=(), notes=(*layout.notes, *note), times=())


def _common_orientation(orientations: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """The one orientation, or the mean of several that rounding made differ."""
    first = orientations[0]
    if all(orientation == first for orientation in orientations):
        return first
    return tuple(float(v) for v in np.mean(orientations, axis=0))


def _check_line(planes: Sequence[Plane], levels: Levels) -> None:
    """Planes of one level must coincide, and the levels must lie on a line."""
    step = float(np.median(levels.steps)) if len(levels.members) > 1 else 0.0
    allowed = max(JITTER_MM, 0.05 * step)
    points = [np.asarray(plane.position) for plane in planes]
    for level in levels.members:
        for n in level[1:]:
            if (away := float(np.linalg.norm(points[n] - points[level[0]]))) > allowed:
                raise GeometryError(
                    f"lies in the plane of {planes[level[0]].name}, shifted by {away:.4g} mm: not slices of one volume",
                    file=planes[n].name,
                    attribute="ImagePositionPatient",
                    fix="give the files of one stack only",
                )
    if len(levels.members) > 2:
        worst, away = levels.off_line()
        if away > allowed:
            raise GeometryError(
                f"lies {away:.4g} mm beside the line through the other slices",
                file=planes[levels.members[worst][0]].name,
                attribute="ImagePositionPatient",
                fix="give the files of one stack only",
            )


def _check_drift(planes: Sequence[Plane], levels: Levels) -> None:
    """No gantry tilts by 45 degrees: such slices are no stack."""
    if levels.drift > 1.0:
        along = abs(float(levels.span @ levels.normal))
        raise GeometryError(
            f"its slices move {levels.drift * along:.4g} mm sideways over {along:.4g} mm: they do not lie behind one "
            f"another, from here to {planes[levels.members[-1][0]].name}",
            file=planes[levels.members[0][0]].name,
            attribute="ImagePositionPatient",
            fix="give the files of one stack only",
        )


def _thickness(plane: Plane) -> tuple[float, bool, str]:
    """Extent of a lone slice along its normal, whether the header states it, and a note."""
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        extent = numbers(plane.get(keyword), 1)
        if extent is not None and extent[0] > 0:
            return extent[0], True, f"a single slice: its extent of {extent[0]:g} mm is taken from {keyword}"
    spacing = plane.spacing or (1.0, 1.0)
    mean = (spacing[0] + spacing[1]) / 2
    return mean, False, f"a single slice without thickness: {mean:g} mm, its pixel spacing, is assumed"


def _nowhere(lacking: Sequence[Plane], *, among: int) -> GeometryError:
    """Of slices that do not say where they lie, `lacking` of so many."""
    plane = lacking[0]
    missing = next(
        keyword
        for keyword, value in (
            ("ImagePositionPatient", plane.position),
            ("ImageOrientationPatient", plane.orientation),
            ("PixelSpacing", plane.spacing),
        )
        if value is None
    )
    if plane.frames > 1:
        what, fix = "a slice that does not say where it lies in the patient", (
            "the file lacks its functional groups: get it anew"
        )  # fmt: skip
    elif len(lacking) < among:
        what, fix = f"one of {len(lacking)} slices of {among} that do not say where they lie in the patient", (
            "name the files of the volume only, in place of the folder"
        )  # fmt: skip
    elif missing == "PixelSpacing":
        what, fix = f"none of the {among} slices says how large its pixels are", (
            "get the series anew, put the spacing that the scanner states into the files, or give the images one by one"
        )  # fmt: skip
    else:
        what, fix = f"none of the {among} slices says where it lies in the patient", (
            "get the series anew, or give the images one by one"
        )  # fmt: skip
    return GeometryError(what, file=plane.name, attribute=missing, fix=fix)


def _picture(planes: Sequence[Plane]) -> Layout:
    """Layout of an image, or of a cine loop, that has no place in the patient."""
    first = planes[0]
    modality = str(first.get("Modality", ""))
    if len(planes) > 1 and (modality not in PROJECTIONS or any(plane.file != first.file for plane in planes)):
        raise _nowhere(planes, among=len(planes))
    spacing, is_stated, note = _detector_spacing(first)
    grid = Grid.from_axes((1, first.rows, first.columns), spacing=(spacing[1], spacing[0], min(spacing)))
    names = tuple(f"Frame {plane.index + 1}" for plane in planes) if len(planes) > 1 else ()
    geometry = GeometryStatus(position=False, spacing=is_stated, depth=False)
    volumes = tuple((plane,) for plane in planes)
    return Layout(volumes, grid, None, names, (note,), geometry, phase_times(volumes, ("Frame",)))


def _detector_spacing(plane: Plane) -> tuple[tuple[float, float], bool, str]:
    """Rows and columns in mm, whether the header states them, and a note."""
    if plane.spacing is not None:
        return plane.spacing, True, "no patient geometry: the image lies at the origin, with its own pixel spacing"
    for keyword in ("ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        pair = numbers(plane.get(keyword), 2)
        if pair is not None and min(pair) > 0:
            return (
                (pair[0], pair[1]),
                True,
                f"no patient geometry: spacing is {keyword}, at the detector and not the patient",
            )
    ratio = numbers(plane.get("PixelAspectRatio"), 2)
    if ratio is not None and min(ratio) > 0:
        return (
            (ratio[0] / ratio[1], 1.0),
            False,
            "no patient geometry and no pixel spacing: pixels are taken as 1 mm wide",
        )
    return (1.0, 1.0), False, "no patient geometry and no pixel spacing: pixels are taken as 1 mm"
