"""DICOM Segmentation objects, read: binary, fractional and label map, onto a source volume's grid or their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.modules.cielab import from_cielab
from gpukit.dicom.modules.cine import frames_as_slices, is_cine
from gpukit.dicom.modules.source_header import is_writable_uid
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import Header, scan
from gpukit.dicom.segmentation.acquired_stack import acquired_stack
from gpukit.dicom.segmentation.seg_frames import Slot, frames_of, own_grid, slot_in
from gpukit.errors import FormatError, GeometryError, GpukitError, SelectionError, TooLargeError
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import GeometryStatus, Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["read_seg", "segment_names"]

_STORAGE = {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}
_NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"}
#: No label map of a real examination is bigger; a header that asks for more is damaged or hostile.
_LARGEST = 16 << 30
#: Characters of a tracking identifier that are kept.
_LONGEST_NAME = 1024


def read_seg(
    path: str | PathLike[str] | Location,
    volume: Volume | None = None,
    *,
    segments: Sequence[int] | None = None,
    threshold: float = 0.5,
) -> Segmentation:
    """Read a DICOM Segmentation object.

    Frames are placed by their position in the patient. A frame that states no position takes that of the source frame
    it references.

    Parameters
    ----------
    path : path or Location
        The SEG file.
    volume : Volume or None
        The segmented volume: the label map comes on its grid, planes that the object leaves out are background. Where
        the volume has interpolated slices, and all frames lie on acquired ones, labels are interpolated like the
        volume. None gives a grid of the object's own, from its first to its last plane.
    segments : sequence of int or None
        Numbers of the segments to read; None reads all.
    threshold : float
        For fractional objects: the least fraction (of MaximumFractionalValue) that counts as inside. Zero never does.
        Where several segments claim a voxel, the highest fraction wins, then the lowest segment number.

    Returns
    -------
    Segmentation
        On the CPU; label values are the object's segment numbers.

    Raises
    ------
    FormatError
        No Segmentation object, or damaged.
    SelectionError
        Segments overlap, which one label map cannot hold, or a number in `segments` does not exist.
    GeometryError
        The frames do not lie on the volume's grid, or make no regular grid of their own.
    TooLargeError
        The header asks for more voxels than any examination has.
    """
    location = path if isinstance(path, Location) else Location(fspath(path))
    header, dataset = _open(location)
    try:
        return _read(header, dataset, str(location), volume, segments, threshold)
    except GpukitError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A hostile file can hold any value in any attribute; pydicom gives it out as it is.
        raise FormatError(f"an attribute makes no sense: {error}", file=str(location)) from error


def segment_names(path: str | PathLike[str] | Location) -> list[tuple[int, str]]:
    """Number and label of each segment that an object describes.

    Raises
    ------
    FormatError
        No Segmentation object, or damaged.
    """
    location = path if isinstance(path, Location) else Location(fspath(path))
    _, dataset = _open(location)
    try:
        return [(label.value, label.name) for label in _labels(dataset, str(location), None)[1]]
    except GpukitError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise FormatError(f"an attribute makes no sense: {error}", file=str(location)) from error


def _read(
    header: Header,
    dataset: Dataset,
    name: str,
    volume: Volume | None,
    segments: Sequence[int] | None,
    threshold: float,
) -> Segmentation:
    kind = str(dataset.get("SegmentationType") or "BINARY").upper()
    labels, every = _labels(dataset, name, segments)
    _check_pixels(header, dataset, name)
    if volume is not None and is_cine(volume):
        volume = frames_as_slices(volume)
    every_frame = frames_of(dataset, name, labelmap=kind == "LABELMAP", volume=volume)
    if not every_frame:
        raise FormatError("the segmentation has no frames", file=name, attribute="NumberOfFrames")
    frames = [frame for frame in every_frame if frame is not None]
    stack = acquired_stack(volume)
    if stack is not None and not all(stack.holds(frame.corners) for frame in frames):
        stack = None  # it has frames on interpolated slices: it was made on this very grid, or on another one
    if volume is None:
        grid = own_grid(frames, name)
    else:
        grid = volume.grid if stack is None else stack.grid
        if stack is not None:
            frames = [frame.at(stack.move(frame.affine[:3, 3])[0]) for frame in frames]
        theirs, ours = dataset.get("FrameOfReferenceUID"), volume.metadata.get("FrameOfReferenceUID")
        known = {source.sop_instance_uid for source in volume.sources}
        if theirs and ours and theirs != ours and not any(known & set(frame.instances) for frame in frames):
            raise GeometryError(
                "the segmentation belongs to another frame of reference than the volume",
                file=name,
                attribute="FrameOfReferenceUID",
                fix="give the volume that was segmented",
            )
    highest = max(label.value for label in every)
    dtype: Any = np.uint8 if highest < 256 else np.uint16
    if int(np.prod(grid.shape, dtype=object)) * np.dtype(dtype).itemsize > _LARGEST:
        raise TooLargeError(f"the header asks for a label map of {grid.shape} voxels", file=name, attribute="Rows")
    pairs = iter([(frame, slot_in(grid, frame, name)) for frame in frames])
    array = np.zeros(grid.shape, dtype)
    wanted = {label.value for label in labels}
    best = np.zeros(grid.shape, np.uint8) if kind == "FRACTIONAL" else None
    maximum = float(dataset.get("MaximumFractionalValue") or 255)
    clashes: set[tuple[int, int]] = set()
    for number, stored in enumerate(_frames(header, dataset, len(every_frame), name)):
        if every_frame[number] is None:
            continue
        frame, slot = next(pairs)
        if kind == "LABELMAP":
            undescribed = set(np.unique(stored).tolist()) - {label.value for label in every} - {0}
            if undescribed:
                raise FormatError(f"pixel values {sorted(undescribed)[:5]} have no description", file=name)
            _place(array, slot, np.where(np.isin(stored, sorted(wanted)), stored, 0), name)
        elif frame.segment not in wanted:
            continue
        elif best is None:
            clashes |= _place(array, slot, (stored != 0).astype(dtype) * dtype(frame.segment), name)
        else:
            inside = (stored > 0) & (stored >= threshold * maximum)
            _place_best(array, best, slot, np.where(inside, stored, 0), frame.segment, name)
    if clashes:
        one, other = sorted(clashes)[0]
        names = {label.value: label.name for label in every}
        raise SelectionError(
            f"segments overlap, such as {one} ({names[one]}) and {other} ({names[other]}): no label map can hold both",
            file=name,
            attribute="SegmentSequence",
            fix="read them one at a time, such as segments=[1]",
        )
    metadata = volume.metadata if volume is not None else _metadata(dataset)
    notes = () if volume is None else volume.notes
    acquired = None
    if stack is not None and volume is not None:
        acquired, array, grid, notes = array, stack.fill(array), volume.grid, (*notes, stack.note)
    return Segmentation(
        array=array,
        grid=grid,
        labels=tuple(labels),
        algorithm=_algorithm(dataset),
        sources=volume.sources if volume is not None else (),
        metadata=metadata,
        notes=notes,
        geometry=volume.geometry if volume is not None else GeometryStatus(),
        acquired=acquired,
    )


def _open(location: Location) -> tuple[Header, Dataset]:
    """Header of the file, known to be a Segmentation."""
    result = scan([location])
    if result.problems:
        raise result.problems[0][1]
    if not result.headers:
        raise FormatError("not a DICOM file", file=str(location))
    header = result.headers[0]
    if header.get("SOPClassUID") not in _STORAGE:
        raise FormatError(
            f"not a DICOM Segmentation (its SOP class is {header.get('SOPClassUID') or 'missing'})",
            file=str(location),
            attribute="SOPClassUID",
        )
    return header, header.dataset()


def _labels(dataset: Dataset, name: str, segments: Sequence[int] | None) -> tuple[list[Label], list[Label]]:
    """The labels asked for, and all of them."""
    every = []
    for item in dataset.get("SegmentSequence") or ():
        number = int(item.get("SegmentNumber") or 0)
        if number == 0:  # the background, which label maps describe
            continue
        every.append(
            Label(
                value=number,
                name=str(item.get("SegmentLabel") or f"segment {number}"),
                category=_code(item.get("SegmentedPropertyCategoryCodeSequence")),
                type=_code(item.get("SegmentedPropertyTypeCodeSequence")),
                color=_color(item.get("RecommendedDisplayCIELabValue")),
                **_tracking(item),
            )
        )
    if not every or len({label.value for label in every}) != len(every):
        raise FormatError(
            "segments are not described, or two have the same number", file=name, attribute="SegmentSequence"
        )
    if segments is None:
        return every, every
    missing = sorted(set(segments) - {label.value for label in every})
    if missing:
        listed = ", ".join(f"{label.value} ({label.name})" for label in every)
        raise SelectionError(f"there is no segment {missing[0]}", file=name, fix=f"choose among {listed}")
    return [label for label in every if label.value in set(segments)], every


def _code(sequence: Any) -> tuple[str, str, str]:
    """(value, scheme, meaning) of a code sequence's first item."""
    if not sequence:
        return "", "", ""
    item = sequence[0]
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return str(value), str(item.get("CodingSchemeDesignator") or ""), str(item.get("CodeMeaning") or "")


