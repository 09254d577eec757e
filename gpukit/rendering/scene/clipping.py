"""Clipping planes and boxes of volume rendering, by voxel or in the patient's millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import GeometryError, InputError
from gpukit.geometry import Grid

__all__ = ["clip_box", "clip_plane"]

FRAMES = ("voxel", "patient")


def clip_plane(
    grid: Grid, point: Sequence[float], normal: Sequence[float], *, frame: str = "voxel"
) -> NDArray[np.float64]:
    """Keep the side of a plane that its normal points to.

    Parameters
    ----------
    grid : Grid
        Of the volume.
    point : (float, float, float)
        On the plane: voxel (i, j, k) from 0, or in the frame ``patient`` LPS mm.
    normal : (float, float, float)
        Along the directions of i, j and k in mm, or along L, P and S.
    frame : {"voxel", "patient"}

    Returns
    -------
    array, (1, 4)
        For `render(clip=...)`; rows may be stacked.

    Raises
    ------
    InputError
        The normal is zero, or something is not finite.
    GeometryError
        Nothing of the volume is left.
    """
    p, n = _three(point, "point"), _three(normal, "normal")
    if not np.linalg.norm(n) > 0:
        raise InputError("a clipping plane needs a normal that is not zero", attribute="clip_plane")
    if _is_patient(frame):
        p = grid.to_index(p)
    else:
        n = grid.affine[:3, :3] / np.asarray(grid.spacing) @ n
    row = grid.affine[:3, :3].T @ n  # of a position in mm along the normal, by index
    planes = np.array([[*row, -row @ p]])
    _check_left(grid, planes)
    return planes


def clip_box(grid: Grid, first: Sequence[float], last: Sequence[float], *, frame: str = "voxel") -> NDArray[np.float64]:
    """Keep a box.

    Parameters
    ----------
    grid : Grid
        Of the volume.
    first, last : (float, float, float)
        Opposite corners in any order: the first and the last voxel (i, j, k) that stay, whole; or in the frame
        ``patient`` LPS mm.
    frame : {"voxel", "patient"}

    Returns
    -------
    array, (6, 4)
        For `render(clip=...)`; rows may be stacked.

    Raises
    ------
    InputError
        Something is not finite, or the box has no thickness.
    GeometryError
        Nothing of the volume is left.
    """
    a, b = _three(first, "first"), _three(last, "last")
    low, high = np.minimum(a, b), np.maximum(a, b)
    if _is_patient(frame):
        if not (high > low).all():
            raise InputError("a clipping box needs a size along L, P and S", attribute="clip_box")
        sides, offset = grid.affine[:3, :3], grid.affine[:3, 3]
    else:
        low, high = low - 0.5, high + 0.5
        sides, offset = np.eye(3), np.zeros(3)
    rows = [[*sides[axis], offset[axis] - low[axis]] for axis in range(3)]
    rows += [[*-sides[axis], high[axis] - offset[axis]] for axis in range(3)]
    planes = np.array(rows)
    _check_left(grid, planes)
    return planes


def _is_patient(frame: str) -> bool:
    if frame not in FRAMES:
        raise InputError(f"unknown frame {frame!r}", attribute="frame", fix=f"use {' or '.join(FRAMES)}")
    return frame == "patient"


def _three(numbers: Sequence[float], what: str) -> NDArray[np.float64]:
    values = np.asarray(numbers, dtype=np.float64)
    if values.shape != (3,) or not np.isfinite(values).all():
        raise InputError(f"{what} must be three finite numbers", attribute=what)
    return values


def _check_left(grid: Grid, planes: NDArray[np.float64]) -> None:
    """Each plane must leave a corner of the volume: then it is a likely mistake no more."""
    corners = np.array(list(product(*((-0.5, n - 0.5) for n in reversed(grid.shape)))))
    if not ((corners @ planes[:, :3].T + planes[:, 3]) > 0).any(axis=0).all():
        raise GeometryError(
            "the clipping leaves nothing of the volume", attribute="clip",
            fix="check the frame (voxel or patient), and that the normal points to what is to stay",
        )  # fmt: skip
