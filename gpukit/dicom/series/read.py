"""A DICOM series read into a `Volume`: headers, choice, layout, one preallocated array, one move to the device."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpukit.buffers import prepared
from gpukit.device import array_namespace, move, resolve
from gpukit.dicom.image import pixel_value
from gpukit.dicom.image.lut import apply_modality_tables, has_modality_table, table_notes
from gpukit.dicom.image.metadata import metadata_of, volume_scale
from gpukit.dicom.image.plane import Plane
from gpukit.dicom.image.value_scale import PHILIPS
from gpukit.dicom.image.voi_lut import may_have_table, voi_of
from gpukit.dicom.pixels.device_decode import decode
from gpukit.dicom.pixels.image_pixel import NATIVE, available_memory
from gpukit.dicom.reader.discovery import Source, discover
from gpukit.dicom.reader.headers import Header
from gpukit.dicom.series.candidates import Candidate, Collection, collect, select
from gpukit.dicom.series.layout import Layout, arrange, choose_phase
from gpukit.dicom.series.misfits import misfit_error, misfits_of
from gpukit.dicom.series.regular_grid import (
    acquired_slices,
    check_gaps,
    even_distances,
    fill_gaps,
    remove_tilt,
    straight_grid,
)
from gpukit.errors import FormatError, InputError, InputNotFoundError
from gpukit.geometry import Grid
from gpukit.profiling import stage
from gpukit.units import ValueUnit
from gpukit.volume import SourceInstance, Volume

__all__ = ["Progress", "Ready", "Tilt", "collect_source", "left_aside", "read_dicom", "volume_of"]


#: Called as ``progress(stage, done, total)``.
Progress = Callable[[str, int, int], None]
Tilt = Literal["remove", "keep"]
#: Frames that were decoded before, of any number of images: by the id of the header and the frame's index.
Ready = Mapping[tuple[int, int], Any]


_OTHER_FORMATS = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".hdr", ".hdr.gz")


def collect_source(
    source: Source, *, progress: Progress | None = None, first: Callable[[Header, int], None] | None = None
) -> Collection:
    """Scan everything that a source names and gather it into candidate volumes.

    Parameters
    ----------
    source : path or iterable of paths
        Files, folders, globs, DICOMDIR, zip.
    progress, first : callable or None
        As `gpukit.dicom.reader.headers.scan` calls them, the former with the stage before its arguments.

    Raises
    ------
    InputNotFoundError
        There is no such file, or nothing in it is DICOM.
    """
    from gpukit.dicom.reader.headers import scan

    scanned = scan(discover(source), progress=_stage(progress, "headers"), first=first)
    if not scanned.headers and not scanned.problems:
        volumes = [str(place) for place in scanned.skipped if str(place).lower().endswith(_OTHER_FORMATS)]
        fix = f"to read {volumes[0]}, name the file itself" if volumes else None
        raise InputNotFoundError("holds no DICOM file", file=_name(source), fix=fix)
    found = collect(scanned.headers)
    problems = [(str(location), error) for location, error in scanned.problems]
    return Collection(found.candidates, found.others, problems + found.problems)


def read_dicom(
    source: Source,
    *,
    device: str | None = None,
    series: str | int | None = None,
    fill_gaps: bool | int = False,
    phase: str | int | None = None,
    tilt: Tilt = "remove",
    skip_damaged: bool = False,
    raw_scale: bool = False,
    progress: Progress | None = None,
) -> Volume:
    """Read one series; see `gpukit.open` for the parameters and errors."""
    if tilt not in ("remove", "keep"):
        raise InputError(f"tilt {tilt!r} is neither 'remove' nor 'keep'", attribute="tilt")
    if fill_gaps < 0:
        raise InputError(f"{fill_gaps} is not a number of slices", attribute="fill_gaps", fix="give 0 or more")
    _, target = resolve(device)  # a device that cannot be used is told before the work, not after
    with prepared() as prepare:
        return _read(source, target, series, fill_gaps, phase, tilt, skip_damaged, raw_scale, progress, prepare)


def _read(
    source: Source,
    target: str,
    series: str | int | None,
    fill_gaps: bool | int,
    phase: str | int | None,
    tilt: Tilt,
    skip_damaged: bool,
    raw_scale: bool,
    progress: Progress | None,
    prepare: Callable[[int], None],
) -> Volume:
    with stage("reading"):
        collection = collect_source(source, progress=progress, first=lambda header, n: prepare(_guess(header, n)))
    candidate, notes = select(collection, series, _name(source))
    notes = (*notes, *left_aside(collection, skip_damaged))
    planes = [plane.as_displayed() for plane in candidate.planes] if raw_scale else candidate.planes
    layout = choose_phase(arrange(planes), phase)
    notes = (*notes, *_unfitting(candidate, collection, layout, fill_gaps, chosen=series is not None))
    return volume_of(layout, device=target, fill=fill_gaps, tilt=tilt, notes=notes, progress=progress)


def _unfitting(
    candidate: Candidate, collection: Collection, layout: Layout, fill: bool | int, *, chosen: bool
) -> tuple[str, ...]:
    """Notes on slices that belong to the stack and cannot be part of the volume.

    Raises
    ------
    MissingSlicesError
        The volume would lack them: they lie in a gap that is not to be filled, or at an end of a stack that the caller
        did not choose by `chosen`.
    """
    if len(collection.candidates) < 2:
        return ()
    misfits = misfits_of(candidate, collection, layout)
    uneven = layout.levels is not None and not layout.levels.is_even
    missing = [one for one in misfits if (one.within and uneven and not fill) or not (one.within or chosen)]
    if missing:
        raise misfit_error(missing)
    return tuple(f"not part of the volume: {one.plane.name} {one.what}" for one in misfits)


def left_aside(collection: Collection, skip_damaged: bool) -> tuple[str, ...]:
    """A note on the files that cannot be read; FormatError where they are not to be left out."""
    if not collection.problems:
        return ()
    file, error = collection.problems[0]
    more = f" and {len(collection.problems) - 1} more" if len(collection.problems) > 1 else ""
    if not skip_damaged:
        # Whose slice it was cannot be known: a volume that lacks its last slice looks like a whole one.
        raise FormatError(
            f"cannot be read ({error.what}){more}, and may be a slice of this series",
            file=file,
            attribute=error.attribute,
            fix="copy the file again, or read the series without damaged files with --skip-damaged",
        )
    return (f"left aside as unreadable: {file} ({error.what}){more}",)


def _guess(header: Header, files: int) -> int:
    """Bytes of the array if all files are like this one; 0 where that cannot be told, or is not to be had."""
    span = header.pixels
    if span is None or span.length is None or header.transfer_syntax not in NATIVE or header.location.member:
        return 0
    nbytes = files * span.length
    free = available_memory()
    try:
        # What the file is too short for it does not hold, whatever its header says.
        there = Path(header.location.path).stat().st_size
    except OSError:
        return 0
    return nbytes if span.length <= there and free is not None and nbytes <= free // 4 else 0


def volume_of(
    layout: Layout,
    *,
    device: str,
    fill: bool | int = False,
    tilt: Tilt = "remove",
    notes: Iterable[str] = (),
    progress: Progress | None = None,
    ready: Ready | None = None,
) -> Volume:
    """Decode the planes of a layout and make the volume.

    Parameters
    ----------
    layout, device, fill, tilt, notes, progress
        As for `read_dicom`.
    ready : mapping, optional
        Scaled values of frames on the device, which need not be decoded again.

    Raises
    ------
    MissingSlicesError
        The slices are not even, and `fill` does not allow to interpolate that many.
    TooLargeError
        More memory is needed than there is.
    """
    first = layout.first
    told = [*notes, *layout.notes]
    levels = layout.levels
    uneven = levels is not None and not levels.is_even
    if levels is not None and uneven:
        check_gaps(levels, [plane.name for plane in layout.planes[0]], fill)
    planes = [plane for phase in layout.planes for plane in phase]
    with stage("decoding"):
        # new slices between uneven ones are made in main memory
        array: Any = _decode(planes, layout, "cpu" if uneven else device, progress, ready or {})
    unit, remark = pixel_value.value_unit(first)
    by_table = has_modality_table(first)
    if first.scale_source == PHILIPS:
        told.append(
            "Philips' own scale slope (2005,100E) was applied: values are as measured, not as displayed "
            "(--raw-scale gives those that are displayed)"
        )
    told += [note for plane in planes for note in plane.notes]
    told += table_notes(first)
    padding, doubt = None, ""
    if not by_table:
        padding = pixel_value.declared_padding(planes)
        flat, doubt = pixel_value.mark_padding(array.reshape(-1, *array.shape[2:]), planes)
        array = flat.reshape(array.shape)
    told += [text for text in (remark, doubt) if text]
    if padding is None and unit == ValueUnit.HU and (padding := pixel_value.corner_padding(array)) is not None:
        told.append(f"{padding[0]:g} HU in every corner is taken for padding")
    grid = layout.grid
    acquired: tuple[float, ...] = ()
    if levels is not None and uneven:
        even = even_distances(levels)
        acquired = acquired_slices(levels.distances, even)
        array = fill_gaps(array, levels.distances, even, padding)
        affine = grid.affine.copy()
        affine[:3, 2] = levels.span / (len(even) - 1)
        grid = Grid((len(even), *grid.shape[1:]), affine)
        told.append(
            f"{len(levels.distances)} unevenly spaced slices were interpolated to {len(even)}, "
            f"{grid.spacing[2]:.4g} mm apart"
        )
    colour = pixel_value.is_colour(first)
    if len(layout.planes) == 1:
        array = array[0]
    axes = ("t" if len(layout.planes) > 1 else "") + "kji" + ("c" if colour else "")
    moved: Any = move(array, device)
    if levels is not None and levels.is_tilted:
        angle = math.degrees(math.atan(levels.drift))
        if tilt == "keep":
            told.append(f"the gantry was tilted by {angle:.1f} degrees: the grid is sheared")
        else:
            target = straight_grid(grid)
            outside, padding = _outside(array, unit, padding)
            moved = remove_tilt(moved, grid, target, axes, outside, padding)
            grid = target
            told.append(f"a gantry tilt of {angle:.1f} degrees was removed by resampling within slices")
    return Volume(
        array=moved,
        grid=grid,
        unit=unit,
        axes=axes,
        padding=padding,
        phases=layout.phases,
        sources=_sources(layout),
        metadata=metadata_of(first),
        notes=tuple(dict.fromkeys(told)),
        geometry=layout.geometry,
        acquired_slices=acquired,
        phase_times=layout.times,
        value_scale=volume_scale(planes, table=by_table),
    )


def _decode(planes: list[Plane], layout: Layout, device: str, progress: Progress | None, ready: Ready) -> Any:
    """All planes as one array ``[t, k, j, i(, c)]`` of final values.

    In the device's memory where a decoder of its own takes the frames, else in main memory.
    """
    first = planes[0]
    for plane in planes:
        if plane.header.pixels is None:
            raise InputError("has no pixels", file=plane.file, attribute="PixelData")
    references = [plane.reference() for plane in planes]
    shape: tuple[int, ...] = (len(planes), first.rows, first.columns)
    if pixel_value.is_colour(first):
        shape = (*shape, 3)
    known = ready.get((id(first.header), first.index)) if len(planes) == 1 else None
    if known is not None and not has_modality_table(first):
        return known.reshape(1, *shape)
    by_table = has_modality_table(first)
    place = "cpu" if by_table else device
    out = decode(references, shape, pixel_value.output_types(planes), place, progress=_stage(progress, "pixels"))
    if by_table:
        out = apply_modality_tables(np.asarray(out), planes)
    return out.reshape(len(layout.planes), len(layout.planes[0]), *shape[1:])


def _outside(array: Any, unit: str, padding: tuple[float, float] | None) -> tuple[float, tuple[float, float] | None]:
    """Value for voxels that a straightened grid has and the scanner did not measure, and the padding it makes.

    A number just below all measured ones (and below air in a CT), so that it can be told from them.
    """
    if padding is not None:
        return padding[0], padding
    xp = array_namespace(array)
    if xp.isdtype(array.dtype, "real floating"):
        measured = xp.where(xp.isnan(array), xp.full_like(array, float("inf")), array)
        value = math.floor(float(xp.min(measured))) - 1.0
    else:
        value = float(xp.min(array)) - 1.0
        if value < xp.iinfo(array.dtype).min:  # an unsigned type that uses its 0: nothing is left to mark with
            return float(array.min()), None
    if unit == ValueUnit.HU:
        value = min(value, -1025.0)
    return value, (value, value)


def _sources(layout: Layout) -> tuple[SourceInstance, ...]:
    found = []
    tables = may_have_table(layout.first)
    for t, phase in enumerate(layout.planes):
        for k, plane in enumerate(phase):
            header = plane.header
            found.append(
                SourceInstance(
                    sop_class_uid=str(header.get("SOPClassUID", "")),
                    sop_instance_uid=str(header.get("SOPInstanceUID", "")),
                    path=header.location.path,
                    member=header.location.member,
                    frame=plane.facts.get("Frame"),
                    position=plane.position or (0.0, 0.0, 0.0),
                    index=k,
                    phase=t,
                    voi=voi_of(plane, tables=tables),
                )
            )
    return tuple(found)


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)


def _name(source: Source) -> str:
    if isinstance(source, (str, PathLike)):
        return os.fspath(source)
    names = [os.fspath(item) for item in source]
    return names[0] if len(names) == 1 else f"{len(names)} inputs"
