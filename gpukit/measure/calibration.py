"""From pixels to millimetres: which attribute gives the scale, and how far it is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from gpukit.errors import GeometryError
from gpukit.measure.images import Frame
from gpukit.measure.results import Calibration

__all__ = ["PIXELS", "calibration_of", "manual"]

#: No calibration: lengths are counts of pixels, and say so.
PIXELS = Calibration("none", (1.0, 1.0), ("{pixels}", "{pixels}"), "the image is not calibrated: lengths are in pixels")


def manual(x: float, y: float | None = None) -> Calibration:
    """Size of a pixel in mm as the user gives it: along columns (x), and along rows (y) where it differs."""
    scale = (x, x if y is None else y)
    if not all(0 < value < float("inf") for value in scale):
        raise GeometryError(f"a pixel of {scale[0]:g} x {scale[1]:g} mm has no size", attribute="--calibration")
    return Calibration("--calibration", scale, ("mm", "mm"), "pixel size given by the user")


def calibration_of(
    frame: Frame, points: Sequence[tuple[float, float]] = (), *, given: Calibration | None = None
) -> Calibration:
    """The scale that holds at `points` (column, row) of a frame; `given` comes before all that the file says."""
    if given is not None:
        return given
    if frame.plane.spacing is not None:
        between_rows, between_columns = frame.plane.spacing
        return Calibration("PixelSpacing", (between_columns, between_rows), ("mm", "mm"), "PixelSpacing of the image")
    return PIXELS
