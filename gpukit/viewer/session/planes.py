"""Axial, coronal and sagittal planes through one point of a volume, each as people are used to see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.display.frame_values import FrameValues
from gpukit.errors import GeometryError
from gpukit.volume import Volume

__all__ = ["PLANES", "OrthogonalPlanes"]

PLANES = ("axial", "coronal", "sagittal")
#: Letters at the left, right, upper and lower border of each plane.
LETTERS = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "H", "F"), "sagittal": ("A", "P", "H", "F")}


@dataclass(eq=False)
class OrthogonalPlanes:
    """A volume with its axes along L, P and H, as nearly as they are.

    Parameters
    ----------
    array : array ``[h, p, l]``
        Values; towards the head, the back and the left.
    spacing : (h, p, l)
        mm.
    point : list of int
        Where the planes cross, h, p, l.
    padding : (float, float) or None
        Values that are no measurement.
    is_oblique : bool
        The axes are turned by more than a degree against the patient's.
    """

    array: NDArray[Any]
    spacing: tuple[float, float, float]
    point: list[int]
    padding: tuple[float, float] | None = None
    is_oblique: bool = False

    @classmethod
    def of(cls, volume: Volume) -> OrthogonalPlanes:
        """From a volume of grey values.

        Raises
        ------
        GeometryError
            It is in colour or has several phases, or its axes do not lie near the patient's.
        """
        if volume.axes != "kji":
            raise GeometryError("planes are cut through one volume of grey values", fix="choose a single phase")
        affine = np.asarray(volume.grid.affine)[:3, :3]
        spacing = np.linalg.norm(affine, axis=0)
        cosines = affine / spacing
        # array axes are k, j, i; columns of the affine are i, j, k
        axis_of = np.abs(cosines).argmax(axis=0)
        if len(set(axis_of.tolist())) != 3:
            raise GeometryError("the axes of the volume do not lie near those of the patient")
        array = np.asarray(volume.to("cpu").array)
        order = [2 - int(np.flatnonzero(axis_of == patient)[0]) for patient in (2, 1, 0)]
        array = np.transpose(array, order)
        sizes = []
        for n, patient in enumerate((2, 1, 0)):
            column = int(np.flatnonzero(axis_of == patient)[0])
            if cosines[patient, column] < 0:
                array = np.flip(array, n)
            sizes.append(float(spacing[column]))
        oblique = float(np.abs(cosines).max(axis=0).min()) < np.cos(np.radians(1.0))
        return cls(array, (sizes[0], sizes[1], sizes[2]), [n // 2 for n in array.shape], volume.padding, oblique)

    def plane(self, name: str) -> FrameValues:
        """Values of a plane through the point, up and to the right as viewers show it."""
        h, p, left = self.point
        if name == "axial":
            values, across, down = self.array[h], self.spacing[2], self.spacing[1]
        elif name == "coronal":
            values, across, down = self.array[::-1, p], self.spacing[2], self.spacing[0]
        else:
            values, across, down = self.array[::-1, :, left], self.spacing[1], self.spacing[0]
        values = np.ascontiguousarray(values)
        valid = None
        if self.padding is not None:
            valid = (values < self.padding[0]) | (values > self.padding[1])
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            finite = np.isfinite(values)
            valid = finite if valid is None else valid & finite
            values = np.where(finite, values, 0)
        return FrameValues(stored=values, valid=valid, aspect=down / across)

    def cross(self, name: str) -> tuple[int, int]:
        """(column, row) of the point on a plane."""
        h, p, left = self.point
        up = self.array.shape[0] - 1 - h
        return {"axial": (left, p), "coronal": (left, up), "sagittal": (p, up)}[name]

    def move_to(self, name: str, column: float, row: float) -> None:
        """Put the point where (column, row) of a plane is."""
        top = self.array.shape[0] - 1
        if name == "axial":
            target = [self.point[0], row, column]
        elif name == "coronal":
            target = [top - row, self.point[1], column]
        else:
            target = [top - row, column, self.point[2]]
        self.point = [int(min(max(round(v), 0), n - 1)) for v, n in zip(target, self.array.shape, strict=True)]

    def step(self, name: str, amount: int) -> None:
        """Go through the slices of a plane."""
        axis = PLANES.index(name)
        self.point[axis] = min(max(self.point[axis] + amount, 0), self.array.shape[axis] - 1)

    @property
    def value(self) -> float:
        """Value at the point."""
        return float(self.array[tuple(self.point)])
