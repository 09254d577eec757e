"""Presentation states, read: graphics and texts of any maker, in gpukit's coordinates."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from gpukit.dicom.modules.graphics import TO_CORNER, Annotation, Figure, ImageReference, graphic_points
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_dataset
from gpukit.errors import FormatError, GpukitError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["read_gsps"]

#: Grayscale, Color, Pseudo-Color, Blending, XA/XRF, Advanced Blending.
_STORAGE = tuple(f"1.2.840.10008.5.1.4.1.1.11.{n}" for n in (1, 2, 3, 4, 5, 8))
_TYPES = {"POINT": 1, "POLYLINE": 2, "INTERPOLATED": 2, "CIRCLE": 2, "ELLIPSE": 4}
_MOST_ANNOTATIONS = 100_000


def read_gsps(path: str | PathLike[str] | Location) -> tuple[Annotation, ...]:
    """Annotations of a presentation state.

    Parameters
    ----------
    path : path or Location
        The file.

    Returns
    -------
    tuple of Annotation
        One for each graphic object, in pixels, with the words of its item; and one without figures where an item has
        words only. An item that applies to several images yields one annotation for each.

    Raises
    ------
    FormatError
        No presentation state, or damaged.
    """
    location = path if isinstance(path, Location) else Location(fspath(path))
    file = str(location)
    dataset = read_dataset(location)
    if str(dataset.get("SOPClassUID") or "") not in _STORAGE:
        raise FormatError("not a presentation state", file=file, attribute="SOPClassUID")
    try:
        return tuple(_annotations(dataset, file))
    except GpukitError:
        raise
    except Exception as error:  # values are converted when they are asked for, and pydicom raises many kinds on damage
        raise FormatError(f"an attribute makes no sense: {error}", file=file) from error


def _annotations(dataset: Dataset, file: str) -> list[Annotation]:
    every = [
        ImageReference.of(item)
        for series in dataset.get("ReferencedSeriesSequence") or ()
        for item in series.get("ReferencedImageSequence") or ()
    ]
    areas = _areas(dataset)
    made: list[Annotation] = []
    for item in dataset.get("GraphicAnnotationSequence") or ():
        images = [ImageReference.of(reference) for reference in item.get("ReferencedImageSequence") or ()] or every
        if not images:
            raise FormatError("an annotation is on no image", file=file, attribute="ReferencedImageSequence")
        objects = list(item.get("GraphicObjectSequence") or ())
        texts = [_words(text) for text in item.get("TextObjectSequence") or ()]
        for image in images:
            figures = [(thing, _figure(thing, areas.get(image.sop_instance_uid), file)) for thing in objects]
            shown = [(thing, figure) for thing, figure in figures if figure is not None]
            for thing, figure in shown:
                made.append(
                    Annotation(
                        image=image,
                        figures=(figure,),
                        text="; ".join(filter(None, texts)),
                        tracking_id=str(thing.get("TrackingID") or ""),
                        tracking_uid=str(thing.get("TrackingUID") or ""),
                    )
                )
            if not shown and any(texts):
                made.append(Annotation(image=image, figures=(), text="; ".join(filter(None, texts))))
            if len(made) > _MOST_ANNOTATIONS:
                raise FormatError(f"more than {_MOST_ANNOTATIONS} annotations", file=file)
    return made


def _words(item: Dataset) -> str:
    return " ".join(str(item.get("UnformattedTextValue") or "").split())


def _figure(item: Dataset, area: tuple[float, ...] | None, file: str) -> Figure | None:
    """One graphic object in pixels; None where it has no place on the image."""
    kind = str(item.get("GraphicType") or "")
    if kind not in _TYPES:
        raise FormatError(f"unknown graphic type {kind[:20]!r}", file=file, attribute="GraphicType")
    points = graphic_points(item.get("GraphicData"), file)
    if len(points) < _TYPES[kind]:
        raise FormatError(f"a {kind} of {len(points)} points", file=file, attribute="GraphicData")
    units = str(item.get("GraphicAnnotationUnits") or "PIXEL")
    if units == "DISPLAY":
        if area is None:
            return None  # relative to an area that the state does not state for this image
        left, top, width, height = area
        points = tuple((left + x * width, top + y * height) for x, y in points)
    moved = tuple((x - TO_CORNER, y - TO_CORNER) for x, y in points)
    return Figure("POLYLINE" if kind == "INTERPOLATED" else kind, moved)


def _areas(dataset: Dataset) -> dict[str, tuple[float, ...]]:
    """Left, top, width and height, from the first pixel's corner, of each image's displayed area."""
    areas: dict[str, tuple[float, ...]] = {}
    every: list[Any] = [
        str(item.get("ReferencedSOPInstanceUID") or "")
        for series in dataset.get("ReferencedSeriesSequence") or ()
        for item in series.get("ReferencedImageSequence") or ()
    ]
    for item in dataset.get("DisplayedAreaSelectionSequence") or ():
        first, last = item.get("DisplayedAreaTopLeftHandCorner"), item.get("DisplayedAreaBottomRightHandCorner")
        if first is None or last is None:
            continue
        area = (first[0] - 1.0, first[1] - 1.0, last[0] - first[0] + 1.0, last[1] - first[1] + 1.0)
        references = item.get("ReferencedImageSequence")
        for uid in [str(r.get("ReferencedSOPInstanceUID") or "") for r in references] if references else every:
            areas[uid] = area
    return areas
