"""Where the frames of a DICOM Segmentation lie, and where that is on a grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.functional_groups import functional_group
from gpukit.errors import FormatError, GeometryError
from gpukit.geometry import Grid
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["SegFrame", "Slot", "frames_of", "own_grid", "slot_in"]

#: A frame lies on a grid when none of its corners is farther off than this, in voxels.
TOLERANCE = 0.2


@dataclass(frozen=True)
class SegFrame:
    """Place and meaning of one frame.

    Parameters
    ----------
    affine : (4, 4) array
        Maps (column, row, planes along the normal in mm, 1) to LPS mm.
    shape : tuple of int
        Rows, columns.
    step : float or None
        Distance to the next plane in mm, where stated (SpacingBetweenSlices, else SliceThickness).
    segment : int
        Segment number; 0 for a label map.
    instances : tuple of str
        SOP instance UIDs of the source images that it references.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int]
    step: float | None
    segment: int
    instances: tuple[str, ...]

    @property
    def corners(self) -> NDArray[np.float64]:
        """LPS mm of its first pixel and of the last ones in its first row and column, ``(3, 3)``."""
        rows, columns = self.shape
        index = np.array([(0, 0), (columns - 1, 0), (0, rows - 1)], float)
        return np.asarray(index @ self.affine[:3, :2].T + self.affine[:3, 3])

    def at(self, position: NDArray[np.float64]) -> SegFrame:
        """The same frame at another position, LPS mm of its first pixel."""
        affine = self.affine.copy()
        affine[:3, 3] = position
        return replace(self, affine=affine)


