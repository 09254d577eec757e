"""Which planes a DICOM Segmentation has, and which source frames each of them comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import GeometryError
from gpukit.geometry import Grid
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset
from gpukit.dicom.image.functional_groups import functional_group, in_plane
from gpukit.dicom.image.planes_of import planes_of
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_header

__all__ = ["ALIGNED", "Planes", "plan_planes"]


#: A source frame counts as a plane of the grid when none of its corners is farther off than this, in voxels. Real
#: series jitter by a few hundredths of a millimetre; a resampled grid is off by more on all but a few planes.
ALIGNED = 0.1


@dataclass(frozen=True)
class Planes:
    """Planes of a segmentation, in the order of the grid's k.

    Parameters
    ----------
    positions : list of tuple of float
        ImagePositionPatient of each plane, LPS mm.
    orientation : tuple of float
        ImageOrientationPatient: directions of a row and of a column.
    spacing : tuple of float
        PixelSpacing: mm between rows, mm between columns.
    thickness : float
        SliceThickness in mm.
    references : list of tuple of SourceInstance
        The source frames of each plane.
    aligned : bool
        Whether every plane is exactly a source frame. Otherwise the segmentation lies on a resampled grid.
    pixelwise : bool
        Whether, on top of that, pixels correspond one to one; not so for the tiles of a mosaic.
    placed : bool
        Whether the planes have a place in the patient. Otherwise positions, orientation, spacing and thickness are
        stand-ins that no object may state: pixels correspond to those of the source frames, and to nothing else.
    """

    positions: list[tuple[float, float, float]]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    thickness: float
    references: list[tuple[SourceInstance, ...]]
    aligned: bool
    pixelwise: bool
    placed: bool = True

    def first(self) -> Planes:
        """The first plane only."""
        return replace(self, positions=self.positions[:1], references=self.references[:1])


def plan_planes(grid: Grid, sources: Sequence[SourceInstance], header: Dataset) -> Planes:
    """Lay out the planes of a segmentation on `grid`, in the very numbers of the source instances where they agree.

    Parameters
    ----------
    grid : Grid
        Of the label map.
    sources : sequence of SourceInstance
        Every frame that the segmented volume was made of; at least one.
    header : Dataset
        Header of the first source.

    Returns
    -------
    Planes
        Aligned with the sources if each plane has a source frame and each source frame a plane. Not placed where the
        sources state no place in the patient, such as photos, projections and ultrasound.

    Raises
    ------
    GeometryError
        Rows and columns of the grid are not perpendicular, which no DICOM image can express; or the sources have no
        place in the patient, and the grid has another size than they.
    """
    if not is_placed(header, sources[0]):
        return _pictures(grid, sources, header)
    row, column = grid.direction[:, 0], grid.direction[:, 1]
    if abs(float(row @ column)) > 1e-4:
        raise GeometryError(
            "rows and columns of the label map are not perpendicular, which a DICOM Segmentation cannot express",
            fix="resample it onto an orthogonal grid first, or write NIfTI",
        )
    known = in_plane(header, sources[0].frame)
    corners = _corner_indices(grid, sources, known)
    nearest = np.rint(corners[..., 2].mean(axis=1)).astype(int)
    ni, nj = grid.shape[2] - 1, grid.shape[1] - 1
    wanted = np.array([(0, 0), (ni, 0), (0, nj), (ni, nj)], float)
    off = max(
        float(np.abs(corners[..., :2] - wanted).max()),
        float(np.abs(corners[..., 2] - nearest[:, None]).max()),
    )
    if known is not None and off <= ALIGNED and set(nearest.tolist()) == set(range(grid.shape[0])):
        by_plane: list[list[SourceInstance]] = [[] for _ in range(grid.shape[0])]
        for source, k in zip(sources, nearest.tolist(), strict=True):
            by_plane[k].append(source)
        return Planes(
            positions=[frames[0].position for frames in by_plane],
            orientation=known[0],
            spacing=known[1],
            thickness=_thickness(header, sources[0].frame, grid),
            references=[tuple(frames) for frames in by_plane],
            aligned=True,
            pixelwise=(int(header.get("Rows") or 0), int(header.get("Columns") or 0)) == grid.shape[1:],
        )
    origins = grid.to_world([(0, 0, k) for k in range(grid.shape[0])])
    si, sj, _ = grid.spacing
    return Planes(
        positions=[(float(x), float(y), float(z)) for x, y, z in origins],
        orientation=tuple(float(v) for v in (*row, *column)),
        spacing=(sj, si),
        thickness=_normal_spacing(grid),
        references=[_between(sources, corners[..., 2], k) for k in range(grid.shape[0])],
        aligned=False,
        pixelwise=False,
    )


def is_placed(header: Dataset, source: SourceInstance) -> bool:
    """Whether an image, or its frame, states position, orientation and pixel size in the patient.

    Parameters
    ----------
    header : Dataset
        Of the source.
    source : SourceInstance
        Names the file and the frame.
    """
    place = functional_group(header, "PlanePositionSequence", source.frame)
    if in_plane(header, source.frame) is not None and place is not None and place.get("ImagePositionPatient"):
        return True
    # nuclear medicine, RT dose and mosaics state it elsewhere
    planes = planes_of(read_header(Location(source.path, source.member)))
    frame = (source.frame or 1) - 1
    return planes[frame if frame < len(planes) else 0].has_geometry


def _pictures(grid: Grid, sources: Sequence[SourceInstance], header: Dataset) -> Planes:
    """Planes whose pixels are those of their source frames (PS3.3 A.51.5.1, without a frame of reference)."""
    count, rows, columns = grid.shape
    own = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    if own != (rows, columns):
        raise GeometryError(
            f"the label map has {columns} x {rows} pixels and its source images {own[1]} x {own[0]}: images without a "
            "place in the patient need labels of their own size",
            fix="segment them at their own size, or write NIfTI",
        )
    by_plane: list[list[SourceInstance]] = [[] for _ in range(count)]
    if {source.index for source in sources} == set(range(count)):
        for source in sources:
            by_plane[source.index].append(source)
    elif len(sources) == count or count == 1:
        for n, source in enumerate(sources):
            by_plane[min(n, count - 1)].append(source)
    else:
        raise GeometryError(
            f"{count} planes of labels belong to {len(sources)} source images, and nothing says which to which",
            fix="segment one image, or write NIfTI",
        )
    return Planes(
        positions=[(0.0, 0.0, float(k)) for k in range(count)],
        orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        spacing=(1.0, 1.0),
        thickness=1.0,
        references=[tuple(frames) for frames in by_plane],
        aligned=True,
        pixelwise=True,
        placed=False,
    )


def _corner_indices(
    grid: Grid,
    sources: Sequence[SourceInstance],
    known: tuple[tuple[float, ...], tuple[float, float]] | None,
) -> NDArray[np.float64]:
    """(n, 4, 3) index points (i, j, k) on the grid of the four corner pixels of every source frame."""
    if known is None:
        row, column = grid.affine[:3, 0], grid.affine[:3, 1]
    else:
        cosines, (between_rows, between_columns) = known
        row, column = np.asarray(cosines[:3]) * between_columns, np.asarray(cosines[3:]) * between_rows
    ni, nj = grid.shape[2] - 1, grid.shape[1] - 1
    offsets = np.stack([0 * row, ni * row, nj * column, ni * row + nj * column])
    positions = np.asarray([source.position for source in sources], float)
    return grid.to_index(positions[:, None, :] + offsets[None])


def _between(sources: Sequence[SourceInstance], heights: NDArray[np.float64], k: int) -> tuple[SourceInstance, ...]:
    """The source frames that plane k cuts, and the nearest ones below and above it; `heights` are their corners' k."""
    low, high, middle = heights.min(axis=1), heights.max(axis=1), heights.mean(axis=1)
    chosen = (low <= k) & (k <= high)
    for side in (middle <= k, middle >= k):
        if side.any():
            chosen |= side & (np.abs(middle - k) <= np.abs(middle[side] - k).min() + ALIGNED)
    return tuple(sources[n] for n in np.flatnonzero(chosen).tolist())


def _normal_spacing(grid: Grid) -> float:
    """Distance in mm between neighbouring planes, along their normal (also right for a sheared grid)."""
    normal = np.cross(grid.direction[:, 0], grid.direction[:, 1])
    return float(abs(normal @ grid.affine[:3, 2]) / np.linalg.norm(normal))


def _thickness(header: Dataset, frame: int | None, grid: Grid) -> float:
    """SliceThickness as the source states it, else the distance between planes."""
    measures = functional_group(header, "PixelMeasuresSequence", frame)
    stated = None if measures is None else measures.get("SliceThickness")
    return float(stated) if stated and float(stated) > 0 else _normal_spacing(grid)
