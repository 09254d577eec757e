"""Measurement reports, written: DICOM SR by template TID 1500 (PS3.16), as common web viewers and PACS read them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import TO_CORNER, Figure, ImageReference, check_inside
from gpukit.dicom.modules.source_header import (
    REQUIRED,
    fit_character_set,
    introduce_source_classes,
    is_valid,
    new_series_number,
    short_text,
)
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.errors import InputError
from gpukit.extras import missing_package

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["build_measurement_report", "write_measurement_report"]

#: Code meanings of UCUM units as the context groups of PS3.16 have them (CID 7181, 7183, 7460 to 7462).
_UNIT_WORDS = {
    "1": "no units", "mm": "mm", "cm": "cm", "mm2": "square millimeter", "mm3": "cubic millimeter", "ml": "milliliter",
    "deg": "Degree", "[hnsf'U]": "Hounsfield unit", "{pixels}": "pixels", "%": "Percent",
    "{SUVbw}g/ml": "Standardized Uptake Value body weight",
    "{SUVlbm}g/ml": "Standardized Uptake Value lean body mass",
    "{SUVbsa}cm2/ml": "Standardized Uptake Value body surface area",
    "{SUVibw}g/ml": "Standardized Uptake Value ideal body weight",
    "Bq/ml": "Becquerels/milliliter", "g": "gram", "s": "second", "cm/s": "centimeter/second", "{counts}": "Counts",
}  # fmt: skip
_COMMENT = ("121106", "DCM", "Comment")
_ABSENT = Code("272519000", "SCT", "Absent")
#: DS holds 16 characters.
_DIGITS = 16


def write_measurement_report(
    groups: Sequence[ReportedGroup],
    headers: Mapping[str, Dataset],
    target: str | PathLike[str] | BinaryIO,
    **options: Any,
) -> None:
    """Write a measurement report; parameters and errors as `build_measurement_report`. Not atomic."""
    build_measurement_report(groups, headers, **options).save_as(target, enforce_file_format=True)


def build_measurement_report(
    groups: Sequence[ReportedGroup],
    headers: Mapping[str, Dataset],
    *,
    title: Code | None = None,
    procedure: Code | None = None,
    observer: str | None = None,
    description: str = "Measurements",
) -> Dataset:
    """Measurement report: TID 1500 with a group for each finding.

    A group with figures becomes a Measurement Group (TID 1501) in which each number is *inferred from* spatial
    coordinates that are *selected from* the image: the layout that web viewers draw from. A group with a single outline
    is a planar ROI (TID 1410) that has the same layout, and the outline as Image Region besides, where other readers
    look for it. A group with a segment, or with regions on several images, becomes a volumetric ROI (TID 1411), one
    with neither refers to its images. What was not found is a qualitative evaluation: its concept is the finding, its
    value Absent.

    Parameters
    ----------
    groups : sequence of ReportedGroup
        One or more.
    headers : mapping of str to Dataset
        Header of each referenced instance (images, segmentations) by its SOPInstanceUID, from
        `gpukit.dicom.modules.source_header.source_header`. Patient and study are those of the first.
    title : Code or None
        Of the document (CID 7021); None is Imaging Measurement Report.
    procedure : Code or None
        Reported (CID 100); None is Imaging procedure.
    observer : str or None
        A person, as DICOM writes names; None has the program alone as observer.
    description : str
        Series description.

    Returns
    -------
    Dataset
        Comprehensive SR; with coordinates in the patient Comprehensive 3D SR.

    Raises
    ------
    InputError
        No groups, a point outside its image, a number that is not finite, or a reference without header.
    DependencyError
        highdicom is missing.
    """
    try:
        import highdicom
    except ImportError as error:
        raise missing_package("writing an SR needs highdicom", "dicom") from error
    from pydicom.uid import generate_uid

    introduce_source_classes(headers.values())

    from gpukit.version import __version__

    if not groups:
        raise InputError("there is no measurement to report")
    evidence = _evidence(groups, headers)
    spatial = any(len(f.points[0]) == 3 for group in groups for f in _figures(group))
    kind = highdicom.sr.Comprehensive3DSR if spatial else highdicom.sr.ComprehensiveSR
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom quotes names: patient data has no place in a log
        content = highdicom.sr.MeasurementReport(
            observation_context=_observers(highdicom, observer),
            procedure_reported=_code(highdicom, procedure or Code("363679005", "SCT", "Imaging procedure")),
            imaging_measurements=[_group(highdicom, group, headers) for group in groups],
            title=None if title is None else _code(highdicom, title),
        )
        report: Dataset = kind(
            evidence=evidence,
            content=content[0],
            series_instance_uid=generate_uid(prefix=None),
            series_number=new_series_number(evidence[0]),
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer="gpukit",
            manufacturer_model_name="gpukit",
            software_versions=__version__,
            device_serial_number=__version__,
            is_complete=True,
            is_final=False,
            is_verified=False,
            series_description=short_text(description),
        )
    words = [description, observer or "", *(word for group in groups for word in (group.label, group.tracking_id))]
    words += [code.meaning for group in groups for code in (group.finding, *group.sites, *group.absent) if code]
    words += [word for group in groups for word in group.algorithm or ()]
    fit_character_set(report, next(iter(headers.values())).get("SpecificCharacterSet"), words)
    if "ReferencedPerformedProcedureStepSequence" not in report:
        report.ReferencedPerformedProcedureStepSequence = []
    return report


def _figures(group: ReportedGroup) -> list[Figure]:
    return [*group.figures, *(figure for number in group.numbers for figure in number.figures)]


def _evidence(groups: Sequence[ReportedGroup], headers: Mapping[str, Dataset]) -> list[Dataset]:
    """Headers of all that is referenced, those of the first group first."""
    uids: dict[str, None] = {}
    for group in groups:
        uids |= dict.fromkeys(image.sop_instance_uid for image in (*group.images, *(one for one, _ in group.regions)))
        if group.segment is not None:
            uids[group.segment.image.sop_instance_uid] = None
    if not uids:
        raise InputError("the measurements refer to no DICOM instance", fix="write JSON or CSV instead")
    missing = [uid for uid in uids if uid not in headers]
    if missing:
        raise InputError(f"no header is known of the referenced instance {missing[0]}")
    first, *others = uids
    return [_usable(headers[first]), *(headers[uid] for uid in others)]


def _usable(header: Dataset) -> Dataset:
    """The header without what may not be passed on: a StudyID of more than 16 characters, an age without a unit.

    Nor is its character set, which highdicom takes only if it is one of those that it knows.
    """
    from pydicom import DataElement, Dataset

    usable = Dataset()  # a shallow copy would share its elements
    for element in header:
        if element.tag.group == 0x0002 or element.tag.is_private or element.keyword == "SpecificCharacterSet":
            continue
        if is_valid(element):
            usable.add(element)
        elif element.keyword in REQUIRED:
            usable.add(DataElement(element.tag, element.VR, ""))
    return usable


def _observers(highdicom: Any, person: str | None) -> Any:
    from pydicom.sr.codedict import codes
    from pydicom.uid import UID

    from gpukit.version import __version__

    sr = highdicom.sr
    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            # one name for every gpukit of this version: a UUID of its name and version (PS3.5 B.2)
            uid=UID(f"2.25.{_uuid5('gpukit ' + __version__)}"),
            name="gpukit",
            manufacturer_name="gpukit",
            model_name="gpukit",
        ),
    )
    human = None
    if person:
        human = sr.ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(name=person),
        )
    return sr.ObservationContext(observer_device_context=device, observer_person_context=human)


def _uuid5(name: str) -> int:
    import uuid

    return uuid.uuid5(uuid.NAMESPACE_OID, name).int


def _code(highdicom: Any, code: Code) -> Any:
    return highdicom.sr.CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=short_text(code.meaning))


def _unit(highdicom: Any, unit: str) -> Any:
    return _code(highdicom, Code(unit, "UCUM", _UNIT_WORDS.get(unit, unit)))


def _group(highdicom: Any, group: ReportedGroup, headers: Mapping[str, Dataset]) -> Any:
    sr = highdicom.sr
    common: dict[str, Any] = {
        "tracking_identifier": sr.TrackingIdentifier(
            uid=group.tracking_uid, identifier=group.tracking_id or group.label or "measurement"
        ),
        "finding_type": None if group.finding is None else _code(highdicom, group.finding),
        "finding_category": None if group.category is None else _code(highdicom, group.category),
        # the question is the finding, the answer that it is not there (CID 240)
        "qualitative_evaluations": [
            sr.QualitativeEvaluation(_code(highdicom, code), _code(highdicom, _ABSENT)) for code in group.absent
        ]
        or None,
        "finding_sites": [sr.FindingSite(_code(highdicom, site)) for site in group.sites] or None,
        "method": None if group.method is None else _code(highdicom, group.method),
        "algorithm_id": None if group.algorithm is None else _algorithm(highdicom, group.algorithm),
    }
    if group.regions:
        made = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_regions=[_region(highdicom, image, figure, headers) for image, figure in group.regions],
            measurements=[_number(highdicom, number, group, headers, drawn=False) for number in group.numbers],
            **common,
        )
    elif group.segment is not None:
        segment = group.segment
        made = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=segment.image.sop_class_uid,
                sop_instance_uid=segment.image.sop_instance_uid,
                segment_number=segment.number,
                source_images=[
                    sr.SourceImageForSegmentation(image.sop_class_uid, image.sop_instance_uid, _frames(image, headers))
                    for image in group.images
                ]
                or None,
                source_series=sr.SourceSeriesForSegmentation(group.series_uid) if group.series_uid else None,
            ),
            measurements=[_number(highdicom, number, group, headers, drawn=False) for number in group.numbers],
            **common,
        )
    elif len(group.figures) == 1 and group.figures[0].encloses:
        made = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=_outline(highdicom, group, headers),
            measurements=[_number(highdicom, number, group, headers, drawn=False) for number in group.numbers] or None,
            **common,
        )
        for item in made[0].ContentSequence:  # highdicom has one form or the other; the template may be extended
            if item.ValueType == "NUM":
                _infer(item, _coordinates(highdicom, group.figures[0], group, headers))
    else:
        drawn = bool(_figures(group))
        made = sr.MeasurementsAndQualitativeEvaluations(
            measurements=[_number(highdicom, number, group, headers, drawn=drawn) for number in group.numbers] or None,
            source_images=None
            if drawn
            else [
                sr.SourceImageForMeasurementGroup(image.sop_class_uid, image.sop_instance_uid, _frames(image, headers))
                for image in group.images
            ],
            **common,
        )
    if group.label:
        comment = sr.TextContentItem(
            name=sr.CodedConcept(*_COMMENT),
            value=group.label,
            relationship_type=sr.RelationshipTypeValues.CONTAINS,
        )
        made[0].ContentSequence.append(comment)
    return made


def _algorithm(highdicom: Any, algorithm: tuple[str, str, str]) -> Any:
    """TID 4019, the weights' digest among the parameters."""
    name, version, digest = algorithm
    return highdicom.sr.AlgorithmIdentification(
        name=name, version=version or "unknown", parameters=[f"weights-sha256={digest}"] if digest else None
    )