def _tracking(item: Dataset) -> dict[str, str]:
    """Name and UID of a segment's finding through time; a UID that nothing can repeat does not count."""
    uid = str(item.get("TrackingUID") or "").strip()
    identifier = str(item.get("TrackingID") or "").strip()[:_LONGEST_NAME]
    return {"tracking_id": identifier, "tracking_uid": uid if is_writable_uid(uid) else ""}


def _color(value: Any) -> tuple[int, int, int] | None:
    """SRGB of a RecommendedDisplayCIELabValue: L* on 0 to 65535, a* and b* from -128 to 127 (PS3.3 C.10.7.1.1)."""
    if value is None or not hasattr(value, "__len__") or len(value) != 3:
        return None
    return from_cielab(float(value[0]) * 100 / 65535, float(value[1]) / 257 - 128, float(value[2]) / 257 - 128)


def _algorithm(dataset: Dataset) -> dict[str, str]:
    """Name, version and digest of what made the segments, as far as the first one with an algorithm says."""
    for item in dataset.get("SegmentSequence") or ():
        for identification in item.get("SegmentationAlgorithmIdentificationSequence") or ():
            found = {
                "name": str(identification.get("AlgorithmName") or ""),
                "version": str(identification.get("AlgorithmVersion") or ""),
            }
            parameters = str(identification.get("AlgorithmParameters") or "")
            if parameters.startswith("weights-sha256="):
                found["digest"] = parameters.partition("=")[2]
            return found
        if item.get("SegmentNumber") and item.get("SegmentAlgorithmName"):
            return {"name": str(item.SegmentAlgorithmName)}
    return {}


