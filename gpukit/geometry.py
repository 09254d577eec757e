"""Where voxels lie: a shape and an affine, without pixels.

Conventions, the same everywhere in gpukit:

- The world frame is the DICOM patient frame: **LPS in millimetres** (x grows to the patient's left, y to the back,
  z to the head).
- A voxel's index is ``(i, j, k)`` = (column, row, slice), with (0, 0, 0) the *centre* of the first voxel. This is the
  order of DICOM's formula (PS3.3 C.7.6.2.1-1) and of ITK.
- An array is indexed ``[k, j, i]``: slices, rows, columns, C order. So ``Grid.shape`` is ``(nk, nj, ni)``, the shape of
  the array, and points are ``(i, j, k)``.
- ``affine @ (i, j, k, 1)`` is the world position in mm. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.errors import GeometryError

__all__ = ["Grid", "axis_codes", "reorientation"]

Matrix = NDArray[np.float64]

#: LPS to RAS and back (NIfTI, MONAI and nibabel speak RAS): the first two axes change sign.
LPS_RAS: Matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
_CODES = (("R", "L"), ("A", "P"), ("I", "S"))  # (towards minus, towards plus) of the LPS axes x, y, z


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxels in the patient.

    Parameters
    ----------
    shape : tuple of int
        ``(nk, nj, ni)``: slices, rows, columns.
    affine : array_like, (4, 4)
        Maps ``(i, j, k, 1)`` to LPS mm. Must be finite and invertible; may be oblique, sheared or left-handed.

    Raises
    ------
    GeometryError
        The shape is empty or the affine is singular.
    """

    shape: tuple[int, int, int]
    affine: Matrix

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"a grid needs three positive sizes, not {self.shape}")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.allclose(affine[3], (0, 0, 0, 1)):
            raise GeometryError("the affine must be a finite 4 x 4 matrix whose last row is 0 0 0 1")
        volume = abs(np.linalg.det(affine[:3, :3]))
        if not volume > 1e-12 * np.prod(np.linalg.norm(affine[:3, :3], axis=0)):
            raise GeometryError("the affine is singular: two voxel axes are parallel or a spacing is zero")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def from_axes(
        cls,
        shape: Sequence[int],
        *,
        spacing: ArrayLike = (1.0, 1.0, 1.0),
        origin: ArrayLike = (0.0, 0.0, 0.0),
        direction: ArrayLike | None = None,
    ) -> Grid:
        """Grid from spacing (si, sj, sk) in mm, origin in LPS mm and a 3 x 3 direction whose columns are i, j, k."""
        affine = np.eye(4)
        affine[:3, :3] = (np.eye(3) if direction is None else np.asarray(direction, float)) * np.asarray(spacing, float)
        affine[:3, 3] = origin
        return cls((shape[0], shape[1], shape[2]), affine)

    @classmethod
    def from_ras(cls, shape: Sequence[int], affine: ArrayLike) -> Grid:
        """Grid from an affine that maps ``(i, j, k, 1)`` to RAS mm (NIfTI, nibabel, MONAI)."""
        return cls((shape[0], shape[1], shape[2]), LPS_RAS @ np.asarray(affine, float))

    @property
    def ras_affine(self) -> Matrix:
        """The affine to RAS mm, as NIfTI, nibabel and MONAI use it."""
        return np.asarray(LPS_RAS @ self.affine)

    @cached_property
    def inverse(self) -> Matrix:
        """The matrix from LPS mm to ``(i, j, k, 1)``."""
        return np.asarray(np.linalg.inv(self.affine))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between voxel centres along i, j and k."""
        si, sj, sk = (float(v) for v in np.linalg.norm(self.affine[:3, :3], axis=0))
        return si, sj, sk

    @property
    def direction(self) -> Matrix:
        """3 x 3; its columns are the unit vectors of i, j and k in LPS."""
        return np.asarray(self.affine[:3, :3] / np.asarray(self.spacing))

    @property
    def origin(self) -> tuple[float, float, float]:
        """LPS mm of the centre of the first voxel."""
        x, y, z = (float(v) for v in self.affine[:3, 3])
        return x, y, z

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm³ (the determinant, so also right for a sheared grid)."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def is_orthogonal(self) -> bool:
        """Whether the three voxel axes are perpendicular to within 1e-4 (cosine)."""
        gram = self.direction.T @ self.direction
        return bool(np.abs(gram - np.eye(3)).max() < 1e-4)

    @property
    def codes(self) -> str:
        """Letters of the directions in which i, j, k grow; ``"LPS"`` for an axial, head-first, supine stack."""
        return axis_codes(self.affine)

    def to_world(self, points: ArrayLike) -> Matrix:
        """LPS mm of index points ``(..., 3)`` given as (i, j, k)."""
        return np.asarray(points, float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, points: ArrayLike) -> Matrix:
        """Index points (i, j, k) of world points ``(..., 3)`` in LPS mm."""
        return np.asarray(points, float) @ self.inverse[:3, :3].T + self.inverse[:3, 3]

    def matrix_from(self, other: Grid) -> Matrix:
        """4 x 4 matrix from `other`'s index (i, j, k, 1) to this grid's: what a resampling onto `other` samples."""
        return np.asarray(self.inverse @ other.affine)

    def same_as(self, other: Grid, *, tolerance: float = 1e-3) -> bool:
        """Whether the shapes are equal and no corner differs by more than `tolerance` mm."""
        return self.shape == other.shape and bool(np.abs(self.corners() - other.corners()).max() <= tolerance)

    def corners(self) -> Matrix:
        """(8, 3) LPS mm of the outermost voxel centres."""
        nk, nj, ni = self.shape
        return self.to_world(list(product((0, ni - 1), (0, nj - 1), (0, nk - 1))))

    def crop(self, start: Sequence[int], shape: Sequence[int]) -> Grid:
        """The grid of the block of `shape` that begins at array index `start`, both (k, j, i); may reach outside."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world((start[2], start[1], start[0]))
        return Grid((shape[0], shape[1], shape[2]), affine)

    def with_spacing(self, spacing: Sequence[float]) -> Grid:
        """Grid over the same field of view with another spacing (si, sj, sk) in mm.

        The outer *faces* of the first voxels coincide, so that a half-voxel shift cannot creep in; the size is rounded
        to the nearest whole voxel and at least one.
        """
        old, new = np.asarray(self.spacing), np.asarray(spacing, float)
        if not (np.isfinite(new).all() and (new > 0).all()):
            raise GeometryError(f"spacing must be positive, not {tuple(spacing)}")
        sizes = np.maximum(1, np.floor(np.asarray(self.shape[::-1]) * old / new + 0.5)).astype(int)
        affine = self.affine.copy()
        affine[:3, :3] *= new / old
        affine[:3, 3] = self.to_world((new / old - 1.0) / 2.0)
        return Grid((int(sizes[2]), int(sizes[1]), int(sizes[0])), affine)

    def reoriented(self, codes: str) -> tuple[Grid, tuple[int, int, int], tuple[bool, bool, bool]]:
        """The same voxels with axes permuted and flipped so that i, j, k grow towards `codes`.

        Returns
        -------
        Grid
            The new grid.
        axes : tuple of int
            For ``array.transpose(axes)``: which old array axis (k, j, i order) each new array axis is.
        flips : tuple of bool
            Whether each new array axis (k, j, i order) is reversed after the transpose.
        """
        order, signs = reorientation(self.affine, codes)
        sizes = self.shape[::-1]
        affine = np.eye(4)
        affine[:3, 3] = self.affine[:3, 3]
        for new, (old, sign) in enumerate(zip(order, signs, strict=True)):
            affine[:3, new] = sign * self.affine[:3, old]
            if sign < 0:
                affine[:3, 3] += (sizes[old] - 1) * self.affine[:3, old]
        shape = tuple(sizes[old] for old in reversed(order))
        axes = tuple(2 - old for old in reversed(order))
        flips = tuple(sign < 0 for sign in reversed(signs))
        return (
            Grid((shape[0], shape[1], shape[2]), affine),
            (axes[0], axes[1], axes[2]),
            (flips[0], flips[1], flips[2]),
        )


