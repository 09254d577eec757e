"""The planes of an image: classic, enhanced or mosaic."""

from __future__ import annotations

from gpukit.dicom.image.plane import (
    _SIEMENS_MOSAIC,
    _UIH_GRID,
    Plane,
    component,
    frame_count,
    has_functional_groups,
    numbers,
    pixel_spacing,
    spacing_note,
)
from gpukit.dicom.image.value_scale import philips_scale, rescale
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError

__all__ = ["planes_of"]


def planes_of(header: Header) -> list[Plane]:
    """Image planes of a file, in frame order.

    Raises
    ------
    FormatError, GeometryError
        The header contradicts itself.
    """
    rows, columns = int(header.get("Rows", 0)), int(header.get("Columns", 0))
    for keyword, size in (("Rows", rows), ("Columns", columns)):
        if size < 1:
            raise FormatError("missing or zero", file=str(header.location), attribute=keyword)
    image_type = tuple(str(part).upper() for part in header.get("ImageType", ()))
    count = frame_count(header)
    if _SIEMENS_MOSAIC in image_type and count == 1:
        from gpukit.dicom.image.mosaic import mosaic_planes

        return mosaic_planes(header, rows, columns)
    if _UIH_GRID in image_type and count == 1:
        from gpukit.dicom.image.mosaic import grid_planes

        return grid_planes(header, rows, columns)
    if count > 1 or has_functional_groups(header):
        from gpukit.dicom.image.multiframe import multiframe_planes

        return multiframe_planes(header, rows, columns)
    return [_classic(header, rows, columns, image_type)]


def _classic(header: Header, rows: int, columns: int, image_type: tuple[str, ...]) -> Plane:
    position = numbers(header.get("ImagePositionPatient"), 3)
    file = str(header.location)
    scale = rescale(header.get("RescaleSlope"), header.get("RescaleIntercept"), file)
    spacing = pixel_spacing(header.get("PixelSpacing"), file)
    private = header.get("PhilipsScaleSlope")
    if private is not None and str(header.get("Modality", "")) == "MR":
        scale = philips_scale(scale, private)
    return Plane(
        header,
        0,
        rows,
        columns,
        None if position is None else (position[0], position[1], position[2]),
        numbers(header.get("ImageOrientationPatient"), 6),
        spacing,
        scale.slope,
        scale.intercept,
        kind=component(image_type, header.get("ComplexImageComponent")),
        facts=scale.facts,
        scale_source=scale.source,
        notes=scale.notes if spacing is not None else (*scale.notes, *spacing_note(header.get("PixelSpacing"))),
    )
