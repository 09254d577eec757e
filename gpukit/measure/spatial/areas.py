"""Area and perimeter of a drawn shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.dicom.modules.codes import Code
from gpukit.dicom.reader.discovery import Location, Source
from gpukit.dicom.reader.headers import Header, read_header
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.findings.measurement import Calibration, Graphic, Measurement, Quantity
from gpukit.measure.region.shapes import Box, Circle, Ellipse, Polygon, Shape
from gpukit.measure.spatial.calibration import calibration_of, grid_calibration
from gpukit.measure.spatial.series_space import space_of
from gpukit.volume import Volume

__all__ = ["area", "area_unit", "shape_on"]

AREA = Code("42798000", "SCT", "Area")
PERIMETER = Code("131191004", "SCT", "Perimeter")
MAJOR = Code("131187009", "SCT", "Major Axis")
MINOR = Code("131188004", "SCT", "Minor Axis")
DIAMETER = Code("81827009", "SCT", "Diameter")


def area(
    image: Source | Header | Frame | Volume,
    shape: Shape,
    *,
    frame: int | None = None,
    slice: int | None = None,
    calibration: Calibration | None = None,
) -> Measurement:
    """Return the area and perimeter of a shape drawn on a frame, or on a slice of a volume.

    Of the outline as drawn, not of the pixels inside. Polygon: the surveyor's formula and the sum of the sides; box:
    width times height; ellipse: pi a b and 4 a E(e), on pixels that are not square with the semi-axes of the stretched
    ellipse.

    Parameters
    ----------
    image : path, Header or Frame; or Volume
        One frame, or a volume with `slice`.
    shape : Box, Polygon, Ellipse or Circle
        In (column, row); (0, 0) is the centre of the first pixel.
    frame : int, optional
        1-based frame of a multi-frame file; needed where there are several.
    slice : int, optional
        Slice k of a volume, from 0; needed where there are several.
    calibration : Calibration, optional
        Size of a pixel from `gpukit.measure.spatial.calibration.manual`.

    Returns
    -------
    Measurement
        ``area`` (mm2, or ``{square_pixels}``) and ``perimeter``; of an ellipse also ``major_axis`` and ``minor_axis``,
        of a circle ``diameter``.

    Raises
    ------
    InputError
        The shape lies outside the image, or in an ultrasound region whose axes have different units.
    SelectionError
        A frame or slice must be named.
    """
    if isinstance(image, Volume):
        if frame is not None:
            raise InputError("a volume has slices, no frames", attribute="frame", fix="name a slice")
        if image.geometry.position:
            return _in_slice(image, shape, slice, calibration)
        first = image.sources[0] if image.sources else None
        if first is None or len(image.sources) > 1:
            raise GeometryError("the volume has no place in the patient", fix="give a frame of the image")
        image, frame = read_header(Location(first.path, first.member)), first.frame  # a picture: as its frame
    elif slice is not None:
        raise InputError("a slice belongs to a volume", attribute="slice", fix="open the series with gpukit.open")
    opened = open_frame(image, frame=frame)
    drawn, scale, notes = shape_on(opened, shape, calibration=calibration)
    return _measured(drawn, shape, scale, sources=(opened.source,), notes=notes)


def _measured(drawn: Box | Ellipse | Polygon, shape: Shape, scale: Calibration, **facts: Any) -> Measurement:
    unit, spacing = scale.unit, scale.spacing
    quantities = [
        Quantity("area", drawn.area(spacing), area_unit(unit), AREA),
        Quantity("perimeter", drawn.perimeter(spacing), unit, PERIMETER),
    ]
    if isinstance(drawn, Ellipse):
        longer, shorter = drawn.semi_axes(spacing)
        if isinstance(shape, Circle) and abs(longer - shorter) <= 1e-9 * longer:
            quantities.append(Quantity("diameter", 2 * longer, unit, DIAMETER))
        else:
            quantities.append(Quantity("major_axis", 2 * longer, unit, MAJOR))
            quantities.append(Quantity("minor_axis", 2 * shorter, unit, MINOR))
    return Measurement(
        kind="area",
        quantities=tuple(quantities),
        graphics=facts.pop("graphics", (drawn.graphic(),)),
        calibration=scale,
        method=type(shape).__name__.lower(),
        **facts,
    )


def _in_slice(volume: Volume, shape: Shape, slice: int | None, calibration: Calibration | None) -> Measurement:
    """On a slice of a volume whose grid is its place in the patient."""
    count, rows, columns = volume.grid.shape
    if slice is None and count > 1:
        raise SelectionError(f"the volume has {count} slices", attribute="slice", fix=f"name one from 0 to {count - 1}")
    k = slice or 0
    if not 0 <= k < count:
        raise SelectionError(f"there is no slice {k}, only 0 to {count - 1}", attribute="slice")
    scale = calibration or grid_calibration(volume)
    drawn = shape.ellipse(scale.spacing) if isinstance(shape, Circle) else shape
    space = space_of(volume)
    notes = (*volume.notes, *_fit(drawn, columns, rows, space.name))
    source = space.sources[k] if space.sources else None
    facts: dict[str, Any] = {"frame_of_reference_uid": space.frame_of_reference_uid, "notes": notes}
    if source is None or np.abs(np.asarray(source.position) - space.origins[k]).max() > 1e-3:
        flat = drawn.graphic()  # resampled: it belongs to the patient, not to an image that was acquired
        places = tuple(tuple(map(float, volume.grid.to_world((x, y, k)))) for x, y in flat.points)
        facts["graphics"] = (Graphic(flat.type, places, "patient"),)
    return _measured(drawn, shape, scale, sources=() if source is None else (source,), **facts)


def area_unit(unit: str) -> str:
    """Return the UCUM unit of an area whose sides are in `unit`."""
    return "{square_pixels}" if unit == "{pixels}" else f"{unit}2"


def shape_on(
    frame: Frame, shape: Shape, *, calibration: Calibration | None = None
) -> tuple[Box | Ellipse | Polygon, Calibration, tuple[str, ...]]:
    """Return a shape in pixels of a frame, the scale that holds there, and what to tell the user.

    Raises
    ------
    InputError
        It lies wholly outside the image; a circle in mm on an image without calibration.
    """
    drawn: Box | Ellipse | Polygon
    if isinstance(shape, Circle):
        scale = calibration_of(frame, [(shape.x, shape.y)], given=calibration)
        in_mm = scale.units == ("mm", "mm")
        drawn = shape.ellipse(scale.spacing if in_mm else None)
    else:
        drawn = shape
    notes = _fit(drawn, frame.columns, frame.rows, frame.file)
    x_low, x_high, top, bottom = _reach(drawn)
    corners = drawn.points if isinstance(drawn, Polygon) else [(x, y) for x in (x_low, x_high) for y in (top, bottom)]
    scale = calibration_of(frame, corners, given=calibration)
    return drawn, scale, notes


def _fit(drawn: Box | Ellipse | Polygon, columns: int, rows: int, file: str) -> tuple[str, ...]:
    """What to tell of a shape that reaches out of the image; one that lies outside is refused."""
    x_low, x_high, top, bottom = _reach(drawn)
    if x_high < -0.5 or x_low > columns - 0.5 or bottom < -0.5 or top > rows - 0.5:
        raise InputError(
            f"the {type(drawn).__name__.lower()} lies outside the image of {columns} x {rows} pixels", file=file
        )
    outside = x_low < -0.5 or x_high > columns - 0.5 or top < -0.5 or bottom > rows - 0.5
    return ("a part of the shape lies outside the image",) if outside else ()


def _reach(drawn: Box | Ellipse | Polygon) -> tuple[float, float, float, float]:
    """Bounds, to compare with an image that ends half a pixel beyond its last centre.

    A box holds no centre on its far edges: with 0, 0, 512, 512 it is the whole of such an image, not more.
    """
    x_low, x_high, top, bottom = drawn.bounds
    half = 0.5 if isinstance(drawn, Box) else 0.0
    return x_low, x_high - half, top, bottom - half
