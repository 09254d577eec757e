"""The map from output to input index: checked, cleaned of rounding, classified. Host float64, no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.errors import GeometryError, InputError

__all__ = ["EDGE", "Axes", "axes_of", "check_affine", "check_shape", "rows"]

#: A sample counts as inside up to half a voxel, and this much, beyond the outermost voxel centres. The surplus absorbs
#: the rounding of matrices that were composed from spacings and cosines.
EDGE = 1e-6
#: Matrix entries that would move no sample by more than this (in voxels) from a whole number are that whole number.
SNAP = 1e-7

Matrix = NDArray[np.float64]


def check_shape(shape: Sequence[int], *, rank: int = 3) -> tuple[int, ...]:
    """Return the output shape as positive integers."""
    sizes = tuple(int(n) for n in shape)
    if len(sizes) != rank or min(sizes) < 1:
        raise InputError(f"an output shape is {rank} positive sizes, not {tuple(shape)}", attribute="shape")
    return sizes


def check_affine(matrix: ArrayLike, shape: Sequence[int]) -> Matrix:
    """Return the 4 x 4 map from output index (i, j, k, 1) to input index, with rounding noise removed.

    An entry that lies so close to a whole number that no sample of the output moves by more than `SNAP` becomes that
    number, so that a matrix composed from spacings and cosines is recognised as the flip or permutation that it is.
    """
    m = np.array(matrix, dtype=np.float64)
    if m.shape != (4, 4) or not np.isfinite(m).all() or not np.allclose(m[3], (0, 0, 0, 1), atol=1e-12):
        raise GeometryError(
            "the map between two grids must be a finite 4 x 4 matrix whose last row is 0 0 0 1", attribute="matrix"
        )
    m[3] = (0, 0, 0, 1)
    reach = np.array([*reversed(shape), 1], dtype=np.float64)
    whole = np.round(m)
    return np.where(np.abs(m - whole) * reach <= SNAP, whole, m)


def rows(matrix: Matrix) -> tuple[tuple[float, float, float, float], ...]:
    """Return the first three rows as Python floats: row a gives input index a from (i, j, k, 1)."""
    return tuple((float(r[0]), float(r[1]), float(r[2]), float(r[3])) for r in matrix[:3])


@dataclass(frozen=True)
class Axes:
    """A map that keeps axes apart: output *array* axis a walks along input array axis ``source[a]``.

    Position along it is ``scale[a] * index + offset[a]``.
    """

    source: tuple[int, int, int]
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]

    @property
    def matrix(self) -> Matrix:
        """The map onto the input once its axes are permuted to the order of the output's: scales and offsets only."""
        m = np.diag([*reversed(self.scale), 1.0])
        m[:3, 3] = self.offset[::-1]
        return m

    @property
    def exact(self) -> bool:
        """Whether every sample falls on a voxel, one step at a time: a shift, flip or permutation."""
        return all(abs(s) == 1.0 for s in self.scale) and all(o == round(o) for o in self.offset)


def axes_of(matrix: Matrix) -> Axes | None:
    """Return the map as one of axes, or None where it is oblique (or flattens an axis)."""
    linear = matrix[:3, :3]
    used = linear != 0
    if not ((used.sum(axis=0) == 1).all() and (used.sum(axis=1) == 1).all()):
        return None
    source, scale, offset = [0, 0, 0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    for out in range(3):  # out and inner count i, j, k; array axes count k, j, i
        inner = int(np.flatnonzero(used[:, out])[0])
        source[2 - out] = 2 - inner
        scale[2 - out] = float(linear[inner, out])
        offset[2 - out] = float(matrix[inner, 3])
    return Axes((source[0], source[1], source[2]), (scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2]))
