"""Where the voxels of a series lie, from its headers alone: enough to measure between points, and quick.

The slices keep the places that they were acquired at: a point (i, j, k) between two slices lies on the line between its
places in both, so that uneven steps, a missing slice or a tilted gantry cost no accuracy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.reader.discovery import Source
from gpukit.dicom.series.candidates import Candidate, select
from gpukit.dicom.series.layout import Layout, arrange, choose_phase
from gpukit.dicom.series.read import collect_source
from gpukit.errors import GeometryError, GpukitError, InputError, SelectionError
from gpukit.findings.measurement import Measurement, Row
from gpukit.io.open import file_reader
from gpukit.volume import SourceInstance, Volume

__all__ = ["Space", "open_space", "slice_frame", "slice_frames", "space_of"]


Point = tuple[float, ...]
Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Space:
    """The slices of a series in the patient.

    Parameters
    ----------
    name : str
        File or folder, for messages.
    origins : (n, 3) array
        LPS mm of the centre of each slice's first pixel, by ascending k.
    along, down : (3,) array
        LPS mm from one pixel to the next along a row (i) and down a column (j).
    columns, rows : int
        Size of a slice.
    sources : tuple of SourceInstance
        Of each slice; empty where not known.
    frame_of_reference_uid : str
    notes : tuple of str
    """

    name: str
    origins: Vector
    along: Vector
    down: Vector
    columns: int
    rows: int
    sources: tuple[SourceInstance, ...] = ()
    frame_of_reference_uid: str = ""
    notes: tuple[str, ...] = ()

    def to_patient(self, point: Sequence[float]) -> Point:
        """LPS mm of a point (i, j, k) = (column, row, slice), counted from 0.

        Raises
        ------
        InputError
            It lies outside the series.
        """
        i, j, k = (float(value) for value in point)
        last = len(self.origins) - 1
        for value, size, axis in ((i, self.columns, "column"), (j, self.rows, "row"), (k, last + 1, "slice")):
            if not -0.5 <= value <= size - 0.5:
                raise InputError(
                    f"the point {i:g},{j:g},{k:g} lies outside the series: its {axis}s are 0 to {size - 1}",
                    file=self.name,
                )
        low = min(max(int(np.floor(k)), 0), max(last - 1, 0))
        high = min(low + 1, last)
        place = self.origins[low] + (k - low) * (self.origins[high] - self.origins[low])
        x, y, z = place + i * self.along + j * self.down
        return float(x), float(y), float(z)

    def nearest(self, place: Sequence[float]) -> SourceInstance | None:
        """Return the slice that lies nearest to a point in LPS mm.

        Raises
        ------
        InputError
            The point lies more than a slice distance, or a pixel, outside the series.
        """
        normal = np.cross(self.along, self.down)
        normal /= np.linalg.norm(normal)
        away = (np.asarray(place) - self.origins) @ normal
        k = int(np.abs(away).argmin())
        step = float(np.abs(np.diff(self.origins @ normal)).max()) if len(self.origins) > 1 else np.inf
        offset = np.asarray(place) - self.origins[k]
        i = float(offset @ self.along / (self.along @ self.along))
        j = float(offset @ self.down / (self.down @ self.down))
        inside = -1 <= i <= self.columns and -1 <= j <= self.rows
        if not inside or abs(away[k]) > step:
            shown = ",".join(f"{value:g}" for value in place)
            raise InputError(f"the point {shown} (LPS mm) lies outside the series", file=self.name)
        return self.sources[k] if self.sources else None


def space_of(volume: Volume) -> Space:
    """Return the same for a volume.

    Raises
    ------
    GeometryError
        It has no place in the patient.
    """
    if not volume.geometry.position:
        raise GeometryError(
            "the volume has no place in the patient: points in space need one", fix="give points of a frame, column,row"
        )
    grid = volume.grid
    count = grid.shape[0]
    phase = sorted((s for s in volume.sources if s.phase == 0), key=lambda s: s.index)
    fits = [s.index for s in phase] == list(range(count))
    return Space(
        name=volume.sources[0].path if volume.sources else "the volume",
        origins=grid.to_world([(0, 0, k) for k in range(count)]),
        along=grid.affine[:3, 0],
        down=grid.affine[:3, 1],
        columns=grid.shape[2],
        rows=grid.shape[1],
        sources=tuple(phase) if fits else (),
        frame_of_reference_uid=str(volume.metadata.get("FrameOfReferenceUID", "")),
        notes=volume.notes,
    )


def open_space(source: Source | Volume | Space, *, series: str | int | None = None) -> Space:
    """Return the space of one series; only headers are read.

    Raises
    ------
    SelectionError, InputNotFoundError, GeometryError, FormatError
        As `gpukit.open`; gaps between slices are not an error here.
    """
    if isinstance(source, Space):
        return source
    if isinstance(source, Volume):
        return space_of(source)
    if is_volume_file(source):
        import gpukit.io.open

        return space_of(gpukit.io.open.open(source, device="cpu", series=series))
    collection = collect_source(source)
    candidate, notes = select(collection, series, str(source))
    return space_from(candidate, (*notes, *problem_notes(collection.problems)))


def slice_frames(source: Source, *, series: str | int | None = None, phase: str | int | None = None) -> list[Frame]:
    """Return the slices of a series as frames, in the order of a volume's k; a slice by itself needs no even stack.

    Raises
    ------
    SelectionError, InputNotFoundError, GeometryError, FormatError
        As `gpukit.open`; gaps between slices are not an error here.
    """
    collection = collect_source(source)
    candidate, _ = select(collection, series, str(source))
    layout = arrange(candidate.planes)
    if len(layout.planes) > 1 and phase is None:
        raise SelectionError("the series has several phases", attribute="phase", fix="choose one with --phase (phase=)")
    planes = choose_phase(layout, 0 if phase is None else phase).planes[0]
    return [Frame(plane.header, plane.index, plane) for plane in planes]


def slice_frame(source: Source, k: int, *, series: str | int | None = None, phase: str | int | None = None) -> Frame:
    """One of `slice_frames`, by its index from 0.

    Raises
    ------
    SelectionError
        There is no such slice, and as `slice_frames`.
    """
    frames = slice_frames(source, series=series, phase=phase)
    if not 0 <= k < len(frames):
        raise SelectionError(f"there is no slice {k}: they go from 0 to {len(frames) - 1}", attribute="slice")
    return frames[k]


def _series_row(name: str, measure: Callable[[], Measurement]) -> Row:
    try:
        return Row(file=name, measurement=measure())
    except GpukitError as error:
        return Row(file=name, error=str(error).removeprefix(f"{name}: "))


def series_name(candidate: Candidate) -> str:
    """Return a series by its folder, or by its file where it has only one."""
    from pathlib import Path

    files = {plane.header.location.path for plane in candidate.planes}
    folders = {str(Path(file).parent) for file in files}
    name = next(iter(files)) if len(files) == 1 else min(folders)
    return f"{name} (series {candidate.series.number})"


def space_from(candidate: Candidate, notes: tuple[str, ...]) -> Space:
    layout = choose_phase(arrange(candidate.planes), 0)
    first = layout.first
    if layout.levels is None or first.orientation is None or first.spacing is None:
        raise GeometryError(
            "has no place in the patient: points in space need one", file=first.file,
            attribute="ImagePositionPatient", fix="give points of a frame, column,row",
        )  # fmt: skip
    remarks = [note for note in layout.notes if "phase" not in note]
    if not layout.levels.is_even:
        remarks.append("the slices are unevenly spaced: each point was placed between the slices that lie there")
    return Space(
        name=series_name(candidate),
        origins=np.array([plane.position for plane in layout.planes[0]], dtype=float),
        along=np.asarray(first.orientation[:3]) * first.spacing[1],
        down=np.asarray(first.orientation[3:]) * first.spacing[0],
        columns=first.columns,
        rows=first.rows,
        sources=_sources(layout),
        frame_of_reference_uid=str(first.get("FrameOfReferenceUID", "")),
        notes=(*notes, *remarks),
    )


def _sources(layout: Layout) -> tuple[SourceInstance, ...]:
    return tuple(Frame(plane.header, plane.index, plane).source for plane in layout.planes[0])


def problem_notes(problems: Sequence[tuple[str, GpukitError]]) -> tuple[str, ...]:
    """Return files that cannot be read may be slices: the slice numbers are then not those of the whole series."""
    if not problems:
        return ()
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    return (f"left aside as unreadable, so that slices may be missing: {problems[0][0]}{more}",)


def is_volume_file(source: Any) -> bool:
    """Return whether a source is one file of a volume format, which has no DICOM header to measure on."""
    items = [source] if isinstance(source, str) or not hasattr(source, "__iter__") else list(source)
    return len(items) == 1 and isinstance(items[0], (str, PathLike)) and file_reader(os.fspath(items[0])) is not None
