"""Planes of multi-frame objects: functional groups (enhanced CT, MR, PET ...), RT dose, tomographic NM, cine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gpukit.dicom.image.frame_positions import RT_DOSE, detector_value, frame_positions
from gpukit.dicom.image.plane import Plane, component, frame_count, numbers, philips_values, pixel_spacing, scaling
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, GeometryError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["multiframe_planes"]

_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"

#: More frames than this in one file is taken for a damaged header.
_MAX_FRAMES = 1_000_000

_RESPIRATORY = "NominalPercentageOfRespiratoryPhase"

#: (functional group, attribute, classic keyword it is known by when frames are told apart).
_FACTS = (
    ("FrameContentSequence", "StackID", "StackID"),
    ("FrameContentSequence", "TemporalPositionIndex", "TemporalPositionIdentifier"),
    ("FrameContentSequence", "FrameAcquisitionNumber", "AcquisitionNumber"),
    ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionDateTime"),
    ("FrameContentSequence", "FrameReferenceDateTime", "FrameReferenceDateTime"),
    ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue", "DiffusionBValue"),
    ("MRDiffusionSequence", "DiffusionDirectionality", "DiffusionDirectionality"),
    ("MRModifierSequence", "InversionTimes", "InversionTime"),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle", "FlipAngle"),
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime", "RepetitionTime"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime"),
    ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase", "NominalPercentageOfCardiacPhase"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset", "TemporalPositionTimeOffset"),
    ("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase", _RESPIRATORY),
    ("PixelMeasuresSequence", "SliceThickness", "SliceThickness"),
    ("PixelMeasuresSequence", "SpacingBetweenSlices", "SpacingBetweenSlices"),
    ("PixelValueTransformationSequence", "RescaleType", "RescaleType"),
    ("FrameVOILUTSequence", "WindowCenter", "WindowCenter"),
    ("FrameVOILUTSequence", "WindowWidth", "WindowWidth"),
    ("FrameVOILUTSequence", "VOILUTFunction", "VOILUTFunction"),
)  # fmt: skip
_FRAME_TYPES = (
    "CTImageFrameTypeSequence",
    "MRImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XRay3DFrameTypeSequence",
    "ParametricMapFrameTypeSequence",
)


def multiframe_planes(header: Header, rows: int, columns: int) -> list[Plane]:
    """One plane for each frame; without position where the object has no place in the patient.

    Raises
    ------
    GeometryError
        The frames are tiles of a whole slide.
    FormatError
        There are fewer functional groups than frames, or the number of frames is absurd.
    """
    count = frame_count(header)
    if count > _MAX_FRAMES:
        raise FormatError(f"claims {count} frames", file=str(header.location), attribute="NumberOfFrames")
    if str(header.get("DimensionOrganizationType", "")).upper().startswith("TILED"):
        raise GeometryError(
            "its frames are tiles of one large image, not slices of a volume",
            file=str(header.location),
            attribute="DimensionOrganizationType",
        )
    dataset = header.dataset()
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    shared = dataset.get("SharedFunctionalGroupsSequence")
    if per_frame or shared:
        return _functional_groups(header, rows, columns, count, list(shared or []), list(per_frame or []))
    places = frame_positions(header, dataset, count)
    orientation = numbers(header.get("ImageOrientationPatient"), 6)
    orientation = orientation or detector_value(dataset, "ImageOrientationPatient", 6)
    spacing = pixel_spacing(header.get("PixelSpacing"), str(header.location))
    if places.lacks_step and spacing is not None:
        raise GeometryError(
            f"has {count} slices and does not say how far apart they are",
            file=str(header.location),
            attribute="SpacingBetweenSlices",
            fix="get the file anew with the spacing that the scanner states",
        )
    facts: dict[str, Any] = {"GeometryNote": places.note} if places.note else {}
    slope = header.get("RescaleSlope")
    if header.get("SOPClassUID") == RT_DOSE:
        slope = float(dataset.get("DoseGridScaling") or 1.0)
        facts["DoseUnits"] = dataset.get("DoseUnits")
    rescale = scaling(slope, header.get("RescaleIntercept"), str(header.location))
    kind = component([str(part).upper() for part in header.get("ImageType", ())])
    return [
        Plane(
            header,
            n,
            rows,
            columns,
            places.positions[n],
            orientation,
            spacing,
            *rescale,
            kind=kind,
            facts={**facts, **places.facts[n], "Frame": n + 1},
        )
        for n in range(count)
    ]


def _functional_groups(
    header: Header, rows: int, columns: int, count: int, shared: list[Dataset], per_frame: list[Dataset]
) -> list[Plane]:
    file = str(header.location)
    if per_frame and len(per_frame) < count:
        raise FormatError(
            f"{len(per_frame)} functional groups for {count} frames", file=file, attribute="PerFrameFunctionalGroups"
        )
    common = shared[0] if shared else None
    stacks = {str(_value(item, "FrameContentSequence", "StackID")) for item in per_frame[:count]}
    is_philips_mr = "philips" in str(header.get("Manufacturer", "")).lower() and header.get("Modality") == "MR"
    is_map = header.get("SOPClassUID") == _PARAMETRIC_MAP
    planes = []
    for n in range(count):
        groups = [group for group in (per_frame[n] if per_frame else None, common) if group is not None]
        found = {name: _first(groups, group, keyword) for group, keyword, name in _FACTS}
        facts = {name: value for name, value in found.items() if value is not None}
        gradient = _gradient(groups)
        if gradient is not None:
            facts["DiffusionGradientOrientation"] = gradient
        facts["Frame"] = n + 1
        scale = _philips_scale(groups) if is_philips_mr else None
        if scale is not None:
            facts["PhilipsScaleSlope"] = scale
        slope, intercept = _scaling(groups, file, scale, is_map)
        position = numbers(_first(groups, "PlanePositionSequence", "ImagePositionPatient"), 3)
        planes.append(
            Plane(
                header,
                n,
                rows,
                columns,
                None if position is None else (position[0], position[1], position[2]),
                numbers(_first(groups, "PlaneOrientationSequence", "ImageOrientationPatient"), 6),
                pixel_spacing(_first(groups, "PixelMeasuresSequence", "PixelSpacing"), file),
                slope,
                intercept,
                kind=_kind(header, groups, facts, len(stacks) > 1),
                facts=facts,
            )
        )
    return planes


def _items(groups: list[Dataset], name: str) -> Iterator[Dataset]:
    for group in groups:
        sequence = group.get(name)
        if sequence:
            yield sequence[0]


def _value(group: Dataset, name: str, keyword: str) -> Any:
    sequence = group.get(name)
    value = sequence[0].get(keyword) if sequence else None
    if value is None or value == "":
        return None
    if hasattr(value, "__iter__") and not isinstance(value, str):
        try:
            parts = tuple(float(part) for part in value)
        except (TypeError, ValueError):
            raise FormatError("a value is no number", attribute=keyword, fix="correct the file") from None
        return parts[0] if len(parts) == 1 else parts
    return value if isinstance(value, str) else float(value) if isinstance(value, (float, int)) else str(value)


def _first(groups: list[Dataset], name: str, keyword: str) -> Any:
    for group in groups:
        if (value := _value(group, name, keyword)) is not None:
            return value
    return None


def _gradient(groups: list[Dataset]) -> tuple[float, ...] | None:
    for item in _items(groups, "MRDiffusionSequence"):
        direction = item.get("DiffusionGradientDirectionSequence")
        if direction:
            return numbers(direction[0].get("DiffusionGradientOrientation"), 3)
    return None


def _scaling(groups: list[Dataset], file: str, philips_scale: Any, is_map: bool) -> tuple[float, float]:
    for item in _items(groups, "PixelValueTransformationSequence"):
        slope, intercept = scaling(item.get("RescaleSlope"), item.get("RescaleIntercept"), file)
        return (slope, intercept) if philips_scale is None else philips_values(slope, intercept, philips_scale)
    if is_map:
        for item in _items(groups, "RealWorldValueMappingSequence"):
            return scaling(item.get("RealWorldValueSlope"), item.get("RealWorldValueIntercept"), file)
    return 1.0, 0.0


def _philips_scale(groups: list[Dataset]) -> Any:
    """Scale slope in the classic attributes that Philips keeps for each frame in (2005,140F)."""
    for group in groups:
        try:
            item = group.private_block(0x2005, "Philips MR Imaging DD 005")[0x0F].value[0]
            return item.private_block(0x2005, "Philips MR Imaging DD 001")[0x0E].value
        except (KeyError, IndexError, TypeError):
            continue
    return None


def _kind(header: Header, groups: list[Dataset], facts: dict[str, Any], by_stack: bool) -> tuple[str, ...]:
    frame_type: Any = None
    part: Any = None
    for name in _FRAME_TYPES:
        for item in _items(groups, name):
            frame_type = frame_type or item.get("FrameType")
            part = part or item.get("ComplexImageComponent")
    kind = component([str(value).upper() for value in (frame_type or header.get("ImageType", ()))], part)
    return (*kind, f"stack {facts.get('StackID')}") if by_stack else kind
