"""Measurements out of DICOM objects: presentation states and measurement reports of any maker."""

from __future__ import annotations

import re
from os import fspath
from pathlib import Path

from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import Annotation, Figure
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.findings.dicom_objects import TOOL
from gpukit.findings.measurement import Graphic, Measurement, Quantity, Row
from gpukit.volume import SourceInstance

__all__ = ["read_gsps", "read_sr"]

#: Concepts by code -> the quantity's name; both SNOMED generations, because viewers write either.
_NAMES = {
    "410668003": "length", "G-D7FE": "length", "121206": "length", "121211": "length",
    "42798000": "area", "G-A166": "area", "131191004": "perimeter",
    "103339001": "long_axis", "G-A185": "long_axis", "103340004": "short_axis", "G-A186": "short_axis",
    "1483009": "angle", "285285000": "cobb_angle", "118565006": "volume", "G-D705": "volume",
    "YEKZ": "volume_voxels", "RNU0": "volume_mesh", "C0JK": "surface_area",
}  # fmt: skip
_TOOL_KINDS = {"Length": "distance", "Bidirectional": "bidirectional", "Angle": "angle", "CobbAngle": "cobb_angle"}
#: A number with a unit at the end of a caption, as viewers write it.
_STATED = re.compile(r"(?<![\d.,])(-?\d+(?:\.\d+)?)\s*(mm²|mm2|cm²|cm2|mm|cm|pixels²|pixels|°|deg)\s*$")
_LINE_UNITS = {"mm": ("mm", 1.0), "cm": ("mm", 10.0), "pixels": ("{pixels}", 1.0)}
_AREA_UNITS = {"mm²": 1.0, "mm2": 1.0, "cm²": 100.0, "cm2": 100.0}


def read_sr(path: Path) -> list[Row]:
    """Return rows of a measurement report, one a measurement group; for `gpukit.findings.read.DICOM_READERS`."""
    from gpukit.dicom.sr.tid1500_read import read_measurement_report

    return [Row(file=fspath(path), measurement=_of_group(group)) for group in read_measurement_report(path)]


def read_gsps(path: Path) -> list[Row]:
    """Rows of a presentation state, one a figure; a caption that ends in a number with its unit gives the value."""
    from gpukit.dicom.pr.gsps_read import read_gsps as read

    return [
        Row(file=fspath(path), frame=annotation.image.frame, measurement=_of_annotation(annotation))
        for annotation in read(path)
        if annotation.figures
    ]


# ---- presentation states


def _of_annotation(annotation: Annotation) -> Measurement:
    (figure,) = annotation.figures
    kind = _kind_of(figure)
    quantities, notes = _stated(annotation.text, kind)
    label = _STATED.sub("", annotation.text).rstrip(" :=") if quantities else annotation.text
    image = annotation.image
    return Measurement(
        kind=kind,
        quantities=quantities,
        graphics=(_graphic(figure),),
        sources=(SourceInstance(image.sop_class_uid, image.sop_instance_uid, "", frame=image.frame),),
        label=label,
        tracking_id=annotation.tracking_id,
        tracking_uid=annotation.tracking_uid,
        notes=notes,
    )


def _kind_of(figure: Figure) -> str:
    if figure.type in ("CIRCLE", "ELLIPSE") or (len(figure.points) > 3 and figure.points[0] == figure.points[-1]):
        return "area"
    if figure.type in ("POINT", "MULTIPOINT"):
        return "point"
    return "distance" if len(figure.points) == 2 else "polyline"


def _stated(text: str, kind: str) -> tuple[tuple[Quantity, ...], tuple[str, ...]]:
    """Return the number that a caption states, where it fits the figure."""
    match = _STATED.search(text)
    if match is None:
        return (), ()
    value, unit = float(match[1]), match[2]
    note = ("the value is that of the caption, with its digits",)
    if kind in ("distance", "polyline") and unit in _LINE_UNITS:
        ucum, factor = _LINE_UNITS[unit]
        return (Quantity("length", value * factor, ucum),), note
    if kind == "area" and unit in _AREA_UNITS:
        return (Quantity("area", value * _AREA_UNITS[unit], "mm2"),), note
    if kind == "polyline" and unit in ("°", "deg"):
        return (Quantity("angle", value, "deg"),), note
    return (), ()


def _graphic(figure: Figure) -> Graphic:
    space = "patient" if len(figure.points[0]) == 3 else "pixel"
    return Graphic(figure.type, figure.points, space)  # type: ignore[arg-type]


# ---- reports


def _of_group(group: ReportedGroup) -> Measurement:
    figures = [*group.figures, *(figure for number in group.numbers for figure in number.figures)]
    names: dict[str, int] = {}
    quantities = []
    for number in group.numbers:
        name = _name(number)
        names[name] = names.get(name, 0) + 1
        unique = name if names[name] == 1 else f"{name}_{names[name]}"
        quantities.append(Quantity(unique, number.value, number.unit, Code(*number.code)))
    tool = group.tracking_id.rpartition(":")[2] if ":" in group.tracking_id else ""
    kind = _TOOL_KINDS.get(tool) or _kind_of_group(group, figures, {q.name for q in quantities})
    tracked = "" if group.tracking_id.startswith(TOOL) else group.tracking_id
    label = group.label or (group.finding.meaning if group.finding else "") or tracked
    sources = [SourceInstance(i.sop_class_uid, i.sop_instance_uid, "", frame=i.frame) for i in group.images]
    return Measurement(
        kind=kind,
        quantities=tuple(quantities),
        graphics=_graphics(kind, figures),
        sources=tuple(sources),
        label=label,
        tracking_id=tracked,
        tracking_uid=group.tracking_uid,
        frame_of_reference_uid=group.frame_of_reference_uid,
        method=group.method.meaning if group.method else "",
        extra=None if group.segment is None else {"segment": group.segment},
    )


def _kind_of_group(group: ReportedGroup, figures: list[Figure], names: set[str]) -> str:
    if group.segment is not None:
        return "volume" if "volume" in names else "roi"
    if {"long_axis", "short_axis"} <= names:
        return "bidirectional"
    if len(figures) == 1 and len(figures[0].points[0]) == 2:
        kind = _kind_of(figures[0])
        return "roi" if kind == "area" and not names & {"area"} else kind
    return "roi"


def _name(number: ReportedNumber) -> str:
    short = _NAMES.get(number.code.value)
    words = [short or number.code.meaning or number.code.value]
    if number.derivation is not None:
        words.append(number.derivation.meaning)
    return re.sub(r"[^a-z0-9]+", "_", " ".join(words).lower()).strip("_") or "value"


def _graphics(kind: str, figures: list[Figure]) -> tuple[Graphic, ...]:
    """Return the graphics; split an angle's four points apart again."""
    if kind in ("angle", "cobb_angle") and len(figures) == 1 and len(figures[0].points) == 4:
        a, b, c, d = figures[0].points
        if kind == "angle" and b == c:
            return (_graphic(Figure("POLYLINE", (a, b, d))),)
        return (_graphic(Figure("POLYLINE", (a, b))), _graphic(Figure("POLYLINE", (c, d))))
    return tuple(map(_graphic, figures))
