"""One measurement on many frames, files or series: in parallel, one row each, a failed one a row with its error."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gpukit.dicom.image.frame import Frame, frames_of, parse_frames
from gpukit.dicom.image.plane import is_image
from gpukit.dicom.reader.discovery import Location, Source, discover
from gpukit.dicom.reader.headers import Header, scan
from gpukit.dicom.series.candidates import select
from gpukit.dicom.series.read import collect_source
from gpukit.errors import GpukitError, InputNotFoundError
from gpukit.findings.measurement import Measurement, Row
from gpukit.measure.spatial.series_space import (
    Space,
    _series_row,
    is_volume_file,
    open_space,
    problem_notes,
    series_name,
    space_from,
)

__all__ = ["Progress", "each_frame", "each_series", "in_parallel"]


#: Called as ``progress(stage, done, total)``.
Progress = Callable[[str, int, int], None]
Item = TypeVar("Item")

_BATCH = 16  # files a task


def each_frame(
    source: Source,
    measure: Callable[[Frame], Measurement],
    *,
    frames: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Measure on every frame that a source names.

    Parameters
    ----------
    source : path, glob, or several of them
        Files, folders, a DICOMDIR or a zip. Files that are not DICOM images are skipped in a folder, a glob or a zip;
        a file that was named and is none, and one that is damaged, is a row with its error.
    measure : callable
        From a frame to a measurement; a `GpukitError` becomes the row's error.
    frames : str, optional
        Which frames of multi-frame files, as `gpukit.dicom.image.frame.parse_frames` reads it; all by default.
    workers : int, optional
        Threads.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    list of Row
        In the order of the files, then of the frames.

    Raises
    ------
    InputNotFoundError
        There is nothing to measure on.
    """
    locations = discover(source)
    scanned = scan(locations, progress=None if progress is None else lambda d, n: progress("headers", d, n))
    entries: dict[Location, Header | GpukitError] = {header.location: header for header in scanned.headers}
    entries.update(scanned.problems)
    items = [
        (place, entries[place]) for place in locations if place in entries and not _passed_over(place, entries[place])
    ]
    items = items or [(place, entries[place]) for place in locations if place in entries]
    if not items:
        raise InputNotFoundError("holds no DICOM file", file=locations[0].path)

    def one(item: tuple[Location, Header | GpukitError]) -> list[Row]:
        place, header = item
        if isinstance(header, GpukitError):
            return [Row(file=str(place), error=_reason(header, str(place)))]
        try:
            available = frames_of(header)
            chosen = [available[n] for n in parse_frames(frames, len(available), str(place))]
        except GpukitError as error:
            return [Row(file=str(place), error=_reason(error, str(place)))]
        return [_row(frame, measure) for frame in chosen]

    return [row for rows in in_parallel(items, one, workers=workers, progress=progress) for row in rows]


def in_parallel(
    items: Sequence[Item],
    function: Callable[[Item], list[Row]],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[list[Row]]:
    """Return rows of every item, in order; an item's `GpukitError` must be turned into a row by `function`.

    Raises
    ------
    BaseException
        Whatever else a call raises; what has not begun does not run then.
    """
    pieces = [items[n : n + _BATCH] for n in range(0, len(items), _BATCH)]
    threads = min(len(pieces), workers or min(32, 2 * (os.cpu_count() or 1)))

    def piece(some: Sequence[Item]) -> list[list[Row]]:
        return [function(item) for item in some]

    results: list[list[Row]] = []
    if threads <= 1:
        for some in pieces:
            results += piece(some)
            if progress is not None:
                progress("measuring", len(results), len(items))
        return results
    with ThreadPoolExecutor(threads, thread_name_prefix="gpukit-measure") as pool:
        try:
            for rows in pool.map(piece, pieces):
                results += rows
                if progress is not None:
                    progress("measuring", len(results), len(items))
        except BaseException:  # also Ctrl-C: what has not begun must not run
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _passed_over(place: Location, header: Header | GpukitError) -> bool:
    """Whether a file that was found, not named, is something else than an image: a report, contours, a segmentation."""
    return place.walked and isinstance(header, Header) and bool(is_image(header))


def _row(frame: Frame, measure: Callable[[Frame], Measurement]) -> Row:
    try:
        return Row(file=frame.file, frame=frame.number, measurement=measure(frame))
    except GpukitError as error:
        return Row(file=frame.file, frame=frame.number, error=_reason(error, frame.file))


def _reason(error: GpukitError, file: str) -> str:
    """Return the error's line without the file, which has its own column."""
    return str(error).removeprefix(f"{file}: ")


def each_series(
    source: Source,
    measure: Callable[[Space], Measurement],
    *,
    series: str | int | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Measure on every series that a source names, or on the one named; one row each.

    Raises
    ------
    InputNotFoundError
        There is no series to measure on.
    SelectionError
        `series` names none or several.
    """
    if is_volume_file(source):
        space = open_space(source)
        return [_series_row(space.name, lambda: measure(space))]
    collection = collect_source(source, progress=progress)
    notes: tuple[str, ...] = problem_notes(collection.problems)
    if series is not None or not collection.candidates:
        chosen, more = select(collection, series, str(source))
        candidates, notes = [chosen], (*more, *notes)
    else:
        stacks = [c for c in collection.candidates if "LOCALIZER" not in c.planes[0].kind]
        candidates = stacks or collection.candidates
    rows = []
    for number, candidate in enumerate(candidates):
        rows.append(_series_row(series_name(candidate), lambda c=candidate: measure(space_from(c, notes))))  # type: ignore[misc]
        if progress is not None:
            progress("measuring", number + 1, len(candidates))
    return rows
