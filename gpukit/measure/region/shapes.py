"""Shapes that a user draws: box, circle, ellipse, polygon in a frame, and sphere in the patient.

The convention, stated here once: coordinates are (column, row) = (x, y), **(0, 0) is the centre of the first pixel**,
so that the image reaches from -0.5 to columns - 0.5. A pixel counts as inside when its *centre* is inside. A centre
exactly on the edge of a box or polygon counts when the shape lies towards greater columns (on a horizontal edge:
greater rows), so that ``Box(200, 200, 100, 100)`` holds columns 200 to 299, 10000 pixels, and two polygons that share
an edge never share a pixel. A centre exactly on the edge of a circle, ellipse or sphere counts.

Areas and perimeters are those of the drawn outline, not of the pixels inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gpukit.errors import InputError
from gpukit.findings.measurement import Graphic

__all__ = ["Box", "Circle", "Ellipse", "Polygon", "Shape", "Sphere"]

Point2 = tuple[float, float]
Pair = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle along the image's axes.

    Parameters
    ----------
    x, y : float
        Column and row of its corner with the smallest ones.
    width, height : float
        In pixels; positive.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        _finite("box", self.x, self.y, self.width, self.height)
        if self.width <= 0 or self.height <= 0:
            raise InputError(f"a box of {self.width:g} x {self.height:g} pixels has no area", attribute="box")

    @property
    def points(self) -> tuple[Point2, ...]:
        """The four corners."""
        right, bottom = self.x + self.width, self.y + self.height
        return (self.x, self.y), (right, self.y), (right, bottom), (self.x, bottom)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest and greatest column, smallest and greatest row."""
        return self.x, self.x + self.width, self.y, self.y + self.height

    def area(self, spacing: Pair = (1.0, 1.0)) -> float:
        """Width times height, for pixels of `spacing` (x, y)."""
        return self.width * spacing[0] * self.height * spacing[1]

    def perimeter(self, spacing: Pair = (1.0, 1.0)) -> float:
        """Twice width and height."""
        return 2 * (self.width * spacing[0] + self.height * spacing[1])

    def graphic(self) -> Graphic:
        """Return a closed polyline."""
        return Graphic("POLYLINE", (*self.points, self.points[0]))


@dataclass(frozen=True)
class Polygon:
    """A closed outline; the last point is joined to the first.

    Parameters
    ----------
    points : sequence of (column, row)
        Three or more. A repeated first point at the end, and points equal to their predecessor, are dropped.

    Raises
    ------
    InputError
        The outline crosses or touches itself (its area would have no meaning), or encloses none.
    """

    points: tuple[Point2, ...]

    def __init__(self, points: Sequence[Sequence[float]]) -> None:
        cleaned: list[Point2] = []
        for point in points:
            if len(point) != 2:
                raise InputError(
                    f"a polygon's point has {len(point)} numbers, not a column and a row", attribute="polygon"
                )
            _finite("polygon", *point)
            pair = (float(point[0]), float(point[1]))
            if not cleaned or cleaned[-1] != pair:
                cleaned.append(pair)
        if len(cleaned) > 1 and cleaned[0] == cleaned[-1]:
            cleaned.pop()
        if len(cleaned) < 3:
            raise InputError(f"a polygon of {len(cleaned)} different points encloses nothing", attribute="polygon")
        object.__setattr__(self, "points", tuple(cleaned))
        from gpukit.measure.region.outline_geometry import crossing

        crossed = crossing(self.points)
        if crossed is not None:
            a, b = crossed
            raise InputError(
                f"the polygon crosses or touches itself: its sides after points {a + 1} and {b + 1} meet",
                attribute="polygon",
                fix="give the points in order around the region",
            )
        if self.area() == 0:
            raise InputError("all points of the polygon lie on one line", attribute="polygon")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest and greatest column, smallest and greatest row."""
        xs, ys = zip(*self.points, strict=True)
        return min(xs), max(xs), min(ys), max(ys)

    def area(self, spacing: Pair = (1.0, 1.0)) -> float:
        """Return the area by the surveyor's (shoelace) formula, for pixels of `spacing` (x, y)."""
        x0, y0 = self.points[0]  # about the first point, so that large coordinates cost no digits
        moved = [(x - x0, y - y0) for x, y in self.points]
        following = [*moved[1:], moved[0]]
        twice = math.fsum(a[0] * b[1] - b[0] * a[1] for a, b in zip(moved, following, strict=True))
        return abs(twice) / 2 * spacing[0] * spacing[1]

    def perimeter(self, spacing: Pair = (1.0, 1.0)) -> float:
        """Return the sum of the sides, for pixels of `spacing` (x, y)."""
        following = [*self.points[1:], self.points[0]]
        return math.fsum(
            math.hypot((b[0] - a[0]) * spacing[0], (b[1] - a[1]) * spacing[1])
            for a, b in zip(self.points, following, strict=True)
        )

    def graphic(self) -> Graphic:
        """Return a closed polyline."""
        return Graphic("POLYLINE", (*self.points, self.points[0]))


