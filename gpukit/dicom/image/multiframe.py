"""Planes of multi-frame objects: functional groups (enhanced CT, MR, PET ...), RT dose, tomographic NM, cine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.dicom.image.plane import Plane, component, frame_count, numbers, pixel_spacing, spacing_note
from gpukit.dicom.image.stack import plane_axes
from gpukit.dicom.image.value_scale import PlaneScale, dose_scale, mapped_scale, philips_scale, rescale
from gpukit.dicom.reader.attributes import ESSENTIAL
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, GeometryError
from gpukit.units import finite_numbers

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["multiframe_planes"]

_RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
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
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "TriggerTime"),
    ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase", "NominalPercentageOfCardiacPhase"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset", "TemporalPositionTimeOffset"),
    ("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase", _RESPIRATORY),
    ("PixelMeasuresSequence", "SliceThickness", "SliceThickness"),
    ("PixelMeasuresSequence", "SpacingBetweenSlices", "SpacingBetweenSlices"),
    ("PixelValueTransformationSequence", "RescaleSlope", "RescaleSlope"),
    ("PixelValueTransformationSequence", "RescaleIntercept", "RescaleIntercept"),
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
        try:
            return _functional_groups(header, rows, columns, count, list(shared or []), list(per_frame or []))
        except FormatError as error:
            error.file = error.file or str(header.location)
            raise
    positions = _positions(header, dataset, count)
    orientation = numbers(header.get("ImageOrientationPatient"), 6) or _detector(dataset, "ImageOrientationPatient", 6)
    spacing = pixel_spacing(header.get("PixelSpacing"), str(header.location))
    is_dose = header.get("SOPClassUID") == _RT_DOSE
    if is_dose:
        scale = dose_scale(dataset.get("DoseGridScaling"), str(header.location))
    else:
        scale = rescale(header.get("RescaleSlope"), header.get("RescaleIntercept"), str(header.location))
        private = header.get("PhilipsScaleSlope")
        if private is not None and str(header.get("Modality", "")) == "MR":
            scale = philips_scale(scale, private)
    kind = component([str(part).upper() for part in header.get("ImageType", ())])
    facts = {"DoseUnits": dataset.get("DoseUnits")} if is_dose else dict(scale.facts)
    notes = (*scale.notes, *spacing_note(header.get("PixelSpacing")))
    return [
        Plane(
            header,
            n,
            rows,
            columns,
            positions[n],
            orientation,
            spacing,
            scale.slope,
            scale.intercept,
            kind=kind,
            facts={**facts, "Frame": n + 1},
            scale_source=scale.source,
            notes=notes,
        )
        for n in range(count)
    ]


def _positions(header: Header, dataset: Dataset, count: int) -> list[Any]:
    """Positions of the frames of an object without functional groups."""
    first = numbers(header.get("ImagePositionPatient"), 3) or _detector(dataset, "ImagePositionPatient", 3)
    orientation = numbers(header.get("ImageOrientationPatient"), 6) or _detector(dataset, "ImageOrientationPatient", 6)
    nowhere: list[Any] = [None] * count
    offsets: tuple[float, ...] | None = None
    if header.get("SOPClassUID") == _RT_DOSE:
        offsets = numbers(dataset.get("GridFrameOffsetVector"), count)
        if offsets is not None and offsets[0] != 0:
            # The vector then holds z coordinates, not offsets along the normal (PS3.3 C.8.8.3.2).
            up = 1.0 if orientation is None else float(plane_axes(orientation)[2][2])
            offsets = tuple((value - offsets[0]) * up for value in offsets)
    elif str(header.get("Modality", "")) in ("NM", "PT") and _is_tomographic(header):
        step = header.get("SpacingBetweenSlices")
        slices = dataset.get("SliceVector")
        if step and slices is not None and len(slices) == count:
            offsets = tuple((int(n) - 1) * float(step) for n in slices)
    elif count == 1:
        offsets = (0.0,)
    if first is None or orientation is None or offsets is None:
        return nowhere
    _, _, normal = plane_axes(orientation)
    return [tuple(float(v) for v in np.asarray(first) + offset * normal) for offset in offsets]


def _is_tomographic(header: Header) -> bool:
    return any("RECON" in str(part).upper() for part in header.get("ImageType", ()))


def _detector(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Attribute of the first detector of a nuclear medicine image."""
    for item in dataset.get("DetectorInformationSequence") or []:
        return numbers(item.get(keyword), count)
    return None


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
        private = _philips_scale(groups) if is_philips_mr else None
        if private is not None:
            facts["PhilipsScaleSlope"] = private
        scale = _scale(header, groups, private, is_map)
        facts |= scale.facts
        facts |= _units(header, groups)
        spacing = _first(groups, "PixelMeasuresSequence", "PixelSpacing")
        position = numbers(_first(groups, "PlanePositionSequence", "ImagePositionPatient"), 3)
        planes.append(
            Plane(
                header,
                n,
                rows,
                columns,
                None if position is None else (position[0], position[1], position[2]),
                numbers(_first(groups, "PlaneOrientationSequence", "ImageOrientationPatient"), 6),
                pixel_spacing(spacing, file),
                scale.slope,
                scale.intercept,
                kind=_kind(header, groups, facts, len(stacks) > 1),
                facts=facts,
                scale_source=scale.source,
                notes=(*scale.notes, *spacing_note(spacing)),
            )
        )
    return planes