def _metadata(dataset: Dataset) -> dict[str, Any]:
    """Facts of the object by keyword; nothing that identifies the patient."""
    wanted = ("Modality", "SeriesDescription", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    return {keyword: str(dataset.get(keyword)) for keyword in wanted if dataset.get(keyword)}


def _check_pixels(header: Header, dataset: Dataset, name: str) -> None:
    """Size and depth make sense, and uncompressed pixels are as many as the header says."""
    rows, columns, bits = (int(dataset.get(key) or 0) for key in ("Rows", "Columns", "BitsAllocated"))
    if rows < 1 or columns < 1 or bits not in (1, 8, 16):
        raise FormatError(f"{rows} x {columns} pixels of {bits} bits are no segmentation", file=name, attribute="Rows")
    span = header.pixels
    if span is None:
        raise FormatError("the segmentation has no pixel data", file=name, attribute="PixelData")
    needed = -(-int(dataset.get("NumberOfFrames") or 1) * rows * columns * bits // 8)
    if header.transfer_syntax in _NATIVE and span.length is not None and span.length < needed:
        raise FormatError(
            f"{needed:,} bytes of pixels are needed, the file has {span.length:,}", file=name, attribute="PixelData"
        )


def _frames(header: Header, dataset: Dataset, count: int, name: str) -> Iterator[NDArray[Any]]:
    """Stored values of each frame, ``[rows, columns]``."""
    from gpukit.dicom.pixels.frames import read_frame

    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsAllocated)
    span = header.pixels
    if span is None or span.length is None or header.transfer_syntax not in _NATIVE:
        for index in range(count):
            yield read_frame(header, index)
        return
    pixels = rows * columns
    for index in range(count):
        first, last = index * pixels * bits, (index + 1) * pixels * bits
        length = -(-last // 8) - first // 8
        raw = np.frombuffer(header.location.read_range(span.offset + first // 8, length), np.uint8)
        if raw.size < length:
            raise FormatError(f"the file ends within frame {index + 1}", file=name, attribute="PixelData")
        if bits == 1:  # frames follow each other without padding, lowest bit first (PS3.5 8.1.1)
            yield np.unpackbits(raw, bitorder="little")[first % 8 : first % 8 + pixels].reshape(rows, columns)
        else:
            yield raw.view("<u2" if bits == 16 else np.uint8).reshape(rows, columns)


def _place(array: NDArray[Any], slot: Slot, values: NDArray[Any], name: str) -> set[tuple[int, int]]:
    """Write the non-zero values of a frame; the pairs of labels that met in one voxel come back."""
    target, new = array[slot.where], slot.fit(values, name)
    filled = new != 0
    clash = filled & (target != 0) & (target != new)
    pairs = set()
    if clash.any():
        found = np.unique(np.stack([target[clash], new[clash]]), axis=1)
        pairs = {(min(a, b), max(a, b)) for a, b in found.T.tolist()}
    target[filled] = new[filled]
    return pairs


def _place_best(
    array: NDArray[Any], best: NDArray[Any], slot: Slot, values: NDArray[Any], segment: int, name: str
) -> None:
    """Write a segment where its fraction is higher than any before, or as high and its number lower."""
    target, highest, new = array[slot.where], best[slot.where], slot.fit(values, name)
    wins = (new > highest) | ((new == highest) & (new > 0) & (target > segment))
    target[wins] = segment
    highest[wins] = new[wins]