@dataclass(frozen=True)
class Ellipse:
    """An ellipse at any angle.

    Parameters
    ----------
    x, y : float
        Centre, column and row.
    a, b : float
        Semi-axes in pixels; positive.
    angle : float
        Degrees from the direction of greater columns towards greater rows, to the axis `a`.
    """

    x: float
    y: float
    a: float
    b: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        _finite("ellipse", self.x, self.y, self.a, self.b, self.angle)
        if self.a <= 0 or self.b <= 0:
            raise InputError(f"an ellipse with semi-axes {self.a:g} and {self.b:g} has no area", attribute="ellipse")

    @property
    def axes(self) -> tuple[Point2, Point2]:
        """Vectors from the centre to an end of axis `a` and of axis `b`."""
        turn = math.radians(self.angle)
        cosine, sine = math.cos(turn), math.sin(turn)
        return (self.a * cosine, self.a * sine), (-self.b * sine, self.b * cosine)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Smallest and greatest column, smallest and greatest row."""
        (ax, ay), (bx, by) = self.axes
        half_x, half_y = math.hypot(ax, bx), math.hypot(ay, by)
        return self.x - half_x, self.x + half_x, self.y - half_y, self.y + half_y

    def semi_axes(self, spacing: Pair = (1.0, 1.0)) -> Pair:
        """Longer and shorter semi-axis of the ellipse that it is on pixels of `spacing` (x, y).

        Stretching one axis turns an ellipse into another one: its semi-axes are the singular values of the matrix of
        the two stretched axis vectors.
        """
        (ax, ay), (bx, by) = self.axes
        sx, sy = spacing
        ax, bx, ay, by = ax * sx, bx * sx, ay * sy, by * sy
        plus, minus = math.hypot(ax + by, ay - bx), math.hypot(ax - by, ay + bx)
        longer = (plus + minus) / 2
        return longer, self.a * self.b * sx * sy / longer  # not the difference: it would cancel in a thin ellipse

    def area(self, spacing: Pair = (1.0, 1.0)) -> float:
        """Pi times both semi-axes."""
        return math.pi * self.a * self.b * spacing[0] * spacing[1]

    def perimeter(self, spacing: Pair = (1.0, 1.0)) -> float:
        """Return the length of the curve: 4 a E(e), by the arithmetic-geometric mean, to the last digits."""
        from gpukit.measure.region.outline_geometry import ellipse_perimeter

        return ellipse_perimeter(*self.semi_axes(spacing))

    def graphic(self) -> Graphic:
        """Ends of the longer axis, ends of the shorter axis."""
        (ax, ay), (bx, by) = self.axes
        ends_a = (self.x - ax, self.y - ay), (self.x + ax, self.y + ay)
        ends_b = (self.x - bx, self.y - by), (self.x + bx, self.y + by)
        return Graphic("ELLIPSE", (*ends_a, *ends_b) if self.a >= self.b else (*ends_b, *ends_a))


@dataclass(frozen=True)
class Circle:
    """A circle; with `unit` ``mm`` it is one in the patient, an ellipse on anisotropic pixels.

    Parameters
    ----------
    x, y : float
        Centre, column and row.
    radius : float
        Positive.
    unit : {"pixel", "mm"}
        Of the radius.
    """

    x: float
    y: float
    radius: float
    unit: Literal["pixel", "mm"] = "pixel"

    def __post_init__(self) -> None:
        _finite("circle", self.x, self.y, self.radius)
        if self.radius <= 0:
            raise InputError(f"a circle of radius {self.radius:g} has no area", attribute="circle")

    def ellipse(self, spacing: Pair | None = None) -> Ellipse:
        """Return the same as an ellipse in pixels; `spacing` (x, y) in mm is needed for a radius in mm.

        Raises
        ------
        InputError
            The radius is in mm and there is no spacing.
        """
        if self.unit == "pixel":
            return Ellipse(self.x, self.y, self.radius, self.radius)
        if spacing is None:
            raise InputError(
                "a radius in mm needs a calibrated image", attribute="circle", fix="give it in pixels, or --calibration"
            )
        return Ellipse(self.x, self.y, self.radius / spacing[0], self.radius / spacing[1])


@dataclass(frozen=True)
class Sphere:
    """A ball in the patient.

    Parameters
    ----------
    center : (float, float, float)
        With `space` ``voxel`` (i, j, k) = column, row, slice; with ``patient`` LPS mm.
    radius : float
        In mm; positive.
    space : {"voxel", "patient"}
        What the centre is in.
    """

    center: tuple[float, float, float]
    radius: float
    space: Literal["voxel", "patient"] = "voxel"

    def __post_init__(self) -> None:
        _finite("sphere", *self.center, self.radius)
        if len(self.center) != 3:
            raise InputError(f"a sphere's centre has {len(self.center)} numbers, not three", attribute="sphere")
        if self.radius <= 0:
            raise InputError(f"a sphere of radius {self.radius:g} mm has no volume", attribute="sphere")


#: What can be drawn in one frame.
Shape = Box | Polygon | Ellipse | Circle


def _finite(what: str, *values: float) -> None:
    if not all(map(math.isfinite, values)):
        raise InputError("a number is not finite", attribute=what)
