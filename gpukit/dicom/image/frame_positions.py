"""Where the frames of a multi-frame image without functional groups lie: dose grids, tomographic NM, CT and SC stacks.

Such a file states one ImagePositionPatient, that of its first frame. The others follow from a vector of the frames or
from the distance between slices, along the cross product of row and column direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.dicom.image.plane import numbers
from gpukit.dicom.image.stack import plane_axes
from gpukit.dicom.reader.headers import Header

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["RT_DOSE", "FramePositions", "detector_value", "frame_positions"]

RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
#: Projections and pictures: a position in them is not that of a slice.
_PICTURES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.3.1",
        "1.2.840.10008.5.1.4.1.1.6.1",
        "1.2.840.10008.5.1.4.1.1.12.1",
        "1.2.840.10008.5.1.4.1.1.12.2",
        "1.2.840.10008.5.1.4.1.1.12.3",
    }
)
#: Frame increment pointers (0028,0009) to a time: FrameTime and FrameTimeVector.
_TIMES = frozenset({0x00181063, 0x00181065})
#: Vectors of NM frames that tell those at one position apart, and what that is called.
_VECTORS = (
    ("EnergyWindowVector", "EnergyWindow"),
    ("DetectorVector", "Detector"),
    ("PhaseVector", "NMPhase"),
    ("RRIntervalVector", "RRInterval"),
    ("TimeSlotVector", "TimeSlot"),
)


@dataclass(frozen=True)
class FramePositions:
    """Positions of the frames of one file.

    Attributes
    ----------
    positions : list of (x, y, z) or None
        Centre of each frame's first pixel, LPS mm; None for a frame without a place in the patient.
    facts : list of dict
        For each frame what sets it apart from others at its position.
    note : str
        What a user must know, or empty.
    lacks_step : bool
        The frames are slices of a stack, and nothing says how far apart they are.
    """

    positions: list[tuple[float, float, float] | None]
    facts: list[dict[str, Any]]
    note: str = ""
    lacks_step: bool = False


def frame_positions(header: Header, dataset: Dataset, count: int) -> FramePositions:
    """Positions of `count` frames of an object without functional groups."""
    facts: list[dict[str, Any]] = [{} for _ in range(count)]
    first = numbers(header.get("ImagePositionPatient"), 3) or detector_value(dataset, "ImagePositionPatient", 3)
    orientation = numbers(header.get("ImageOrientationPatient"), 6)
    orientation = orientation or detector_value(dataset, "ImageOrientationPatient", 6)
    nowhere = FramePositions([None] * count, facts)
    if first is None or orientation is None:
        return nowhere
    note, lacks_step = "", False
    offsets: Sequence[float] | None = None
    if header.get("SOPClassUID") == RT_DOSE:
        offsets = _dose_offsets(dataset, orientation, count)
    elif count == 1:
        offsets = (0.0,)
    elif str(header.get("SOPClassUID", "")) in _PICTURES or (header.get("Modality") == "NM" and not _is_tomo(header)):
        return nowhere
    elif _increments(dataset) & _TIMES and not _number(header.get("SpacingBetweenSlices")):
        offsets = (0.0,) * count  # one slice, again and again
    else:
        offsets, note = _stack_offsets(header, dataset, count)
        lacks_step = offsets is None
        for vector, name in _VECTORS:
            values = dataset.get(vector)
            if values is not None and not isinstance(values, int) and len(values) == count:
                for fact, value in zip(facts, values, strict=True):
                    fact[name] = int(value)
    if offsets is None:
        return FramePositions([None] * count, facts, lacks_step=lacks_step)
    _, _, normal = plane_axes(orientation)
    places = [np.asarray(first) + offset * normal for offset in offsets]
    return FramePositions([(float(x), float(y), float(z)) for x, y, z in places], facts, note)


def detector_value(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Attribute of the first detector of a nuclear medicine image."""
    for item in dataset.get("DetectorInformationSequence") or []:
        return numbers(item.get(keyword), count)
    return None


def _dose_offsets(dataset: Dataset, orientation: tuple[float, ...], count: int) -> Sequence[float] | None:
    offsets = numbers(dataset.get("GridFrameOffsetVector"), count)
    if offsets is None:
        return (0.0,) if count == 1 else None
    if offsets[0] == 0:
        return offsets
    # The vector then holds z coordinates, not offsets along the normal (PS3.3 C.8.8.3.2).
    up = float(plane_axes(orientation)[2][2])
    return tuple((value - offsets[0]) * up for value in offsets)


def _stack_offsets(header: Header, dataset: Dataset, count: int) -> tuple[Sequence[float] | None, str]:
    """Offsets of slices along the normal, mm, and a note on where the step comes from."""
    order: Sequence[int] = range(count)
    slices = dataset.get("SliceVector")
    if slices is not None and not isinstance(slices, int) and len(slices) == count:
        order = [int(number) - 1 for number in slices]
    step, note = _number(header.get("SpacingBetweenSlices")), ""
    if not step:
        locations = numbers(dataset.get("SliceLocationVector"), count)
        if locations is not None and len(set(locations)) > 1:
            return tuple(value - locations[0] for value in locations), ""
        step = _number(header.get("SliceThickness"))
        note = f"the distance between slices is not stated: {step:g} mm, their thickness, is taken" if step else ""
    elif _increments(dataset) & _TIMES:
        note = f"the frames have a frame time and a distance of {step:g} mm: they are taken for slices"
    if not step:
        return None, ""
    return tuple(step * number for number in order), note


def _number(value: Any) -> float:
    number = numbers((value,), 1) if value is not None else None
    return 0.0 if number is None else number[0]


def _increments(dataset: Dataset) -> set[int]:
    """Tags of the frame increment pointer."""
    pointer = dataset.get("FrameIncrementPointer")
    if pointer is None:
        return set()
    return {int(pointer)} if isinstance(pointer, int) else {int(tag) for tag in pointer}


def _is_tomo(header: Header) -> bool:
    """Whether the frames of an NM image are reconstructed slices (PS3.3 C.8.4.9.1.1), not projections."""
    return any("RECON" in str(part).upper() for part in header.get("ImageType", ()))
