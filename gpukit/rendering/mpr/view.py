"""Planes in the patient: which way a picture's right, down and depth point, and the grid of its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.errors import GeometryError, InputError, TooLargeError
from gpukit.geometry import Grid

__all__ = ["PLANES", "View", "is_aligned", "missed", "turned_normal", "view_along", "view_grid", "view_of"]

Vector = NDArray[np.float64]

#: Plane -> patient directions of a picture's columns (to the right), rows (down) and depth (away from the viewer).
#: The radiological convention: axial seen from the feet, coronal from the front, sagittal from the patient's left; the
#: patient's right is on the viewer's left, the head and the front are up.
PLANES = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIR"}

_DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1),
}  # fmt: skip
#: Planes by the world axis (x, y, z) that they look along.
_BY_AXIS = ("sagittal", "coronal", "axial")
#: A voxel axis this close (sine of the angle) to a patient axis counts as along it: over 1000 voxels it strays by less
#: than one.
_ALIGNED = 1e-3
#: Pixels of one picture; more is a mistake in spacing, not a picture.
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True, eq=False)
class View:
    """Unit vectors in LPS: a picture's columns run to `right`, its rows `down`, its depth `away` from the viewer."""

    right: Vector
    down: Vector
    away: Vector


def view_of(plane: str) -> View:
    """Return the view of a named plane.

    Raises
    ------
    InputError
        There is no such plane.
    """
    if plane not in PLANES:
        raise InputError(f"unknown plane {plane!r}", attribute="plane", fix=f"use one of {', '.join(PLANES)}")
    right, down, away = (np.array(_DIRECTIONS[letter], dtype=np.float64) for letter in PLANES[plane])
    return View(right, down, away)


def view_along(normal: ArrayLike) -> View:
    """Return the view along a direction of the patient, turned as little as possible from the nearest named plane.

    Both directions of the normal give the same picture: the viewer stands on the side from which the nearest named
    plane is seen, so that an oblique picture is never mirrored. Near axial the picture's columns keep as close to the
    patient's left as they can, near coronal and sagittal its rows to the patient's feet.

    Parameters
    ----------
    normal : array_like, (3,)
        LPS; any length but zero.
    """
    n = np.asarray(normal, dtype=np.float64)
    size = float(np.linalg.norm(n)) if n.shape == (3,) else 0.0
    if not (np.isfinite(n).all() and np.isfinite(size) and size > 0.0):
        raise InputError("a plane's normal is three finite numbers that are not all zero", attribute="normal")
    n = n / size
    # Ties go to axial, then coronal; the slack keeps rounding from deciding.
    axis = max((2, 1, 0), key=lambda a: round(abs(float(n[a])), 9))
    base = view_of(_BY_AXIS[axis])
    away = n if float(n @ base.away) > 0 else -n
    if axis == 2:
        right = _across(base.right, away)
        return View(right, np.cross(away, right), away)
    down = _across(base.down, away)
    return View(np.cross(down, away), down, away)


def turned_normal(plane: str, angles: Sequence[float]) -> Vector:
    """Return the normal of a named plane turned by two angles.

    Parameters
    ----------
    plane : {"axial", "coronal", "sagittal"}
        Where to begin.
    angles : (float, float)
        Degrees, -90 to 90: the first tips the picture's upper edge away from the viewer, the second then its right
        edge.

    Returns
    -------
    array, (3,)
        LPS, of length 1, away from the viewer.
    """
    view = view_of(plane)
    pair = np.asarray(angles, dtype=np.float64)
    if pair.shape != (2,) or not (np.abs(pair) <= 90.0).all():
        raise InputError("a plane is turned by two angles from -90 to 90 degrees", attribute="angles")
    tip, turn = np.radians(pair)
    away = np.cos(tip) * view.away + np.sin(tip) * view.down
    return np.asarray(np.cos(turn) * away - np.sin(turn) * view.right)


def _across(direction: Vector, away: Vector) -> Vector:
    rest = direction - (direction @ away) * away
    return np.asarray(rest / np.linalg.norm(rest))