def _units(header: Header, groups: list[Dataset]) -> dict[str, str]:
    """Units of an enhanced PET: by its mapping, else as a converter kept them of the classic images."""
    if str(header.get("Modality", "")) != "PT" or header.get("Units") is not None:
        return {}
    for item in _items(groups, "RealWorldValueMappingSequence"):
        if units := pet_units(item):
            return {"Units": units}
    facts: dict[str, str] = {}
    for name in ("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence"):
        for item in _items(groups, name):
            facts |= {key: str(item.get(key)) for key in ("Units", "SUVType") if item.get(key) and key not in facts}
    return facts


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
            parts = finite_numbers(value, attribute=keyword)
        except FormatError:
            if keyword in ESSENTIAL:
                raise
            return None
        return parts[0] if len(parts) == 1 else parts
    if isinstance(value, (float, int)):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str) else str(value)


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


_AT_THE_TOP = (
    "RescaleSlope and RescaleIntercept stand outside the functional groups of this enhanced image: they were applied"
)


def _scale(header: Header, groups: list[Dataset], private: Any, is_map: bool) -> PlaneScale:
    """How the stored values of a frame become values."""
    file = str(header.location)
    scale = PlaneScale()
    for item in _items(groups, "PixelValueTransformationSequence"):
        scale = rescale(item.get("RescaleSlope"), item.get("RescaleIntercept"), file, stored=False)
        break
    if not scale.source:
        scale = rescale(header.get("RescaleSlope"), header.get("RescaleIntercept"), file)
        if (scale.slope, scale.intercept) != (1.0, 0.0):
            scale = replace(scale, notes=(*scale.notes, _AT_THE_TOP))
    if is_map or str(header.get("Modality", "")) == "PT":
        # the mapping gives the quantity that the image is of; the rescale of a PET should give the same
        for item in _items(groups, "RealWorldValueMappingSequence"):
            mapped = mapped_scale(item, scale, file) if is_map or pet_units(item) else None
            if mapped is not None:
                return mapped
    return scale if private is None else philips_scale(scale, private)


#: Units of PET (0054,1001) by their UCUM codes in a mapping (PS3.16 CID 84 and 85).
_PET_UNITS = {
    "Bq/ml": "BQML", "BQML": "BQML", "{counts}": "CNTS", "{propcounts}/s": "PROPCPS", "g/ml{SUVbw}": "GML",
    "{SUVbw}g/ml": "GML", "g/ml{SUVlbm}": "GML", "{SUVlbm}g/ml": "GML", "cm2/ml{SUVbsa}": "CM2ML",
    "{SUVbsa}cm2/ml": "CM2ML",
}  # fmt: skip


def pet_units(item: Dataset) -> str:
    """Units, as a classic PET image has them, of a RealWorldValueMappingSequence item; empty where they are others."""
    codes = item.get("MeasurementUnitsCodeSequence") or []
    return _PET_UNITS.get(str(codes[0].get("CodeValue") or ""), "") if codes else ""


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