@dataclass(frozen=True)
class Slot:
    """Place of a frame in a grid's array.

    Parameters
    ----------
    where : tuple of slice
        The block ``[k, j, i]`` of the array, one voxel thick along the frame's normal.
    crop : tuple of slice
        The part of the frame (rows, columns) that lies within.
    swap : bool
        Whether rows and columns change places.
    flips : tuple of bool
        Whether rows, columns run backwards.
    normal : int
        The array axis along which the block is one thick.
    """

    where: tuple[slice, slice, slice]
    crop: tuple[slice, slice]
    swap: bool
    flips: tuple[bool, bool]
    normal: int

    def fit(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        """The frame's values in the shape of the block ``array[where]``.

        Raises
        ------
        GeometryError
            Labelled pixels lie outside the grid.
        """
        inside = values[self.crop]
        if inside.shape != values.shape and np.count_nonzero(inside) != np.count_nonzero(values):
            raise GeometryError(
                "labelled pixels lie outside the volume", file=name, fix="give the volume that was segmented"
            )
        inside = inside[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]
        return np.expand_dims(inside.T if self.swap else inside, self.normal)


def frames_of(dataset: Dataset, name: str, *, labelmap: bool, volume: Volume | None) -> list[SegFrame | None]:
    """Place and meaning of every frame, in stored order; None for one of another frame of the volume's cine loop."""
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    count = int(dataset.get("NumberOfFrames") or len(groups) or 1)
    if len(groups) != count:
        raise FormatError(
            f"{count} frames but {len(groups)} items that describe them",
            file=name,
            attribute="PerFrameFunctionalGroupsSequence",
        )
    positions = _source_positions(volume)
    pictures = set() if volume is None or volume.geometry.position else {one.sop_instance_uid for one in volume.sources}
    frames: list[SegFrame | None] = []
    for number in range(1, count + 1):
        references = _references(groups[number - 1])
        identity = functional_group(dataset, "SegmentIdentificationSequence", number)
        segment = 0 if labelmap or identity is None else int(identity.get("ReferencedSegmentNumber") or 0)
        if not labelmap and segment < 1:
            raise FormatError(f"frame {number} belongs to no segment", file=name, attribute="ReferencedSegmentNumber")
        place = functional_group(dataset, "PlanePositionSequence", number)
        position = None if place is None else place.get("ImagePositionPatient")
        if not position:
            position = next((positions[key] for key in references if key in positions), None)
        if position is None and any(uid in pictures for uid, _ in references):
            frames.append(None)
            continue
        if position is None:
            raise GeometryError(
                f"frame {number} states no position in the patient" + _why_no_position(dataset, volume),
                file=name,
                attribute="PlanePositionSequence",
            )
        affine, step = _frame_affine(dataset, number, position, name, volume)
        frames.append(SegFrame(affine, (rows, columns), step, segment, tuple(uid for uid, _ in references)))
    return frames


def _source_positions(volume: Volume | None) -> dict[tuple[str, int | None], tuple[float, float, float]]:
    """LPS mm of each source frame of a volume; of pictures without a place in the patient, that of their slice."""
    if volume is None:
        return {}
    if volume.geometry.position:
        return {(s.sop_instance_uid, s.frame): s.position for s in volume.sources}
    places: dict[tuple[str, int | None], tuple[float, float, float]] = {}
    for source in volume.sources:
        x, y, z = volume.grid.to_world((0, 0, max(source.index, 0)))
        places[source.sop_instance_uid, source.frame] = (float(x), float(y), float(z))
    return places


def _why_no_position(dataset: Dataset, volume: Volume | None) -> str:
    if functional_group(dataset, "PlanePositionSlideSequence", 1) is not None or "TotalPixelMatrixRows" in dataset:
        return " (it is a segmentation of a microscopy slide, which gpukit does not read)"
    return (
        " and no volume was given whose source it references" if volume is None else " and references no known source"
    )


def _references(group: Dataset) -> list[tuple[str, int | None]]:
    """(SOP instance UID, frame number or None) of every source that a frame references."""
    found: list[tuple[str, int | None]] = []
    for derivation in group.get("DerivationImageSequence") or ():
        for item in derivation.get("SourceImageSequence") or ():
            numbers = item.get("ReferencedFrameNumber")
            listed = [None] if numbers is None else numbers if hasattr(numbers, "__iter__") else [numbers]
            found += [(str(item.get("ReferencedSOPInstanceUID") or ""), None if n is None else int(n)) for n in listed]
    return found


def _frame_affine(
    dataset: Dataset, number: int, position: Any, name: str, volume: Volume | None
) -> tuple[NDArray[np.float64], float | None]:
    """Affine and step of one frame; orientation and spacing that are not stated are the volume's."""
    orientation = functional_group(dataset, "PlaneOrientationSequence", number)
    measures = functional_group(dataset, "PixelMeasuresSequence", number)
    cosines = None if orientation is None else orientation.get("ImageOrientationPatient")
    spacing = None if measures is None else measures.get("PixelSpacing")
    if cosines and spacing and len(cosines) == 6 and len(spacing) == 2:
        row = np.asarray(cosines[:3], float) * float(spacing[1])
        column = np.asarray(cosines[3:], float) * float(spacing[0])
    elif volume is not None:
        row, column = volume.grid.affine[:3, 0], volume.grid.affine[:3, 1]
    else:
        raise GeometryError(
            f"frame {number} states no orientation or pixel spacing", file=name, attribute="PlaneOrientationSequence"
        )
    normal = np.cross(row, column)
    size = float(np.linalg.norm(normal))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row, column
    affine[:3, 3] = np.asarray(position, float)
    if not np.isfinite(affine).all() or not size > 0:
        raise GeometryError(f"position or orientation of frame {number} makes no sense", file=name)
    affine[:3, 2] = normal / size
    stated = None
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        value = None if measures is None else measures.get(keyword)
        if value and float(value) > 0:
            stated = float(value)
            break
    return affine, stated


def own_grid(frames: list[SegFrame], name: str) -> Grid:
    """The regular grid from the first to the last plane, through every plane.

    Raises
    ------
    GeometryError
        Planes differ in orientation or spacing, or lie at no common multiple of one distance.
    """
    first = frames[0]
    points = np.array([frame.affine[:3, 3] for frame in frames])
    for frame in frames:
        if np.abs(frame.affine[:3, :2] - first.affine[:3, :2]).max() * max(first.shape) > TOLERANCE:
            raise GeometryError(
                "frames differ in orientation or pixel spacing", file=name, fix="give the source volume"
            )
    along = (points - points[0]) @ first.affine[:3, 2]
    order = np.argsort(along, kind="stable")
    along, points = along[order], points[order]
    new = np.concatenate([[True], np.diff(along) > 1e-3])
    along, points = along[new], points[new]
    affine = first.affine.copy()
    affine[:3, 3] = points[0]
    if len(along) == 1:
        affine[:3, 2] *= first.step or 1.0
        return Grid((1, *first.shape), affine)
    span = along[-1] - along[0]
    candidates = [step for step in (first.step, float(np.diff(along).min())) if step]
    for step in candidates:
        planes = round(span / step)
        if not 0 < planes <= 65535:
            continue
        numbers = (along - along[0]) * planes / span
        vector = (points[-1] - points[0]) / planes
        off = points - (points[0] + np.rint(numbers)[:, None] * vector)
        in_plane = np.linalg.norm(first.affine[:3, :2], axis=0).min()
        distinct = len(set(np.rint(numbers).tolist())) == len(numbers)
        if (
            distinct
            and np.abs(numbers - np.rint(numbers)).max() < TOLERANCE
            and np.abs(off).max() < TOLERANCE * max(in_plane, step)
        ):
            affine[:3, 2] = vector
            return Grid((planes + 1, *first.shape), affine)
    raise GeometryError(
        "the planes lie at uneven distances, so they make no grid of their own", file=name, fix="give the source volume"
    )


def slot_in(grid: Grid, frame: SegFrame, name: str) -> Slot:
    """Where a frame lies in the array of a grid; rows, columns and planes may be in any order and direction.

    Raises
    ------
    GeometryError
        Its pixels are not voxels of the grid.
    """
    rows, columns = frame.shape
    affine = grid.inverse @ frame.affine
    along_row, along_column = np.rint(affine[:3, 0]).astype(int), np.rint(affine[:3, 1]).astype(int)
    start = np.rint(affine[:3, 3]).astype(int)
    corners = np.array([(c, r) for c in (0, columns - 1) for r in (0, rows - 1)], float)
    exact = corners @ affine[:3, :2].T + affine[:3, 3]
    rounded = corners @ np.stack([along_row, along_column]) + start
    unit = np.abs(along_row).sum() == 1 and np.abs(along_column).sum() == 1 and int(along_row @ along_column) == 0
    if not unit or np.abs(exact - rounded).max() > TOLERANCE:
        raise GeometryError(
            "its frames do not lie on the voxels of the volume",
            file=name,
            fix="give the volume that was segmented, or read the segmentation on its own grid",
        )
    i_row, i_column = int(np.argmax(np.abs(along_row))), int(np.argmax(np.abs(along_column)))
    normal = 3 - i_row - i_column
    where = [slice(0, 0)] * 3
    sizes = grid.shape[::-1]
    crops, flips = [], []
    for axis, direction, length in ((i_column, along_column, rows), (i_row, along_row, columns)):
        flipped = bool(direction[axis] < 0)
        low = int(start[axis]) - (length - 1 if flipped else 0)
        begin, end = max(0, low), min(sizes[axis], low + length)
        begin, end = (begin, end) if begin < end else (0, 0)
        where[2 - axis] = slice(begin, end)
        inside = slice(begin - low, end - low) if begin < end else slice(0, 0)
        crops.append(slice(length - inside.stop, length - inside.start) if flipped and begin < end else inside)
        flips.append(flipped)
    plane = int(start[normal])
    outside = not 0 <= plane < sizes[normal]
    where[2 - normal] = slice(0, 1) if outside else slice(plane, plane + 1)
    if outside:
        crops = [slice(0, 0), slice(0, 0)]
        where = [slice(0, 1) if n == 2 - normal else slice(0, 0) for n in range(3)]
    # Array order of the block's two long axes: the frame's rows come first unless their array axis is the later one.
    swap = (2 - i_column) > (2 - i_row)
    return Slot((where[0], where[1], where[2]), (crops[0], crops[1]), swap, (flips[0], flips[1]), 2 - normal)