def is_aligned(grid: Grid) -> bool:
    """Return whether every voxel axis runs along a patient axis, so that named planes need no interpolation."""
    cosines = np.abs(grid.direction)
    return bool(np.sort(cosines, axis=0)[:2].max() < _ALIGNED)


def view_grid(
    grid: Grid, view: View, centre: ArrayLike, *, thickness: float | None = 0.0, pixel: float | None = None
) -> Grid:
    """Return the grid of a picture: square pixels, as wide and high as what the plane or slab cuts out of the volume.

    Parameters
    ----------
    grid : Grid
        Of the volume.
    view : View
        Which way to look.
    centre : array_like, (3,)
        A point of the plane, or of the middle plane of the slab; LPS mm.
    thickness : float or None
        mm; 0 is a plane, None all of the volume.
    pixel : float or None
        Side of a pixel in mm; None is the volume's smallest spacing. Samples in depth are at most as far apart.

    Returns
    -------
    Grid
        One slice for a plane; for a slab its samples in depth, each in the middle of its share of the thickness.

    Raises
    ------
    GeometryError
        Nothing of the volume is there.
    """
    p = min(grid.spacing) if pixel is None else float(pixel)
    if not (np.isfinite(p) and p > 0):
        raise InputError(f"a pixel's size must be positive, not {p:g}", attribute="pixel")
    axes = np.stack([view.right, view.down, view.away])
    ends = [(-0.5, n - 0.5) for n in reversed(grid.shape)]  # the outer faces of the outer voxels
    corners = grid.to_world(list(product(*ends))) @ axes.T
    w = float(view.away @ np.asarray(centre, dtype=np.float64))
    if thickness is None:
        near, far = float(corners[:, 2].min()), float(corners[:, 2].max())
        depth = far - near
        within = corners
    else:
        depth = float(thickness)
        near, far = w - depth / 2, w + depth / 2
        within = _cut_out(corners, near, far)
    if not len(within):
        raise missed(grid, centre)
    low, high = within[:, :2].min(axis=0), within[:, :2].max(axis=0)
    counts = np.maximum(1, np.ceil((high - low) / p - 1e-6)).astype(np.int64)
    if int(counts[0]) * int(counts[1]) > _MOST_PIXELS:
        raise TooLargeError(f"a picture of {counts[0]} x {counts[1]} pixels is too large", fix="choose larger pixels")
    samples = max(1, int(np.ceil(depth / p - 1e-6)))
    step = depth / samples if depth > 0 else p
    first = (low + high) / 2 - (counts - 1) / 2 * p
    affine = np.eye(4)
    affine[:3, :3] = np.stack([view.right * p, view.down * p, view.away * step], axis=1)
    middle = (near + far) / 2
    affine[:3, 3] = axes.T @ np.array([first[0], first[1], middle - (samples - 1) / 2 * step])
    return Grid((samples, int(counts[1]), int(counts[0])), affine)


def missed(grid: Grid, centre: ArrayLike) -> GeometryError:
    """Return the error for a plane through `centre` (LPS mm) that has nothing of the volume."""
    i, j, k = (f"{v:.4g}" for v in grid.to_index(centre))
    sizes = " x ".join(str(n) for n in reversed(grid.shape))
    return GeometryError(
        f"the plane through voxel {i},{j},{k} does not meet the volume of {sizes} voxels", attribute="plane",
        fix="choose a point inside the volume",
    )  # fmt: skip


def _cut_out(corners: Vector, near: float, far: float) -> Vector:
    """Return points that span what lies between two depths of a box, given its corners (in the order of `product`)."""
    slack = 1e-9 * (min(1.0, float(np.ptp(corners))) + float(np.abs(corners).max()))
    vertices = [c for c in corners if near - slack <= c[2] <= far + slack]
    for a in range(8):
        for bit in (1, 2, 4):
            if a & bit:
                continue
            one, other = corners[a], corners[a | bit]
            for depth in (near, far):
                span = other[2] - one[2]
                if (one[2] - depth) * (other[2] - depth) < 0:
                    vertices.append(one + (depth - one[2]) / span * (other - one))
    return np.array(vertices).reshape(-1, 3)
