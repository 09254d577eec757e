"""Rotation by quarters and mirroring of a picture, and what becomes of points on it (PS3.3 C.10.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Turn"]


@dataclass(frozen=True)
class Turn:
    """A rotation clockwise, then a flip of left and right.

    Parameters
    ----------
    rotation : int
        0, 90, 180 or 270.
    flip : bool
        After the rotation.
    """

    rotation: int = 0
    flip: bool = False

    @property
    def is_none(self) -> bool:
        """Whether nothing turns."""
        return self.rotation == 0 and not self.flip

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """``[row, column, ...]`` turned."""
        if self.is_none:
            return values
        turned = np.rot90(values, -(self.rotation // 90))
        return np.ascontiguousarray(turned[:, ::-1] if self.flip else turned)

    def points(self, points: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
        """(column, row) from the centre of the first pixel of the unturned picture of that size, turned."""
        x, y = points[:, 0], points[:, 1]
        if self.rotation == 90:
            x, y, columns = rows - 1 - y, x, rows
        elif self.rotation == 180:
            x, y = columns - 1 - x, rows - 1 - y
        elif self.rotation == 270:
            x, y, columns = y, columns - 1 - x, rows
        if self.flip:
            x = columns - 1 - x
        return np.stack([x, y], axis=1)

    def directions(self, right: Any, lower: Any, opposite: Any) -> tuple[Any, Any]:
        """What lies at the right and lower border after the turn; `opposite` turns a direction round."""
        for _ in range(self.rotation // 90):
            right, lower = opposite(lower), right
        return (opposite(right) if self.flip else right), lower
