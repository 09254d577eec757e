"""Planes of multi-frame objects: functional groups (enhanced CT, MR, PET ...), RT dose, tomographic NM, cine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gpukit.dicom.image.frame_positions import RT_DOSE, detector_value, frame_positions
from gpukit.dicom.image.plane import Plane, component, frame_count, numbers, pixel_spacing, spacing_note
from gpukit.dicom.image.value_scale import PlaneScale, dose_scale, mapped_scale, philips_scale, rescale
from gpukit.dicom.reader.attributes import ESSENTIAL
from gpukit.dicom.reader.frame_groups import Unreadable
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, GeometryError, GpukitError
from gpukit.units import finite_numbers

#: One item of functional groups: as the header walk reads it, or a pydicom data set. Both have `get`.
Groups = Any
_PHILIPS_FRAME, _PHILIPS_SCALE = "Philips MR Imaging DD 005", "Philips MR Imaging DD 001"

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
    ("PixelValueTransformationSequence", "RescaleSlope", "RescaleSlope"),
    ("PixelValueTransformationSequence", "RescaleIntercept", "RescaleIntercept"),
    ("PixelValueTransformationSequence", "RescaleType", "RescaleType"),
    ("FrameVOILUTSequence", "WindowCenter", "WindowCenter"),
    ("FrameVOILUTSequence", "WindowWidth", "WindowWidth"),
    ("FrameVOILUTSequence", "VOILUTFunction", "VOILUTFunction"),
)  # fmt: skip
_FACTS_OF_GROUP: dict[str, list[tuple[str, str]]] = {}
for _group, _keyword, _name in _FACTS:
    _FACTS_OF_GROUP.setdefault(_group, []).append((_keyword, _name))
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
    shared, per_frame = _groups_of(header)
    if per_frame or shared:
        try:
            return _functional_groups(header, rows, columns, count, shared, per_frame)
        except GpukitError as error:
            error.file = error.file or str(header.location)
            raise
        except Exception as error:  # pydicom decodes a value when it is asked for, and raises many kinds on damage
            what = f"the functional groups cannot be read: {str(error).splitlines()[0] if str(error) else error!r}"
            raise FormatError(what, file=str(header.location), fix="copy the file again") from error
    dataset = header.dataset()
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
    is_dose = header.get("SOPClassUID") == RT_DOSE
    if is_dose:
        scale = dose_scale(dataset.get("DoseGridScaling"), str(header.location))
    else:
        scale = rescale(header.get("RescaleSlope"), header.get("RescaleIntercept"), str(header.location))
        private = header.get("PhilipsScaleSlope")
        if private is not None and str(header.get("Modality", "")) == "MR":
            scale = philips_scale(scale, private)
    kind = component([str(part).upper() for part in header.get("ImageType", ())])
    facts = {"DoseUnits": dataset.get("DoseUnits")} if is_dose else dict(scale.facts)
    notes = (*scale.notes, *spacing_note(header.get("PixelSpacing")), *([places.note] if places.note else ()))
    return [
        Plane(
            header,
            n,
            rows,
            columns,
            places.positions[n],
            orientation,
            spacing,
            scale.slope,
            scale.intercept,
            kind=kind,
            facts={**facts, **places.facts[n], "Frame": n + 1},
            scale_source=scale.source,
            notes=notes,
        )
        for n in range(count)
    ]


def _groups_of(header: Header) -> tuple[list[Groups], list[Groups]]:
    """Shared and per-frame functional groups, without a data set where that is enough."""
    if header.groups is not None:
        try:
            shared, frames = header.groups.shared, header.groups.frames
            # The private blocks of Philips are where it always puts them, or else the data set is asked.
            if not _is_philips_mr(header) or _philips_scale([*frames[:1], *shared]) is not None:
                return list(shared), list(frames)
        except Unreadable:
            pass
    dataset = header.dataset()
    return (
        list(dataset.get("SharedFunctionalGroupsSequence") or []),
        list(dataset.get("PerFrameFunctionalGroupsSequence") or []),
    )


def _is_philips_mr(header: Header) -> bool:
    return "philips" in str(header.get("Manufacturer", "")).lower() and header.get("Modality") == "MR"


def _functional_groups(
    header: Header, rows: int, columns: int, count: int, shared: list[Groups], per_frame: list[Groups]
) -> list[Plane]:
    file = str(header.location)
    if per_frame and len(per_frame) < count:
        raise FormatError(
            f"{len(per_frame)} functional groups for {count} frames", file=file, attribute="PerFrameFunctionalGroups"
        )
    common = shared[0] if shared else None
    shared_facts = {} if common is None else _facts_of(common)
    stacks = {str(_value(item, "FrameContentSequence", "StackID")) for item in per_frame[:count]}
    is_philips_mr = _is_philips_mr(header)
    is_map = header.get("SOPClassUID") == _PARAMETRIC_MAP
    kinds: dict[Any, tuple[str, ...]] = {}
    planes = []
    for n in range(count):
        groups = [group for group in (per_frame[n] if per_frame else None, common) if group is not None]
        facts = {**shared_facts, **_facts_of(per_frame[n])} if per_frame else dict(shared_facts)
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
        quantity = _frame_type(header, groups)
        if quantity not in kinds:
            kinds[quantity] = component(*quantity)
        kind = kinds[quantity]
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
                kind=(*kind, f"stack {facts.get('StackID')}") if len(stacks) > 1 else kind,
                facts=facts,
                scale_source=scale.source,
                notes=(*scale.notes, *spacing_note(spacing)),
            )
        )
    return planes


def _facts_of(group: Groups) -> dict[str, Any]:
    """Facts of one item of functional groups, by classic keyword."""
    facts = {}
    for sequence in group if isinstance(group, dict) else _FACTS_OF_GROUP:
        for keyword, name in _FACTS_OF_GROUP.get(sequence, ()):
            if (value := _value(group, sequence, keyword)) is not None:
                facts[name] = value
    return facts


def _units(header: Header, groups: list[Groups]) -> dict[str, str]:
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


def _items(groups: list[Groups], name: str) -> Iterator[Groups]:
    for group in groups:
        sequence = group.get(name)
        if sequence:
            yield sequence[0]


def _value(group: Groups, name: str, keyword: str) -> Any:
    sequence = group.get(name)
    value = sequence[0].get(keyword) if sequence else None
    if type(value) is float or type(value) is str:
        return None if value == "" else value
    if value is None:
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


def _first(groups: list[Groups], name: str, keyword: str) -> Any:
    for group in groups:
        if (value := _value(group, name, keyword)) is not None:
            return value
    return None


def _gradient(groups: list[Groups]) -> tuple[float, ...] | None:
    for item in _items(groups, "MRDiffusionSequence"):
        direction = item.get("DiffusionGradientDirectionSequence")
        if direction:
            return numbers(direction[0].get("DiffusionGradientOrientation"), 3)
    return None


_AT_THE_TOP = (
    "RescaleSlope and RescaleIntercept stand outside the functional groups of this enhanced image: they were applied"
)


def _scale(header: Header, groups: list[Groups], private: Any, is_map: bool) -> PlaneScale:
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


def pet_units(item: Groups) -> str:
    """Units, as a classic PET image has them, of a RealWorldValueMappingSequence item; empty where they are others."""
    codes = item.get("MeasurementUnitsCodeSequence") or []
    return _PET_UNITS.get(str(codes[0].get("CodeValue") or ""), "") if codes else ""


def _philips_scale(groups: list[Groups]) -> Any:
    """Scale slope in the classic attributes that Philips keeps for each frame in (2005,140F)."""
    for group in groups:
        if isinstance(group, dict):
            items = group.get("PhilipsFrameSequence") if group.get("PhilipsCreator") == _PHILIPS_FRAME else None
            item = items[0] if items else {}
            if item.get("PhilipsCreator") == _PHILIPS_SCALE and item.get("PhilipsScaleSlope") is not None:
                return item["PhilipsScaleSlope"]
            continue
        try:
            item = group.private_block(0x2005, _PHILIPS_FRAME)[0x0F].value[0]
            return item.private_block(0x2005, _PHILIPS_SCALE)[0x0E].value
        except (KeyError, IndexError, TypeError):
            continue
    return None


def _frame_type(header: Header, groups: list[Groups]) -> tuple[tuple[str, ...], str | None]:
    """FrameType and ComplexImageComponent of a frame."""
    frame_type: Any = None
    part: Any = None
    for name in _FRAME_TYPES:
        for item in _items(groups, name):
            frame_type = frame_type or item.get("FrameType")
            part = part or item.get("ComplexImageComponent")
    return tuple(str(value).upper() for value in (frame_type or header.get("ImageType", ()))), part