def axis_codes(affine: ArrayLike) -> str:
    """Letters of the patient directions in which i, j and k grow; affine to LPS mm.

    The assignment is the one that maximises the total cosine, so an oblique grid never names a direction twice.
    """
    order, signs = _closest_axes(np.asarray(affine, float))
    return "".join(_CODES[axis][1 if sign > 0 else 0] for axis, sign in zip(order, signs, strict=True))


def reorientation(affine: ArrayLike, codes: str) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Which old index axis, and with which sign, each new axis is, to make i, j, k grow towards `codes`."""
    wanted = codes.upper()
    if len(wanted) != 3 or any(sum(c in pair for c in wanted) != 1 for pair in _CODES):
        raise GeometryError(
            f"{codes!r} is no orientation", fix="use one letter of each pair R/L, A/P, I/S, such as RAS"
        )
    world, signs = _closest_axes(np.asarray(affine, float))
    order, flips = [], []
    for code in wanted:
        axis = next(n for n, pair in enumerate(_CODES) if code in pair)
        old = world.index(axis)
        order.append(old)
        flips.append(signs[old] * (1 if _CODES[axis][1] == code else -1))
    return (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])


def _closest_axes(affine: Matrix) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each index axis the world axis it runs along and the sign, jointly closest (largest sum of cosines)."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best = max(permutations(range(3)), key=lambda p: sum(abs(cosines[p[n], n]) for n in range(3)))
    return best, tuple(1 if cosines[best[n], n] >= 0 else -1 for n in range(3))
