"""Frames of any object that has pixels: no place in the patient is needed to look at one."""

from __future__ import annotations

from dataclasses import replace

from gpukit.dicom.image.frame import Frame, frames_of
from gpukit.dicom.image.plane import Plane, frame_count
from gpukit.dicom.image.value_scale import rescale
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import Header, read_header
from gpukit.errors import FormatError, GpukitError, SelectionError

__all__ = ["frame_at", "shown_frames"]

_SEGMENTATIONS = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
#: More frames than this in one file are taken for a damaged header.
_MOST_FRAMES = 1_000_000
_STORED = "the rescale slope and intercept make no sense: stored values are shown"
_PDF = {
    "1.2.840.10008.5.1.4.1.1.104.1": "a PDF document",
    "1.2.840.10008.5.1.4.1.1.104.2": "a CDA document",
    "1.2.840.10008.5.1.4.1.1.104.3": "an STL model",
}


def shown_frames(header: Header) -> list[Frame]:
    """Every frame of a file, in order: images, segmentations, maps, dose, tiles, screen captures.

    Parameters
    ----------
    header : Header
        Of any DICOM file.

    Returns
    -------
    list of Frame
        With their place in the patient where the header gives a consistent one.

    Raises
    ------
    FormatError
        The file has no pixels; says what it is and which command reads it.
    """
    if header.pixels is None:
        raise FormatError(_without_pixels(header), file=str(header.location), fix=_reader_of(header))
    count, rows, columns = frame_count(header), int(header.get("Rows", 0)), int(header.get("Columns", 0))
    if not 0 < count <= _MOST_FRAMES or min(rows, columns) < 1:
        raise FormatError(f"claims {count} frames of {columns} x {rows} pixels", file=str(header.location))
    try:
        if str(header.get("SOPClassUID", "")) in _SEGMENTATIONS:
            from gpukit.dicom.image.multiframe import multiframe_planes

            return [Frame(header, plane.index, plane) for plane in multiframe_planes(header, rows, columns)]
        return frames_of(header)
    except GpukitError:  # a place in the patient that makes no sense: the pixels can still be seen
        return [_without_place(header, n, rows, columns) for n in range(count)]


def _without_place(header: Header, n: int, rows: int, columns: int) -> Frame:
    """A frame by its values alone: its rescale and its window, where they make sense."""
    plain = Frame(header, n, Plane(header, n, rows, columns, None, None, None))
    try:
        attributes = {
            keyword: plain.functional(sequence, keyword)
            for sequence, keyword in (
                ("PixelValueTransformationSequence", "RescaleSlope"),
                ("PixelValueTransformationSequence", "RescaleIntercept"),
                ("FrameVOILUTSequence", "WindowCenter"),
                ("FrameVOILUTSequence", "WindowWidth"),
                ("FrameVOILUTSequence", "VOILUTFunction"),
            )
        }
        own = [attributes.pop(k) for k in ("RescaleSlope", "RescaleIntercept")]
        pair = [
            header.get(k) if v is None else v for k, v in zip(("RescaleSlope", "RescaleIntercept"), own, strict=True)
        ]
        scale = rescale(pair[0], pair[1], str(header.location))
    except (GpukitError, TypeError, ValueError):
        return replace(plain, plane=replace(plain.plane, notes=(_STORED,)))
    facts = {"Frame": n + 1, **{k: v for k, v in attributes.items() if v is not None}}
    plane = replace(
        plain.plane, slope=scale.slope, intercept=scale.intercept, facts=facts, notes=scale.notes,
    )  # fmt: skip
    return replace(plain, plane=plane)


def frame_at(source: str | Location | Header, number: int = 1) -> Frame:
    """One frame of one file.

    Parameters
    ----------
    source : path, Location or Header
        A DICOM file with pixels.
    number : int
        1-based, as ReferencedFrameNumber.

    Raises
    ------
    SelectionError
        There is no such frame.
    FormatError, InputNotFoundError
        The file is not DICOM, has no pixels, or is not there.
    """
    header = source if isinstance(source, Header) else read_header(
        source if isinstance(source, Location) else Location(str(source))
    )  # fmt: skip
    frames = shown_frames(header)
    if not 1 <= number <= len(frames):
        raise SelectionError(
            f"there is no frame {number}: the file has {len(frames)}", file=str(header.location), attribute="frame",
            fix=f"choose a frame from 1 to {len(frames)}",
        )  # fmt: skip
    return frames[number - 1]


def _without_pixels(header: Header) -> str:
    class_uid, modality = str(header.get("SOPClassUID", "")), str(header.get("Modality", ""))
    if class_uid in _PDF:
        return f"holds {_PDF[class_uid]}, not an image"
    if class_uid == "1.2.840.10008.1.3.10":
        return "is a DICOMDIR, not an image"
    return f"is a {modality} object without pixels" if modality else "has no pixels"


def _reader_of(header: Header) -> str:
    class_uid, modality = str(header.get("SOPClassUID", "")), str(header.get("Modality", ""))
    if class_uid in _PDF:
        return "extract the document with --output FILE"
    if class_uid == "1.2.840.10008.1.3.10":
        return "list its series with `gpukit series`"
    if modality in ("SR", "KO"):
        return "read it with `gpukit report`"
    if modality == "PR":
        return "show an image with it: --presentation FILE"
    if modality == "RTSTRUCT":
        return "show an image with its contours: --rtstruct FILE"
    return "name a file with an image"
