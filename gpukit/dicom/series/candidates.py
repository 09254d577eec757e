"""From scanned headers to candidate volumes: what belongs together, how a user names one, and which is meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gpukit.dicom.image.plane import Plane, is_image
from gpukit.dicom.image.planes_of import planes_of
from gpukit.dicom.reader.headers import Header
from gpukit.dicom.series.acquisitions import stacks_of
from gpukit.errors import FormatError, GpukitError, InputNotFoundError, SelectionError

__all__ = ["Candidate", "Collection", "Series", "collect", "main_candidate", "select"]


@dataclass(frozen=True)
class Series:
    """What a user needs to tell one candidate volume from another; no patient data.

    Attributes
    ----------
    number : int
        Position in the list, from 1; what ``--series`` takes first.
    uid : str
        SeriesInstanceUID.
    series_number : int or None
    modality, description : str
    kind : str
        What sets it apart within its series (LOCALIZER, M, P, B0, acquisition 2 ...), often empty.
    images : int
        Planes, over all phases.
    rows, columns : int
    """

    number: int
    uid: str
    series_number: int | None
    modality: str
    description: str
    kind: str
    images: int
    rows: int
    columns: int

    def __str__(self) -> str:
        """One line for a list."""
        parts = [f"{self.number}:", self.modality or "?"]
        if self.series_number is not None:
            parts.append(f"series {self.series_number}")
        if self.description:
            parts.append(f"“{self.description}”")
        if self.kind:
            parts.append(f"({self.kind})")
        parts.append(f"{self.images} image{'s' if self.images != 1 else ''} {self.columns}x{self.rows}")
        return " ".join(parts)


@dataclass(frozen=True)
class Candidate:
    """Planes that could make one volume.

    Attributes
    ----------
    series : Series
        Its description.
    planes : list of Plane
        In the order in which they were found.
    """

    series: Series
    planes: list[Plane]


@dataclass(frozen=True)
class Collection:
    """All that a source holds.

    Attributes
    ----------
    candidates : list of Candidate
        Image stacks, numbered from 1.
    others : tuple of str
        What else is there that is no image (RTSTRUCT, SEG ...), each named once.
    problems : list of (str, GpukitError)
        Files that could not be used.
    """

    candidates: list[Candidate]
    others: tuple[str, ...]
    problems: list[tuple[str, GpukitError]]


def collect(headers: Iterable[Header]) -> Collection:
    """Gather headers into candidate volumes.

    A candidate shares SeriesInstanceUID, SOP class, modality, frame of reference, size, orientation, samples,
    photometric interpretation, value unit and kind of image; what differs in one of these cannot be one volume. Several
    stacks of one series are a candidate each.
    """
    groups: dict[tuple[Any, ...], list[Plane]] = {}
    others: dict[str, None] = {}
    problems: list[tuple[str, GpukitError]] = []
    for header in headers:
        if (damage := _damage(header)) is not None:
            problems.append((str(header.location), damage))
            continue
        if what := is_image(header):
            others.setdefault(what)
            continue
        try:
            planes = planes_of(header)
        except GpukitError as error:
            error.file = error.file or str(header.location)
            problems.append((str(header.location), error))
            continue
        shared = _file_key(header)
        for plane in planes:
            groups.setdefault(shared + _plane_key(plane), []).append(plane)
    merged = _merge_similar(groups)
    merged.sort(key=_order)
    stacks = [stack for planes in merged for stack in stacks_of(planes)]
    candidates = [Candidate(_describe(n, planes, name), planes) for n, (name, planes) in enumerate(stacks, 1)]
    return Collection(candidates, tuple(others), problems)


def _damage(header: Header) -> GpukitError | None:
    """What is wrong with a file that has no pixels, where it is an image or nothing at all; else None.

    A slice that was copied in part must not pass for an object of another kind: the volume would lack it.
    """
    if header.pixels is not None or header.get("Rows"):
        return None
    place, fix = (
        str(header.location),
        "copy the file again, or read the series without damaged files with --skip-damaged",
    )
    uid = str(header.get("SOPClassUID", ""))
    if not uid and not header.get("Modality"):
        return FormatError("has the mark of DICOM and nothing that tells what it is", file=place, fix=fix)
    from pydicom.uid import UID

    if UID(uid).name.endswith("Image Storage"):
        return FormatError("is an image and ends before its pixels", file=place, attribute="Rows", fix=fix)
    return None


def _file_key(header: Header) -> tuple[Any, ...]:
    modality = str(header.get("Modality", ""))
    key = (
        str(header.get("SeriesInstanceUID", "")),
        str(header.get("SOPClassUID", "")),
        modality,
        str(header.get("FrameOfReferenceUID", "")),
        int(header.get("SamplesPerPixel", 1)),
        str(header.get("PhotometricInterpretation", "")),
        str(header.get("Units", "")),
    )
    # Without a place in the patient each file is an image of its own.
    alone = header.get("ImagePositionPatient") is None and header.get("NumberOfFrames") is None
    return (*key, str(header.location) if alone and modality not in ("CT", "MR", "PT") else "")


def _plane_key(plane: Plane) -> tuple[Any, ...]:
    rescale = str(plane.get("RescaleType", ""))
    alone = (plane.file,) if plane.position is None and plane.frames > 1 else ()
    shape = _rounded(plane.orientation, 2), _rounded(plane.spacing, 4)
    return (plane.rows, plane.columns, plane.kind, rescale, alone, shape)


@lru_cache(maxsize=256)
def _rounded(values: tuple[float, ...] | None, digits: int) -> tuple[float, ...] | None:
    """To make a dictionary key of; `_merge_similar` joins neighbours that rounding parted."""
    return None if values is None else tuple(round(v, digits) + 0.0 for v in values)


def _merge_similar(groups: dict[tuple[Any, ...], list[Plane]]) -> list[list[Plane]]:
    """Groups that differ only by rounding: orientations within 0.02 (a degree), spacings within a thousandth."""
    merged: dict[tuple[Any, ...], list[tuple[Any, list[Plane]]]] = {}
    for key, planes in groups.items():
        alike = merged.setdefault(key[:-1], [])
        for shape, into in alike:
            if all(_close(*pair) for pair in zip(key[-1], shape, (0.02, 0.0), (0.0, 1e-3), strict=True)):
                into.extend(planes)
                break
        else:
            alike.append((key[-1], list(planes)))
    return [planes for alike in merged.values() for _, planes in alike]


def _close(one: Any, two: Any, absolute: float, relative: float) -> bool:
    if one is None or two is None:
        return one is two
    return all(abs(a - b) <= absolute + relative * abs(a) for a, b in zip(one, two, strict=True))


def _order(planes: Sequence[Plane]) -> tuple[Any, ...]:
    first = planes[0]
    number = first.get("SeriesNumber")
    return (
        str(first.get("StudyInstanceUID", "")),
        number is None,
        int(number) if number is not None else 0,
        str(first.get("SeriesInstanceUID", "")),
        -len(planes),
        first.kind,
        first.file,
    )


def _describe(number: int, planes: Sequence[Plane], stack: str) -> Series:
    first = planes[0]
    series_number = first.get("SeriesNumber")
    return Series(
        number,
        str(first.get("SeriesInstanceUID", "")),
        None if series_number is None else int(series_number),
        str(first.get("Modality", "")),
        str(first.get("SeriesDescription", "")),
        " ".join((*first.kind, *([stack] if stack else ()))),
        len(planes),
        first.rows,
        first.columns,
    )


def select(collection: Collection, wanted: str | int | None, source: str) -> tuple[Candidate, tuple[str, ...]]:
    """The candidate that is meant, and what a user must be told about the choice.

    Parameters
    ----------
    collection : Collection
        From `collect`.
    wanted : str, int or None
        In this order: a number of the list, a SeriesNumber, a SeriesInstanceUID or the beginning of one. None takes
        the only image series; localizers and single images beside one volume of the same series are set aside.
    source : str
        What the user gave, for messages.

    Raises
    ------
    InputNotFoundError
        There is no image at all.
    SelectionError
        None or several fit: lists them.
    """
    candidates = collection.candidates
    if not candidates:
        if collection.problems:
            raise collection.problems[0][1]
        if collection.others:
            raise SelectionError(
                f"holds no image series, only {', '.join(collection.others)}",
                file=source,
                fix="give the images that it belongs to",
            )
        raise InputNotFoundError("holds no DICOM image", file=source)
    notes = (f"left aside, being no images: {', '.join(collection.others)}",) if collection.others else ()
    if wanted is not None:
        return _named(candidates, str(wanted).strip(), source), notes
    if len(candidates) == 1:
        return candidates[0], notes
    main = main_candidate(candidates)
    if main is None:
        raise SelectionError(
            f"holds {len(candidates)} image series: {_listing(candidates)}",
            file=source,
            attribute="--series",
            fix="choose one with --series NUMBER (the number before the colon) or --series UID",
        )
    aside = [other.series for other in candidates if other is not main]
    return main, (*notes, f"left aside: {'; '.join(map(str, aside))}")


def _listing(candidates: Sequence[Candidate], most: int = 12) -> str:
    lines = [str(candidate.series) for candidate in candidates[:most]]
    if len(candidates) > most:
        lines.append(f"and {len(candidates) - most} more")
    return "; ".join(lines)


def main_candidate(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one volume among localizers, or among single images of its own series."""
    volumes = [c for c in candidates if "LOCALIZER" not in c.planes[0].kind]
    if len(volumes) == 1:
        return volumes[0]
    largest = max(volumes or candidates, key=lambda c: len(c.planes))
    uid = largest.series.uid
    rest = [c for c in volumes if c is not largest]
    if len(largest.planes) > 3 and uid and all(c.series.uid == uid and len(c.planes) == 1 for c in rest):
        return largest
    return None


def _named(candidates: Sequence[Candidate], wanted: str, source: str) -> Candidate:
    tests = (
        lambda c: wanted == str(c.series.number),
        lambda c: wanted == str(c.series.series_number),
        lambda c: wanted == c.series.uid,
        lambda c: len(wanted) > 2 and c.series.uid.startswith(wanted),
    )
    for test in tests:
        found = [candidate for candidate in candidates if test(candidate)]
        if len(found) == 1:
            return found[0]
        if found:
            main = main_candidate(found)
            if main is not None:
                return main
            raise SelectionError(
                f"series {wanted!r} could be any of: {_listing(found)}",
                file=source,
                attribute="--series",
                fix="choose one by the number before the colon",
            )
    raise SelectionError(
        f"there is no series {wanted!r}, only: {_listing(candidates)}", file=source, attribute="--series"
    )
