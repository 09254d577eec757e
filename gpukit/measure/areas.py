"""Area and perimeter of a drawn shape."""

from __future__ import annotations

from gpukit.dicom.headers import Header
from gpukit.dicom.inputs import Source
from gpukit.errors import InputError
from gpukit.measure.calibration import calibration_of
from gpukit.measure.images import Frame, open_frame
from gpukit.measure.results import Calibration, Code, Measurement, Quantity
from gpukit.measure.shapes import Box, Circle, Ellipse, Polygon, Shape

__all__ = ["area", "area_unit", "shape_on"]

AREA = Code("42798000", "SCT", "Area")
PERIMETER = Code("131191004", "SCT", "Perimeter")
MAJOR = Code("131187009", "SCT", "Major Axis")
MINOR = Code("131188004", "SCT", "Minor Axis")
DIAMETER = Code("81827009", "SCT", "Diameter")


def area(
    image: Source | Header | Frame,
    shape: Shape,
    *,
    frame: int | None = None,
    calibration: Calibration | None = None,
) -> Measurement:
    """Area and perimeter of a shape drawn on a frame.

    Of the outline as drawn, not of the pixels inside. Polygon: the surveyor's formula and the sum of the sides; box:
    width times height; ellipse: pi a b and 4 a E(e), on pixels that are not square with the semi-axes of the stretched
    ellipse.

    Parameters
    ----------
    image : path, Header or Frame
        One frame.
    shape : Box, Polygon, Ellipse or Circle
        In (column, row); (0, 0) is the centre of the first pixel.
    frame : int, optional
        1-based frame of a multi-frame file; needed where there are several.
    calibration : Calibration, optional
        Size of a pixel from `gpukit.measure.calibration.manual`.

    Returns
    -------
    Measurement
        ``area`` (mm2, or ``{square_pixels}``) and ``perimeter``; of an ellipse also ``major_axis`` and ``minor_axis``,
        of a circle ``diameter``.

    Raises
    ------
    InputError
        The shape lies outside the image, or in an ultrasound region whose axes have different units.
    """
    opened = open_frame(image, frame=frame)
    drawn, scale, notes = shape_on(opened, shape, calibration=calibration)
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
        graphics=(drawn.graphic(),),
        sources=(opened.source,),
        calibration=scale,
        notes=notes,
        method=type(shape).__name__.lower(),
    )


def area_unit(unit: str) -> str:
    """UCUM unit of an area whose sides are in `unit`."""
    return "{square_pixels}" if unit == "{pixels}" else f"{unit}2"


def shape_on(
    frame: Frame, shape: Shape, *, calibration: Calibration | None = None
) -> tuple[Box | Ellipse | Polygon, Calibration, tuple[str, ...]]:
    """A shape in pixels of a frame, the scale that holds there, and what to tell the user.

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
    left, right, top, bottom = drawn.bounds
    if right < -0.5 or left > frame.columns - 0.5 or bottom < -0.5 or top > frame.rows - 0.5:
        raise InputError(
            f"the {type(shape).__name__.lower()} lies outside the image of {frame.columns} x {frame.rows} pixels",
            file=frame.file,
        )
    corners = (
        drawn.points if not isinstance(drawn, Ellipse) else tuple((x, y) for x in (left, right) for y in (top, bottom))
    )
    scale = calibration_of(frame, corners, given=calibration)
    outside = left < -0.5 or right > frame.columns - 0.5 or top < -0.5 or bottom > frame.rows - 0.5
    return drawn, scale, ("a part of the shape lies outside the image",) if outside else ()