def _number(
    highdicom: Any, number: ReportedNumber, group: ReportedGroup, headers: Mapping[str, Dataset], *, drawn: bool
) -> Any:
    sr = highdicom.sr
    if not np.isfinite(number.value):
        raise InputError(f"{number.code.meaning} is not defined here, and an SR holds finite numbers only")
    coordinates = []
    if drawn:
        for figure in number.figures or group.figures:
            coordinates += _coordinates(highdicom, figure, group, headers)
    measurement = sr.Measurement(
        name=_code(highdicom, number.code),
        value=float(number.value),
        unit=_unit(highdicom, number.unit),
        derivation=None if number.derivation is None else _code(highdicom, number.derivation),
        method=None if number.method is None else _code(highdicom, number.method),
        referenced_coordinates=coordinates or None,
    )
    value = measurement[0].MeasuredValueSequence[0]
    value.NumericValue = _decimal(number.value)
    value.FloatingPointValue = float(number.value)  # DS ends after 16 characters, this one does not (C.18.1)
    return measurement


def _decimal(value: float) -> str:
    """The number in the at most 16 characters of a DS."""
    for digits in range(_DIGITS, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= _DIGITS:
            return text
    raise InputError(f"{value!r} does not fit a decimal string")


def _coordinates(highdicom: Any, figure: Figure, group: ReportedGroup, headers: Mapping[str, Dataset]) -> list[Any]:
    """The figure as coordinates for a measurement."""
    sr = highdicom.sr
    points = np.asarray(figure.points, dtype=np.float64)
    if points.shape[1] == 3:
        closed = len(points) > 2 and bool((points[0] == points[-1]).all())
        kind = "POLYGON" if figure.type == "POLYLINE" and closed else figure.type
        return [
            sr.CoordinatesForMeasurement3D(
                graphic_type=sr.GraphicTypeValues3D[kind],
                graphic_data=points,
                frame_of_reference_uid=group.frame_of_reference_uid,
            )
        ]
    image = group.images[0]
    check_inside([figure], headers[image.sop_instance_uid])
    return [
        sr.CoordinatesForMeasurement(
            graphic_type=sr.GraphicTypeValues[figure.type],
            graphic_data=np.maximum(points + TO_CORNER, 0.0),
            source_image=sr.SourceImageForRegion(image.sop_class_uid, image.sop_instance_uid, _frames(image, headers)),
        )
    ]


def _region(highdicom: Any, image: ImageReference, figure: Figure, headers: Mapping[str, Dataset]) -> Any:
    """One outline of a body, on its image."""
    sr = highdicom.sr
    check_inside([figure], headers[image.sop_instance_uid])
    return sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues[figure.type],
        graphic_data=np.maximum(np.asarray(figure.points, dtype=np.float64) + TO_CORNER, 0.0),
        source_image=sr.SourceImageForRegion(image.sop_class_uid, image.sop_instance_uid, _frames(image, headers)),
    )


def _infer(number: Any, coordinates: Sequence[Any]) -> None:
    """Let a number be inferred from coordinates."""
    from highdicom.sr import ContentSequence

    if "ContentSequence" not in number:
        number.ContentSequence = ContentSequence(coordinates)
    else:
        number.ContentSequence.extend(coordinates)


def _outline(highdicom: Any, group: ReportedGroup, headers: Mapping[str, Dataset]) -> Any:
    """The only figure of a group as its Image Region, on an image or in the patient."""
    sr = highdicom.sr
    (figure,) = group.figures
    if len(figure.points[0]) == 2:
        return _region(highdicom, group.images[0], figure, headers)
    return sr.ImageRegion3D(
        graphic_type=sr.GraphicTypeValues3D["POLYGON" if figure.type == "POLYLINE" else figure.type],
        graphic_data=np.asarray(figure.points, dtype=np.float64),
        frame_of_reference_uid=group.frame_of_reference_uid,
    )


def _frames(image: ImageReference, headers: Mapping[str, Dataset]) -> list[int] | None:
    header = headers.get(image.sop_instance_uid)
    single = header is not None and int(header.get("NumberOfFrames") or 1) < 2
    return None if image.frame is None or single else [image.frame]
