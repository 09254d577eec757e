"""Which frames the planes of a grid were acquired as, and where points of a plane lie on them.

A volume that was resampled on reading (a gantry tilt removed, uneven slices made even) has planes that are none of its
frames, or are one of them shifted; the tiles of a mosaic lie somewhere in a larger image. What refers to pixels of a
DICOM image must not take the one for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.functional_groups import in_plane
from gpukit.dicom.modules.source_frames import ALIGNED
from gpukit.geometry import Grid
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Acquired", "Points"]

Points = tuple[tuple[float, float], ...]


class Acquired:
    """The frames behind a grid.

    Parameters
    ----------
    grid : Grid
        Whose planes are asked for.
    sources : sequence of SourceInstance
        Of one phase.
    header : Dataset
        Of the first source.
    """

    def __init__(self, grid: Grid, sources: Sequence[SourceInstance], header: Dataset) -> None:
        self._grid = grid
        named = {(source.sop_instance_uid, source.frame) for source in sources}
        self._size = int(header.get("Columns") or 0), int(header.get("Rows") or 0)
        # a plane between others is a frame only if it is at its place; in a stack as it was acquired, the nearest is
        reach = 0.5 if len({source.position for source in sources}) == grid.shape[0] else ALIGNED
        self._frames: dict[int, list[tuple[SourceInstance, NDArray[np.float64]]]] = {}
        for source in sources if len(named) == len(sources) else ():  # tiles of one image are no frames
            inverse = self._inverse(source, header, len(named))
            if inverse is None:
                continue
            ni, nj = grid.shape[2] - 1, grid.shape[1] - 1
            frame = grid.inverse @ np.linalg.inv(inverse)
            heights = [float((frame @ (i, j, 0, 1))[2]) for i, j in ((0, 0), (ni, 0), (0, nj), (ni, nj))]
            k = round(sum(heights) / 4)
            if max(abs(height - k) for height in heights) <= reach:
                self._frames.setdefault(k, []).append((source, inverse))

    def _inverse(self, source: SourceInstance, header: Dataset, count: int) -> NDArray[np.float64] | None:
        """From LPS mm to (column, row, distance in mm) of a frame; None where nothing says where it lies."""
        known = in_plane(header, source.frame)
        frame = np.eye(4)
        if known is not None:
            cosines, (between_rows, between_columns) = known
            row, column = np.asarray(cosines[:3]), np.asarray(cosines[3:])
            frame[:3, 0], frame[:3, 1] = row * between_columns, column * between_rows
            frame[:3, 2], frame[:3, 3] = np.cross(row, column), source.position
        elif count == 1 and self._grid.shape[0] == 1:  # a picture without a place is its own grid
            frame = self._grid.affine.copy()
            frame[:3, 2] /= np.linalg.norm(frame[:3, 2])
        else:
            return None
        sizes = float(np.prod(np.linalg.norm(frame[:3, :3], axis=0)))
        return np.asarray(np.linalg.inv(frame), np.float64) if abs(np.linalg.det(frame)) > 1e-12 * sizes else None

    def frames(self, k: int) -> tuple[SourceInstance, ...]:
        """The frames in whose plane plane k lies, shifted or not."""
        return tuple(source for source, _ in self._frames.get(k, ()))

    def same(self, k: int) -> tuple[SourceInstance, ...]:
        """The frames that plane k is, pixel for pixel."""
        nk, nj, ni = self._grid.shape
        if not 0 <= k < nk or self._size != (ni, nj):
            return ()
        corners = [(-0.5, -0.5), (ni - 0.5, -0.5), (-0.5, nj - 0.5)]
        found = self.places(corners, k)
        return tuple(source for source, points in found if np.abs(np.subtract(points, corners)).max() <= ALIGNED)

    def places(self, points: Sequence[tuple[float, float]], k: int) -> list[tuple[SourceInstance, Points]]:
        """Points (column, row) of plane k on each frame in whose plane they lie, in that frame's pixels."""
        world = self._grid.to_world([(i, j, k) for i, j in points])
        placed = []
        for source, inverse in self._frames.get(k, ()):
            there = world @ inverse[:3, :3].T + inverse[:3, 3]
            placed.append((source, tuple((float(x), float(y)) for x, y, _ in there)))
        return placed
