"""RT Structure Sets, read: named regions as contours in the patient, and as label maps on a volume's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import scan
from gpukit.dicom.segmentation.acquired_stack import AcquiredStack, acquired_stack
from gpukit.dicom.segmentation.contour_raster import rasterise
from gpukit.errors import FormatError, GeometryError, GpukitError, SelectionError
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["STORAGE", "Region", "outline_key", "read_regions", "read_rtstruct", "region_array"]

#: RT Structure Set Storage, PS3.4 B.5.
STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
_FARTHEST = 1e6  # mm: no contour of a patient is farther from any origin
#: Of millimetres, to which two outlines are compared.
_DIGITS = 3
#: How often an outline may pass its first corner and still be compared; bounds the work that a file can ask for.
_MOST_STARTS = 64
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "")


@dataclass(frozen=True)
class Region:
    """One ROI of a structure set.

    Parameters
    ----------
    number : int
        ROINumber as the file gives it.
    value : int
        What it is in a label map: the number, or where the file's numbers cannot be labels, its place from 1.
    name : str
        ROIName.
    color : tuple of int or None
        ROIDisplayColor, sRGB.
    contours : tuple of array of float64, (n, 3)
        Closed contours, LPS mm.
    instances : frozenset of str
        SOP instance UIDs of the images that the contours were drawn on, where stated.
    frame_of_reference : str
        ReferencedFrameOfReferenceUID, empty where not stated.
    others : int
        Contours that enclose nothing (points, open lines) and were left out.
    repeated : int
        Contours that repeat the outline of another one and were left out.
    """

    number: int
    value: int
    name: str
    color: tuple[int, int, int] | None
    contours: tuple[NDArray[np.float64], ...]
    instances: frozenset[str] = field(default_factory=frozenset)
    frame_of_reference: str = ""
    others: int = 0
    repeated: int = 0

    @property
    def label(self) -> Label:
        """The region as a label of a label map."""
        return Label(value=self.value, name=self.name, category=ANATOMY, type=TISSUE, color=self.color)


def read_regions(path: str | PathLike[str] | Location) -> tuple[Region, ...]:
    """Every ROI of a structure set, in the file's order.

    Raises
    ------
    FormatError
        No RT Structure Set, or damaged.
    """
    location = path if isinstance(path, Location) else Location(fspath(path))
    dataset = _open(location)
    try:
        return _regions(dataset, str(location))
    except GpukitError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A hostile file can hold any value in any attribute; pydicom gives it out as it is.
        raise FormatError(f"an attribute makes no sense: {error}", file=str(location)) from error


def read_rtstruct(
    path: str | PathLike[str] | Location, volume: Volume, *, regions: Sequence[int] | None = None
) -> Segmentation:
    """Regions of a structure set as one label map on a volume's grid.

    Parameters
    ----------
    path : path or Location
        The RTSTRUCT file.
    volume : Volume
        Gives the grid; contours are matched to its slices by their position in the patient, see `rasterise`. Contours
        on acquired slices of a volume with interpolated ones are drawn there, and interpolated like the volume.
    regions : sequence of int or None
        ROI numbers to draw; None draws all that enclose something.

    Returns
    -------
    Segmentation
        On the CPU; label values are the ROI numbers (or places from 1 where those cannot be labels). A region that
        holds the centre of no voxel, or belongs to another frame of reference, is left out where another one is left,
        and a note says so.

    Raises
    ------
    FormatError
        No RT Structure Set, or damaged.
    SelectionError
        Regions overlap, which one label map cannot hold, a number does not exist, or a region encloses nothing.
    GeometryError
        All contours belong to another frame of reference, or none of them meets the volume.
    """
    name = str(path) if isinstance(path, Location) else fspath(path)
    every = read_regions(path)
    chosen = _chosen(every, regions, name)
    array = np.zeros(volume.grid.shape, np.uint8 if max(r.value for r in chosen) < 256 else np.uint16)
    stack = acquired_stack(volume)
    acquired = None if stack is None else np.zeros(stack.grid.shape, array.dtype)
    notes: list[str] = list(volume.notes)
    drawn: list[Region] = []
    missed: list[GeometryError] = []
    for region in chosen:
        on_acquired = stack is not None and all(stack.holds(contour) for contour in region.contours)
        target = array if acquired is None or not on_acquired else acquired
        try:
            inside, remarks = region_array(region, volume, name, stack if on_acquired else None)
        except GeometryError as error:  # a marker or a couch must not cost the tumour
            named = f"region {region.number} ({region.name})"
            missed.append(error)
            notes.append(f"{named} is left out: {error.what.removeprefix(named).lstrip()}")
            continue
        drawn.append(region)
        notes += remarks
        clash = target[inside]
        if clash.any():
            other = next(r for r in chosen if r.value == int(clash[clash > 0][0]))
            raise SelectionError(
                f"regions overlap, such as {other.number} ({other.name}) and {region.number} ({region.name}): "
                "no label map can hold both",
                file=name,
                attribute="ROIContourSequence",
                fix="read them one at a time",
            )
        target[inside] = region.value
    if not drawn:
        raise missed[0]
    if stack is not None and acquired is not None and acquired.any():
        array = np.where(array == 0, stack.fill(acquired), array)
        notes.append(stack.note)
    else:
        acquired = None
    return Segmentation(
        array=array,
        grid=volume.grid,
        labels=tuple(region.label for region in drawn),
        sources=volume.sources,
        metadata=volume.metadata,
        notes=tuple(dict.fromkeys(notes)),
        geometry=volume.geometry,
        acquired=acquired,
    )


def region_array(
    region: Region, volume: Volume, name: str, stack: AcquiredStack | None = None
) -> tuple[NDArray[np.bool_], list[str]]:
    """Voxels of a volume's grid whose centre lies in a region, and what a user must know of how they were found.

    With `stack` the voxels are those of the acquired slices, on its grid.

    Raises
    ------
    GeometryError
        The region belongs to another frame of reference, or lies wholly outside the volume.
    """
    ours, theirs = str(volume.metadata.get("FrameOfReferenceUID") or ""), region.frame_of_reference
    drawn_here = bool(region.instances & {source.sop_instance_uid for source in volume.sources})
    if ours and theirs and ours != theirs and not drawn_here:
        raise GeometryError(
            f"region {region.number} ({region.name}) belongs to another frame of reference than the volume",
            file=name,
            attribute="ReferencedFrameOfReferenceUID",
            fix="give the series that it was drawn on, or one registered to it",
        )
    if stack is None:
        inside, remarks = rasterise(region.contours, volume.grid)
    else:
        inside, remarks = rasterise([stack.move(contour) for contour in region.contours], stack.grid)
    told = [f"region {region.number} ({region.name}): {remark}" for remark in remarks]
    if region.others:
        told.append(f"region {region.number} ({region.name}): {region.others} points or open lines enclose nothing")
    if region.repeated:
        told.append(f"region {region.number} ({region.name}): {region.repeated} repeated outlines were used once")
    if not inside.any():
        raise GeometryError(
            f"region {region.number} ({region.name}) meets no voxel of the volume",
            file=name,
            attribute="ContourData",
            fix="give the series that it was drawn on",
        )
    return inside, told


def _chosen(every: Sequence[Region], numbers: Sequence[int] | None, name: str) -> list[Region]:
    if numbers is None:
        found = [region for region in every if region.contours]
        if not found:
            raise SelectionError("no region has a closed contour", file=name, attribute="ROIContourSequence")
        return found
    chosen = []
    for number in dict.fromkeys(numbers):
        region = next((r for r in every if r.number == number), None)
        if region is None:
            listed = ", ".join(f"{r.number} ({r.name})" for r in every)
            raise SelectionError(f"there is no region {number}", file=name, fix=f"choose among {listed}")
        if not region.contours:
            raise SelectionError(
                f"region {number} ({region.name}) has no closed contour", file=name, attribute="ContourSequence"
            )
        chosen.append(region)
    return chosen


def _open(location: Location) -> Dataset:
    result = scan([location])
    if result.problems:
        raise result.problems[0][1]
    header = result.headers[0]
    kind = header.get("SOPClassUID")
    if kind != STORAGE and header.get("Modality") != "RTSTRUCT":
        raise FormatError(
            f"not an RT Structure Set (its SOP class is {kind or 'missing'})",
            file=str(location),
            attribute="SOPClassUID",
        )
    return header.dataset()


def _regions(dataset: Dataset, name: str) -> tuple[Region, ...]:
    described = list(dataset.get("StructureSetROISequence") or ())
    if not described:
        raise FormatError("the structure set describes no ROI", file=name, attribute="StructureSetROISequence")
    drawn: dict[int, list[Dataset]] = {}
    for item in dataset.get("ROIContourSequence") or ():
        number = item.get("ReferencedROINumber")
        if number is not None:
            drawn.setdefault(int(number), []).append(item)  # some writers give one ROI several items
    numbers = [int(item.ROINumber) for item in described]
    usable = len(set(numbers)) == len(numbers) and min(numbers) > 0 and max(numbers) <= 0xFFFF
    found = []
    for place, (item, number) in enumerate(zip(described, numbers, strict=True), 1):
        items = drawn.get(number, [])
        contours, instances, others, repeated = _contours(items, name)
        color = next((value for one in items if (value := one.get("ROIDisplayColor")) is not None), None)
        rgb = tuple(int(v) for v in color) if color is not None and len(color) == 3 else None
        found.append(
            Region(
                number=number,
                value=number if usable else place,
                name=str(item.get("ROIName") or f"ROI {number}").strip(),
                color=None if rgb is None else (rgb[0], rgb[1], rgb[2]),
                contours=contours,
                instances=instances,
                frame_of_reference=str(item.get("ReferencedFrameOfReferenceUID") or ""),
                others=others,
                repeated=repeated,
            )
        )
    return tuple(found)


def _contours(items: Sequence[Dataset], name: str) -> tuple[tuple[NDArray[np.float64], ...], frozenset[str], int, int]:
    """Closed contours, the images they were drawn on, how many others there are, and how many repeat an outline."""
    contours: list[NDArray[np.float64]] = []
    boxes: dict[bytes, NDArray[np.float64]] = {}  # contours of one outline lie in one box: few need to be compared
    keys: dict[bytes, set[bytes]] = {}
    instances: set[str] = set()
    others = repeated = 0
    for contour in (one for item in items for one in item.get("ContourSequence") or ()):
        kind = str(contour.get("ContourGeometricType") or "").upper()
        for image in contour.get("ContourImageSequence") or ():
            instances.add(str(image.get("ReferencedSOPInstanceUID") or ""))
        points = _points(contour, name)
        if kind not in _CLOSED or len(points) < 3:
            others += 1
            continue
        # A contour that stands twice (some writers do) would cut itself out; XOR contours may mean that.
        if kind != "CLOSEDPLANAR_XOR":
            box = (np.round([points.min(axis=0), points.max(axis=0)], _DIGITS) + 0.0).tobytes()
            if box in boxes:
                alike = keys[box] if box in keys else {outline_key(boxes[box])}
                keys[box] = alike
                before = len(alike)
                alike.add(outline_key(points))
                if len(alike) == before:
                    repeated += 1
                    continue
            boxes.setdefault(box, points)
        contours.append(points)
    return tuple(contours), frozenset(instances - {""}), others, repeated


def outline_key(points: NDArray[np.float64]) -> bytes:
    """The same bytes for the same closed outline, whichever corner and direction it is written from.

    Corners that repeat, or lie on the line between their neighbours, do not count; coordinates are compared to a
    thousandth of a millimetre.

    Parameters
    ----------
    points : array, (n, 3)
        LPS mm.
    """
    corners = np.round(points, _DIGITS) + 0.0  # no negative zero
    corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    if len(corners) > 2:
        before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
        height = np.linalg.norm(np.cross(before, after), axis=1)
        reach = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        straight = (height <= 1e-6 * reach) & ((before * after).sum(axis=1) > 0)
        corners = corners[~straight]
    if not len(corners):
        return b""
    order = np.lexsort(corners.T[::-1])
    first = corners[order[0]]
    turns: list[bytes] = []
    starts = np.flatnonzero((corners == first).all(axis=1))[:_MOST_STARTS]  # a keyhole passes a corner twice
    for start in starts.tolist():
        turned = np.roll(corners, -start, axis=0)
        turns += [turned.tobytes(), np.roll(turned[::-1], 1, axis=0).tobytes()]
    return min(turns)


def _points(contour: Dataset, name: str) -> NDArray[np.float64]:
    """Contour Data without a Python object for each of its numbers: a structure set has a million of them."""
    element = contour.get_item("ContourData")
    value = None if element is None else element.value
    if not value:
        return np.empty((0, 3))
    if isinstance(value, bytes):
        try:
            numbers = np.array(value.strip(b" \0\\").split(b"\\"), dtype=np.float64)
        except ValueError as error:
            raise FormatError("a contour's points are no numbers", file=name, attribute="ContourData") from error
    else:
        numbers = np.atleast_1d(np.asarray([float(v) for v in value], dtype=np.float64))
    if numbers.size % 3 or not (np.abs(numbers) < _FARTHEST).all():
        raise FormatError(
            f"a contour of {numbers.size} numbers makes no points x, y, z", file=name, attribute="ContourData"
        )
    return numbers.reshape(-1, 3)
