"""Where a stack of image planes lies: order, spacing and affine, from plane positions and orientations alone.

Pure geometry on plain numbers. Instance numbers, slice thickness and the order of files never enter.

The convention is that of `gpukit.geometry`: i runs along a row (first three cosines of ImageOrientationPatient), j down
a column (last three), and k along their cross product, so that every grid made here is right-handed whatever the order
in which the slices were acquired (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import GeometryError

__all__ = ["Levels", "Vector", "find_levels", "plane_axes", "stack_affine"]

Vector = NDArray[np.float64]

#: Largest deviation of a slice from the even grid that is taken for jitter: real PET series repeat 3.27 mm steps but
#: have some of 3.29 and 3.19, and positions are often written with two digits.
JITTER_MM = 0.05
JITTER_OF_STEP = 0.05
#: Never more than this part of a step, however thin the slices: a missing slice moves a neighbour by a third or more.
MOST_OF_STEP = 0.2
#: Planes closer than this (or than a twentieth of the largest step) are at one position.
SAME_MM = 0.05
SAME_OF_STEP = 0.05
#: A stack is tilted when it drifts in its own plane by more than this part of its step (0.57 degrees).
TILT_OF_STEP = 0.01


@dataclass(frozen=True)
class Levels:
    """The distinct slice positions of a stack, ascending along the stack's normal.

    Attributes
    ----------
    members : tuple of tuple of int
        For each level the indices of the planes that lie there.
    distances : (n,) array
        Distance of each level along the normal, mm.
    positions : (n, 3) array
        ImagePositionPatient of each level's first plane, LPS mm.
    normal : (3,) array
        Unit normal, the cross product of row and column direction.
    """

    members: tuple[tuple[int, ...], ...]
    distances: Vector
    positions: Vector
    normal: Vector

    @property
    def steps(self) -> Vector:
        """Distances between neighbouring levels, mm."""
        return np.diff(self.distances)

    @property
    def span(self) -> Vector:
        """Vector from the first level's position to the last's, mm."""
        return np.asarray(self.positions[-1] - self.positions[0])

    @property
    def is_even(self) -> bool:
        """Whether no level is further from the even grid than jitter explains."""
        n = len(self.distances)
        if n < 3:
            return True
        step = (self.distances[-1] - self.distances[0]) / (n - 1)
        even = self.distances[0] + step * np.arange(n)
        allowed = min(max(JITTER_MM, JITTER_OF_STEP * step), MOST_OF_STEP * step)
        return bool(np.abs(self.distances - even).max() <= allowed)

    @property
    def drift(self) -> float:
        """How far the stack moves in its own plane for each mm along its normal: the tangent of the tilt."""
        if len(self.distances) < 2:
            return 0.0
        along = float(self.span @ self.normal)
        return float(np.linalg.norm(self.span - along * self.normal) / abs(along))

    @property
    def is_tilted(self) -> bool:
        """Whether the drift is a gantry tilt rather than rounding."""
        return self.drift > TILT_OF_STEP

    def off_line(self) -> tuple[int, float]:
        """The level that is furthest from the line through the first and the last, and how far, mm.

        Levels are compared at their own distance along the normal, so that uneven spacing does not count.
        """
        along = self.distances - self.distances[0]
        total = along[-1] if len(along) > 1 else 1.0
        ideal = self.positions[0] + np.outer(along / total, self.span)
        away = np.linalg.norm(self.positions - ideal, axis=1)
        worst = int(np.argmax(away))
        return worst, float(away[worst])


def plane_axes(orientation: Sequence[float]) -> tuple[Vector, Vector, Vector]:
    """Unit row direction, column direction and normal of ImageOrientationPatient.

    Raises
    ------
    GeometryError
        The two directions are no unit vectors or not perpendicular (beyond rounding).
    """
    cosines = np.asarray(orientation, dtype=np.float64)
    if cosines.shape != (6,) or not np.isfinite(cosines).all():
        raise GeometryError("six finite direction cosines are needed", attribute="ImageOrientationPatient")
    row, column = cosines[:3], cosines[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    # Writers round cosines to as few as two or three digits; beyond 2 % they are no directions.
    if abs(lengths[0] - 1) > 0.02 or abs(lengths[1] - 1) > 0.02:
        raise GeometryError("the direction cosines are not of length 1", attribute="ImageOrientationPatient")
    row, column = row / lengths[0], column / lengths[1]
    if abs(float(row @ column)) > 0.01:
        raise GeometryError("row and column direction are not perpendicular", attribute="ImageOrientationPatient")
    normal = np.cross(row, column)
    return row, column, normal / np.linalg.norm(normal)


def find_levels(positions: Sequence[Sequence[float]], orientation: Sequence[float]) -> Levels:
    """Sort planes along their normal and gather those at one position.

    Parameters
    ----------
    positions : sequence of (x, y, z)
        ImagePositionPatient of each plane, LPS mm.
    orientation : sequence of six floats
        Their common ImageOrientationPatient.

    Returns
    -------
    Levels
        Within a level, planes keep the order in which they were given.
    """
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    _, _, normal = plane_axes(orientation)
    distances = points @ normal
    order = np.argsort(distances, kind="stable")
    steps = np.diff(distances[order])
    largest = float(steps.max()) if steps.size else 0.0
    same = max(1e-3, min(SAME_MM, SAME_OF_STEP * largest))
    groups = np.split(order, np.flatnonzero(steps > same) + 1)
    members = tuple(tuple(sorted(int(n) for n in group)) for group in groups)
    first = [group[0] for group in members]
    return Levels(members, distances[first], points[first], normal)


def stack_affine(levels: Levels, orientation: Sequence[float], spacing: Sequence[float], thickness: float) -> Vector:
    """4 x 4 matrix from (i, j, k, 1) to LPS mm for evenly spaced levels; sheared where the gantry was tilted.

    Parameters
    ----------
    levels : Levels
        Sorted positions.
    orientation : sequence of six floats
        ImageOrientationPatient.
    spacing : (between rows, between columns)
        PixelSpacing, mm; in DICOM's order, so the second one is the step along i.
    thickness : float
        Step along k for a single level, mm; not used otherwise.
    """
    row, column, normal = plane_axes(orientation)
    count = len(levels.distances)
    affine = np.eye(4)
    affine[:3, 0] = row * float(spacing[1])
    affine[:3, 1] = column * float(spacing[0])
    affine[:3, 2] = levels.span / (count - 1) if count > 1 else normal * float(thickness)
    affine[:3, 3] = levels.positions[0]
    return affine
