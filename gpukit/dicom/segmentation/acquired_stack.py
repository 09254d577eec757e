"""The acquired slices of a volume with interpolated ones: masks are drawn there, and interpolated from there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.geometry import Grid
from gpukit.ops.slice_interpolation import interpolated_slices
from gpukit.volume import Volume

__all__ = ["AcquiredStack", "acquired_stack"]

#: A point lies on an acquired slice when it is not farther off than this part of the distance to the next one.
_ON_SLICE = 0.2


@dataclass(frozen=True)
class AcquiredStack:
    """The acquired slices of a volume, one a slice of a grid of their own.

    Parameters
    ----------
    volume : Volume
        With `acquired_slices`.
    """

    volume: Volume

    @cached_property
    def grid(self) -> Grid:
        """Rows and columns are those of the volume, slices are the acquired ones, as if they were evenly spaced."""
        grid = self.volume.grid
        return Grid((len(self.volume.acquired_slices), *grid.shape[1:]), grid.affine)

    def move(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the patient as points of `grid`, in LPS mm: a point on an acquired slice stays on that slice.

        Parameters
        ----------
        points : array, (n, 3)
            LPS mm.
        """
        index = np.atleast_2d(self.volume.grid.to_index(points)).astype(float)
        index[:, 2] = self._slices(index[:, 2])
        return np.asarray(self.grid.to_world(index))

    def holds(self, points: NDArray[np.float64]) -> bool:
        """Whether all points lie on acquired slices."""
        k = self._slices(np.atleast_2d(self.volume.grid.to_index(points))[:, 2])
        return bool((np.abs(k - np.rint(k)) <= _ON_SLICE).all())

    def fill(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Labels of the acquired slices, ``[a, j, i]``, on the volume's own grid, interpolated between them."""
        grid = self.volume.grid
        return interpolated_slices(
            labels, self.volume.acquired_slices, range(grid.shape[0]), spacing=grid.spacing[:2]
        )  # fmt: skip

    @property
    def note(self) -> str:
        """What a user must know of labels that were filled."""
        count = len(self.volume.acquired_slices)
        return (
            f"the mask lies on the {count} acquired slices: between them its shape was interpolated by distance maps "
            "(planimetric volumes use the acquired slices alone)"
        )

    def _slices(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        """Index of acquired slices, with fractions, of slices k of the volume."""
        known = np.asarray(self.volume.acquired_slices, float)
        at = np.clip(np.searchsorted(known, k, side="right") - 1, 0, len(known) - 2)
        return np.asarray(at + (k - known[at]) / (known[at + 1] - known[at]))


def acquired_stack(volume: Volume | None) -> AcquiredStack | None:
    """The acquired slices of a volume whose other slices were interpolated; None for any other volume."""
    return None if volume is None or len(volume.acquired_slices) < 2 else AcquiredStack(volume)
