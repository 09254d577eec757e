"""Regions of an ultrasound image, each with a scale of its own (Sequence of Ultrasound Regions, PS3.3 C.8.5.5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpukit.dicom.image.frame import Frame
from gpukit.errors import GeometryError
from gpukit.findings.measurement import Calibration

__all__ = ["Region", "region_calibration", "regions_of"]

#: Physical Units X/Y Direction -> UCUM unit, and factor to it (centimetres become millimetres).
_UNITS = {
    0x0: ("{pixels}", 0.0), 0x1: ("%", 1.0), 0x2: ("dB", 1.0), 0x3: ("mm", 10.0), 0x4: ("s", 1.0), 0x5: ("Hz", 1.0),
    0x6: ("dB/s", 1.0), 0x7: ("cm/s", 1.0), 0x8: ("cm2", 1.0), 0x9: ("cm2/s", 1.0), 0xA: ("cm3", 1.0),
    0xB: ("cm3/s", 1.0), 0xC: ("deg", 1.0),
}  # fmt: skip
_FORMATS = {1: "2D", 2: "M-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
_LOW_PRIORITY = 1  # bit 0 of Region Flags


@dataclass(frozen=True)
class Region:
    """One calibrated rectangle of an ultrasound image.

    Parameters
    ----------
    number : int
        Position in the sequence, from 1.
    bounds : tuple of float
        First and last column, first and last row; both ends belong to it.
    scale : tuple of float
        Size of a pixel along x and y, in `units`; 1.0 pixels where the region does not say.
    units : tuple of str
        UCUM.
    format : str
        ``2D``, ``M-mode``, ``spectral`` ...
    low_priority : bool
        Whether another region that overlaps it goes before.
    """

    number: int
    bounds: tuple[float, float, float, float]
    scale: tuple[float, float]
    units: tuple[str, str]
    format: str
    low_priority: bool

    def holds(self, point: tuple[float, float]) -> bool:
        """Return whether a point (column, row) lies on one of its pixels."""
        x_low, x_high, top, bottom = self.bounds
        return x_low - 0.5 <= point[0] <= x_high + 0.5 and top - 0.5 <= point[1] <= bottom + 0.5

    @property
    def is_calibrated(self) -> bool:
        """Whether at least one axis has a physical unit."""
        return self.units != ("{pixels}", "{pixels}")

    def lies_within(self, other: Region) -> bool:
        """Return whether all of it lies in another region; a region lies within itself."""
        x_low, x_high, top, bottom = self.bounds
        return (
            x_low >= other.bounds[0]
            and x_high <= other.bounds[1]
            and top >= other.bounds[2]
            and bottom <= other.bounds[3]
        )

    def calibration(self) -> Calibration:
        """Its scale, and where that comes from."""
        where = f"ultrasound region {self.number} ({self.format})"
        if not self.is_calibrated:
            text = f"{where} has no physical units: lengths are in pixels"
        else:
            text = f"{where}: a pixel is {_amount(self.scale[0], self.units[0])} wide"
            text += f" and {_amount(self.scale[1], self.units[1])} high"
        return Calibration("SequenceOfUltrasoundRegions", self.scale, self.units, text)


def region_calibration(frame: Frame, points: Sequence[tuple[float, float]]) -> Calibration | None:
    """Scale of the innermost calibrated region in which all points lie; None where the image has no regions.

    A region of low priority gives way to others (PS3.3 C.8.5.5.1.3). Without points, the scale of all calibrated 2D
    regions where it is the same.

    Raises
    ------
    GeometryError
        The points lie in regions of different scale.
    """
    regions = regions_of(frame)
    if not regions:
        return None
    if not points:
        flat = {(r.scale, r.units): r for r in regions if r.format == "2D" and r.is_calibrated}
        if len(flat) != 1:
            return _nowhere("the image has regions of different scale")
        return next(iter(flat.values())).calibration()
    calibrated = [region for region in regions if region.is_calibrated]
    around = [region for region in calibrated if all(region.holds(point) for point in points)]
    if around:
        first = [region for region in around if not region.low_priority] or around
        inner = [region for region in first if all(region.lies_within(other) for other in first)] or first
        if len({(region.scale, region.units) for region in inner}) > 1:
            raise GeometryError(
                f"the points lie in the overlapping regions {_listed(inner)} of different scale",
                file=frame.file, attribute="SequenceOfUltrasoundRegions", fix="give --calibration",
            )  # fmt: skip
        return inner[0].calibration()
    homes = [[region for region in calibrated if region.holds(point)] for point in points]
    if not any(homes):
        bare = [region for region in regions if all(region.holds(point) for point in points)]
        if bare:
            return bare[0].calibration()
    if all(homes):
        scales = {(home[0].scale, home[0].units) for home in homes}
        if len(scales) == 1:  # two views side by side: one scale, but what lies between them is not anatomy
            what = "the points lie in different regions: a length across them has no meaning"
        else:
            what = f"the points lie in regions {_listed([home[0] for home in homes])} of different scale"
        raise GeometryError(
            what, file=frame.file, attribute="SequenceOfUltrasoundRegions", fix="measure within one region"
        )
    x, y = next(point for point, home in zip(points, homes, strict=True) if not home)
    return _nowhere(f"the point {x:g},{y:g} lies in no calibrated ultrasound region")


def regions_of(frame: Frame) -> list[Region]:
    """Return the regions that an image declares, as far as they are complete.

    Raises
    ------
    FormatError
        The header cannot be read.
    """
    try:
        items = list(frame.header.dataset().get("SequenceOfUltrasoundRegions") or [])
    except TypeError:  # not a sequence
        return []
    regions = (_region(number, item) for number, item in enumerate(items, 1))
    return [region for region in regions if region is not None]


def _region(number: int, item: Any) -> Region | None:
    corners = [_number(item, f"RegionLocation{name}") for name in ("MinX0", "MaxX1", "MinY0", "MaxY1")]
    if any(corner is None for corner in corners):
        return None
    x_low, x_high, top, bottom = (float(corner) for corner in corners if corner is not None)
    axes = [_axis(item, axis) for axis in "XY"]
    return Region(
        number,
        (min(x_low, x_high), max(x_low, x_high), min(top, bottom), max(top, bottom)),
        (axes[0][0], axes[1][0]),
        (axes[0][1], axes[1][1]),
        _FORMATS.get(int(_number(item, "RegionSpatialFormat") or 0), "unknown"),
        bool(int(_number(item, "RegionFlags") or 0) & _LOW_PRIORITY),
    )


def _axis(item: Any, axis: str) -> tuple[float, str]:
    """Size of a pixel along an axis and its unit; one pixel where there is none. Its sign is a direction, no size."""
    delta = _number(item, f"PhysicalDelta{axis}")
    unit, factor = _UNITS.get(int(_number(item, f"PhysicalUnits{axis}Direction") or 0), ("{pixels}", 0.0))
    if delta is None or delta == 0 or factor == 0:
        return 1.0, "{pixels}"
    return abs(delta) * factor, unit


def _number(item: Any, keyword: str) -> float | None:
    value = item.get(keyword)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _nowhere(why: str) -> Calibration:
    return Calibration("none", (1.0, 1.0), ("{pixels}", "{pixels}"), f"{why}: lengths are in pixels")


def _listed(regions: Sequence[Region]) -> str:
    return " and ".join(str(n) for n in dict.fromkeys(region.number for region in regions))


def _amount(value: float, unit: str) -> str:
    return f"{value:.6g} {unit}" if unit != "{pixels}" else "a pixel"
