"""What is drawn on a frame, and which frame that is: the words that GSPS and SR have in common.

Points are (column, row) with **(0, 0) at the centre of the first pixel**, as everywhere in gpukit. DICOM counts from
that pixel's top left corner, in graphic annotations (PS3.3 C.10.5.1.2) as in spatial coordinates (C.18.6.1.1), so
both writers add one half and both readers take it off again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.errors import FormatError, InputError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "Annotation",
    "Figure",
    "ImageReference",
    "SegmentReference",
    "TO_CORNER",
    "check_inside",
    "graphic_points",
    "image_size",
]


#: From gpukit's origin, the centre of the first pixel, to DICOM's, its top left corner.
TO_CORNER = 0.5
#: Numbers in one GraphicData; more is no drawing by hand.
_MOST_VALUES = 1 << 20
_LARGEST = 1e7  # pixels


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One image, or one frame of it.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        Of the image.
    frame : int or None
        1-based; None for a single-frame image, or for all frames.
    """

    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None = None

    @classmethod
    def of(cls, item: Dataset) -> ImageReference:
        """From an item of a reference sequence."""
        frames = item.get("ReferencedFrameNumber")
        if isinstance(frames, (list, tuple)) or type(frames).__name__ == "MultiValue":
            frames = frames[0] if len(frames) == 1 else None
        return cls(
            str(item.get("ReferencedSOPClassUID") or ""),
            str(item.get("ReferencedSOPInstanceUID") or ""),
            int(frames) if frames else None,
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """A point, line or outline.

    Parameters
    ----------
    type : str
        POINT, MULTIPOINT, POLYLINE (closed where its last point is its first), CIRCLE (centre, point on it), ELLIPSE
        (two ends of the longer axis, two ends of the shorter one).
    points : tuple of tuples of float
        (column, row) in pixels, or (x, y, z) in LPS mm where the figure lies in the patient.
    """

    type: str
    points: tuple[tuple[float, ...], ...]

    @property
    def encloses(self) -> bool:
        """Whether it is an outline: a circle, an ellipse, or a line that ends where it began."""
        closed = len(self.points) > 3 and self.points[0] == self.points[-1]
        return self.type in ("CIRCLE", "ELLIPSE") or (self.type == "POLYLINE" and closed)


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """Figures on one image with their words.

    Parameters
    ----------
    image : ImageReference
        What they are drawn on.
    figures : tuple of Figure
        In pixels.
    text : str
        Shown beside them.
    tracking_id, tracking_uid : str
        Identity of what is marked, through time; both or neither.
    """

    image: ImageReference
    figures: tuple[Figure, ...]
    text: str = ""
    tracking_id: str = ""
    tracking_uid: str = ""


def graphic_points(values: Any, file: str, *, dimensions: int = 2) -> tuple[tuple[float, ...], ...]:
    """GraphicData as points; FormatError where it is none."""
    numbers = [] if values is None else list(values) if isinstance(values, (Sequence, np.ndarray)) else [values]
    if not numbers or len(numbers) % dimensions or len(numbers) > _MOST_VALUES:
        raise FormatError(f"{len(numbers)} numbers are no points", file=file, attribute="GraphicData")
    try:
        points = np.asarray(numbers, dtype=np.float64).reshape(-1, dimensions)
    except (TypeError, ValueError):
        raise FormatError("the points are no numbers", file=file, attribute="GraphicData") from None
    if not (np.isfinite(points).all() and np.abs(points).max() <= _LARGEST):
        raise FormatError("a point is not finite, or far from any image", file=file, attribute="GraphicData")
    return tuple(tuple(map(float, point)) for point in points)


def image_size(header: Dataset) -> tuple[int, int]:
    """Columns and rows of an image."""
    columns, rows = int(header.get("Columns") or 0), int(header.get("Rows") or 0)
    if columns < 1 or rows < 1:
        raise InputError("the measured object is no image", attribute="Rows")
    return columns, rows


def check_inside(figures: Sequence[Figure], header: Dataset) -> None:
    """InputError where a figure reaches outside its image: neither GSPS nor SR may hold such points."""
    columns, rows = image_size(header)
    for figure in figures:
        for x, y, *_ in figure.points:
            if not (-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5):
                raise InputError(
                    f"the point {x:g},{y:g} lies outside the image of {columns} x {rows} pixels",
                    attribute="GraphicData",
                    fix="DICOM annotations end at the border of the image: move the point, or write JSON",
                )


@dataclass(frozen=True, slots=True)
class SegmentReference:
    """One segment of a DICOM SEG."""

    image: ImageReference
    number: int
