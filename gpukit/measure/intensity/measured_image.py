"""An image that can be measured on: a volume, one frame, or a slice of a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike

from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.dicom.reader.headers import Header
from gpukit.errors import MissingSlicesError
from gpukit.findings.measurement import Calibration
from gpukit.measure.region.regions import Region, Slices
from gpukit.measure.region.shapes import Box, Circle, Ellipse, Polygon
from gpukit.measure.spatial.calibration import PIXELS
from gpukit.measure.spatial.series_space import slice_frame
from gpukit.volume import Volume

__all__ = ["Image", "MeasuredImage", "alone_note", "open_measured"]

Image = Volume | Frame | Header | str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class MeasuredImage:
    """An image that can be measured on.

    Parameters
    ----------
    volume : Volume
        Its values.
    region : Region
        The region, with a circle in mm turned into what it is on these pixels.
    calibration : Calibration or None
        Of a shape drawn in a frame or slice.
    notes : tuple of str
        Of the shape.
    slice : int, (int, int), "all" or None
        Where a shape lies in `volume`.
    """

    volume: Volume
    region: Region
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()
    slice: Slices = None


def open_measured(
    image: Image,
    region: Region,
    *,
    slice: Slices = None,
    device: str | None = None,
    calibration: Calibration | None = None,
) -> MeasuredImage:
    """Return the values to measure on: a volume as it is, one frame for a shape, else the series.

    For a shape in one slice of an unevenly spaced series it is that slice alone.

    Raises
    ------
    GpukitError
        The image cannot be read.
    """
    shape = region if isinstance(region, (Box, Polygon, Ellipse, Circle)) else None
    if isinstance(image, Volume):
        return MeasuredImage(image, region, None if shape is None else _of_grid(image), slice=slice)
    if isinstance(image, Header):
        image = open_frame(image)
    if isinstance(image, Frame):
        if shape is None:
            return MeasuredImage(image.read(device), region, slice=slice)
        from gpukit.measure.spatial.areas import shape_on

        drawn, scale, notes = shape_on(image, shape, calibration=calibration)
        return MeasuredImage(image.read(device), drawn, scale, notes, slice)
    from gpukit.io.open import open as open_volume

    try:
        volume = open_volume(image, device=device)
    except MissingSlicesError:
        if shape is None or not isinstance(slice, int):
            raise
        frame = slice_frame(image, slice)
        alone = open_measured(frame, region, device=device, calibration=calibration)
        return replace(alone, notes=(*alone.notes, alone_note(slice)))
    if shape is not None and not volume.geometry.position:  # a picture: its calibration knows the scale, not the grid
        return open_measured(open_frame(image), region, slice=slice, device=device, calibration=calibration)
    return MeasuredImage(volume, region, None if shape is None else _of_grid(volume), slice=slice)


def alone_note(k: int) -> str:
    """Return notes on a slice that was measured without its series."""
    return f"the slices are unevenly spaced: slice {k} was measured on its own"


def _of_grid(volume: Volume) -> Calibration:
    if not volume.geometry.position:
        return PIXELS
    si, sj, _ = volume.grid.spacing
    return Calibration("grid", (si, sj), ("mm", "mm"), "pixel size of the volume's grid, in mm")
